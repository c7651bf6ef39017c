"""TOKEN_EXCHANGE: a token of another system in exchange for one of the API (RFC 8693)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth._token_mode import OAUTH2_TOKEN, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import CLIENT, TEXT, TOKEN_CALL, TOKEN_RESPONSE_FIELDS, URL
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh

TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name


@AUTH_MODES.register
class TokenExchange(TokenMode):
    """A token of the user from another system, which the API exchanges for its tokens.

    With an `actor_token`, the application acts on behalf of the user. `token_params` may set `audience`,
    `resource` and `requested_token_type`. If the provider refuses the subject token, the connection becomes
    `needs_reauth`; `update_connection_credentials` gives it a new one.
    """

    name = "TOKEN_EXCHANGE"
    title = "OAuth 2.0 token exchange"
    credentials_schema = make_schema(
        {
            "subject_token": text_field("Token of the user"),
            "actor_token": text_field("Token of the acting party"),
            **OAUTH2_TOKEN,
        },
        required=["subject_token"],
    )
    example_credentials = {
        "subject_token": "subject_example_1234",
        "access_token": "token_example_1234",
    }
    settings_schema = {
        **TOKEN_CALL,
        **CLIENT,
        "subject_token_type": {**TEXT, "minLength": 1},
        "actor_token_type": {**TEXT, "minLength": 1},
        **TOKEN_RESPONSE_FIELDS,
        "revocation_url": URL,
    }
    required_settings = ("token_url",)
    variables = ("access_token", "oauth_client_id", "oauth_client_secret")
    secret_variables = ("access_token", "oauth_client_secret")

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import oauth2_protocol
        from nango_py.protocols.token_exchange import TokenRefused

        response = yield oauth2_protocol.exchange_request(context, TOKEN_TYPE)
        try:
            return oauth2_protocol.read_credentials(context, response)
        except TokenRefused as error:
            refusal = error.with_traceback(None)
        # Providers say invalid_request for a subject token that has expired (RFC 8693 2.2.2).
        raise refusal.as_dead_grant() if refusal.code == "invalid_request" else refusal
