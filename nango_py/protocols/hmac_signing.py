"""Keyed hashes over parts of a request, and WSSE UsernameToken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nango_py.errors import CredentialsError, InvalidRequest
from nango_py.protocols.signed_request import check_headers, render_setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.protocols.signed_request import SignedRequest

_DEFAULT_HEADERS: Mapping[str, tuple[Any, ...]] = {"X-Signature": ("signature",)}


def hmac_headers(
    request: SignedRequest, variables: Mapping[str, Any], declared: Mapping[str, Any], now: float
) -> dict[str, str]:
    """The headers of a signed request.

    Args:
        request: what is signed.
        variables: api_key, api_secret and those that templates name.
        declared: `parts` are signed in their order, joined by `joined_by` (nothing unless given); `headers`
            (X-Signature unless given) say what is sent.
        now: unix seconds.

    Raises:
        CredentialsError: the secret is not in its `key_encoding`, or a credential is no header value.
        InvalidRequest: the body of a stream would be signed.
        ConfigError: a template has no value.
    """
    words = _words(request, now)
    joiner = str.__str__(declared.get("joined_by", ""))
    parts = declared.get("parts") or ("timestamp", "method", "target", "body")
    if request.body is None and any(isinstance(part, str) and part.startswith("body") for part in parts):
        del variables
        raise InvalidRequest("this API signs bodies, and one that is sent as it is read cannot be signed")
    text = joiner.encode().join(_part(part, words, request, variables) for part in parts)
    key = _key(str(variables["api_secret"]), str.__str__(declared.get("key_encoding", "text")))
    digest = hmac.new(key, text, str.__str__(declared.get("algorithm", "sha256"))).digest()
    is_base64 = declared.get("encoding") == "base64"
    words["signature"] = base64.b64encode(digest) if is_base64 else digest.hex().encode()
    headers: Mapping[str, Iterable[Any]] = declared.get("headers") or _DEFAULT_HEADERS
    found = {
        str.__str__(name): b"".join(_part(part, words, request, variables) for part in wanted)
        for name, wanted in headers.items()
    }
    return check_headers({name: value.decode("latin-1") for name, value in found.items()})


def wsse(variables: Mapping[str, Any], declared: Mapping[str, Any], now: float) -> dict[str, str]:
    """The X-WSSE header of a UsernameToken: base64(sha1(nonce + created + secret)).

    With `encoding: hex` the nonce is hex text and the digest is the base64 of its hex text;
    otherwise the nonce is 16 bytes that are sent in base64.

    Source: https://docs.oasis-open.org/wss/v1.1/wss-v1.1-spec-os-UsernameTokenProfile.pdf section 3.1
    """
    created = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    nonce, is_hex = secrets.token_bytes(16), declared.get("encoding") == "hex"
    hashed = nonce.hex().encode() if is_hex else nonce
    digest = hashlib.sha1(hashed + created.encode() + str(variables["api_secret"]).encode())  # noqa: S324
    shown = base64.b64encode(digest.hexdigest().encode() if is_hex else digest.digest()).decode()
    name = str(variables["api_key"]).replace("\\", "\\\\").replace('"', '\\"')
    sent = hashed.decode() if is_hex else base64.b64encode(nonce).decode()
    token = f'UsernameToken Username="{name}", PasswordDigest="{shown}", Nonce="{sent}", Created="{created}"'
    return check_headers({"X-WSSE": token, "Authorization": 'WSSE profile="UsernameToken"'})


def _words(request: SignedRequest, now: float) -> dict[str, bytes]:
    parts = urlsplit(request.url)
    body = request.body or b""
    moment = datetime.fromtimestamp(int(now), UTC)
    texts = {
        "method": request.method.upper(),
        "host": parts.netloc.rpartition("@")[2],
        "path": parts.path or "/",
        "query": parts.query,
        "target": request.target,
        "url": request.url,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_sha256_base64": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "body_md5": hashlib.md5(body).hexdigest(),  # noqa: S324 - what the API signs
        "timestamp": str(int(now)),
        "timestamp_ms": str(int(now * 1000)),
        "iso_time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "http_date": format_datetime(moment, usegmt=True),
        "nonce": secrets.token_hex(16),
    }
    return {**{name: text.encode() for name, text in texts.items()}, "body": body}


def _part(
    part: Any, words: Mapping[str, bytes], request: SignedRequest, variables: Mapping[str, Any]
) -> bytes:
    if isinstance(part, Mapping):
        if part.get("header"):
            return request.header(str.__str__(part["header"])).encode("latin-1", "replace")
        return render_setting(part["text"], variables, "signature").encode()
    if part == "api_key":
        return str(variables["api_key"]).encode()
    return words.get(str.__str__(part), b"")


def _key(secret: str, encoding: str) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(secret)
        if encoding == "base64":
            return base64.b64decode(secret, validate=True)
        return secret.encode()
    except ValueError:
        pass
    del secret
    raise CredentialsError(f'credential "api_secret" is not written in {encoding}')
