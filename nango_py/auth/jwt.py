"""JWT: a token that we sign ourselves and send as it is, for APIs such as Ghost, Zoom and Apple."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import ASSERTION
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.json_types import Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


@AUTH_MODES.register
class Jwt(TokenMode):
    """A private key or a shared secret; `jwt` says what to sign. A refresh needs no request."""

    name = "JWT"
    title = "Self-made JSON Web Token"
    credentials_schema = make_schema(
        {
            "private_key": text_field("Private key (PEM) or shared secret", is_multiline=True),
            "private_key_id": text_field("Key ID"),
            "issuer": text_field("Issuer"),
            "token": text_field("A token already made"),
            **TOKEN_LIFE,
        },
        required=["private_key"],
    )
    example_credentials = {
        "private_key": "private_key_example_1234",
        "private_key_id": "key_id_example_1234",
        "issuer": "issuer_example_1234",
        "token": "token_example_1234",
    }
    settings_schema = {"jwt": ASSERTION}
    variables = ("token", "private_key", "private_key_id", "issuer")
    secret_variables = ("token", "private_key", "private_key_id", "issuer")
    token_variable = "token"  # noqa: S105 - a name

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """PyJWT, and what calls it."""
        return ("nango_py.protocols.jwt_signing", "jwt")

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import jwt_signing

        token, expires_at = jwt_signing.sign_jwt(context, context.settings.get("jwt") or {}, "jwt")
        yield from ()
        return {**context.credentials, "token": token, "expires_at": expires_at}
