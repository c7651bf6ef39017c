"""What the handlers of one connect server share."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.config.urls.hosts import ROOT, normalize_host
from nango_py.connect.form_values import clean_settings
from nango_py.connect.forms import make_form
from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed, StorageError
from nango_py.forks import new_short_lock
from nango_py.record import record
from nango_py.server.login_pages import Pages
from nango_py.server.origins import make_public_address
from nango_py.server.responses import Refusal
from nango_py.server.static_files import StaticFiles

if TYPE_CHECKING:
    from nango_py.accounts import Accounts
    from nango_py.clock import Clock
    from nango_py.config.model import Config, Integration
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.json_types import Settings
    from nango_py.server.origins import PublicAddress
    from nango_py.server.request import ConnectRequest

SUBMITS_PER_MINUTE = 10
"""For one user, in whatever sessions. Each submit calls the provider with what the user entered."""

LOGINS_PER_MINUTE = 60
"""For one user. Each may lead to a token request."""

ATTEMPTS_PER_HOST_PER_MINUTE = 60
"""For one host that users name, by all of them: forms and logins together."""

THREADS_PER_PROVIDER = 24
"""How many of the threads that wait for providers one integration may occupy."""

THREADS_PER_USER, THREADS_PER_HOST = 2, 4
"""The same for one user's attempts, and for one host that users name, so that logins at others go on."""

MAX_BUCKETS = 10_000
"""Users or hosts that a throttle remembers. Beyond that the one that was idle longest starts afresh."""


class Throttle:
    """A token bucket for each user or host, in memory. Safe to share between threads.

    Args:
        clock: the time.
        per_minute: the capacity of a bucket, and the tokens that it regains in a minute.
    """

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._capacity = per_minute
        self._lock = new_short_lock()
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def acquire(self, key: str) -> float:
        """Take a token and return 0.0, or return the seconds until the next token."""
        now, per_second = self._clock.monotonic(), self._capacity / 60
        with self._lock:
            used, at = self._used.pop(key, (0.0, now))
            used = max(used - (now - at) * per_second, 0.0)
            is_empty = used + 1 > self._capacity
            self._used[key] = (used if is_empty else used + 1, now)
            if len(self._used) > MAX_BUCKETS:
                self._used.popitem(last=False)
            return (used + 1 - self._capacity) / per_second if is_empty else 0.0

    def count(self, key: str) -> None:
        """Take a token of a user or host.

        Raises:
            Refusal: `too_many`.
        """
        seconds = self.acquire(key)
        if seconds:
            after = str(int(seconds) + 1)
            message = f"too many attempts; try again in {after} seconds"
            raise Refusal(429, "too_many", message, headers={"Retry-After": after})

    def __len__(self) -> int:
        return len(self._used)


@record
class Provider:
    """Whom a request may wait for.

    Attributes:
        host: the host that the user names, if the integration has no fixed one.
    """

    integration: str = ""
    user_id: str = ""
    host: str = ""

    def limits(self) -> tuple[tuple[str, int], ...]:
        """The threads that each part of it may occupy, by name; the smallest part first."""
        return (
            (f"user {self.integration} {self.user_id}", THREADS_PER_USER),
            *(((f"host {self.host}", THREADS_PER_HOST),) if self.host else ()),
            (f"provider {self.integration}", THREADS_PER_PROVIDER),
        )


def named_host(integration: Integration, config: Settings) -> str:
    """The host that a user names in the settings of an integration, as typed; "" if they name none."""
    hosts = integration.requests.user_hosts
    if hosts is None:
        return ""
    config = clean_settings(make_form(integration), dict(config))
    for name, kind in hosts.fields.items():
        host = normalize_host(config.get(name.removeprefix(ROOT)), kind)
        if host:
            return host.removeprefix("https://")
    return ""


class Site:
    """A product's connect server without the network: its accounts, pages and limits."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.services = accounts.services
        self.static = StaticFiles()
        self.logins = Logins(accounts)
        self.submits = Throttle(self.services.clock, SUBMITS_PER_MINUTE)
        self.starts = Throttle(self.services.clock, LOGINS_PER_MINUTE)
        self._hosts = Throttle(self.services.clock, ATTEMPTS_PER_HOST_PER_MINUTE)
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

    def count_attempt(
        self, throttle: Throttle, claims: SessionClaims, integration: Integration, config: Settings
    ) -> None:
        """Count an attempt of a user, and of the host that the user names.

        Raises:
            Refusal: `too_many`.
        """
        throttle.count(claims.user_id)
        host = named_host(integration, config)
        if host:
            self._hosts.count(host)

    def find_provider(self, request: ConnectRequest) -> Provider:
        """Whom a request may wait for. Invalid requests wait for no provider; their handlers refuse them."""
        with suppress(ConnectFailed, Refusal, StorageError):
            if token := request.session_token():
                claims = self.accounts.read_session(token)
                integration = self.find_integration(claims, request.name)
                return Provider(integration.name, claims.user_id, named_host(integration, request.config()))
            login = self.logins.find(request.fields().get("state", ""))
            if login is not None:
                declared = self.services.configuration.integrations.get(login["integration"])
                host = named_host(declared, login["additional_config"]) if declared else ""
                return Provider(login["integration"], login["user_id"], host)
        return Provider()

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

    def is_own_click(self, request: ConnectRequest) -> bool:
        """Whether a user came from our own or a trusted page, or entered the URL themselves.

        Browsers without Sec-Fetch-Site say at most the origin, and only of forms.
        """
        if request.headers.get("sec-fetch-site", "") in {"same-origin", "none"}:
            return True
        is_named = request.headers.get("origin", "") not in {"", "null"}
        return request.method == "POST" and is_named and self.accepts_sender(request)

    def _refresh(self) -> tuple[PublicAddress, Pages]:
        config = self.services.configuration.config
        if config is not self._current[0]:
            self._current = (config, *self._build(config))
        return self._current[1], self._current[2]

    def _build(self, config: Config) -> tuple[PublicAddress, Pages]:
        address = make_public_address(config)
        return address, Pages(self.static, address.prefix, config)
