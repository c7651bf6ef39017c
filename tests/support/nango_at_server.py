"""Calls over real sockets: a Nango with one integration that leads to a test's own server."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.clock import SYSTEM_CLOCK
from nango_py.config.values import freeze
from nango_py.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.clock import Clock
    from nango_py.sandbox import FaultPlan

KEY = "pk_live_planted_0123456789"
SHOP: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://api.example.test/v1/",
        "headers": {"Authorization": "Key ${api_key}"},
        "allow_http": True,
    },
    "pagination": {"kind": "next_url", "next": "links.next", "records": "data"},
    "errors": {"message": "error.message", "code": "error.code"},
}
QUICK = {"base_seconds": 0.002, "max_seconds": 0.01}
"""A backoff for tests that wait for real."""

WIDE = {"budgets": [{"key": "all", "otherwise": ["100000/second"]}]}
"""A budget that delays no call; without one the rate of an API is learned, slowly at first."""


def settings_of(base_url: str, requests: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The entry of an integration that lies at `base_url`; `more` are top keys such as `retries`."""
    return {**SHOP, "requests": {**SHOP["requests"], "base_url": base_url, **(requests or {})}, **more}


@contextlib.contextmanager
def calling(
    base_url: str,
    *,
    clock: Clock = SYSTEM_CLOCK,
    ca_bundle: Any = None,
    requests: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Nango]:
    """A Nango with the integration `shop` at `base_url`, and the connection of `user-1`."""
    nango = Nango(
        {"shop": settings_of(base_url, requests, **settings)},
        database_url="sqlite:///:memory:",
        encryption_keys=base64.b64encode(b"k" * 32).decode(),
        environ={},
        ca_bundle=ca_bundle,
        clock=clock,
    )
    with nango:
        nango.register_connection("shop", "user-1", {"api_key": KEY})
        yield nango


@contextlib.contextmanager
def a_sandbox(
    faults: FaultPlan | None = None, *, pages: Mapping[str, int] | None = None
) -> Iterator[Sandbox]:
    """A sandbox of the integration."""
    with Sandbox(freeze(SHOP), faults=faults, pages=pages, strict=False) as sandbox:
        yield sandbox


def wait_until(is_so: Callable[[], object], timeout_seconds: float = 60.0) -> None:
    """Wait until a condition holds, for effects in other threads or the kernel that send no event."""
    end, pause = time.monotonic() + timeout_seconds, threading.Event()
    while not is_so():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not become so within {timeout_seconds} s")
        pause.wait(0.005)
