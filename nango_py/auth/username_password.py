"""USERNAME_PASSWORD: HTTP Basic (RFC 7617), or wherever the blueprint puts the two."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.errors import CredentialsError
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping


@AUTH_MODES.register
class UsernamePassword(AuthMode):
    """A user name and a password; `basic_auth_encoded` is base64(username:password) in UTF-8."""

    name = "USERNAME_PASSWORD"
    title = "User name and password"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["username", "password"],
        "properties": {
            "username": {"type": "string", "title": "User name", "minLength": 1},
            "password": {"type": "string", "title": "Password"},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {"username": "ada", "password": "pass_example_1234"}
    variables = ("username", "password", "basic_auth_encoded")
    secret_variables = ("password", "basic_auth_encoded")

    def _checked(self, field: str, value: Any, where: str) -> Any:
        if field == "password" and value == "":
            return value  # many APIs take the key as user name and an empty password
        if field == "username" and isinstance(value, str) and ":" in value:
            raise CredentialsError(f'{where}: credential "username" holds a colon, which RFC 7617 forbids')
        return super()._checked(field, value, where)

    def variables_of(self, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """The two, and their Basic encoding."""
        pair = f"{credentials['username']}:{credentials['password']}"
        encoded = base64.b64encode(pair.encode()).decode()
        return {**super().variables_of(credentials), "basic_auth_encoded": encoded}
