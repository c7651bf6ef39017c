"""What processes do while a shared limit store is unreachable, and when it is back."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.database.opening import open_database
from nango_py.errors import StorageError
from nango_py.limits.limit_types import Granted, InFlight, Refused, Spend, Window
from nango_py.limits.stores.failover import AGREE_SECONDS, FIRST_COUNT, RETRY_AFTER, FailoverLimits
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.forked import fork, wait_for_child
from tests.support.simulated_api import LimitClock, bucket, window

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from nango_py.limits.limit_types import WindowView

TEN = (Spend("k", (window(10, 1.0),)),)


class Breakable:
    """A store that several processes share, and that can be taken away or emptied."""

    def __init__(self, clock: LimitClock, processes: int) -> None:
        self.clock = clock
        self.count = processes
        self.generation = "1"
        self.is_unreachable = False
        self.asked = 0
        self.inner = MemoryLimits(clock)

    def lose(self) -> None:
        """Forget everything."""
        self.inner, self.generation = MemoryLimits(self.clock), self.generation + "+"

    def processes(self, _name: str) -> int:
        """As many as the test says."""
        self._response()
        return self.count

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Of the store inside."""
        self._response()
        return self.inner.acquire(spends, gates, patience)

    def confirm(self, ticket: Any) -> float:
        """Of the store inside."""
        self._response()
        return self.inner.confirm(ticket)

    def settle(self, ticket: Any, costs: Any = None) -> None:
        """Of the store inside."""
        self._response()
        self.inner.settle(ticket, costs)

    def release(self, ticket: Any) -> None:
        """Of the store inside."""
        self._response()
        self.inner.release(ticket)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Of the store inside."""
        self._response()
        self.inner.close_gate(gates, seconds)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """Of the store inside."""
        self._response()
        return self.inner.view(keys)

    def _response(self) -> None:
        self.asked += 1
        if self.is_unreachable:
            raise StorageError("the store is away")


def _sent(limits: FailoverLimits, most: int, spends: tuple[Spend, ...] = TEN) -> int:
    """The number of calls, up to a maximum, that may be sent at once."""
    sent = 0
    for _ in range(most):
        grant = limits.acquire(spends, ("g",), 0.0)
        if isinstance(grant, Granted):
            limits.settle(grant.ticket)
            sent += 1
    return sent


def test_each_process_keeps_to_its_part(caplog: pytest.LogCaptureFixture) -> None:
    """Without the store four processes may send a quarter each, and each says so once."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 4)
    four = [FailoverLimits(store, clock) for _ in range(4)]
    assert [_sent(limits, 0) or _sent(limits, 1) for limits in four] == [1, 1, 1, 1]
    clock.moment = 5.0
    store.is_unreachable = True
    with caplog.at_level(logging.WARNING, "nango_py.limits"):
        assert [_sent(limits, 10) for limits in four] == [0, 0, 0, 0]
        clock.moment = 6.0
        assert [_sent(limits, 10) for limits in four] == [2, 2, 2, 2]
    assert len(caplog.records) == 4
    assert "1/4" in caplog.records[0].getMessage()


def test_what_was_sent_before_counts_after() -> None:
    """A process that used its part through the store has none left when the store goes."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 2)
    limits = FailoverLimits(store, clock)
    minute = (Spend("m", (window(10, 60.0),)),)
    assert _sent(limits, 5, minute) == 5
    clock.moment = 30.0
    store.is_unreachable = True
    assert _sent(limits, 5, minute) == 0
    clock.moment = 60.0 + 1e-6
    assert _sent(limits, 10, minute) == 5


def test_an_unreachable_store_is_tried_once_a_second() -> None:
    """No call waits for a store that is known to be away; one caller at a time looks whether it is back."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 1)
    limits = FailoverLimits(store, clock)
    store.is_unreachable = True
    _sent(limits, 3)
    asked = store.asked
    _sent(limits, 50)
    assert store.asked == asked
    clock.moment += RETRY_AFTER
    _sent(limits, 50)
    assert store.asked <= asked + 1


def test_it_comes_back_by_itself_and_exceeds_nothing_on_the_way(caplog: pytest.LogCaptureFixture) -> None:
    """After an outage the store decides again; for a while the own part must agree."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 2)
    limits = FailoverLimits(store, clock)
    _sent(limits, 1)
    clock.moment = 10.0
    store.is_unreachable = True
    _sent(limits, 1)
    clock.moment = 11.5
    assert _sent(limits, 10) == 5
    store.is_unreachable = False
    clock.moment += RETRY_AFTER / 2
    assert _sent(limits, 10) == 0
    with caplog.at_level(logging.INFO, "nango_py.limits"):
        clock.moment += RETRY_AFTER / 2 + 1e-6
        assert _sent(limits, 10) == 5
    assert [record.getMessage() for record in caplog.records][1:] == [
        "the rate limit store is reachable again"
    ]
    clock.moment += AGREE_SECONDS
    assert _sent(limits, 10) == 10


def test_a_store_that_lost_its_counts_is_not_believed_at_once() -> None:
    """After a flush no second full window is sent, because this process has its own record."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 1)
    limits = FailoverLimits(store, clock)
    assert _sent(limits, 10) == 10
    store.lose()
    clock.moment = 0.5
    assert _sent(limits, 10) == 0
    clock.moment = 1.5 + 1e-6
    assert _sent(limits, 20) == 10


