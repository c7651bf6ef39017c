"""OAUTH2 with tokens that the caller obtained; names as in RFC 6749 section 5.1."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.errors import CredentialsError
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping


@AUTH_MODES.register
class OAuth2(AuthMode):
    """An access token, and what is known of its life.

    `expires_at` may be a datetime, ISO 8601 text or unix seconds; `expires_in` counts from now.
    It is stored as unix seconds. `raw` is the token endpoint's whole answer, for `${raw.team.id}`.
    """

    name = "OAUTH2"
    title = "OAuth 2.0"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["access_token"],
        "properties": {
            "access_token": {"type": "string", "title": "Access token", "minLength": 1},
            "refresh_token": {"type": "string", "title": "Refresh token", "minLength": 1},
            "expires_at": {"type": ["string", "number"], "title": "Expires at"},
            "expires_in": {"type": "number", "title": "Expires in (seconds)"},
            "token_type": {"type": "string"},
            "scope": {"type": "string"},
            "raw": {"type": "object", "title": "The token endpoint's whole answer"},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {"access_token": "token_example_1234"}
    settings_schema: ClassVar[dict[str, Any]] = {
        "authorization_url": {"type": "string", "format": "https-url", "template": "url"},
        "authorization_params": {
            "type": "object",
            "additionalProperties": {"type": "string", "template": "text"},
        },
        "scope_separator": {"type": "string"},
        "token_url": {"type": "string", "format": "https-url", "template": "url"},
        "token_params": {"type": "object", "additionalProperties": {"type": "string", "template": "text"}},
        "refresh_url": {"type": "string", "format": "https-url", "template": "url"},
        "authorization_method": {"enum": ["header", "body"]},
        "body_format": {"enum": ["form", "json"]},
    }
    required_settings = ("authorization_url", "token_url")
    required_app_settings = ("oauth_client_id", "oauth_client_secret")
    variables = ("access_token", "oauth_client_id", "oauth_client_secret")
    secret_variables = ("access_token", "oauth_client_secret")

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
