"""JWT: a token that we sign ourselves and send as it is, as the APIs of Ghost, Zoom and Apple want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.protocols.settings_schemas import ASSERTION
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import Renewal, TokenContext


@AUTH_MODES.register
class Jwt(TokenMode):
    """A private key or a shared secret; `jwt` says what is signed. A new token needs no request."""

    name = "JWT"
    title = "Self-made JSON Web Token"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["private_key"],
        "properties": {
            "private_key": {
                "type": "string",
                "title": "Private key (PEM) or shared secret",
                "minLength": 1,
                "multiline": True,
            },
            "private_key_id": {"type": "string", "title": "Key ID", "minLength": 1},
            "issuer": {"type": "string", "title": "Issuer", "minLength": 1},
            "token": {"type": "string", "title": "A token already made", "minLength": 1},
            **TOKEN_LIFE,
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "private_key": "private_key_example_1234",
        "private_key_id": "key_id_example_1234",
        "issuer": "issuer_example_1234",
        "token": "token_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {"jwt": ASSERTION}
    variables = ("token", "private_key", "private_key_id", "issuer")
    secret_variables = ("token", "private_key", "private_key_id", "issuer")
    token_variable = "token"  # noqa: S105 - a name

    def can_renew(self, credentials: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Always: the key signs again."""
        return True

    def _steps(self, context: TokenContext) -> Renewal:
        """No request at all: the token is made here."""
        from nango_py.protocols import jwt_signing

        token, expires_at = jwt_signing.sign_jwt(context, context.settings.get("jwt") or {}, "jwt")
        yield from ()
        return {**context.credentials, "token": token, "expires_at": expires_at}
