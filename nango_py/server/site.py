"""What the handlers of one connect server share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed
from nango_py.server.login_pages import Pages
from nango_py.server.origins import make_public_address
from nango_py.server.responses import Refusal
from nango_py.server.static_files import StaticFiles

if TYPE_CHECKING:
    from nango_py.accounts import Accounts
    from nango_py.clock import Clock
    from nango_py.config.model import Config, Integration
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.server.origins import PublicAddress
    from nango_py.server.request import ConnectRequest

SUBMITS_PER_MINUTE = 10
"""For one session. Each submit calls the provider with what the user entered."""

LOGINS_PER_MINUTE = 60

MAX_SESSIONS = 10_000
"""Sessions that a throttle remembers. Beyond that the one that was idle longest starts afresh."""


class Throttle:
    """A token bucket for each connect session, in memory. Safe to share between threads.

    Args:
        clock: the time.
        per_minute: the capacity of a bucket, and the tokens that it regains in a minute.
    """

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._capacity = per_minute
        self._lock = threading.Lock()
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, session_id: str) -> float:
        """Take a token and return 0.0, or return the seconds until the next token."""
        now, per_second = self._clock.monotonic(), self._capacity / 60
        with self._lock:
            used, at = self._used.pop(session_id, (0.0, now))
            used = max(used - (now - at) * per_second, 0.0)
            is_empty = used + 1 > self._capacity
            self._used[session_id] = (used if is_empty else used + 1, now)
            if len(self._used) > MAX_SESSIONS:
                self._used.popitem(last=False)
            return (used + 1 - self._capacity) / per_second if is_empty else 0.0

    def count(self, claims: SessionClaims) -> None:
        """Take a token of a session.

        Raises:
            Refusal: `too_many`.
        """
        seconds = self.acquire(claims.id)
        if seconds:
            after = str(int(seconds) + 1)
            message = f"too many attempts; try again in {after} seconds"
            raise Refusal(429, "too_many", message, headers={"Retry-After": after})

    def __len__(self) -> int:
        return len(self._used)


class Site:
    """A product's connect server without the network: its accounts, pages and limits."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.services = accounts.services
        self.static = StaticFiles()
        self.logins = Logins(accounts)
        self.submits = Throttle(self.services.clock, SUBMITS_PER_MINUTE)
        self.starts = Throttle(self.services.clock, LOGINS_PER_MINUTE)
        config = self.services.configuration.config
        self._current: tuple[Config, PublicAddress, Pages] = (config, *self._build(config))

    @property
    def address(self) -> PublicAddress:
        """Where browsers reach this server, by the current configuration."""
        return self._refresh()[0]

    @property
    def pages(self) -> Pages:
        """The small pages, in the product's name."""
        return self._refresh()[1]

    def find_integration(self, claims: SessionClaims, name: str) -> Integration:
        """An integration of the session. Whether others exist is not revealed.

        Raises:
            ConnectFailed: `unknown_integration`.
        """
        integrations = self.services.configuration.integrations
        integration = integrations.get(name) if name in claims.integrations else None
        if integration is None:
            raise ConnectFailed("unknown_integration", "there is no such integration")
        return integration

    def find_provider(self, request: ConnectRequest) -> str:
        """The integration whose provider a request may wait for, or ""."""
        name = request.name or self.logins.integration_of(request.fields().get("state", ""))
        return name if name in self.services.configuration.integrations else ""

    def title(self, name: str) -> str:
        """What people call an integration."""
        integration = self.services.configuration.integrations.get(name)
        return name if integration is None else integration.title or name

    def accepts_sender(self, request: ConnectRequest) -> bool:
        """Whether a request comes from our own pages, from a trusted origin, or not from a page at all."""
        origin = request.headers.get("origin", "")
        if origin in {"", "null"}:
            # Forms of pages that hide their origin, as ours do, and foreign ones can, say "null".
            return request.headers.get("sec-fetch-site", "") in {"", "none", "same-origin"}
        address = request.address
        return origin == address.own_origin(request.host) or address.may_receive_result(origin)

    def _refresh(self) -> tuple[PublicAddress, Pages]:
        config = self.services.configuration.config
        if config is not self._current[0]:
            self._current = (config, *self._build(config))
        return self._current[1], self._current[2]

    def _build(self, config: Config) -> tuple[PublicAddress, Pages]:
        address = make_public_address(config)
        return address, Pages(self.static, address.prefix, config.product_name)
