"""Calls of an async executor: run them in an event loop, count their bookings, cancel them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.nango_at_server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from nango_py import Nango
    from nango_py.engine.async_executor import AsyncExecutor

ONE_A_MINUTE = {"budgets": [{"key": "all", "otherwise": ["1/minute"]}]}


def run(nango: Nango, work: Callable[[AsyncExecutor], Coroutine[Any, Any, Any]]) -> Any:
    """Run `work` with an executor in a new event loop."""

    async def whole() -> Any:
        async with nango:
            return await work(nango.async_executor("shop", "user-1"))

    return asyncio.run(whole())


def count_used(executor: AsyncExecutor) -> float:
    """The calls that count in the budget."""
    spends, _ = executor._get_runtime().spends_of(executor.plan("GET", "things"))
    views = executor._io.limits.view([spend.key for spend in spends])
    return sum(view.used for view in views)


def count_booked(executor: AsyncExecutor) -> int:
    """The number of bookings that wait."""
    limits: Any = executor._io.limits
    return sum(len(meter.waiting) for meter in limits._bookings.meters.values())


async def cancel(task: asyncio.Task[Any], times: int = 1) -> None:
    """Cancel a task, once or several times, and check that it ends as cancelled."""
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def wait_for(is_so: Callable[[], object]) -> None:
    """Wait for a condition without blocking the event loop."""
    await asyncio.to_thread(wait_until, is_so)
