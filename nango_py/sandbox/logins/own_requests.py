"""The requests of OAuth 2 logins that blueprints describe themselves: `after_login` and `revocation`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.sandbox.credentials import path_of
from nango_py.sandbox.documents import write_at_path
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.made_up import made_up_setting
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.logins.provider import Provider
    from nango_py.sandbox.logins.requests import LoginRequest
    from nango_py.sandbox.logins.tokens import TokenBook

ACCOUNT, REVOKE = "account", "revoke_grant"
MCP, ISSUER, REGISTER = "mcp", "issuer", "register"
_REGISTERED = "sandbox_client"
_PROJECTION = re.compile(r"\[(?:\?\s*(\w+)\s*==\s*['`]\"?([^'`\"]*)\"?['`]\s*)?\]\s*$")
"""The end of a JMESPath that makes a list of candidates, with the condition that they meet."""


class OwnRequests:
    """Responds to the requests that a blueprint describes itself.

    Args:
        provider: the blueprint.
        tokens: those that were issued.
        accounts: how many accounts a login can choose from.
    """

    def __init__(self, provider: Provider, tokens: TokenBook, accounts: int) -> None:
        self._provider = provider
        self._tokens = tokens
        self._accounts = accounts

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
        if auth.get("resource_url"):
            found["resource_url"] = f"{root}{MCP}"
        return found

    def discovered_fields(self, root: str) -> dict[str, object]:
        """What a login at an MCP server finds, and stores with the tokens."""
        if self._provider.mode != "MCP_OAUTH2":
            return {}
        return {
            "token_url": f"{root}token",
            "revocation_url": f"{root}revoke",
            "authorization_method": "none",
            "client_id": self._provider.client_id or _REGISTERED,
            "resource": f"{root}{MCP}",
        }

    def respond(self, request: LoginRequest, name: str, rest: str) -> SandboxResponse | None:
        """The response to one of them; None if it is something else."""
        if name == REVOKE:
            return self._revoke(request)
        if self._provider.mode == "MCP_OAUTH2" and name in {MCP, ISSUER, REGISTER}:
            return _describe(name, request.url.partition(name)[0])
        number = rest.partition("/")[0]
        steps = self._provider.auth.get("after_login") or ()
        if name != ACCOUNT or not number.isdigit() or int(number) >= len(steps):
            return None
        step: Settings = steps[int(number)]
        if request.method != unwrap(step.get("method") or "GET"):
            return SandboxResponse.of({"error": "method_not_allowed"}, status=405)
        sent = " ".join((*request.headers.values(), *request.query.values())).split()
        token = next(filter(self._tokens.is_valid, sent), "")
        if not token:
            return SandboxResponse.of({"error": "invalid_token"}, status=401)
        return SandboxResponse.of(self._document(step, token))

    def _document(self, step: Settings, token: str) -> JsonValue:
        """The accounts of the owner of a token, where the step looks for them."""
        if "choose" not in step:
            return self._account(step, 1, token)
        accounts = [self._account(step, number, token) for number in range(1, self._accounts + 1)]
        path = unwrap(step["choose"].get("from") or "@")
        projection = _PROJECTION.search(path)
        if projection is not None:
            path = path[: projection.start()] or "@"
            if projection[1]:
                accounts = [write_at_path(account, projection[1], projection[2]) for account in accounts]
        return write_at_path(None, path, accounts)

    def _account(self, step: Settings, number: int, token: str) -> JsonValue:
        """One account with made-up values."""
        account: JsonValue = {}
        choose: Settings = step.get("choose") or {}
        if choose.get("label"):
            label = "Sandbox account" if self._accounts == 1 else f"Sandbox account {number}"
            account = write_at_path(account, unwrap(choose["label"]), label)
        if choose.get("value"):
            first = next(iter(step["keep"]))
            account = write_at_path(account, unwrap(choose["value"]), self._value(unwrap(first), number))
        for name, path in (step.get("keep") or {}).items():
            account = write_at_path(account, unwrap(path), self._value(unwrap(name), number))
        for name, path in (step.get("keep_secret") or {}).items():
            account = write_at_path(account, unwrap(path), self._tokens.issue_kept(token, unwrap(name)))
        return account

    def _value(self, name: str, number: int) -> JsonValue:
        value = made_up_setting(self._provider.settings, name)
        return value if number == 1 or not isinstance(value, str) else f"{value}-{number}"

    def _revoke(self, request: LoginRequest) -> SandboxResponse:
        """Revoke every token that the request names, wherever it does."""
        body = request.body.decode("utf-8", "replace")
        texts = (request.path, *request.headers.values(), *request.query.values(), body)
        self._tokens.revoke_named(" ".join(texts))
        return SandboxResponse.of({"ok": True, "revoked": True})


def _describe(name: str, root: str) -> SandboxResponse:
    """What an MCP server and its authorization server say of themselves (RFC 9728, RFC 8414, RFC 7591)."""
    if name == REGISTER:
        return SandboxResponse.of({"client_id": _REGISTERED}, status=201)
    if name == MCP:
        challenge = f'Bearer resource_metadata="{root}{ISSUER}/resource"'
        return SandboxResponse.of({}, status=401, headers={"WWW-Authenticate": challenge})
    return SandboxResponse.of({
        "resource": f"{root}{MCP}",
        "authorization_servers": [f"{root}{ISSUER}"],
        "issuer": f"{root}{ISSUER}",
        "authorization_endpoint": f"{root}authorize",
        "token_endpoint": f"{root}token",
        "registration_endpoint": f"{root}{REGISTER}",
        "revocation_endpoint": f"{root}revoke",
        "code_challenge_methods_supported": ["S256"],
    })  # fmt: skip
