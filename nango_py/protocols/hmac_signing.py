"""HMAC signatures over parts of a request, and WSSE UsernameToken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.errors import CredentialsError, InvalidRequest
from nango_py.protocols.signed_request import check_headers, render_setting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.json_types import Settings
    from nango_py.protocols.signed_request import SignedRequest

_DEFAULT_HEADERS: Mapping[str, tuple[object, ...]] = {"X-Signature": ("signature",)}


def hmac_headers(
    request: SignedRequest, variables: Mapping[str, object], settings: Settings, now: float
) -> dict[str, str]:
    """The headers that sign a request.

    Args:
        request: the request to sign.
        variables: api_key, api_secret and the variables of templates.
        settings: `parts` are signed in order, separated by `joined_by` (default: nothing); `headers`
            (default: X-Signature) are sent.
        now: unix seconds.

    Raises:
        CredentialsError: the secret is not encoded as `key_encoding` says, or a credential is not a valid
            header.
        InvalidRequest: the body is a stream, which cannot be signed.
        ConfigError: a variable of a template has no value.
    """
    words = _build_words(request, now)
    separator = str.__str__(settings.get("joined_by", ""))
    parts = settings.get("parts") or ("timestamp", "method", "target", "body")
    if request.body is None and any(isinstance(part, str) and part.startswith("body") for part in parts):
        del variables
        raise InvalidRequest("this API signs the body, and a stream cannot be signed; pass bytes or JSON")
    text = separator.encode().join(_render_part(part, words, request, variables) for part in parts)
    key = _decode_key(str(variables["api_secret"]), str.__str__(settings.get("key_encoding", "text")))
    digest = hmac.new(key, text, str.__str__(settings.get("algorithm", "sha256"))).digest()
    is_base64 = settings.get("encoding") == "base64"
    words["signature"] = base64.b64encode(digest) if is_base64 else digest.hex().encode()
    templates: Mapping[str, Iterable[object]] = settings.get("headers") or _DEFAULT_HEADERS
    headers = {
        str.__str__(name): b"".join(_render_part(part, words, request, variables) for part in parts)
        for name, parts in templates.items()
    }
    return check_headers({name: value.decode("latin-1") for name, value in headers.items()})


def wsse_headers(variables: Mapping[str, object], settings: Settings, now: float) -> dict[str, str]:
    """The X-WSSE header of a UsernameToken: base64(sha1(nonce + created + secret)).

    With `encoding: hex`, the nonce is hex text and the digest is hex text in base64; otherwise the nonce is
    16 bytes in base64.

    Source: https://docs.oasis-open.org/wss/v1.1/wss-v1.1-spec-os-UsernameTokenProfile.pdf section 3.1
    """
    created = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    nonce, is_hex = secrets.token_bytes(16), settings.get("encoding") == "hex"
    hashed = nonce.hex().encode() if is_hex else nonce
    digest = hashlib.sha1(hashed + created.encode() + str(variables["api_secret"]).encode())  # noqa: S324
    password = base64.b64encode(digest.hexdigest().encode() if is_hex else digest.digest()).decode()
    name = str(variables["api_key"]).replace("\\", "\\\\").replace('"', '\\"')
    nonce_text = hashed.decode() if is_hex else base64.b64encode(nonce).decode()
    token = (
        f'UsernameToken Username="{name}", PasswordDigest="{password}", '
        f'Nonce="{nonce_text}", Created="{created}"'
    )
    return check_headers({"X-WSSE": token, "Authorization": 'WSSE profile="UsernameToken"'})


def _build_words(request: SignedRequest, now: float) -> dict[str, bytes]:
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
        "body_md5": hashlib.md5(body).hexdigest(),  # noqa: S324 - the API requires it
        "timestamp": str(int(now)),
        "timestamp_ms": str(int(now * 1000)),
        "iso_time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "http_date": format_datetime(moment, usegmt=True),
        "nonce": secrets.token_hex(16),
    }
    return {**{name: text.encode() for name, text in texts.items()}, "body": body}


def _render_part(
    part: object, words: Mapping[str, bytes], request: SignedRequest, variables: Mapping[str, object]
) -> bytes:
    if isinstance(part, Mapping):
        if part.get("header"):
            return request.header(str.__str__(part["header"])).encode("latin-1", "replace")
        return render_setting(part["text"], variables, "signature").encode()
    if part == "api_key":
        return str(variables["api_key"]).encode()
    return words.get(str.__str__(part), b"") if isinstance(part, str) else b""


def _decode_key(secret: str, encoding: str) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(secret)
        if encoding == "base64":
            return base64.b64decode(secret, validate=True)
        return secret.encode()
    except ValueError:
        pass
    del secret
    raise CredentialsError(f'credential "api_secret" is not valid {encoding}')
