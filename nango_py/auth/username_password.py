"""USERNAME_PASSWORD: HTTP Basic (RFC 7617), or a user name and password elsewhere in the request."""

from __future__ import annotations

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.errors import CredentialsError
from nango_py.registry import AUTH_MODES


@AUTH_MODES.register
class UsernamePassword(AuthMode):
    """`basic_auth_encoded` is base64(username:password) in UTF-8."""

    name = "USERNAME_PASSWORD"
    title = "User name and password"
    credentials_schema = make_schema(
        {"username": text_field("User name"), "password": {"type": "string", "title": "Password"}},
        required=["username", "password"],
    )
    example_credentials = {"username": "ada", "password": "pass_example_1234"}
    variables = ("username", "password", "basic_auth_encoded")
    secret_variables = ("password", "basic_auth_encoded")

    def _check_field(self, field: str, value: object, where: str) -> None:
        if field == "password" and value == "":
            return  # many APIs take the key as user name and an empty password
        if field == "username" and isinstance(value, str) and ":" in value:
            raise CredentialsError(f'{where}: credential "username" contains a colon, which RFC 7617 forbids')
        super()._check_field(field, value, where)
