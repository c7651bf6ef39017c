"""A login provider with a device authorization endpoint (RFC 8628)."""

from __future__ import annotations

from collections import deque
from typing import Any

from nango_py.clock import SYSTEM_CLOCK
from nango_py.protocols.device_flow import GRANT_TYPE
from tests.support.login_accounts import AccountsProvider
from tests.support.provider_grants import Family
from tests.support.provider_server import ProviderRequest, ProviderResponse

CODES: dict[str, Any] = {
    "device_code": "device_planted_0001",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://example.test/device",
    "verification_uri_complete": "https://example.test/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}


class DeviceProvider(AccountsProvider):
    """Has a device authorization endpoint.

    Attributes:
        codes: the response of that endpoint.
        decisions: the outcomes of the next token requests: an error code, `granted`, a status, or the
            whole response.
        polls: when the client asked, by the clock.
    """

    def __init__(self, *decisions: Any, codes: Any = None, clock: Any = SYSTEM_CLOCK, **options: Any) -> None:
        super().__init__([{"id": "site-1", "url": "u"}], now=clock.now, **options)
        self.routes = {**AccountsProvider.routes, "/device": "give_codes"}
        self.codes = CODES if codes is None else codes
        self.decisions = deque(decisions)
        self.clock = clock
        self.polls: list[float] = []
        self.device_calls: list[dict[str, str]] = []

    def auth(self, **more: Any) -> dict[str, Any]:
        """The `auth:` block."""
        return super().auth(device_authorization_url=f"{self.url}/device", **more)

    def give_codes(self, incoming: ProviderRequest) -> ProviderResponse:
        """The device authorization endpoint."""
        self.device_calls.append(incoming.form)
        if isinstance(self.codes, ProviderResponse):
            return self.codes
        return ProviderResponse(200, self.codes)

    def token(self, incoming: ProviderRequest) -> ProviderResponse:
        """The token endpoint."""
        form = incoming.form
        if form.get("grant_type") != GRANT_TYPE:
            return super().token(incoming)
        self.polls.append(self.clock.now())
        self.token_calls.append((GRANT_TYPE, "", form))
        decision = self.decisions.popleft()
        if isinstance(decision, int):
            return ProviderResponse(decision, {})
        if isinstance(decision, ProviderResponse):
            return decision
        if decision != "granted":
            return ProviderResponse(400, {"error": decision})
        family = Family("sarah", "things.read")
        self.tokens["device_token"] = (family, self.now() + self.life)
        return ProviderResponse(
            200, {"access_token": "device_token", "token_type": "Bearer", "expires_in": 3600}
        )
