"""The requests of OAuth 2 logins that blueprints describe themselves: `after_login` and `revocation`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.sandbox.credentials import path_of
from nango_py.sandbox.documents import find_steps, set_at
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.made_up import made_up_setting
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest
    from nango_py.sandbox.logins.tokens import TokenBook

ACCOUNT, REVOKE = "account", "revoke_grant"
_PROJECTION = re.compile(r"\[(?:\?\s*(\w+)\s*==\s*['`]\"?([^'`\"]*)\"?['`]\s*)?\]\s*$")
"""The end of a JMESPath that makes a list of candidates, with the condition that they meet."""


class OwnRequests:
    """Responds to the requests that a blueprint describes itself.

    Args:
        provider: the blueprint.
        tokens: those that were issued.
    """

    def __init__(self, provider: Provider, tokens: TokenBook) -> None:
        self._provider = provider
        self._tokens = tokens

    def overrides(self, root: str) -> dict[str, object]:
        """The settings of `auth:` that lead these requests to the sandbox, below `root`."""
        auth = self._provider.auth
        found: dict[str, object] = {}
        if auth.get("after_login"):
            found["after_login"] = [
                {**step, "url": f"{root}{ACCOUNT}/{number}{path_of(step['url'])}"}
                for number, step in enumerate(auth["after_login"])
            ]
        if auth.get("revocation"):
            url = auth["revocation"]["url"]
            found["revocation"] = {"url": f"{root}{REVOKE}{path_of(url)}"}
        return found

    def respond(self, request: LoginRequest, name: str, rest: str) -> SandboxResponse | None:
        """The response to one of them; None if it is something else."""
        if name == REVOKE:
            return self._revoke(request)
        number = rest.partition("/")[0]
        steps = self._provider.auth.get("after_login") or ()
        if name != ACCOUNT or not number.isdigit() or int(number) >= len(steps):
            return None
        return SandboxResponse.of(self._account(steps[int(number)]))

    def _account(self, step: Settings) -> JsonValue:
        """One account with made-up values, where the step looks for it."""
        settings = self._provider.settings
        account: JsonValue = {}
        choose: Settings = step.get("choose") or {}
        if choose.get("label"):
            account = _write(account, unwrap(choose["label"]), "Sandbox account")
        for name, path in step["keep"].items():
            account = _write(account, unwrap(path), made_up_setting(settings, unwrap(name)))
        if "choose" not in step:
            return account
        path = unwrap(choose.get("from") or "@")
        projection = _PROJECTION.search(path)
        if projection is not None:
            path = path[: projection.start()] or "@"
            if projection[1]:
                account = _write(account, projection[1], projection[2])
        return _write(None, path, [account])

    def _revoke(self, request: LoginRequest) -> SandboxResponse:
        """Revoke every token that the request names, wherever it does."""
        body = request.body.decode("utf-8", "replace")
        self._tokens.revoke_named(" ".join((*request.headers.values(), *request.query.values(), body)))
        return SandboxResponse.of({"ok": True, "revoked": True})


def _write(document: JsonValue, path: str, value: JsonValue) -> JsonValue:
    steps = find_steps(path)
    return document if steps is None else set_at(document, steps, value)
