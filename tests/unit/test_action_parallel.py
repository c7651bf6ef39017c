"""Several requests of a step at once: their number, their order, and what a failure does to the rest."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nango_py.actions.parallel import ByTasks, ByThreads, InOrder
from nango_py.engine.interfaces import run_sync


def test_threads_reach_the_limit_and_do_not_exceed_it() -> None:
    """Three of seven items run together, since each waits for two others; never four."""
    together, lock, running, most = threading.Barrier(3), threading.Lock(), 0, 0

    async def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if item < 6:
            together.wait(10)
        with lock:
            running -= 1
        return item * 2

    assert run_sync(ByThreads().map(work, range(7), 3)) == [0, 2, 4, 6, 8, 10, 12]
    assert most == 3


def test_tasks_reach_the_limit_and_do_not_exceed_it() -> None:
    """The same in an event loop."""

    async def work() -> None:
        together, running, most = asyncio.Barrier(3), 0, 0

        async def one(item: int) -> int:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if item < 6:
                await asyncio.wait_for(together.wait(), 10)
            running -= 1
            return item * 2

        assert await ByTasks().map(one, range(7), 3) == [0, 2, 4, 6, 8, 10, 12]
        assert most == 3

    asyncio.run(work())


@pytest.mark.parametrize("kind", ["threads", "tasks", "in order"])
@pytest.mark.parametrize("limit", [1, 2])
def test_the_first_failure_is_raised_and_few_more_are_started(kind: str, limit: int) -> None:
    """Of a hundred items hardly any is worked on after the first one fails."""
    started = []

    async def work(item: int) -> int:
        started.append(item)
        if kind == "tasks":
            await asyncio.sleep(0)
        raise ValueError(item)

    def run() -> None:
        if kind == "tasks":
            asyncio.run(ByTasks().map(work, range(100), limit))
        else:
            run_sync((ByThreads() if kind == "threads" else InOrder()).map(work, range(100), limit))

    with pytest.raises(ValueError, match="0"):
        run()
    assert started[0] == 0
    assert len(started) < 50


def test_cancelling_tasks_cancels_all() -> None:
    """A cancelled action leaves no request running."""
    ended = []

    async def work() -> None:
        async def one(item: int) -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(item)
            return item

        task = asyncio.ensure_future(ByTasks().map(one, range(5), 5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(work())
    assert sorted(ended) == [0, 1, 2, 3, 4]
