"""OAUTH2: the authorization code flow with refresh tokens; fields are named as in RFC 6749 section 5.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nango_py.auth._token_mode import OAUTH2_TOKEN, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import (
    AFTER_LOGIN,
    CALLBACK,
    CLIENT,
    CODE_PARAM,
    PARAMS,
    PATH,
    PKCE,
    REVOCATION,
    SECONDS,
    STEPS,
    TEXT,
    TEXTS,
    TOKEN_CALL,
    TOKEN_RESPONSE,
    TOKEN_RESPONSE_FIELDS,
    URL,
)
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.json_types import Credentials, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


@AUTH_MODES.register
class OAuth2(TokenMode):
    """An access token with its expiry and, in most cases, a refresh token.

    With `token_params.grant_type: client_credentials`, the application's own id and secret refresh it. With
    `additional_steps`, it is the token of a session, which these requests open.
    """

    name = "OAUTH2"
    title = "OAuth 2.0"
    credentials_schema = make_schema(
        {
            **OAUTH2_TOKEN,
            "access_token": text_field("Access token"),
            "refresh_token": text_field("Refresh token"),
            "refresh_expires_at": {"type": "number", "title": "When the refresh token expires"},
        },
        required=["access_token"],
    )
    example_credentials = {"access_token": "token_example_1234"}
    settings_schema = {
        "authorization_url": URL,
        "authorization_params": TEXTS,
        "pkce": PKCE,
        "pushed_authorization_url": URL,
        "device_authorization_url": URL,
        "issuer": URL,
        "requires_issuer": {"type": "boolean"},
        **CALLBACK,
        "code_param": CODE_PARAM,
        "scope_aliases": {"type": "object", "additionalProperties": TEXT},
        **TOKEN_CALL,
        **CLIENT,
        "refresh_url": URL,
        "refresh_params": PARAMS,
        **TOKEN_RESPONSE_FIELDS,
        "refresh_token_path": PATH,
        "refresh_token_lifetime_seconds": SECONDS,
        "keep_from_callback": {
            "type": ["array", "object"],
            "items": TEXT,
            "additionalProperties": {**TEXT, "minLength": 1},
        },
        "additional_steps": STEPS,
        "token_response": TOKEN_RESPONSE,
        "after_login": AFTER_LOGIN,
        "revocation_url": URL,
        "revocation": REVOCATION,
    }
    required_settings: ClassVar[tuple[str, ...]] = ("authorization_url", "token_url")
    required_app_settings: ClassVar[tuple[str, ...]] = ("oauth_client_id", "oauth_client_secret")
    variables: ClassVar[tuple[str, ...]] = ("access_token", "oauth_client_id", "oauth_client_secret")
    secret_variables: ClassVar[tuple[str, ...]] = ("access_token", "oauth_client_secret")

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The protocol, and the requests after a token response."""
        return (*super().modules(settings), "nango_py.protocols.session_steps")

    def can_refresh(self, credentials: Credentials, settings: Settings) -> bool:
        """With a refresh token, or if the application's own id and secret are sufficient."""
        return bool(credentials.get("refresh_token")) or _uses_client_credentials(settings)

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import oauth2_protocol, session_steps

        is_refresh = bool(context.credentials.get("refresh_token"))
        if is_refresh:
            request = oauth2_protocol.refresh_request(context)
        elif _uses_client_credentials(context.settings):
            request = oauth2_protocol.client_credentials_request(context)
        else:
            raise context.missing_error("there is no refresh token")
        response = yield request
        credentials = oauth2_protocol.read_credentials(context, response, is_refresh=is_refresh)
        return (yield from session_steps.open_session(context, credentials))


def _uses_client_credentials(settings: Settings) -> bool:
    token_params: Settings = settings.get("token_params") or {}
    return token_params.get("grant_type") == "client_credentials"
