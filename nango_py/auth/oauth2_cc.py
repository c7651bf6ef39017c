"""OAUTH2_CC: OAuth 2.0 client credentials, RFC 6749 section 4.4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.protocols.settings_schemas import CLIENT, TOKEN_CALL, TOKEN_RESPONSE_FIELDS, URL
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import Renewal, TokenContext, TokenRequest


@AUTH_MODES.register
class OAuth2ClientCredentials(TokenMode):
    """A client id and secret for which the API gives tokens.

    They are the connection's own, or the application's (`oauth_client_id`, `oauth_client_secret`) where the
    connection has none. For the password grant, `token_params` says
    `{grant_type: password, username: "${username}", password: "${password}"}`.
    """

    name = "OAUTH2_CC"
    title = "OAuth 2.0 client credentials"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": [],
        "properties": {
            "client_id": {"type": "string", "title": "Client ID", "minLength": 1},
            "client_secret": {"type": "string", "title": "Client secret", "minLength": 1},
            "username": {"type": "string", "title": "User name", "minLength": 1},
            "password": {"type": "string", "title": "Password", "minLength": 1},
            "access_token": {"type": "string", "title": "A token already fetched", "minLength": 1},
            **TOKEN_LIFE,
            "token_type": {"type": "string"},
            "scope": {"type": "string"},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "client_id": "client_example_1234",
        "client_secret": "secret_example_1234",
        "username": "ada",
        "password": "pass_example_1234",
        "access_token": "token_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {
        **TOKEN_CALL,
        **CLIENT,
        **TOKEN_RESPONSE_FIELDS,
        "revocation_url": URL,
    }
    required_settings = ("token_url",)
    variables = (
        "access_token", "client_id", "client_secret", "username", "password",
        "oauth_client_id", "oauth_client_secret",
    )  # fmt: skip
    secret_variables = ("access_token", "client_id", "client_secret", "password", "oauth_client_secret")

    def can_renew(self, credentials: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Always: the client asks again."""
        return True

    def _steps(self, context: TokenContext) -> Renewal:
        """One token request."""
        from nango_py.protocols import oauth2_protocol
        from nango_py.protocols.token_exchange import TokenRefused

        response = yield oauth2_protocol.client_credentials_request(context)
        try:
            return oauth2_protocol.read_credentials(context, response)
        except TokenRefused as refused:
            word, status, ends = refused.word, refused.status, refused.ends_connection
        # A client that the user gave can be mended by the user only.
        ends = ends or bool(context.credentials.get("client_id"))
        raise TokenRefused(word, ends_connection=ends, status=status)

    def revocations(self, context: TokenContext) -> tuple[TokenRequest, ...]:
        """RFC 7009, where the blueprint names a `revocation_url`."""
        from nango_py.protocols import oauth2_protocol

        return oauth2_protocol.revocation_requests(context)
