"""Base class of the modes with tokens that expire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from nango_py.auth.base import AuthMode, text_field
from nango_py.errors import CredentialsError

if TYPE_CHECKING:
    from typing import Any

    from nango_py.json_types import Credentials, Schema, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh, TokenRequest

TOKEN_LIFE: Schema = {
    "expires_at": {"type": ["string", "number"], "title": "Expires at"},
    "expires_in": {"type": "number", "title": "Expires in (seconds)"},
    "raw": {"type": "object", "title": "The token endpoint's whole response"},
}
"""Fields of `credentials_schema` for a token of any kind."""

OAUTH2_TOKEN: Schema = {
    "access_token": text_field("A token already fetched"),
    **TOKEN_LIFE,
    "token_type": {"type": "string"},
    "scope": {"type": "string"},
}
"""Fields of `credentials_schema` for an OAuth 2 token that the mode can fetch."""


class TokenMode(AuthMode):
    """Credentials that expire.

    `expires_at` may be a datetime, ISO 8601 text or unix seconds; `expires_in` counts from now. It is stored
    as unix seconds. `raw` is the token endpoint's whole response, for templates such as `${raw.team.id}`.
    """

    token_variable: ClassVar[str] = "access_token"  # noqa: S105 - a name

    def can_refresh(self, credentials: Credentials, settings: Settings) -> bool:
        """Always, unless a mode says otherwise: the stored credentials get another token."""
        return True

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The protocol, and PyJWT if the client or the grant needs a signed assertion."""
        has_assertion = "assertion" in settings or settings.get("authorization_method") == "private_key_jwt"
        return ("nango_py.protocols.oauth2_protocol", *(("jwt",) if has_assertion else ()))

    def refresh(self, context: TokenContext) -> TokenRefresh:
        """Run `_refresh`; its errors are raised without the frames that contain credentials."""
        from nango_py.protocols.token_exchange import SECRET_FREE_ERRORS

        steps = self._refresh(context)
        try:
            return (yield from steps)
        except SECRET_FREE_ERRORS as error:
            failure: Exception = error.with_traceback(None)
        del steps, context
        raise failure

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        """The token requests of the mode; see `AuthMode.refresh`."""
        raise NotImplementedError

    def revocation_requests(self, context: TokenContext) -> tuple[TokenRequest, ...]:
        """Token revocation (RFC 7009), if the blueprint has a `revocation_url`."""
        from nango_py.protocols import oauth2_protocol

        return oauth2_protocol.revocation_requests(context)

    def check_credentials(self, credentials: Credentials, where: str) -> dict[str, Any]:
        """The credentials with `expires_at` in unix seconds and without `expires_in`."""
        given = dict(credentials)
        if isinstance(given.get("expires_at"), datetime):
            given["expires_at"] = _to_unix(given["expires_at"])
        checked = super().check_credentials(given, where)
        if isinstance(checked.get("expires_at"), str):
            checked["expires_at"] = _parse_date(checked["expires_at"], where)
        lifetime = checked.pop("expires_in", None)
        if lifetime is not None and "expires_at" not in checked:
            checked["expires_at"] = _to_unix(datetime.now(UTC)) + float(lifetime)
        return checked


def _to_unix(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _parse_date(text: str, where: str) -> float:
    try:
        return _to_unix(datetime.fromisoformat(text))
    except ValueError:
        pass
    raise CredentialsError(
        f'{where}: credential "expires_at" must be ISO 8601 text, unix seconds or a datetime'
    )
