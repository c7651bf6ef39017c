"""TWO_STEP: a proprietary login of one or more requests, which returns a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.auth._token_mode import TOKEN_LIFE, TokenMode
from nango_py.auth.base import make_schema, text_field
from nango_py.protocols.settings_schemas import (
    LIFE,
    SECONDS,
    STEP,
    STEP_FORMAT,
    STEPS,
    TOKEN_CALL,
    TOKEN_RESPONSE,
)
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue, Settings
    from nango_py.protocols.token_exchange import TokenContext, TokenRefresh


_LOGIN = frozenset({"username", "password", "api_key", "api_secret", "client_id", "client_secret"})


@AUTH_MODES.register
class TwoStep(TokenMode):
    """Credentials for the login; the blueprint says where each one goes.

    With `additional_steps`, several requests are sent in order; the last response contains the token.
    `refresh_step` is sent instead while there is a refresh token.
    """

    name = "TWO_STEP"
    title = "Login call"
    credentials_schema = make_schema(
        {
            "username": text_field("User name"),
            "password": text_field("Password"),
            "api_key": text_field("API key"),
            "api_secret": text_field("API secret"),
            "client_id": text_field("Client ID"),
            "client_secret": text_field("Client secret"),
            "token": text_field("A token already fetched"),
            "refresh_token": text_field("Refresh token"),
            **TOKEN_LIFE,
        }
    )
    example_credentials = {
        "username": "ada",
        "password": "pass_example_1234",
        "api_key": "key_example_1234",
        "api_secret": "secret_example_1234",
        "client_id": "client_example_1234",
        "client_secret": "client_secret_example_1234",
        "token": "token_example_1234",
        "refresh_token": "refresh_example_1234",
    }
    settings_schema = {
        **TOKEN_CALL,
        "body_format": STEP_FORMAT,
        "token_response": TOKEN_RESPONSE,
        "token_lifetime_seconds": SECONDS,
        **LIFE,
        "refresh_step": {**STEP, "title": "The request for another token with ${refresh_token}"},
        "additional_steps": STEPS,
    }
    required_settings = ("token_url",)
    variables = (
        "token", "username", "password", "basic_auth_encoded",
        "api_key", "api_secret", "client_id", "client_secret", "refresh_token",
    )  # fmt: skip
    secret_variables = (
        "token", "refresh_token", "password", "basic_auth_encoded",
        "api_key", "api_secret", "client_id", "client_secret",
    )  # fmt: skip
    token_variable = "token"  # noqa: S105 - a name

    def modules(self, settings: Settings) -> tuple[str, ...]:
        """The steps of the login."""
        return ("nango_py.protocols.two_step_login", "nango_py.protocols.oauth2_protocol")

    def _refresh(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import two_step_login
        from nango_py.protocols.token_exchange import TokenRefused

        refresh_step = context.settings.get("refresh_step")
        if refresh_step and context.credentials.get("refresh_token"):
            request = two_step_login.build_step_request(context, refresh_step, "refresh_step.")
            response = yield request
            try:
                values = two_step_login.read_step_response(response, context)
                return two_step_login.read_login(context, response, values, {})
            except TokenRefused as error:
                refusal = error.with_traceback(None)
            if context.credentials.keys().isdisjoint(_LOGIN):
                raise refusal
        return (yield from self._log_in(context))

    def _log_in(self, context: TokenContext) -> TokenRefresh:
        from nango_py.protocols import two_step_login

        steps = [context.settings, *(context.settings.get("additional_steps") or ())]
        seen: dict[str, JsonValue] = {}
        for number, step in enumerate(steps):
            where = "" if number == 0 else f"additional_steps.{number - 1}."
            response = yield two_step_login.build_step_request(context, step, where, seen)
            values = two_step_login.read_step_response(response, context)
            seen = {**seen, **values} if isinstance(values, dict) else seen
        return two_step_login.read_login(context, response, values, seen)
