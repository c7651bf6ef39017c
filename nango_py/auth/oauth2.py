"""OAUTH2: the authorization code flow and its refresh tokens; names as in RFC 6749 section 5.1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.protocols.settings_schemas import (
    CALLBACK,
    CLIENT,
    PARAMS,
    PATH,
    TEXT,
    TEXTS,
    TOKEN_CALL,
    TOKEN_RESPONSE_FIELDS,
    URL,
)
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import Renewal, TokenContext, TokenRequest


@AUTH_MODES.register
class OAuth2(TokenMode):
    """An access token, and what is known of its life; renewed by its refresh token.

    Where `token_params.grant_type` is client_credentials, the application's own id and secret renew it.
    """

    name = "OAUTH2"
    title = "OAuth 2.0"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["access_token"],
        "properties": {
            "access_token": {"type": "string", "title": "Access token", "minLength": 1},
            "refresh_token": {"type": "string", "title": "Refresh token", "minLength": 1},
            **TOKEN_LIFE,
            "token_type": {"type": "string"},
            "scope": {"type": "string"},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {"access_token": "token_example_1234"}
    settings_schema: ClassVar[dict[str, Any]] = {
        "authorization_url": URL,
        "authorization_params": TEXTS,
        "pkce": {"type": "boolean"},
        "issuer": URL,
        "requires_issuer": {"type": "boolean"},
        **CALLBACK,
        "scope_aliases": {"type": "object", "additionalProperties": TEXT},
        **TOKEN_CALL,
        **CLIENT,
        "refresh_url": URL,
        "refresh_params": PARAMS,
        **TOKEN_RESPONSE_FIELDS,
        "refresh_token_path": PATH,
        "keep_from_callback": {"type": "array", "items": {"type": "string"}},
        "revocation_url": URL,
    }
    required_settings = ("authorization_url", "token_url")
    required_app_settings = ("oauth_client_id", "oauth_client_secret")
    variables = ("access_token", "oauth_client_id", "oauth_client_secret")
    secret_variables = ("access_token", "oauth_client_secret")

    def can_renew(self, credentials: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """With a refresh token, or where the application's own id and secret are enough."""
        return bool(credentials.get("refresh_token")) or _is_for_the_application(settings)

    def _steps(self, context: TokenContext) -> Renewal:
        """One token request."""
        from nango_py.protocols import oauth2_protocol

        if context.credentials.get("refresh_token"):
            request = oauth2_protocol.refresh_request(context)
        elif _is_for_the_application(context.settings):
            request = oauth2_protocol.client_credentials_request(context)
        else:
            raise context.missing("there is no refresh token")
        response = yield request
        return oauth2_protocol.read_credentials(context, response)

    def revocations(self, context: TokenContext) -> tuple[TokenRequest, ...]:
        """RFC 7009, where the blueprint names a `revocation_url`."""
        from nango_py.protocols import oauth2_protocol

        return oauth2_protocol.revocation_requests(context)


def _is_for_the_application(settings: Mapping[str, Any]) -> bool:
    declared = settings.get("token_params") or {}
    return bool(declared.get("grant_type") == "client_credentials")
