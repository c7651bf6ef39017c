"""Replaces secrets by `***` wherever they occur: in URLs, headers and bodies, also in base64."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode

from nango_py.secret import EVERYTHING, MASK, MIN_MASKED_LENGTH, mask_secrets, secret_leaves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nango_py.json_types import JsonValue
    from nango_py.transport.sendable import Sendable

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}(?:\r?\n[A-Za-z0-9+/_-]+)*={0,2}")
_RUN = re.compile(r"[^\s\"'<>]+")
_JSON_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|([/\\]))")
_MOST_ESCAPES = 3
"""How many times a text may be escaped, such as a URL in a parameter of a URL."""
_FORM = re.compile(r"[A-Za-z0-9*%_.+~-]+=[^\s{}<>]*")
_MOST_LAYERS = 3
"""How many times base64 may be encoded in base64."""

_GZIP = b"\x1f\x8b\x08"
_MOST_UNPACKED = 64 * 2**20
_SIGNED = re.compile(
    r"([?&](?:x-amz-(?:signature|security-token|credential)|x-goog-(?:signature|credential)|signature|sig"
    r"|tempauth|upload_id|access_token)=)[^&\s\"'<>\\]+",
    re.IGNORECASE,
)
"""The parameters of URLs by which storage services recognize who may read or write a file."""

_TOKEN_IN_TEXT = re.compile(r"[^\s<>\"'=&;,]{16,}")
_PUBLIC_PARAMS = frozenset(
    {"grant_type", "scope", "redirect_uri", "audience", "token_type_hint", "client_assertion_type"}
)


def secrets_of(request: Sendable) -> tuple[str, ...]:
    """The secrets of a request's connection that are long enough to be found by value."""
    found = request.settings.secrets
    return tuple(each for each in found if each is not EVERYTHING and len(each) >= MIN_MASKED_LENGTH)


def is_token_request(request: Sendable) -> bool:
    """Whether a request is for a token, so that its response holds new secrets."""
    found = request.settings.secrets
    return bool(found) and found[-1] is EVERYTHING


def redact(text: str, secrets: Collection[str]) -> str:
    """The text without any spelling of the secrets, and without base64 or escapes that hold one."""
    if not secrets:
        return text
    found = [secret.encode("utf-8", "surrogatepass") for secret in secrets]

    def check_base64(match: re.Match[str]) -> str:
        return MASK if _holds(match[0], found) else match[0]

    def check_escapes(match: re.Match[str]) -> str:
        return MASK if any(secret in form for form in _unescape(match[0]) for secret in secrets) else match[0]

    return _RUN.sub(check_escapes, _BASE64.sub(check_base64, mask_secrets(text, secrets)))


def _holds(text: str, secrets: list[bytes], layers: int = _MOST_LAYERS) -> bool:
    """Whether base64 holds a secret, also behind other characters of its alphabet, in lines, or in base64."""
    digits = "".join(text.rstrip("=").split())
    for start in range(4):
        part = digits[start:]
        part = part[: len(part) - (len(part) % 4 == 1)]
        for alphabet in (b"+/", b"-_"):
            try:
                decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=alphabet, validate=True)
            except (binascii.Error, ValueError):
                continue
            if any(secret in decoded for secret in secrets):
                return True
            below = _BASE64.finditer(decoded.decode("latin-1")) if layers > 1 else ()
            if any(_holds(match[0], secrets, layers - 1) for match in below):
                return True
    return False


def _unescape(text: str) -> Iterator[str]:
    """What a text with escapes of URLs, JSON or HTML stands for, after each step."""
    for _ in range(_MOST_ESCAPES):
        before = text
        for unescape in (unquote, _unescape_json, html.unescape):
            found = unescape(text)
            if found != text:
                text = found
                yield text
        if text == before:
            return


def _unescape_json(text: str) -> str:
    return _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], text)