def test_a_caller_who_waits_when_the_store_goes_is_booked_anew() -> None:
    """A booking that the store can no longer confirm becomes one of this process."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 1)
    limits = FailoverLimits(store, clock)
    assert _sent(limits, 10) == 10
    grant = limits.acquire(TEN, (), 10.0)
    assert isinstance(grant, Granted)
    store.is_unreachable = True
    clock.moment = grant.wait
    wait = limits.confirm(grant.ticket)
    clock.moment += wait
    assert wait == 0.0 or limits.confirm(grant.ticket) == 0.0
    limits.settle(grant.ticket)
    limits.release(grant.ticket)


def test_a_store_that_lost_everything_does_not_make_a_process_think_it_is_alone() -> None:
    """While the others have not come again, each keeps to the part that it had."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 2)
    limits = FailoverLimits(store, clock)
    assert _sent(limits, 1) == 1
    clock.moment += 20.0
    store.lose()
    store.count = 1
    _sent(limits, 1)
    clock.moment += 20.0
    store.is_unreachable = True
    _sent(limits, 1)
    clock.moment += 1.5
    assert _sent(limits, 10) == 5


@pytest.mark.parametrize("end", ["settle", "release"])
@pytest.mark.parametrize("moment", ["before", "at"])
def test_a_call_that_ends_during_an_outage_leaves_its_place_afterwards(end: str, moment: str) -> None:
    """The store learns of it when it is back; until it is ended, a call keeps its place under a cap."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 1)
    limits = FailoverLimits(store, clock)
    cap = (Spend("k", (InFlight(1, "1 in flight"),)),)
    grant = limits.acquire(cap, (), 0.0)
    assert isinstance(grant, Granted)
    assert isinstance(limits.acquire(cap, (), 0.0), Refused)
    store.is_unreachable = True
    if moment == "before":
        _sent(limits, 1)
    getattr(limits, end)(grant.ticket)
    clock.moment += RETRY_AFTER
    _sent(limits, 1)
    store.is_unreachable = False
    clock.moment += RETRY_AFTER
    assert _sent(limits, 2, cap) == 2


def test_processes_that_start_together_soon_know_of_each_other() -> None:
    """The first one to count sees only itself; two seconds later it keeps to its part."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 1)
    limits = FailoverLimits(store, clock)
    assert _sent(limits, 1) == 1
    store.count = 2
    clock.moment = FIRST_COUNT
    assert _sent(limits, 1) == 1
    store.is_unreachable = True
    _sent(limits, 1)
    clock.moment += 2 * RETRY_AFTER
    assert _sent(limits, 10) == 5


def test_a_forked_child_counts_as_another_process(tmp_path: Path) -> None:
    """Without the store a server with forked workers must not use each limit once for each of them."""
    clock = LimitClock(0.0)
    database = open_database(Secret(f"sqlite:///{tmp_path}/limits.db"))
    with closing(SqlLimits(database, clock, is_server=False)) as store:
        limits = FailoverLimits(store, clock)
        _sent(limits, 1)
        assert wait_for_child(fork(lambda: _sent(limits, 1))) == 0
        assert store.processes("one more") == 3


def test_gates_hold_without_the_store() -> None:
    """A gate that was closed while the store was reachable stays closed when it is not."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 1)
    limits = FailoverLimits(store, clock)
    limits.close_gate(("g",), 5.0)
    assert limits.view(["g"])[0].resets_in == 5.0
    store.is_unreachable = True
    assert limits.view(["g"])[0].resets_in == 5.0
    assert _sent(limits, 1) == 0
    limits.close_gate(("g",), 8.0)
    assert limits.view(["g"])[0].resets_in == 8.0


@pytest.mark.parametrize("limit", [Window(3, 1.0, "w"), bucket(3.0, 3.0)])
def test_a_limit_too_small_to_share_is_stretched(limit: Any) -> None:
    """Ten processes with three a second send no more than three a second together."""
    clock = LimitClock(0.0)
    store = Breakable(clock, 10)
    ten = [FailoverLimits(store, clock) for _ in range(10)]
    for limits in ten:
        limits.acquire((), (), 0.0)
    store.is_unreachable = True
    sent = 0
    for _ in range(100):
        clock.moment += 1.0
        sent += sum(_sent(limits, 1, (Spend("k", (limit,)),)) for limits in ten)
    assert sent <= 3 * 100 + 10
