"""MCP_OAUTH2: logins at servers of the Model Context Protocol, which say themselves how to log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nango_py.auth._token_mode import OAUTH2_TOKEN
from nango_py.auth.base import make_schema, text_field
from nango_py.auth.oauth2 import OAuth2
from nango_py.protocols.settings_schemas import AFTER_LOGIN, LIFE, SECONDS, TEXT, URL
from nango_py.record import replaced
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.json_types import Credentials, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh, TokenRequest


@AUTH_MODES.register
class McpOAuth2(OAuth2):
    """An access token for an MCP server. The server's metadata says which authorization server issues it.

    The application is the `oauth_client_id` if there is one, else the document at `client_id_metadata_url` or
    at our connect server, else it is registered at each login (RFC 7591). What was found is stored with the
    token.
    """

    name = "MCP_OAUTH2"
    title = "OAuth 2.0 of an MCP server"
    credentials_schema = make_schema(
        {
            **OAUTH2_TOKEN,
            "access_token": text_field("Access token"),
            "refresh_token": text_field("Refresh token"),
            "refresh_expires_at": {"type": "number", "title": "When the refresh token expires"},
            "token_url": text_field("Token endpoint"),
            "revocation_url": text_field("Revocation endpoint"),
            "authorization_method": text_field("Client authentication"),
            "client_id": text_field("Client ID"),
            "client_secret": text_field("Client secret"),
            "resource": text_field("Identifier of the server (RFC 8707)"),
        },
        required=["access_token"],
    )
    settings_schema = {
        "resource_url": {**URL, "title": "The URL of the MCP server"},
        "client_id_metadata_url": {**URL, "title": "Your document about the application, as client id"},
        "callback_per_integration": {"type": "boolean"},
        "scope_separator": TEXT,
        "refresh_token_lifetime_seconds": SECONDS,
        "after_login": AFTER_LOGIN,
        **LIFE,
    }
    required_settings: ClassVar[tuple[str, ...]] = ("resource_url",)
    required_app_settings: ClassVar[tuple[str, ...]] = ()
    variables: ClassVar[tuple[str, ...]] = ("access_token",)
    secret_variables: ClassVar[tuple[str, ...]] = ("access_token",)

    def can_refresh(self, credentials: Credentials, settings: Settings) -> bool:
        """With a refresh token, and the token endpoint that a login found."""
        return bool(credentials.get("refresh_token") and credentials.get("token_url"))

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The protocol, and where a server describes itself."""
        return (*super().modules(settings), "nango_py.protocols.server_metadata")

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        return (yield from super()._refresh(_with_found(context)))

    def revocation_requests(self, context: TokenContext) -> tuple[TokenRequest, ...]:
        """Token revocation (RFC 7009), if the authorization server has an endpoint for it."""
        return super().revocation_requests(_with_found(context))


def _with_found(context: TokenContext) -> TokenContext:
    """The context with the endpoints that the login found."""
    from nango_py.protocols.server_metadata import derive_context

    found = {**context.credentials, "resource": context.credentials.get("resource", "")}
    return replaced(context, settings=derive_context(context, found))