def redact_body(body: bytes, secrets: Collection[str]) -> bytes:
    """The same for a body: also inside of the texts of JSON and of the values of a form."""
    if body.startswith(_GZIP):
        return _redact_gzip(body, secrets)
    if b"\0" in body:  # binary, or UTF-16
        return redact_bytes(body, secrets)
    try:
        text = redact(body.decode(), secrets)
    except UnicodeDecodeError:
        return redact_bytes(body, secrets)
    try:
        found: JsonValue = json.loads(text)
    except ValueError:
        return redact_query(text, secrets).encode() if _FORM.fullmatch(text) else text.encode()
    redacted = _redact_leaves(found, secrets)
    return (text if redacted == found else json.dumps(redacted)).encode()


def _redact_gzip(body: bytes, secrets: Collection[str]) -> bytes:
    """A compressed file whose content has no secret; as it is if it has none."""
    import zlib

    try:
        unpacker = zlib.decompressobj(wbits=31)
        content = unpacker.decompress(body, _MOST_UNPACKED)
    except zlib.error:
        return redact_bytes(body, secrets)
    if not unpacker.eof or unpacker.unused_data:
        return MASK.encode()  # too large, or several files: not all of it was searched
    redacted = redact_body(content, secrets)
    if redacted == content:
        return body
    packer = zlib.compressobj(wbits=31)
    return packer.compress(redacted) + packer.flush()


def redact_signatures(text: str) -> str:
    """A text without the signatures of URLs of files."""
    return _SIGNED.sub(rf"\1{MASK}", text)


def _redact_leaves(value: JsonValue, secrets: Collection[str]) -> JsonValue:
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, list):
        return [_redact_leaves(item, secrets) for item in value]
    if isinstance(value, dict):
        return {redact(name, secrets): _redact_leaves(item, secrets) for name, item in value.items()}
    return value


def redact_url(url: str, secrets: Collection[str]) -> str:
    """The same for a URL."""
    head, mark, query = url.partition("?")
    return redact(head + mark + redact_query(query, secrets), secrets)


def redact_query(query: str, secrets: Collection[str]) -> str:
    """The same for a query or a form, whose values may be encoded a second time."""
    pairs = parse_qsl(query, keep_blank_values=True)
    redacted = [(redact(name, secrets), redact(value, secrets)) for name, value in pairs]
    return query if redacted == pairs else urlencode(redacted, safe="*")


def redact_bytes(data: bytes, secrets: Collection[str]) -> bytes:
    """The same for a body that is not text as a whole, such as one with a file, or in UTF-16."""
    for secret in secrets:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            data = data.replace(secret.encode(encoding, "surrogatepass"), MASK.encode(encoding))
    return redact(data.decode("latin-1"), secrets).encode("latin-1")


def redact_token_params(body: bytes) -> bytes:
    """The body of a token request with the values of all parameters replaced, except for public ones."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        if not _FORM.fullmatch(text):
            return MASK.encode()
        pairs = parse_qsl(text, keep_blank_values=True)
        return urlencode(
            [(name, value if name in _PUBLIC_PARAMS else MASK) for name, value in pairs], safe="*"
        ).encode()
    if not isinstance(found, Mapping):
        return MASK.encode()
    kept = {name: value if name in _PUBLIC_PARAMS else MASK for name, value in found.items()}
    return json.dumps(kept, separators=(",", ":")).encode()


def secrets_in_token_response(body: bytes) -> list[str]:
    """What a token endpoint's response holds that must not be recorded."""
    text = body.decode("utf-8", "replace")
    found: JsonValue
    try:
        found = json.loads(text)
    except ValueError:
        if not _FORM.fullmatch(text.strip()):  # XML, or the token alone
            return _TOKEN_IN_TEXT.findall(text)
        found = dict(parse_qsl(text, keep_blank_values=True))
    return [leaf for leaf in secret_leaves({"raw": {"token": found}}) if len(leaf) >= MIN_MASKED_LENGTH]


def redact_cookie(value: str) -> str:
    """A Set-Cookie header without the value of the cookie, which may have no name."""
    cookie, semicolon, attributes = value.partition(";")
    return _without_value(cookie) + semicolon + attributes


def redact_cookies(value: str) -> str:
    """A Cookie header without the values of its cookies."""
    return "; ".join(_without_value(cookie.strip()) for cookie in value.split(";"))


def _without_value(cookie: str) -> str:
    name, mark, _ = cookie.partition("=")
    return f"{name}={MASK}" if mark else MASK
