"""Thousands of calls that wait for one budget: little work for each, in order, and a bounded number."""

from __future__ import annotations

from contextlib import closing, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import redis

from nango_py.limits.counting import bookings, queue
from nango_py.limits.counting.queue import PAGE_SIZE, Queue
from nango_py.limits.limit_types import QUEUE, Granted, Limit, Refused, Spend
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.shared_quota import store_opener
from tests.support.simulated_api import Arrival, LimitClock, World, bucket, overfull, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.limits.counting.queue import Entry, Page
    from nango_py.limits.limit_types import LimitStore

Counted: TypeAlias = "tuple[LimitStore, Callable[[], int]]"

CALLERS = 2000


class Counter:
    """Counts the bookings that are looked at one by one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_at = 0
        entries_of = Queue.entries

        def count(own: Queue, page: Page) -> list[Entry]:
            entries = entries_of(own, page)
            self.looked_at += len(entries)
            return entries

        monkeypatch.setattr(Queue, "entries", count)


@pytest.mark.parametrize("limit", [window(400, 1.0), bucket(400.0, 400.0)], ids=["window", "bucket"])
@pytest.mark.parametrize("late", [0.0, 0.4], ids=["on time", "late"])
def test_each_of_many_waiting_calls_costs_little(
    limit: Limit, late: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two thousand calls looks at some pages of bookings at most, and all go in order."""
    counter, clock = Counter(monkeypatch), LimitClock()
    arrivals = [Arrival(0.0, (Spend("k", (limit,)),), 0.0, 0.05, late) for _ in range(CALLERS)]
    world = World(MemoryLimits(clock), clock)
    sent = world.play(arrivals)
    assert overfull(limit, [(request.counted, 1) for request in sent]) == ""
    assert world.confirms <= 2 * CALLERS
    assert counter.looked_at <= 20 * PAGE_SIZE * CALLERS
    assert clock.moment - 1000.0 <= CALLERS / 400 + 5 * late + 1.0
    numbers = [request.number for request in sent]
    assert all(first < second for first, second in pairwise(numbers))


LOOKS_AT_A_PAGE = "  function Queue.entries(queue, page)\n"
COUNTS = LOOKS_AT_A_PAGE + "    redis.call('INCRBY', 'looked at', page[SIZE])\n"


@contextmanager
def _counted(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, page_size: int) -> Iterator[Counted]:
    """A store with pages of this size, and what returns how many bookings it has looked at."""
    clock = LimitClock()
    if kind != "redis":
        monkeypatch.setattr(queue, "PAGE_SIZE", page_size)
        counter = Counter(monkeypatch)
        with store_opener(kind, folder, clock) as open_store:
            yield open_store(), lambda: counter.looked_at
        return
    text = RedisLimits.SCRIPT.read_text().replace("PAGE_SIZE = 10000, 64", f"PAGE_SIZE = 10000, {page_size}")
    assert text.count(LOOKS_AT_A_PAGE) == 1
    script = folder / "counting.lua"
    script.write_text(text.replace(LOOKS_AT_A_PAGE, COUNTS))

    class Counting(RedisLimits):
        SCRIPT = script

    with (
        fresh_redis() as url,
        closing(Counting(Secret(url), clock=clock)) as store,
        closing(redis.Redis.from_url(url)) as client,
    ):
        yield store, lambda: int(client.get("looked at") or 0)


def _steps(counted: Counted, waiting: int) -> list[int]:
    """How many bookings a step of each kind looks at with this number of waiting calls."""
    store, looked_at = counted
    spends = (Spend("k", (window(4, 9.0), bucket(4.0, 0.4))),)
    for _ in range(4):
        store.acquire(spends, (), 1e9)
    tickets = [_granted(store, spends) for _ in range(waiting)]
    numbers = [looked_at()]
    for step in (
        lambda: _granted(store, spends),
        lambda: store.confirm(tickets[0]),
        lambda: store.release(tickets[waiting // 2]),
        lambda: store.settle(tickets[1]),
    ):
        step()
        numbers.append(looked_at())
    return [later - earlier for earlier, later in pairwise(numbers)]


@pytest.mark.parametrize("kind", ["memory", "sql", "redis"])
def test_a_step_looks_at_few_of_many_waiting_calls(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fifty or two thousand waiting calls, a step looks at some pages of them."""
    for waiting in (50, 2000):
        with _counted(kind, tmp_path, monkeypatch, PAGE_SIZE) as counted:
            assert max(_steps(counted, waiting)) <= 12 * PAGE_SIZE


@pytest.mark.parametrize("kind", ["memory", "sql", "redis"])
def test_a_queue_in_one_page_is_read_as_a_whole(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: without pages, the count grows with the number of waiting calls."""
    for waiting in (50, 300):
        with _counted(kind, tmp_path, monkeypatch, 100_000) as counted:
            assert min(_steps(counted, waiting)) >= waiting // 2


def _granted(store: LimitStore, spends: tuple[Spend, ...]) -> Any:
    granted = store.acquire(spends, (), 1e9)
    assert isinstance(granted, Granted)
    return granted.ticket


@pytest.mark.parametrize("kind", ["memory", "sql", "redis"])
def test_the_number_of_waiting_calls_is_bounded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call beyond the bound is refused with the reason; others wait, and calls that need not wait go."""
    clock = LimitClock()
    monkeypatch.setattr(bookings, "MAX_WAITING", 3)
    if kind == "redis":
        text = RedisLimits.SCRIPT.read_text()
        assert text.count("local MAX_WAITING, PAGE_SIZE = 10000, 64") == 1
        script = tmp_path / "small.lua"
        script.write_text(
            text.replace("local MAX_WAITING, PAGE_SIZE = 10000, 64", "local MAX_WAITING, PAGE_SIZE = 3, 64")
        )

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
