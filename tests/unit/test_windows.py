"""What the limiter does step by step, on a clock that moves only when a test moves it."""

from __future__ import annotations

import heapq
import math
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango
from nango_py.limits.counting.booking import Booking
from nango_py.limits.counting.bookings import Bookings
from nango_py.limits.counting.counted_log import MERGE_ABOVE, CountedLog
from nango_py.limits.counting.meter import COUNTED_WITHIN, Meter
from nango_py.limits.counting.queue import LOST_AFTER
from nango_py.limits.limit_types import Granted, Spend
from nango_py.limits.stores.failover import FailoverLimits
from nango_py.limits.stores.memory import SWEEP_EVERY, SWEPT_NOW_AND_THEN, MemoryLimits
from nango_py.limits.stores.stored_meter import Moment, StoredMeter
from tests.support.simulated_api import LimitClock, bucket, window

if TYPE_CHECKING:
    from pathlib import Path

TEN = (Spend("k", (window(10, 1.0),)),)


def _send(store: MemoryLimits, spends: tuple[Spend, ...] = TEN) -> object:
    grant = store.acquire(spends, (), 0.0)
    assert isinstance(grant, Granted)
    assert grant.wait == 0.0
    return grant.ticket


def test_a_place_counts_from_the_response() -> None:
    """A window frees a place when it has passed since the response, not since the sending."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    spends = (Spend("k", (window(1, 1.0),)),)
    ticket = _send(store, spends)
    clock.moment = 0.3
    store.settle(ticket)
    grant = store.acquire(spends, (), 5.0)
    assert isinstance(grant, Granted)
    assert grant.wait == pytest.approx(1.0)


def test_a_booking_moves_when_responses_come_late() -> None:
    """A booking behind a request in flight moves when the response arrives late."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    spends = (Spend("k", (window(1, 1.0),)),)
    ticket = _send(store, spends)
    waiting = store.acquire(spends, (), 5.0)
    assert isinstance(waiting, Granted)
    assert waiting.wait == pytest.approx(1.0)
    clock.moment = 0.4
    store.settle(ticket)
    clock.moment = 1.0
    assert store.confirm(waiting.ticket) == pytest.approx(0.4)
    clock.moment = 1.4 + 1e-9
    assert store.confirm(waiting.ticket) == 0.0
    assert store.confirm(waiting.ticket) == 0.0


def test_a_missing_response_does_not_hold_its_place_forever() -> None:
    """A request without a response counts as counted some seconds after its sending."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    spends = (Spend("k", (window(1, 1.0),)),)
    _send(store, spends)
    clock.moment = COUNTED_WITHIN + 1.0 + 1e-6
    _send(store, spends)


def test_a_caller_that_never_comes_back_does_not_hold_the_line() -> None:
    """A booking whose caller vanished without giving it back is dropped after a while."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    spends = (Spend("k", (window(1, 1.0),)),)
    store.settle(_send(store, spends))
    assert store.acquire(spends, (), 5.0) is not None
    clock.moment = 1.0 + LOST_AFTER + 0.1
    _send(store, spends)


def test_a_caller_that_comes_back_very_late_is_still_served() -> None:
    """A booking that was dropped as lost is booked again when its caller asks after all."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    spends = (Spend("k", (window(1, 1.0),)),)
    store.settle(_send(store, spends))
    late = store.acquire(spends, (), 5.0)
    assert isinstance(late, Granted)
    clock.moment = 1.0 + LOST_AFTER + 0.1
    store.settle(_send(store, spends))
    wait = store.confirm(late.ticket)
    assert wait == pytest.approx(1.0)
    clock.moment += wait + 1e-9
    assert store.confirm(late.ticket) == 0.0


def test_one_endpoint_does_not_hold_up_another() -> None:
    """Calls to a full endpoint wait; a later call to another endpoint of the same account goes at once."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    account = Spend("account", (window(100, 1.0),))
    slow, fast = (
        (account, Spend("slow", (window(1, 10.0),))),
        (account, Spend("fast", (window(50, 1.0),))),
    )
    _send(store, slow)
    for _ in range(5):
        grant = store.acquire(slow, (), 100.0)
        assert isinstance(grant, Granted)
        assert grant.wait >= 10.0
    for _ in range(50):
        _send(store, fast)


