"""What the modes share whose credentials hold a token with a life."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import Renewal, TokenContext

TOKEN_LIFE: dict[str, Any] = {
    "expires_at": {"type": ["string", "number"], "title": "Expires at"},
    "expires_in": {"type": "number", "title": "Expires in (seconds)"},
    "raw": {"type": "object", "title": "The token endpoint's whole response"},
}
"""Fields of `credentials_schema` beside the token."""


class TokenMode(AuthMode):
    """Credentials that expire.

    `expires_at` may be a datetime, ISO 8601 text or unix seconds; `expires_in` counts from now.
    It is stored as unix seconds. `raw` is the token endpoint's whole response, for `${raw.team.id}`.
    """

    token_variable: ClassVar[str] = "access_token"  # noqa: S105 - a name

    def renewal(self, context: TokenContext) -> Renewal:
        """The token requests of `_steps`; its errors come without the frames that held credentials."""
        from nango_py.protocols.frames import without_error_frames_in_renewal

        return without_error_frames_in_renewal(self._steps(context))

    def _steps(self, context: TokenContext) -> Renewal:
        """What the mode asks for; see `AuthMode.renewal`."""
        raise NotImplementedError

    def check_credentials(self, credentials: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The credentials with `expires_at` in unix seconds and without `expires_in`."""
        given = dict(credentials)
        if isinstance(given.get("expires_at"), datetime):
            given["expires_at"] = _unix(given["expires_at"])
        checked = super().check_credentials(given, where)
        if isinstance(checked.get("expires_at"), str):
            checked["expires_at"] = _from_text(checked["expires_at"], where)
        lifetime = checked.pop("expires_in", None)
        if lifetime is not None and "expires_at" not in checked:
            checked["expires_at"] = _unix(datetime.now(UTC)) + float(lifetime)
        return checked


def _unix(moment: datetime) -> float:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def _from_text(text: str, where: str) -> float:
    try:
        return _unix(datetime.fromisoformat(text))
    except ValueError:
        pass
    raise CredentialsError(
        f'{where}: credential "expires_at" must be ISO 8601 text, unix seconds or a datetime'
    )
