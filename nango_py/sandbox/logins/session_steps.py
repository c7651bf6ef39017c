"""The sessions of a sandbox's API: the `additional_steps` of OAuth 2, which follow each token response."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from nango_py.record import replaced
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.logins.requests import RefusedError
from nango_py.sandbox.logins.two_step import token_response
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest
    from nango_py.sandbox.logins.tokens import IssuedToken

SECONDS = 600.0
"""How long a session can be opened with an OAuth token."""


class SessionSteps:
    """Gives a session for an OAuth token, by the steps that the blueprint declares.

    Args:
        provider: the blueprint.
        clock: the time.
    """

    def __init__(self, provider: Provider, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._steps: list[Settings] = list(provider.auth.get("additional_steps") or ())
        self._waiting: dict[str, tuple[IssuedToken, float]] = {}

    def exchange(self, issued: IssuedToken) -> IssuedToken:
        """The token for the token response, with which the session is opened; the same without steps."""
        if not self._steps:
            return issued
        token = f"oauth_{secrets.token_urlsafe(24)}"
        self._waiting[token] = issued, self._clock.monotonic() + SECONDS
        return replaced(issued, access_token=token)

    def respond(self, request: LoginRequest, number: int) -> SandboxResponse:
        """The response to a step."""
        step = self._steps[number]
        if request.method != unwrap(step.get("token_method") or "POST"):
            return SandboxResponse.of({"error": "invalid_request"}, status=405)
        try:
            params = request.params(unwrap(step.get("body_format") or "json"))
            token, issued = self._find(" ".join((*params.values(), *request.headers.values())).split())
        except RefusedError as refused:
            return SandboxResponse.of({"error": refused.code}, status=refused.status)
        example = self._provider.raw_example()
        known = {"access_token": token, **(example if isinstance(example, dict) else {})}
        document: JsonValue = self._provider.fill(known)
        if number < len(self._steps) - 1:
            return SandboxResponse.of(document)
        return token_response(self._provider, issued, document, self._clock.now())

    def _find(self, texts: list[str]) -> tuple[str, IssuedToken]:
        for text in texts:
            issued, ends = self._waiting.get(text, (None, 0.0))
            if issued is not None and self._clock.monotonic() < ends:
                return text, issued
        raise RefusedError("invalid_token", "the OAuth token is not valid", status=401)
