"""Checks the signatures of OAuth 1.0a (RFC 5849), without the library that makes them."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from nango_py.sandbox.signed_tokens import is_signed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.sandbox.logins.requests import LoginRequest

_PAIR = re.compile(r'([A-Za-z_]+)="([^"]*)"')
_FORM = "application/x-www-form-urlencoded"
_CLOCK_SECONDS = 600.0


def read_oauth_header(headers: Mapping[str, str]) -> dict[str, str]:
    """The parameters of an OAuth Authorization header, decoded; {} if it is something else."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "oauth":
        return {}
    return {unquote(name): unquote(value) for name, value in _PAIR.findall(rest)}


def is_signed(request: LoginRequest, given: Mapping[str, str], client_secret: str, token_secret: str) -> bool:
    """Whether a request has the signature of these secrets (section 3.4)."""
    method = given.get("oauth_signature_method", "")
    signature = given.get("oauth_signature", "")
    key = f"{_escape(client_secret)}&{_escape(token_secret)}"
    if method == "PLAINTEXT":
        return hmac.compare_digest(signature.encode(), key.encode())
    try:
        received = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    text = _base_string(request, given).encode()
    if method == "RSA-SHA1":
        return is_signed_by("RS", "sha1", text, received, client_secret)
    hash_name = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}.get(method)
    return hash_name is not None and hmac.compare_digest(hmac.digest(key.encode(), text, hash_name), received)


def _base_string(request: LoginRequest, given: Mapping[str, str]) -> str:
    """The signature base string (section 3.4.1)."""
    parts = urlsplit(request.url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    pairs += [(name, value) for name, value in given.items() if name not in {"realm", "oauth_signature"}]
    if request.headers.get("content-type", "").partition(";")[0].strip() == _FORM:
        pairs += parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    host = request.headers.get("host") or parts.netloc
    base = f"{parts.scheme}://{host.lower().removesuffix(':80')}{parts.path}"
    return "&".join(map(_escape, (request.method, base, _join(pairs))))


def _join(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted((_escape(n), _escape(v)) for n, v in pairs))


def _escape(text: str) -> str:
    return quote(text, safe="~")


class Nonces:
    """Refuses old timestamps and repeated nonces (section 3.3)."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()

    def accept(self, given: Mapping[str, str], now: float) -> bool:
        """Whether timestamp and nonce are new."""
        timestamp = given.get("oauth_timestamp", "")
        place = (timestamp, given.get("oauth_nonce", ""), given.get("oauth_token", ""))
        if not timestamp.isdigit() or abs(int(timestamp) - now) > _CLOCK_SECONDS or place in self._seen:
            return False
        self._seen.add(place)
        return True
