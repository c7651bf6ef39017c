"""Thousands of calls that wait for one budget: little work for each, in order, and a bounded number."""

from __future__ import annotations

from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from nango_py.limits.counting import bookings, meter
from nango_py.limits.counting.queue import Queue
from nango_py.limits.limit_types import QUEUE, Granted, Limit, Refused, Spend
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.shared_quota import store_opener
from tests.support.simulated_api import Arrival, LimitClock, World, bucket, overfull, window

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.limits.counting.queue import Waiting
    from nango_py.limits.limit_types import LimitStore

CALLERS = 2000


class Counter:
    """Counts the bookings that are looked at one by one."""

    def __init__(self) -> None:
        self.looked_at = 0

    def queue(self, waiting: Waiting) -> Queue:
        """A queue of these bookings."""
        self.looked_at += len(waiting)
        return Queue(waiting)


@pytest.mark.parametrize("limit", [window(400, 1.0), bucket(400.0, 400.0)], ids=["window", "bucket"])
@pytest.mark.parametrize("late", [0.0, 0.4], ids=["on time", "late"])
def test_each_of_many_waiting_calls_costs_little(
    limit: Limit, late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two thousand calls looks at no more bookings than may go in one second, and all go in order."""
    counter, clock = Counter(), LimitClock()
    monkeypatch.setattr(meter, "Queue", counter.queue)
    arrivals = [Arrival(0.0, (Spend("k", (limit,)),), 0.0, 0.05, late) for _ in range(CALLERS)]
    world = World(MemoryLimits(clock), clock)
    sent = world.play(arrivals)
    assert overfull(limit, [(request.counted, 1) for request in sent]) == ""
    assert world.confirms <= 2 * CALLERS
    assert counter.looked_at <= 400 * CALLERS
    assert clock.moment - 1000.0 <= CALLERS / 400 + 5 * late + 1.0
    numbers = [request.number for request in sent]
    assert all(first < second for first, second in pairwise(numbers))


@pytest.mark.parametrize("kind", ["memory", "sql", "redis"])
def test_the_number_of_waiting_calls_is_bounded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call beyond the bound is refused with the reason; others wait, and calls that need not wait go."""
    clock = LimitClock()
    monkeypatch.setattr(bookings, "MAX_WAITING", 3)
    if kind == "redis":
        text = RedisLimits.SCRIPT.read_text()
        assert text.count("local MAX_WAITING = 10000") == 1
        script = tmp_path / "small.lua"
        script.write_text(text.replace("local MAX_WAITING = 10000", "local MAX_WAITING = 3"))

        class Small(RedisLimits):
            SCRIPT = script

        with fresh_redis() as url, closing(Small(Secret(url), clock=clock)) as store:
            _crowd(store)
    else:
        with store_opener(kind, tmp_path, clock) as open_store:
            _crowd(open_store())


def _crowd(store: LimitStore) -> None:
    spends = (Spend("k", (window(1, 9.0),)),)
    assert all(isinstance(store.acquire(spends, (), 1e9), Granted) for _ in range(4))
    refusal = store.acquire(spends, (), 1e9)
    assert isinstance(refusal, Refused)
    assert refusal.wait == pytest.approx(36.0)
    assert refusal.window == QUEUE
    assert isinstance(store.acquire((Spend("other", spends[0].limits),), (), 0.0), Granted)
