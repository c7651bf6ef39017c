"""Sends plans through the sync and the async transport, and names what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.transport.async_transport import AsyncTransport
from nango_py.transport.lookups import system_look_up
from nango_py.transport.sendable import Failure
from nango_py.transport.sync_transport import Transport
from tests.support.made_values import KEY, a_plan, an_integration, bound_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nango_py.engine.plan import Plan
    from nango_py.transport.response import Response

    Outcomes = list[Response | Failure]
    Send = Callable[..., Outcomes]


def send_sync(
    plans: Iterable[Plan], look_up: Any = system_look_up, ca_bundle: str | None = None, seconds: float = 3.0
) -> Outcomes:
    """Send plans one after another through the sync transport."""
    with contextlib.closing(Transport(ca_bundle, look_up)) as transport:
        return [transport.send(plan, seconds) for plan in plans]


def send_async(
    plans: Iterable[Plan], look_up: Any = system_look_up, ca_bundle: str | None = None, seconds: float = 3.0
) -> Outcomes:
    """Send plans one after another through the async transport."""

    async def work() -> Outcomes:
        transport = AsyncTransport(ca_bundle, look_up)
        try:
            return [await transport.send(plan, seconds) for plan in plans]
        finally:
            await transport.aclose()

    return asyncio.run(work())


SENDS = pytest.mark.parametrize("send", [send_sync, send_async])


def reasons(outcomes: Outcomes) -> list[str]:
    """The reasons of failures, and "response" for responses."""
    return [outcome.reason if isinstance(outcome, Failure) else "response" for outcome in outcomes]


def plan_for(url: str, method: str = "GET", path: str = "things", **options: Any) -> Plan:
    """A plan for a server, with short timeouts."""
    settings = {"total_seconds": 5.0, "connect_seconds": 2.0, "read_seconds": 2.0}
    call = {key: options.pop(key) for key in list(options) if key in {"data", "json", "stream", "headers"}}
    bound = bound_settings(an_integration(url, **{**settings, **options}))
    return a_plan(method, path, settings=bound, **call)


def failure_of(transport: Transport, plan: Plan, seconds: float = 5.0) -> Failure:
    """The failure of a request; it contains no secret."""
    outcome = transport.send(plan, seconds)
    assert isinstance(outcome, Failure), outcome
    assert KEY not in repr(outcome)
    return outcome
