"""A login provider whose users have several accounts, with an endpoint that lists them."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.support.oauth2_login_provider import LoginProvider
from tests.support.provider_server import ProviderRequest, ProviderResponse

SITES = [
    {"id": "site-1", "name": "Acme", "url": "https://acme.example.test"},
    {"id": "site-2", "name": "Bolt <b>&</b>", "url": "https://bolt.example.test"},
]


class AccountsProvider(LoginProvider):
    """Lists `accounts` for a valid token.

    Attributes:
        accounts: the body of the list, or a ProviderResponse.
        following: the bodies of further pages, whose URLs have a query.
        account_calls: (method, target, body) of each request for the list.
    """

    routes: ClassVar[dict[str, str]] = {**LoginProvider.routes, "/accounts": "list_accounts"}

    def __init__(self, accounts: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.accounts: Any = SITES if accounts is None else accounts
        self.following: list[Any] = []
        self.account_calls: list[tuple[str, str, bytes]] = []

    def api(self, incoming: ProviderRequest) -> ProviderResponse:
        """The API, which takes tokens of accounts too; it repeats the page token."""
        response = super().api(incoming)
        if isinstance(response.body, dict):
            response.body["page_token"] = incoming.headers.get("X-Page-Token", "")
        return response

    def list_accounts(self, incoming: ProviderRequest) -> ProviderResponse:
        """The accounts of the token's user."""
        self.account_calls.append((incoming.method, incoming.target, incoming.body))
        token = incoming.headers.get("Authorization", "").removeprefix("Bearer ")
        family, ends = self.tokens.get(token, (None, 0.0))
        if family is None or ends <= self.now():
            return ProviderResponse(401, {"error": "invalid_token"})
        if self.following and "?" in incoming.target:
            return ProviderResponse(200, self.following.pop(0))
        if isinstance(self.accounts, ProviderResponse):
            return self.accounts
        return ProviderResponse(200, self.accounts)

    def step(self, **changes: Any) -> dict[str, Any]:
        """A step of `after_login` for this provider."""
        step = {
            "url": f"{self.url}/accounts",
            "choose": {"label": "name", "title": "Site"},
            "keep": {"cloud_id": "id", "site": "url"},
        }
        return {**step, **changes}

    def entry_with(self, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        """An entry of integrations.yaml with these steps, by default the usual one."""
        config = {
            "type": "object",
            "required": ["cloud_id"],
            "properties": {
                "cloud_id": {"type": "string", "title": "Site", "pattern": "^[a-z0-9-]{1,40}$"},
                "site": {"type": "string", "title": "URL"},
            },
        }
        entry = self.entry({"after_login": list(steps) or [self.step()]})
        requests = {**entry["requests"], "base_url": f"{self.url}/api/${{additional_config.cloud_id}}/"}
        return {**entry, "requests": requests, "connection_config": config, **more}
