"""The login calls of the mode TWO_STEP in a sandbox."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from nango_py.sandbox.credentials import with_basic
from nango_py.sandbox.documents import write_at_path
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.logins.provider import UNIT_SECONDS
from nango_py.sandbox.logins.requests import RefusedError
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest
    from nango_py.sandbox.logins.tokens import IssuedToken, TokenBook


class TwoStepEndpoints:
    """Compares the parameters and headers of each step with those of the users.

    Args:
        provider: the blueprint.
        tokens: issues the tokens.
        clock: the time.
    """

    def __init__(self, provider: Provider, tokens: TokenBook, clock: Clock) -> None:
        self._provider = provider
        self._tokens = tokens
        self._clock = clock
        self._steps: list[Settings] = [provider.auth, *(provider.auth.get("additional_steps") or ())]
        self._raw_of: dict[str, JsonValue] = {}

    def log_in(self, request: LoginRequest, number: int) -> SandboxResponse:
        """The response to a step of the login."""
        try:
            user = self._find_user(request, self._steps[number])
        except RefusedError as refused:
            return self._refuse(refused)
        if number < len(self._steps) - 1:
            return SandboxResponse.of(self._raw(user))
        return self._send(self._tokens.issue(user, ""))

    def refresh(self, request: LoginRequest) -> SandboxResponse:
        """The response to the `refresh_step`."""
        step: Settings = self._provider.auth.get("refresh_step") or {}
        try:
            values = {*self._values(request, step), *request.headers.values()}
        except RefusedError as refused:
            return self._refuse(refused)
        for text in values:
            issued = self._tokens.refresh(text.removeprefix("Bearer "))
            if issued is not None:
                return self._send(issued)
        return self._refuse(RefusedError("invalid_grant", "the refresh token is not valid", status=401))

    def _values(self, request: LoginRequest, step: Settings) -> list[str]:
        return list(request.params(unwrap(step.get("body_format") or "json")).values())

    def _find_user(self, request: LoginRequest, step: Settings) -> str:
        method = unwrap(step.get("token_method") or "POST")
        if request.method != method:
            raise RefusedError("invalid_request", f"the method is {method}", status=405)
        given = request.params(unwrap(step.get("body_format") or "json"))
        if self._provider.users is None:
            return "user-1"
        for user, credentials in self._provider.users.items():
            variables = {**with_basic(credentials), "raw": self._raw(user)}
            wanted = self._render(step.get("token_params") or {}, variables)
            headers = self._render(step.get("token_headers") or {}, variables)
            has_headers = all(request.headers.get(name.lower()) == text for name, text in headers.items())
            if has_headers and all(given.get(name) == text for name, text in wanted.items()):
                return user
        raise RefusedError("invalid_login", "the credentials are wrong", status=401)

    def _raw(self, user: str) -> JsonValue:
        """What the first steps return to a user, for the templates of later ones."""
        if user not in self._raw_of:
            document: JsonValue = {}
            for path in self._provider.raw_paths():
                document = write_at_path(document, path, f"session_{secrets.token_hex(8)}")
            self._raw_of[user] = document
        return self._raw_of[user]

    def _render(self, declared: Settings, variables: Mapping[str, object]) -> dict[str, str]:
        rendered: dict[str, str] = {}
        for name, template in declared.items():
            if hasattr(template, "items"):
                nested = self._render(template, variables)
                rendered[name] = json.dumps(nested)
                continue
            text = self._provider.render_for(template, variables)
            if text is not None:
                rendered[name] = text
        return rendered

    def _send(self, issued: IssuedToken) -> SandboxResponse:
        return token_response(self._provider, issued, self._raw(issued.user), self._clock.now())

    def _refuse(self, refused: RefusedError) -> SandboxResponse:
        status, body = self._provider.refusal(refused)
        return SandboxResponse.of(body, status=status)


def token_response(
    provider: Provider, issued: IssuedToken, document: JsonValue, now: float
) -> SandboxResponse:
    """A response with a token, where `token_response` of the blueprint looks for it.

    Args:
        provider: the blueprint.
        issued: the token.
        document: the rest of the body.
        now: unix seconds.
    """
    paths: Settings = provider.auth.get("token_response") or {}
    headers: dict[str, str] = {}
    values: dict[str, JsonValue] = {}
    if paths.get("token_header"):
        headers[unwrap(paths["token_header"])] = issued.access_token
    else:
        values[unwrap(paths.get("token") or "access_token")] = issued.access_token
    if paths.get("refresh_token") and issued.refresh_token:
        values[unwrap(paths["refresh_token"])] = issued.refresh_token
    if paths.get("token_expiration") and issued.lifetime_seconds is not None:
        values[unwrap(paths["token_expiration"])] = _expiry(paths, issued.lifetime_seconds, now)
    for path, value in values.items():
        document = write_at_path(document, path, value)
    return SandboxResponse.of(document, headers=headers)


def _expiry(paths: Settings, seconds: float, now: float) -> int:
    if paths.get("token_expiration_strategy") == "expireAt":
        return int(now + seconds)
    return int(seconds / UNIT_SECONDS[unwrap(paths.get("token_expiration_unit") or "seconds")])
