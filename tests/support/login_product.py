"""Products whose users log in at a test provider, and the steps of a login without a connect server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.clock import SYSTEM_CLOCK
from nango_py.connect.login import Logins
from nango_py.secret import reveal
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.provider_server import query_of
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.connect.outcome import LoginOutcome

KINDS = [LoginProvider, LoginProvider1]
"""The providers: OAuth 2.0 and 1.0a."""

COOKIE = "cookie-of-sarahs-browser"
ROOT_URL = "https://connect.example.test/nango"


def a_product(
    entry: Mapping[str, Any],
    database_url: str = "sqlite:///:memory:",
    *,
    clock: Clock = SYSTEM_CLOCK,
    config: Mapping[str, Any] | None = None,
) -> Nango:
    """A product with the one integration `mail`."""
    return Nango(
        {"integrations": {"mail": entry}, "config": dict(config or {})},
        database_url=database_url,
        encryption_keys=ENCRYPTION_KEY,
        environ={},
        clock=clock,
    )


def callback_of(nango: Nango, decision: str = "allow", **begin: Any) -> dict[str, str]:
    """Begin a login of user-1 in sarah's browser, choose, and bring back the callback's parameters."""
    url = Logins(nango.accounts).begin("mail", "user-1", browser=COOKIE, **begin)
    return query_of(consent(url, decision))


def log_in(nango: Nango, decision: str = "allow", **begin: Any) -> LoginOutcome:
    """A whole login of user-1."""
    return Logins(nango.accounts).finish(callback_of(nango, decision, **begin), COOKIE)


def stored(nango: Nango) -> dict[str, Any]:
    """The credentials of user-1 as they are stored."""
    found: dict[str, Any] = reveal(nango.store.get("mail", "user-1").credentials)
    return found


def rows(nango: Nango) -> list[dict[str, Any]]:
    """Every connection of the product."""
    return nango.connections_for_integration("mail")


def pending_rows(nango: Nango) -> int:
    """How many logins and outcomes are kept."""
    return int(nango.store.read("SELECT count(*) FROM nango_pending", {})[0][0])
