"""OAUTH2_JWT: a signed assertion for a token; RFC 7523 section 2.1, service accounts, GitHub Apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.protocols.settings_schemas import ASSERTION, CLIENT, TOKEN_CALL, TOKEN_RESPONSE_FIELDS
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import Renewal, TokenContext


@AUTH_MODES.register
class OAuth2Jwt(TokenMode):
    """A private key, the connection's own or the application's, that signs for tokens.

    `assertion` says what is signed and by which key. A product's own key stands in `oauth_client_secret`:
    `signing_key: ${oauth_client_secret}`.
    """

    name = "OAUTH2_JWT"
    title = "OAuth 2.0 with a signed assertion"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": [],
        "properties": {
            "private_key": {
                "type": "string",
                "title": "Private key (PEM)",
                "minLength": 1,
                "multiline": True,
            },
            "private_key_id": {"type": "string", "title": "Key ID", "minLength": 1},
            "client_id": {"type": "string", "title": "Client ID", "minLength": 1},
            "client_email": {"type": "string", "title": "Service account", "minLength": 1},
            "access_token": {"type": "string", "title": "A token already fetched", "minLength": 1},
            **TOKEN_LIFE,
            "token_type": {"type": "string"},
            "scope": {"type": "string"},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "private_key": "private_key_example_1234",
        "private_key_id": "key_id_example_1234",
        "client_id": "client_example_1234",
        "client_email": "robot@example.test",
        "access_token": "token_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {
        **TOKEN_CALL,
        **CLIENT,
        **TOKEN_RESPONSE_FIELDS,
        "assertion": ASSERTION,
        "assertion_placement": {"enum": ["body", "header"]},
    }
    required_settings = ("token_url",)
    variables = (
        "access_token", "private_key", "private_key_id", "client_id", "client_email",
        "oauth_client_id", "oauth_client_secret",
    )  # fmt: skip
    secret_variables = (
        "access_token", "private_key", "private_key_id", "client_id", "client_email", "oauth_client_secret"
    )  # fmt: skip

    def can_renew(self, credentials: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Always: the key signs again."""
        return True

    def _steps(self, context: TokenContext) -> Renewal:
        """One token request with a fresh assertion."""
        from nango_py.protocols import oauth2_protocol

        response = yield oauth2_protocol.jwt_bearer_request(context)
        return oauth2_protocol.read_credentials(context, response)
