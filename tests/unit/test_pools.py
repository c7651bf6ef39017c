"""The bounded cache, and the idle connections to all hosts."""

from __future__ import annotations

from nango_py.transport.bounded_cache import MAX_CACHED, BoundedCache
from nango_py.transport.pools import MAX_IDLE, MAX_IDLE_SECONDS, IdleWires
from tests.support.fake_clock import ManualClock


def test_the_least_recently_used_value_is_dropped() -> None:
    """A value in use stays, however long ago it was made."""
    made: list[int] = []
    cache: BoundedCache[int] = BoundedCache()

    def get(number: int) -> None:
        cache.get(number, lambda: made.append(number) or number)

    for number in range(MAX_CACHED):
        get(number)
    for number in (0, MAX_CACHED, 0, 1):
        get(number)
    assert made == [*range(MAX_CACHED), MAX_CACHED, 1]


class Wire:
    """An idle connection."""

    def __init__(self) -> None:
        self.is_open = True
        self.has_surplus = False

    def is_usable(self) -> bool:
        """Whether it may be used."""
        return self.is_open and not self.has_surplus

    def close(self) -> None:
        """Close it."""
        self.is_open = False


def idle_wires() -> tuple[IdleWires[Wire], ManualClock]:
    """No connections, and their clock."""
    clock = ManualClock()
    return IdleWires(clock.monotonic), clock


def test_one_bound_holds_for_all_hosts() -> None:
    """Two thousand hosts leave at most 200 connections; the least recently used ones are closed."""
    idle, _ = idle_wires()
    wires = [Wire() for _ in range(2000)]
    for number, wire in enumerate(wires):
        idle.give_back(number, wire)
        assert len(idle) <= MAX_IDLE
    assert [wire.is_open for wire in wires] == [False] * (2000 - MAX_IDLE) + [True] * MAX_IDLE
    assert idle.take(1999) is wires[1999]
    assert idle.take(0) is None
    assert len(idle) == MAX_IDLE - 1


def test_the_most_recently_used_connection_of_a_host_is_taken() -> None:
    """The others may grow old."""
    idle, _ = idle_wires()
    first, second = Wire(), Wire()
    idle.give_back("a", first)
    idle.give_back("a", second)
    assert [idle.take("a"), idle.take("a"), idle.take("a")] == [second, first, None]


def test_an_old_or_unusable_connection_is_closed_and_not_taken() -> None:
    """After 30 seconds, after its server has closed it, or with bytes that no request asked for."""
    idle, clock = idle_wires()
    old, surplus, good = Wire(), Wire(), Wire()
    idle.give_back("a", old)
    clock.advance(MAX_IDLE_SECONDS)
    idle.give_back("a", good)
    idle.give_back("a", surplus)
    surplus.has_surplus = True
    assert idle.take("a") is good
    assert idle.take("a") is None
    assert not old.is_open
    assert not surplus.is_open


def test_a_sweep_closes_what_is_old_or_was_closed() -> None:
    """It also says whether another sweep is needed."""
    idle, clock = idle_wires()
    old, closed, good = Wire(), Wire(), Wire()
    idle.give_back("a", old)
    clock.advance(MAX_IDLE_SECONDS - 1)
    idle.give_back("b", closed)
    idle.give_back("b", good)
    closed.close()
    clock.advance(1)
    assert idle.sweep() == 1
    assert (old.is_open, good.is_open) == (False, True)
    clock.advance(MAX_IDLE_SECONDS)
    assert idle.sweep() == 0
    assert not good.is_open


def test_a_connection_that_was_lost_is_forgotten() -> None:
    """Also one that is in use."""
    idle, _ = idle_wires()
    wire = Wire()
    idle.give_back("a", wire)
    idle.discard(wire)
    idle.discard(Wire())
    assert idle.take("a") is None
    idle.give_back("a", wire)
    idle.clear()
    assert (len(idle), wire.is_open) == (0, False)
