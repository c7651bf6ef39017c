"""Self-made JSON Web Tokens: RFC 7519, and as assertions RFC 7523 section 3."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Any

from nango_py.protocols.token_exchange import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import TokenContext

DEFAULT_LIFE = 300.0
_DEFAULT_KEY = "${private_key}"


def sign_jwt(
    context: TokenContext,
    settings: Mapping[str, Any],
    where: str,
    *,
    claims: Mapping[str, Any] | None = None,
    default_key: str = _DEFAULT_KEY,
) -> tuple[str, float]:
    """A signed token, and when it expires in unix seconds.

    Empty values of `header` and `payload` are left out, so that an optional one may be a template with
    `default("")`.

    Args:
        context: gives the values of templates and the time.
        settings: the block, as `schemas.ASSERTION` describes it.
        where: its key under `auth:`, for errors.
        claims: what the protocol adds where the block does not say otherwise.
        default_key: the template of the key where the block names none.

    Raises:
        TokenRefused: the key does not fit the algorithm; the key is not shown.
    """
    issued = int(context.now - float(settings.get("issued_ago", 0)))
    expires = int(context.now + float(settings.get("expires_in", DEFAULT_LIFE)))
    payload = {**(claims or {}), **context.rendered(settings.get("payload"), f"{where}.payload")}
    if settings.get("scope_claim") and context.scopes:
        separator = context.text("scope_separator", " ")
        payload[str.__str__(settings["scope_claim"])] = separator.join(context.scopes)
    payload = {name: value for name, value in payload.items() if value != ""}
    payload |= {"iat": issued, "exp": expires}
    header = context.rendered(settings.get("header"), f"{where}.header")
    algorithm = str.__str__(settings.get("algorithm", "RS256"))
    written = context.render(settings.get("signing_key", default_key), f"{where}.signing_key")
    key = _key_of(written, str.__str__(settings.get("signing_key_encoding", "text")))
    if key:
        token = _encoded(payload, key, algorithm, {name: text for name, text in header.items() if text != ""})
        if token:
            return token, float(expires)
    del key, written, payload
    what = f"the signing key is not one for {algorithm}"
    # Without a key of its own a connection signs by the application's: the user could not mend it.
    raise TokenRefused("invalid_key", ends_connection=bool(context.credentials.get("private_key")), what=what)


def unique_id() -> str:
    """A `jti` (RFC 7519 4.1.7): 128 bits that nobody can guess."""
    return secrets.token_hex(16)


def _encoded(payload: dict[str, Any], key: bytes, algorithm: str, header: dict[str, Any]) -> str:
    """The token, "" where the key is not one for the algorithm."""
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm

    if algorithm.startswith("HS"):
        # HMAC fills a short key with zeros anyway (RFC 2104); filled, PyJWT does not warn of it.
        key = key.ljust(64, b"\0")
    try:
        return jwt.encode(payload, key, algorithm=algorithm, headers=header or None)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, NotImplementedError):
        return ""


def _key_of(written: str, encoding: str) -> bytes | None:
    try:
        if encoding == "hex":
            return bytes.fromhex(written)
        if encoding == "base64":
            return base64.b64decode(written)
    except (ValueError, binascii.Error):
        return None
    # A PEM that went through an environment variable often has its line ends as two characters.
    text = written.replace("\\n", "\n") if written.startswith("-----BEGIN") else written
    return text.encode("utf-8", "surrogatepass")
