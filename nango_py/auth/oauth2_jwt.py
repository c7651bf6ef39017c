"""OAUTH2_JWT: a signed assertion in exchange for a token (RFC 7523 2.1, service accounts, GitHub Apps)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nango_py.auth._token_mode import OAUTH2_TOKEN, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import (
    ASSERTION,
    AUTHORIZATION_METHOD,
    CLIENT,
    TOKEN_CALL,
    TOKEN_RESPONSE_FIELDS,
)
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


@AUTH_MODES.register
class OAuth2Jwt(TokenMode):
    """A private key, the connection's own or the application's, that signs assertions.

    `assertion` says what to sign and with which key; the application's is
    `signing_key: ${oauth_client_secret}`.
    """

    name = "OAUTH2_JWT"
    title = "OAuth 2.0 with a signed assertion"
    credentials_schema = make_schema(
        {
            "private_key": text_field("Private key (PEM)", is_multiline=True),
            "private_key_id": text_field("Key ID"),
            "client_id": text_field("Client ID"),
            "client_email": text_field("Service account"),
            **OAUTH2_TOKEN,
        }
    )
    example_credentials = {
        "private_key": "private_key_example_1234",
        "private_key_id": "key_id_example_1234",
        "client_id": "client_example_1234",
        "client_email": "robot@example.test",
        "access_token": "token_example_1234",
    }
    settings_schema = {
        **TOKEN_CALL,
        **CLIENT,
        **TOKEN_RESPONSE_FIELDS,
        "assertion": ASSERTION,
        # Without it, the assertion authenticates alone.
        "authorization_method": AUTHORIZATION_METHOD,
        "assertion_placement": {"enum": ["body", "header"], "default": "body"},
    }
    required_settings = ("token_url",)
    assertion_setting = "assertion"
    assertion_fields: ClassVar[dict[str, str]] = {"signing_key": "private_key"}
    """The credential that stands for each key that the setting leaves out."""

    variables = (
        "access_token", "private_key", "private_key_id", "client_id", "client_email",
        "oauth_client_id", "oauth_client_secret",
    )  # fmt: skip
    secret_variables = (
        "access_token", "private_key", "private_key_id", "client_id", "client_email", "oauth_client_secret"
    )  # fmt: skip

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import oauth2_protocol

        response = yield oauth2_protocol.jwt_bearer_request(context)
        return oauth2_protocol.read_credentials(context, response)
