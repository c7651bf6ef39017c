"""Replaces secrets by `***` wherever they occur: in URLs, headers and bodies, also in base64."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from nango_py.secret import EVERYTHING, MASK, MIN_MASKED_LENGTH, mask_secrets, secret_leaves

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.json_types import JsonValue
    from nango_py.transport.sendable import Sendable

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_FORM = re.compile(r"[A-Za-z0-9*%_.+~-]+=[^\s{}<>]*")
_COOKIE_VALUE = re.compile(r"=[^;]*")
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
    """The text without any spelling of the secrets, and without base64 that holds one."""
    if not secrets:
        return text
    found = [secret.encode("utf-8", "surrogatepass") for secret in secrets]

    def check(match: re.Match[str]) -> str:
        return MASK if _holds(match[0], found) else match[0]

    return _BASE64.sub(check, mask_secrets(text, secrets))


def _holds(text: str, secrets: list[bytes]) -> bool:
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    for alphabet in (b"+/", b"-_"):
        try:
            decoded = base64.b64decode(padded, altchars=alphabet, validate=True)
        except (binascii.Error, ValueError):
            continue
        if any(secret in decoded for secret in secrets):
            return True
    return False


def redact_body(body: bytes, secrets: Collection[str]) -> bytes:
    """The same for a body: also inside of the texts of JSON and of the values of a form."""
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
    head, mark, query = redact(url, secrets).partition("?")
    return head + mark + redact_query(query, secrets)


def redact_query(query: str, secrets: Collection[str]) -> str:
    """The same for a query or a form, whose values may be encoded a second time."""
    pairs = parse_qsl(query, keep_blank_values=True)
    redacted = [(redact(name, secrets), redact(value, secrets)) for name, value in pairs]
    return query if redacted == pairs else urlencode(redacted, safe="*")


def redact_bytes(data: bytes, secrets: Collection[str]) -> bytes:
    """The same for a body that is not text."""
    for secret in secrets:
        data = data.replace(secret.encode("utf-8", "surrogatepass"), MASK.encode())
    return data


def redact_token_params(body: bytes) -> bytes:
    """The body of a token request with the values of all parameters replaced, except for public ones."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
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
        found = dict(parse_qsl(text, keep_blank_values=True))
    return [leaf for leaf in secret_leaves({"raw": {"token": found}}) if len(leaf) >= MIN_MASKED_LENGTH]


def redact_cookie(value: str) -> str:
    """A Set-Cookie header without the value of the cookie."""
    return _COOKIE_VALUE.sub(f"={MASK}", value, count=1)
