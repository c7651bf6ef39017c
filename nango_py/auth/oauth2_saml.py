"""OAUTH2_SAML: a signed SAML 2.0 assertion in exchange for a token (RFC 7522 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nango_py.auth._token_mode import OAUTH2_TOKEN, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import (
    AUTHORIZATION_METHOD,
    CLIENT,
    SAML_ASSERTION,
    TOKEN_CALL,
    TOKEN_RESPONSE_FIELDS,
)
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.json_types import Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


@AUTH_MODES.register
class OAuth2Saml(TokenMode):
    """A private key, the connection's own or the application's, that signs SAML assertions for a user.

    `saml_assertion` says whom it is for and which key signs it. The client authenticates too if the blueprint
    has an `authorization_method`.
    """

    name = "OAUTH2_SAML"
    title = "OAuth 2.0 with a SAML assertion"
    credentials_schema = make_schema(
        {
            "private_key": text_field("Private key (PEM)", is_multiline=True),
            "certificate": text_field("Certificate (PEM)", is_multiline=True),
            "client_id": text_field("Client ID"),
            "client_secret": text_field("Client secret"),
            "username": text_field("User name"),
            **OAUTH2_TOKEN,
        }
    )
    example_credentials = {
        "private_key": "private_key_example_1234",
        "certificate": "certificate_example_1234",
        "client_id": "client_example_1234",
        "client_secret": "secret_example_1234",
        "username": "ada",
        "access_token": "token_example_1234",
    }
    settings_schema = {
        **TOKEN_CALL,
        **CLIENT,
        **TOKEN_RESPONSE_FIELDS,
        "saml_assertion": SAML_ASSERTION,
        "authorization_method": AUTHORIZATION_METHOD,
    }
    required_settings = ("token_url",)
    assertion_setting = "saml_assertion"
    assertion_fields: ClassVar[dict[str, str]] = {
        "signing_key": "private_key",
        "issuer": "client_id",
        "subject": "username",
    }
    """The credential that stands for each key that the setting leaves out."""

    variables = (
        "access_token", "private_key", "certificate", "client_id", "client_secret", "username",
        "oauth_client_id", "oauth_client_secret",
    )  # fmt: skip
    secret_variables = (
        "access_token", "private_key", "certificate", "client_id", "client_secret", "oauth_client_secret"
    )  # fmt: skip

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The protocol, and what signs."""
        return (*super().modules(settings), "nango_py.protocols.saml_assertion")

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import oauth2_protocol

        response = yield oauth2_protocol.saml_bearer_request(context)
        return oauth2_protocol.read_credentials(context, response)
