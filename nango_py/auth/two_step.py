"""TWO_STEP: a login call of the API's own, or several, whose answer gives a token."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.protocols.settings_schemas import SECONDS, STEP, TOKEN_CALL, TOKEN_RESPONSE
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.protocols.token_exchange import Renewal, TokenContext


def _field(title: str) -> dict[str, Any]:
    return {"type": "string", "title": title, "minLength": 1}


@AUTH_MODES.register
class TwoStep(TokenMode):
    """What the login takes; the blueprint says where each goes, and each is optional here.

    Where there are `additional_steps`, the calls are made in their order. A later one sees the responses of
    the earlier ones as `raw`, `${raw.session_id}`; the last one's answer holds the token.
    """

    name = "TWO_STEP"
    title = "Login call"
    credentials_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "required": [],
        "properties": {
            "username": _field("User name"),
            "password": _field("Password"),
            "api_key": _field("API key"),
            "api_secret": _field("API secret"),
            "client_id": _field("Client ID"),
            "client_secret": _field("Client secret"),
            "token": _field("A token already fetched"),
            **TOKEN_LIFE,
        },
        "additionalProperties": False,
    }
    example_credentials: ClassVar[dict[str, Any]] = {
        "username": "ada",
        "password": "pass_example_1234",
        "api_key": "key_example_1234",
        "api_secret": "secret_example_1234",
        "client_id": "client_example_1234",
        "client_secret": "client_secret_example_1234",
        "token": "token_example_1234",
    }
    settings_schema: ClassVar[dict[str, Any]] = {
        **TOKEN_CALL,
        "token_response": TOKEN_RESPONSE,
        "token_lifetime_seconds": SECONDS,
        "additional_steps": {"type": "array", "items": STEP, "title": "The calls after the first one"},
    }
    required_settings = ("token_url",)
    variables = (
        "token", "username", "password", "basic_auth_encoded",
        "api_key", "api_secret", "client_id", "client_secret",
    )  # fmt: skip
    secret_variables = (
        "token", "password", "basic_auth_encoded", "api_key", "api_secret", "client_id", "client_secret"
    )  # fmt: skip
    token_variable = "token"  # noqa: S105 - a name

    def variables_of(self, credentials: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are there; `basic_auth_encoded` is made of user name and password."""
        found = super().variables_of(credentials)
        if "username" in credentials:
            pair = f"{credentials['username']}:{credentials.get('password', '')}"
            found["basic_auth_encoded"] = base64.b64encode(pair.encode()).decode()
        return found

    def can_renew(self, credentials: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
        """Always: the login is made again."""
        return True

    def _steps(self, context: TokenContext) -> Renewal:
        """One request for each step."""
        from nango_py.protocols import two_step_login

        steps = [context.settings, *(context.settings.get("additional_steps") or ())]
        seen: dict[str, Any] = {}
        for number, step in enumerate(steps):
            where = "" if number == 0 else f"additional_steps.{number - 1}."
            response = yield two_step_login.build_step_request(context, step, where, seen)
            found = two_step_login.read_step_response(response, context.now)
            seen = {**seen, **found} if isinstance(found, dict) else seen
        return {**two_step_login.read_token(context, response, found), "raw": seen}
