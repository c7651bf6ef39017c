"""DIGEST: HTTP Digest, RFC 7616; a 401 brings the challenge that is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth.base import AuthMode
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.signed_request import SignedRequest


@AUTH_MODES.register
class Digest(AuthMode):
    """A user name and a password that is never sent."""

    name = "DIGEST"
    title = "User name and password (HTTP Digest)"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": ["username", "password"],
        "properties": {
            "username": {"type": "string", "title": "User name", "minLength": 1},
            "password": {"type": "string", "title": "Password", "minLength": 1},
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {"username": "ada", "password": "pass_example_1234"}
    variables = ("username", "password")
    secret_variables = ("password",)
    answers_challenges = True

    def answer_challenge(
        self, headers: Mapping[str, str], request: SignedRequest, variables: Mapping[str, Any]
    ) -> dict[str, str] | None:
        """The Authorization header for the strongest Digest challenge that we know."""
        from nango_py.protocols import digest_challenge

        value = digest_challenge.build_authorization(
            headers, request, str(variables["username"]), str(variables["password"])
        )
        return None if value is None else {"Authorization": value}