def test_a_call_between_two_bookings_leaves_room_for_the_later_one() -> None:
    """A place before somebody's booking is given only if that booking stays within its windows."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    account = Spend("account", (window(1, 2.0),))
    slow = (account, Spend("slow", (window(1, 3.0),)))
    store.settle(_send(store, slow))
    booked = store.acquire(slow, (), 100.0)
    assert isinstance(booked, Granted)
    assert booked.wait == pytest.approx(3.0)
    clock.moment = 2.0 + 1e-9
    other = store.acquire((account,), (), 100.0)
    assert isinstance(other, Granted)
    assert clock.moment + other.wait == pytest.approx(5.0)


def test_a_gate_that_opens_lets_the_line_out_in_order_and_within_its_windows() -> None:
    """After a gate each caller gets a moment of its own instead of polling."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    store.close_gate(("k",), 5.0)
    grants = [store.acquire(TEN, ("k",), 100.0) for _ in range(40)]
    store.close_gate(("k",), 7.0)
    callers = [
        (grant.wait, -number, grant) for number, grant in enumerate(grants) if isinstance(grant, Granted)
    ]
    assert len(callers) == 40
    heapq.heapify(callers)
    sent: list[tuple[float, int]] = []
    asked = 0
    while callers:
        clock.moment, number, grant = heapq.heappop(callers)
        asked += 1
        wait = store.confirm(grant.ticket)
        if wait:
            heapq.heappush(callers, (clock.moment + wait, number, grant))
        else:
            store.settle(grant.ticket)
            sent.append((clock.moment, -number))
    assert sorted(number for _, number in sorted(sent)[:10]) == list(range(10))
    assert [moment for moment, _ in sent] == pytest.approx([7.0 + number // 10 for number in range(40)])
    assert asked <= 3 * 40


def test_a_cost_that_never_fits_is_refused_for_ever() -> None:
    """A call that costs more than a limit holds is refused with an infinite wait, however patient it is."""
    store = MemoryLimits(LimitClock())
    for limit in (window(3, 1.0), bucket(3.0, 1.0)):
        refusal = store.acquire((Spend(limit.label, (limit,), 4),), (), 1e9)
        assert refusal.wait == math.inf
        assert not isinstance(refusal, Granted)
        assert refusal.window == limit.label


def test_nothing_is_kept_of_a_connection_that_is_idle() -> None:
    """Keys and gates disappear once their windows have passed."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    for number in range(1000):
        spends = (Spend(f"user {number}", (window(10, 1.0), bucket(5.0, 1.0))),)
        store.settle(_send(store, spends))
        store.close_gate((f"user {number}",), 2.0)
    clock.moment = SWEEP_EVERY + 3.0
    _send(store)
    assert list(store._bookings.meters) == ["k"]
    assert store._bookings.gates == {}


def test_a_connection_in_use_is_not_forgotten() -> None:
    """The sweep keeps calls in flight, bookings, and whatever a window still counts."""
    clock = LimitClock(0.0)
    bookings = Bookings()
    day = (Spend("day", (window(2, 86400.0),)),)
    bookings.acquire(day, (), 0.0, clock.moment)
    bookings.sweep(COUNTED_WITHIN + 60.0, 9)
    assert list(bookings.meters) == ["day"]
    bookings.sweep(COUNTED_WITHIN + 86400.0, 9)
    assert not bookings.meters


def test_an_idle_connection_with_a_full_minute_is_small() -> None:
    """What is kept of a connection between its calls stays below 2 KB."""
    meter = Meter()
    meter.set_limits((window(10, 1.0), window(15, 60.0)))
    for number in range(15):
        booking = Booking(number, (), ())
        meter.start(booking, float(number), 1)
        meter.finish(booking, float(number))
    parts = [
        meter,
        meter.log,
        meter.log.times,
        meter.log.totals,
        meter.in_flight,
        meter.waiting,
        meter.levels,
    ]
    assert sum(map(sys.getsizeof, [*parts, *meter.log.times, *meter.log.totals])) < 2048


def test_a_large_window_is_kept_small_and_errs_towards_waiting() -> None:
    """100,000 a day take some hundred numbers; each is let go a little late and never early."""
    log = CountedLog()
    exact = [number * 0.864 for number in range(100_000)]
    for moment in exact:
        log.add(moment, 1)
        if len(log.times) > log.merge_above:
            log.merge_old(moment, [86_400.0])
    assert len(log.times) < 3 * MERGE_ABOVE
    for count in (1, 999, 50_000, 99_999):
        assert 0 <= log.time_of(count) - exact[count - 1] <= 86_400.0 / 100


def test_a_large_window_is_used_almost_whole() -> None:
    """5000 a minute, sent steadily at the limit, loses less than one in a hundred to merging."""
    clock = LimitClock(0.0)
    store = MemoryLimits(clock)
    spends = (Spend("k", (window(5000, 60.0),)),)
    sent = 0
    while clock.moment < 180.0:
        grant = store.acquire(spends, (), 1e9)
        assert isinstance(grant, Granted)
        wait = grant.wait
        while wait:
            clock.moment += wait
            wait = store.confirm(grant.ticket)
        store.settle(grant.ticket)
        sent += 1
        clock.moment += 0.001
    assert 0.99 * 15_000 <= sent <= 15_000 + 5000


def test_threads_share_a_window_exactly() -> None:
    """However many threads ask at once, exactly as many places are given as there are."""
    store = MemoryLimits(LimitClock())
    given: list[bool] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        given.extend(isinstance(store.acquire(TEN, (), 0.0), Granted) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given.count(True) == 10
    assert len(given) == 400


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_can_go_on() -> None:
    """A child that is forked while other threads use the limiter finds its lock free."""
    store = MemoryLimits(LimitClock())
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            store.settle(_send(store, (Spend("busy", ()),)))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(8):
            child = os.fork()
            if child == 0:
                store.acquire(TEN, (), 0.0)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_a_shared_store_leaves_nothing_in_memory() -> None:
    """With a shared store every settled call is counted here too; keys that were used once are forgotten."""
    clock = LimitClock()
    shared = MemoryLimits(clock)
    store = FailoverLimits(_AsShared(shared), clock)
    for number in range(2000):
        grant = store.acquire((Spend(f"k{number}", (window(9, 1.0),)),), (f"g{number}",), 0.0)
        assert isinstance(grant, Granted)
        store.settle(grant.ticket)
        clock.moment += 0.01
    assert len(store._local._bookings.meters) < 500
    assert len(shared._bookings.meters) < 500
    assert len(store._local._bookings._unswept) < 500


class _AsShared:
    """A store in memory with the properties of a shared one."""

    generation = "one"

    def __init__(self, store: MemoryLimits) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def processes(self, _name: str) -> int:
        return 1


def test_no_step_looks_at_many_keys() -> None:
    """However many keys there are, one call sweeps a bounded number of them, and all are swept in the end."""
    clock = LimitClock()
    store = MemoryLimits(clock)
    for number in range(20_000):
        store.count((Spend(f"k{number}", (window(9, 1.0),)),))
        store.close_gate((f"g{number}", f"k{number}"), 1.0)
    clock.moment += 100.0
    before = len(store._bookings.meters)
    store.acquire((), (), 0.0)
    assert before - len(store._bookings.meters) <= SWEPT_NOW_AND_THEN
    for _ in range(20_000):
        store.count((Spend("k", (window(9, 1.0),)),))
    assert list(store._bookings.meters) == ["k"]
    assert store._bookings.gates == {}
    assert list(store._bookings._unswept) == ["k"]


def test_one_process_counts_once_for_each_database(tmp_path: Path) -> None:
    """Two Nango of one configuration count together in memory, and those of two databases apart."""

    def open_nango(name: str) -> Nango:
        return Nango({"integrations": {}}, database_url=f"sqlite:///{tmp_path}/{name}.db", environ={})

    first, second, other = open_nango("one"), open_nango("one"), open_nango("two")
    assert first.services.limits is second.services.limits
    assert first.services.learning is second.services.learning
    assert first.services.limits is not other.services.limits
    assert first.services.learning is not other.services.learning


@pytest.mark.parametrize("sent", [1500, 100_000])
def test_the_row_of_a_busy_day_is_small(sent: int) -> None:
    """However many calls a day-long window contains, a SQL store writes at most 12 KB for each call."""
    stored = StoredMeter()
    stored.meter.set_limits((window(2 * sent, 86_400.0), window(1000, 60.0)))
    longest = 0
    for number in range(sent):
        stored.meter.count(1_700_000_000.123456 + number * 0.7654321, 1)
        if number % 997 == 0:
            longest = max(longest, len(stored.dump(Moment(0.0, 0.0, ""))))
    assert longest < 12_000
