"""A cancelled call under asyncio loses neither a booking nor a connection."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import StorageError
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.async_calls import ONE_A_MINUTE, cancel, count_booked, count_used, run, wait_for
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import HANG, READ, FaultServer
from tests.support.nango_at_server import a_sandbox, calling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.engine.async_executor import AsyncExecutor


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """A socket that was not closed warns when it is collected, and a warning is an error."""
    gc.freeze()  # what there was before costs nothing to look through
    yield
    gc.collect()


def test_a_cancelled_wait_releases_its_booking() -> None:
    """A call that no longer waits for a budget leaves no booking behind."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.get("things")
        waiting = asyncio.create_task(executor.get("things"))
        await wait_for(lambda: count_booked(executor))
        await cancel(waiting)
        assert (count_booked(executor), count_used(executor)) == (0, 1)

    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)
        assert len(sandbox.ledger) == 1


def test_a_cancelled_request_stays_counted_until_its_window_ends() -> None:
    """The API may have counted the request, so the budget does too, and its connection is closed."""
    clock = ManualClock()

    async def work(executor: AsyncExecutor) -> None:
        call = asyncio.create_task(executor.get("things"))
        await wait_for(lambda: server.requests)
        await cancel(call)
        assert count_used(executor) == 1
        await wait_for(lambda: not server._open)
        clock.advance(60.001)
        assert count_used(executor) == 0

    with (
        FaultServer([READ, HANG]) as server,
        calling(server.url, clock=clock, rate_limits=ONE_A_MINUTE) as nango,
    ):
        run(nango, work)


def test_a_call_can_be_cancelled_at_each_step_of_the_event_loop() -> None:
    """No cancellation is lost, not even one that arrives together with the addresses of the host."""

    async def work(executor: AsyncExecutor) -> None:
        for steps in range(30):
            call = asyncio.create_task(executor.get("things", deadline_seconds=2.0))
            for _ in range(steps):
                await asyncio.sleep(0)
            assert call.cancel()
            await asyncio.wait({call})
            assert call.cancelled(), steps

    with FaultServer([READ, HANG]) as server, calling(server.url) as nango:
        run(nango, work)


class RemoteLimits(MemoryLimits):
    """A limit store that blocks in another thread, like a database, until it may continue.

    Attributes:
        blocked: the method that waits for `go`.
    """

    is_remote = True

    def __init__(self, clock: Any, blocked: str = "") -> None:
        super().__init__(clock)
        self.blocked = blocked
        self.entered, self.go = threading.Event(), threading.Event()
        self.threads: set[str] = set()
        self.breaks = False

    def _block(self, name: str) -> None:
        self.threads.add(threading.current_thread().name)
        if name == self.blocked:
            self.entered.set()
            self.go.wait(60)
        if self.breaks:
            raise StorageError("the store is unreachable")

    def acquire(self, *args: Any) -> Any:
        """Book, then block."""
        found = super().acquire(*args)
        self._block("acquire")
        return found

    def confirm(self, ticket: Any) -> float:
        """Confirm, then block."""
        found = super().confirm(ticket)
        self._block("confirm")
        return found

    def settle(self, ticket: Any) -> None:
        """Block, then settle."""
        self._block("settle")
        super().settle(ticket)


@pytest.mark.parametrize(("blocked", "left"), [("acquire", 0), ("confirm", 0), ("settle", 1)])
@pytest.mark.parametrize("times", [1, 3])
def test_a_call_cancelled_while_a_remote_store_blocks_loses_nothing(
    blocked: str, left: int, times: int
) -> None:
    """The booking of an unsent request is released; that of a sent one is settled first."""
    clock = ManualClock()
    limits = RemoteLimits(clock, blocked)

    async def work(executor: AsyncExecutor) -> None:
        executor._io.limits = limits
        if blocked == "confirm":
            _, gates = executor._get_runtime().spends_of(executor.plan("GET", "things"))
            limits.close_gate(gates, 5.0)
        call = asyncio.create_task(executor.get("things"))
        await wait_for(limits.entered.is_set)
        threading.Timer(0.05, limits.go.set).start()
        await cancel(call, times)
        assert count_used(executor) == left
        clock.advance(60.001)
        assert count_used(executor) == 0

    with a_sandbox() as sandbox, calling(sandbox.base_url, clock=clock, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)
        assert len(sandbox.ledger) == left


def test_a_store_that_breaks_while_a_call_is_cancelled_does_not_hide_the_cancellation() -> None:
    """The task ends as cancelled, not with the error of the store."""
    limits = RemoteLimits(ManualClock(), "acquire")
    limits.breaks = True

    async def work(executor: AsyncExecutor) -> None:
        executor._io.limits = limits
        call = asyncio.create_task(executor.get("things"))
        await wait_for(limits.entered.is_set)
        threading.Timer(0.05, limits.go.set).start()
        await cancel(call)

    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)


def test_a_remote_store_is_asked_outside_the_event_loop() -> None:
    """A store that waits for a database does not block the event loop."""
    limits = RemoteLimits(ManualClock())

    async def work(executor: AsyncExecutor) -> None:
        executor._io.limits = limits
        await executor.get("things")

    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)
    assert limits.threads
    assert threading.main_thread().name not in limits.threads
