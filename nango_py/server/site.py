"""What the routes of one connect server share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nango_py.errors import ConnectFailed
from nango_py.server.error_responses import Refusal
from nango_py.server.login_pages import Pages
from nango_py.server.origins import make_public_address
from nango_py.server.static_files import StaticFiles
from nango_py.server.throttle import Throttle

if TYPE_CHECKING:
    from nango_py.accounts import Accounts
    from nango_py.config.model import Config, Integration
    from nango_py.connect.login import Logins
    from nango_py.connections.connect_sessions import SessionClaims
    from nango_py.server.origins import PublicAddress
    from nango_py.server.request import ConnectRequest

SUBMITS_A_MINUTE = 10
"""Of one session: each calls the provider with what somebody typed."""

STARTS_A_MINUTE = 60


class Site:
    """A product's connect server, without the network: its Nango, pages and bounds."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self.services = accounts.services
        self.static = StaticFiles()
        clock = self.services.clock
        self._submits = Throttle(clock, SUBMITS_A_MINUTE)
        self._starts = Throttle(clock, STARTS_A_MINUTE)
        self._lock = threading.Lock()
        self._logins: Logins | None = None
        config = self.services.configuration.config
        self._known: tuple[Config, PublicAddress, Pages] = (config, *self._made(config))

    @property
    def doors(self) -> PublicAddress:
        """Where this server is, as the files say now."""
        return self._current()[0]

    @property
    def pages(self) -> Pages:
        """The small pages, in the product's name."""
        return self._current()[1]

    @property
    def logins(self) -> Logins:
        """The OAuth round trips."""
        with self._lock:
            if self._logins is None:
                from nango_py.connect.login import Logins

                self._logins = Logins(self.accounts)
            return self._logins

    def claims(self, token: str) -> SessionClaims:
        """What a session token says.

        Raises:
            ConnectFailed: `session_invalid` or `session_expired`.
        """
        return self.accounts.read_session(token)

    def integration(self, claims: SessionClaims, name: str) -> Integration:
        """An integration of this session; one that the session does not name is as unknown as any other.

        Raises:
            ConnectFailed: `unknown_integration`.
        """
        found = self.services.configuration.integrations.get(name) if name in claims.integrations else None
        if found is None:
            raise ConnectFailed("unknown_integration", "there is nothing of this name to connect")
        return found

    def provider(self, asked: ConnectRequest) -> str:
        """The integration whose provider a request may have to wait for; "" where there is none."""
        name = asked.names.get("name") or self.logins.integration_of(asked.given().get("state", ""))
        return name if name in self.services.configuration.integrations else ""

    def title(self, name: str) -> str:
        """What people call an integration."""
        found = self.services.configuration.integrations.get(name)
        return (found.title or name) if found is not None else name

    def spend_submit(self, claims: SessionClaims) -> None:
        """Count a check of credentials.

        Raises:
            Refusal: `too_many`.
        """
        _spend(self._submits, claims)

    def spend_start(self, claims: SessionClaims) -> None:
        """Count the beginning of a login.

        Raises:
            Refusal: `too_many`.
        """
        _spend(self._starts, claims)

    def is_ours(self, asked: ConnectRequest) -> bool:
        """Whether no page of another origin sent this, or one that may."""
        doors, origin = asked.doors, asked.origin
        if origin in {"", "null"}:
            # So are the forms of a page that tells nobody where it is, as ours do, and foreign ones can.
            return asked.site in {"", "none", "same-origin"}
        return origin == doors.own_origin(asked.host) or doors.hears(origin)

    def _current(self) -> tuple[PublicAddress, Pages]:
        config = self.services.configuration.config
        if config is not self._known[0]:
            self._known = (config, *self._made(config))
        return self._known[1], self._known[2]

    def _made(self, config: Config) -> tuple[PublicAddress, Pages]:
        doors = make_public_address(config)
        return doors, Pages(self.static, doors.prefix, config.product_name)


def _spend(pace: Throttle, claims: SessionClaims) -> None:
    seconds = pace.wait(claims.id)
    if seconds:
        after = str(int(seconds) + 1)
        raise Refusal(
            429, "too_many", f"too many tries; wait {after} seconds", headers={"Retry-After": after}
        )
