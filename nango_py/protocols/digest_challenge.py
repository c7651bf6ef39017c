"""HTTP Digest (RFC 7616): parsing challenges and building Authorization headers."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.protocols.signed_request import SignedRequest

_HASHES = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
"""Strongest first; each one also exists as `-sess`."""

_NONCE_COUNT = "00000001"  # one request for each challenge, with a new client nonce
_PIECE = re.compile(
    r'\s*,*\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)|(?=\s|,|\Z))'
)


def parse_challenges(header: str, scheme: str = "digest") -> list[dict[str, str]]:
    """The challenges of one scheme in a WWW-Authenticate header (RFC 9110 11.6.1).

    The scheme and the names of parameters are in lower case.
    """
    challenges: list[dict[str, str]] = []
    current: dict[str, str] | None = None
    index = 0
    while piece := _PIECE.match(header, index):
        name, value = piece[1], piece[2]
        index = piece.end()
        if value is None:
            current = {} if name.lower() == scheme else None
            if current is not None:
                challenges.append(current)
        elif current is not None:
            text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            current.setdefault(name.lower(), text)
    return challenges


def build_authorization(
    headers: Mapping[str, str], request: SignedRequest, username: str, password: str, client_nonce: str = ""
) -> str | None:
    """The Authorization header for a 401; None if no challenge is supported.

    Args:
        headers: of the 401.
        request: the rejected request.
        username: sent as a hash if the server asks for that (RFC 7616 3.4.4).
        password: never sent.
        client_nonce: generated if empty.
    """
    header = ", ".join(value for name, value in headers.items() if name.lower() == "www-authenticate")
    supported = [challenge for challenge in parse_challenges(header) if _is_supported(challenge, request)]
    if not supported:
        return None
    strength = list(_HASHES)
    best = min(supported, key=lambda challenge: strength.index(_algorithm(challenge)[0]))
    return _response(best, request, username, password, client_nonce or secrets.token_urlsafe(24))


def _is_supported(challenge: Mapping[str, str], request: SignedRequest) -> bool:
    has_all = "nonce" in challenge and "realm" in challenge and _algorithm(challenge)[0] in _HASHES
    return has_all and _qop(challenge, request) is not None


def _algorithm(challenge: Mapping[str, str]) -> tuple[str, bool]:
    name = challenge.get("algorithm", "MD5").upper()
    return name.removesuffix("-SESS"), name.endswith("-SESS")


def _qop(challenge: Mapping[str, str], request: SignedRequest) -> str | None:
    """The quality of protection, auth before auth-int; "" for RFC 2069, None if it is unsupported."""
    if "qop" not in challenge:
        return ""
    offered = [word.strip().lower() for word in challenge["qop"].split(",")]
    if "auth" in offered:
        return "auth"
    return "auth-int" if "auth-int" in offered and request.body is not None else None


def _response(
    challenge: Mapping[str, str], request: SignedRequest, username: str, password: str, cnonce: str
) -> str:
    algorithm, is_session = _algorithm(challenge)
    hash_text = _hash(_HASHES[algorithm])
    realm, nonce = challenge["realm"], challenge["nonce"]
    qop = _qop(challenge, request)
    secret = hash_text(f"{username}:{realm}:{password}")
    if is_session:
        secret = hash_text(f"{secret}:{nonce}:{cnonce}")
    body_part = f":{_body_hash(_HASHES[algorithm], request.body or b'')}" if qop == "auth-int" else ""
    request_hash = hash_text(f"{request.method}:{request.target}{body_part}")
    nonces = f"{nonce}:{_NONCE_COUNT}:{cnonce}:{qop}" if qop else nonce
    fields = _user_fields(challenge, username, hash_text(f"{username}:{realm}"))
    fields |= {"realm": _quote(realm), "uri": _quote(request.target)}
    if "algorithm" in challenge:
        fields["algorithm"] = algorithm + ("-sess" if is_session else "")
    fields["nonce"] = _quote(nonce)
    if qop:
        fields |= {"nc": _NONCE_COUNT, "cnonce": _quote(cnonce), "qop": qop}
    elif is_session:
        fields["cnonce"] = _quote(cnonce)
    fields["response"] = _quote(hash_text(f"{secret}:{nonces}:{request_hash}"))
    if "opaque" in challenge:
        fields["opaque"] = _quote(challenge["opaque"])
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


def _user_fields(challenge: Mapping[str, str], username: str, hashed: str) -> dict[str, str]:
    if challenge.get("userhash", "").lower() == "true":
        return {"username": _quote(hashed), "userhash": "true"}
    if username.isascii():
        return {"username": _quote(username)}
    return {"username*": f"UTF-8''{quote(username, safe='')}"}


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hash(algorithm: str) -> Callable[[str], str]:
    return lambda text: _body_hash(algorithm, text.encode())


def _body_hash(algorithm: str, body: bytes) -> str:
    return hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
