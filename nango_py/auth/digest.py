"""DIGEST: HTTP Digest (RFC 7616), which answers the challenge of a 401."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth.base import AuthMode, make_schema, text_field
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import Settings
    from nango_py.protocols.signed_request import SignedRequest


@AUTH_MODES.register
class Digest(AuthMode):
    """The password is never sent."""

    name = "DIGEST"
    title = "User name and password (HTTP Digest)"
    credentials_schema = make_schema(
        {"username": text_field("User name"), "password": text_field("Password")},
        required=["username", "password"],
    )
    example_credentials = {"username": "ada", "password": "pass_example_1234"}
    variables = ("username", "password")
    secret_variables = ("password",)
    answers_challenges = True

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The response to a challenge."""
        return ("nango_py.protocols.digest_challenge",)

    def answer_challenge(
        self, headers: Mapping[str, str], request: SignedRequest, variables: Mapping[str, object]
    ) -> dict[str, str] | None:
        """The Authorization header for the strongest supported Digest challenge."""
        from nango_py.protocols import digest_challenge

        value = digest_challenge.build_authorization(
            headers, request, str(variables["username"]), str(variables["password"])
        )
        return None if value is None else {"Authorization": value}
