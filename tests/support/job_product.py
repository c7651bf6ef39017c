"""A Nango whose jobs run over a database, with a clock that moves when it should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from nango_py.clock import Clock

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SECRET = "key_planted_9876543210"


def shop_entry(base_url: str = "https://api.example.test/", **more: Any) -> dict[str, Any]:
    """An integration with an API key."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": base_url, "headers": {"X-Key": "${api_key}"}, "allow_http": True},
        **more,
    }


def open_product(
    url: str, clock: Clock = SYSTEM_CLOCK, *, key: str = KEY, entry: dict[str, Any] | None = None, **jobs: Any
) -> Nango:
    """A Nango with the integration `shop`; `jobs` are settings of `config.jobs`."""
    files = {"integrations": {"shop": entry or shop_entry()}, "config": {"jobs": jobs} if jobs else {}}
    return Nango(files, database_url=url, environ={}, encryption_keys=key, clock=clock)


def register_users(nango: Nango, *users: str) -> None:
    """Connections of these users."""
    for user in users:
        nango.register_connection("shop", user, {"api_key": SECRET}, replace=True)
