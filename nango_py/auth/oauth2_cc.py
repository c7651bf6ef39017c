"""OAUTH2_CC: OAuth 2.0 client credentials (RFC 6749 section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth._client_certificate import CERTIFICATE, CertificateMode
from nango_py.auth._token_mode import OAUTH2_TOKEN, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import CLIENT, TOKEN_CALL, TOKEN_RESPONSE_FIELDS, URL
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


@AUTH_MODES.register
class OAuth2ClientCredentials(CertificateMode, TokenMode):
    """A client id and secret that the API exchanges for tokens.

    They are the connection's own or, if it has none, the application's (`oauth_client_id`,
    `oauth_client_secret`). For the password grant, set `token_params` to `{grant_type: password, username:
    "${username}", password: "${password}"}`. A client certificate is presented to the token endpoint and to
    the API (RFC 8705).
    """

    name = "OAUTH2_CC"
    title = "OAuth 2.0 client credentials"
    credentials_schema = make_schema(
        {
            "client_id": text_field("Client ID"),
            "client_secret": text_field("Client secret"),
            "username": text_field("User name"),
            "password": text_field("Password"),
            **CERTIFICATE,
            **OAUTH2_TOKEN,
        }
    )
    example_credentials = {
        "client_id": "client_example_1234",
        "client_secret": "secret_example_1234",
        "username": "ada",
        "password": "pass_example_1234",
        "access_token": "token_example_1234",
    }
    settings_schema = {**TOKEN_CALL, **CLIENT, **TOKEN_RESPONSE_FIELDS, "revocation_url": URL}
    required_settings = ("token_url",)
    variables = (
        "access_token", "client_id", "client_secret", "username", "password",
        "oauth_client_id", "oauth_client_secret",
    )  # fmt: skip
    secret_variables = ("access_token", "client_id", "client_secret", "password", "oauth_client_secret")

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import oauth2_protocol
        from nango_py.protocols.token_exchange import TokenRefused

        response = yield oauth2_protocol.client_credentials_request(context)
        try:
            return oauth2_protocol.read_credentials(context, response)
        except TokenRefused as error:
            refusal = error.with_traceback(None)
        # Only the user can fix a client that belongs to the connection.
        raise refusal.as_dead_grant() if context.credentials.get("client_id") else refusal
