"""HTTP Digest (RFC 7616): challenges read, and answered."""

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
"""Strongest first; each also as `-sess`."""

_COUNT = "00000001"  # each challenge is answered once, with a client nonce of its own
_PIECE = re.compile(
    r'\s*,*\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)|(?=\s|,|\Z))'
)


def parse_challenges(header: str) -> list[dict[str, str]]:
    """The Digest challenges of a WWW-Authenticate header, parameter names in lower case (RFC 9110 11.6.1)."""
    found: list[dict[str, str]] = []
    current: dict[str, str] | None = None
    index = 0
    while piece := _PIECE.match(header, index):
        name, value = piece[1], piece[2]
        index = piece.end()
        if value is None:
            current = {} if name.lower() == "digest" else None
            if current is not None:
                found.append(current)
        elif current is not None:
            text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            current.setdefault(name.lower(), text)
    return found


def build_authorization(
    headers: Mapping[str, str], request: SignedRequest, username: str, password: str, client_nonce: str = ""
) -> str | None:
    """The Authorization header for a 401; None where no challenge can be answered.

    Args:
        headers: of the 401.
        request: the one that was refused.
        username: as the user wrote it; sent as hash where the server wants that (3.4.4).
        password: never sent.
        client_nonce: a fresh one unless given.
    """
    written = ", ".join(value for name, value in headers.items() if name.lower() == "www-authenticate")
    known = [challenge for challenge in parse_challenges(written) if _is_known(challenge, request)]
    if not known:
        return None
    strength = list(_HASHES)
    best = min(known, key=lambda challenge: strength.index(_algorithm(challenge)[0]))
    return _response(best, request, username, password, client_nonce or secrets.token_urlsafe(24))


def _is_known(challenge: Mapping[str, str], request: SignedRequest) -> bool:
    has_all = "nonce" in challenge and "realm" in challenge and _algorithm(challenge)[0] in _HASHES
    return has_all and _quality(challenge, request) is not None


def _algorithm(challenge: Mapping[str, str]) -> tuple[str, bool]:
    written = challenge.get("algorithm", "MD5").upper()
    return written.removesuffix("-SESS"), written.endswith("-SESS")


def _quality(challenge: Mapping[str, str], request: SignedRequest) -> str | None:
    """Auth before auth-int; "" for a server of RFC 2069, None for one that wants what we cannot give."""
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
    hashed = _hash(_HASHES[algorithm])
    realm, nonce = challenge["realm"], challenge["nonce"]
    quality = _quality(challenge, request)
    secret = hashed(f"{username}:{realm}:{password}")
    if is_session:
        secret = hashed(f"{secret}:{nonce}:{cnonce}")
    entity = f":{_body_hash(_HASHES[algorithm], request.body or b'')}" if quality == "auth-int" else ""
    what = hashed(f"{request.method}:{request.target}{entity}")
    middle = f"{nonce}:{_COUNT}:{cnonce}:{quality}" if quality else nonce
    fields = _user_fields(challenge, username, hashed(f"{username}:{realm}"))
    fields |= {"realm": _quoted(realm), "uri": _quoted(request.target)}
    if "algorithm" in challenge:
        fields["algorithm"] = algorithm + ("-sess" if is_session else "")
    fields["nonce"] = _quoted(nonce)
    if quality:
        fields |= {"nc": _COUNT, "cnonce": _quoted(cnonce), "qop": quality}
    elif is_session:
        fields["cnonce"] = _quoted(cnonce)
    fields["response"] = _quoted(hashed(f"{secret}:{middle}:{what}"))
    if "opaque" in challenge:
        fields["opaque"] = _quoted(challenge["opaque"])
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


def _user_fields(challenge: Mapping[str, str], username: str, hashed: str) -> dict[str, str]:
    if challenge.get("userhash", "").lower() == "true":
        return {"username": _quoted(hashed), "userhash": "true"}
    if username.isascii():
        return {"username": _quoted(username)}
    return {"username*": f"UTF-8''{quote(username, safe='')}"}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hash(algorithm: str) -> Callable[[str], str]:
    return lambda text: _body_hash(algorithm, text.encode())


def _body_hash(algorithm: str, body: bytes) -> str:
    return hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
