"""Signed JSON Web Tokens (RFC 7519), also used as assertions (RFC 7523 section 3)."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING

from nango_py.protocols.token_exchange import TokenRefused

if TYPE_CHECKING:
    from nango_py.json_types import Settings
    from nango_py.protocols.token_exchange import TokenContext

DEFAULT_LIFETIME = 300.0
_DEFAULT_KEY = "${private_key}"


def sign_jwt(
    context: TokenContext,
    settings: Settings,
    where: str,
    *,
    claims: Settings | None = None,
    default_key: str = _DEFAULT_KEY,
) -> tuple[str, float]:
    """A signed token, and when it expires in unix seconds.

    Empty values of `header` and `payload` are omitted, so that an optional one may be a template with
    `default("")`.

    Args:
        context: variables and time.
        settings: the section described by `settings_schemas.ASSERTION`.
        where: its key under `auth:`, for errors.
        claims: the protocol's claims, which the section may override.
        default_key: the template of the signing key if the section does not have one.

    Raises:
        TokenRefused: the key does not fit the algorithm; the key is not shown.
    """
    issued = int(context.now - float(settings.get("issued_ago", 0)))
    expires = int(context.now + float(settings.get("expires_in", DEFAULT_LIFETIME)))
    payload = _build_payload(context, settings, where, claims) | {"iat": issued, "exp": expires}
    header = context.render_all(settings.get("header"), f"{where}.header")
    algorithm = str.__str__(settings.get("algorithm", "RS256"))
    key_text = context.render(settings.get("signing_key", default_key), f"{where}.signing_key")
    key = _decode_key(key_text, str.__str__(settings.get("signing_key_encoding", "text")))
    if key:
        token = _encode(payload, key, algorithm, {name: text for name, text in header.items() if text != ""})
        if token:
            return token, float(expires)
    del key, key_text, payload
    what = f"the signing key is not a valid key for {algorithm}"
    # A connection without a private key uses the application's, which the user cannot fix.
    raise TokenRefused("invalid_key", ends_connection=bool(context.credentials.get("private_key")), what=what)


def _build_payload(
    context: TokenContext, settings: Settings, where: str, claims: Settings | None
) -> dict[str, object]:
    payload = {**(claims or {}), **context.render_all(settings.get("payload"), f"{where}.payload")}
    if settings.get("scope_claim") and context.scopes:
        separator = context.text("scope_separator", " ")
        payload[str.__str__(settings["scope_claim"])] = separator.join(context.scopes)
    return {name: value for name, value in payload.items() if value != ""}


def unique_id() -> str:
    """A `jti` (RFC 7519 4.1.7): 128 random bits."""
    return secrets.token_hex(16)


def _encode(payload: dict[str, object], key: bytes, algorithm: str, header: dict[str, object]) -> str:
    """The token, or "" if the key does not fit the algorithm."""
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm

    if algorithm.startswith("HS"):
        # HMAC pads short keys with zeros anyway (RFC 2104); padded here, PyJWT does not warn about them.
        key = key.ljust(64, b"\0")
    try:
        return jwt.encode(payload, key, algorithm=algorithm, headers=header or None)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, NotImplementedError):
        return ""


def _decode_key(text: str, encoding: str) -> bytes | None:
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        if encoding == "base64":
            return base64.b64decode(text)
    except (ValueError, binascii.Error):
        return None
    # A PEM from an environment variable often has the two characters "\\n" instead of line breaks.
    pem = text.replace("\\n", "\n") if text.startswith("-----BEGIN") else text
    return pem.encode("utf-8", "surrogatepass")
