"""The same admissions as the `limits` package, if both count in the same way and responses are immediate."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import limits as peer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits.storage import memory as their_memory

from nango_py.limits.limit_types import CalendarPeriod, Granted, Spend
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.simulated_api import LimitClock, window

TICK, SHIFT = 2.0**-7, 2.0**-20
"""Arrivals lie on ticks, each shifted by a little more than the one before it: so no two are exactly a window
apart, the one moment at which the two differ, and no sum is rounded."""


def _admitted(store: MemoryLimits, spends: tuple[Spend, ...]) -> bool:
    grant = store.acquire(spends, (), 0.0)
    if isinstance(grant, Granted):
        store.settle(grant.ticket)
    return isinstance(grant, Granted)


@given(st.integers(1, 8), st.integers(1, 30), st.lists(st.integers(0, 600), min_size=1, max_size=80))
def test_a_window_admits_what_a_moving_window_admits(requests: int, seconds: int, pauses: list[int]) -> None:
    """Call by call, a window lets through what the moving window of the other package lets through."""
    clock = LimitClock(1024.0)
    store, spends = MemoryLimits(clock), (Spend("k", (window(requests, float(seconds)),)),)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(their_memory, "time", SimpleNamespace(time=clock.monotonic))
        theirs = peer.strategies.MovingWindowRateLimiter(peer.storage.MemoryStorage())
        item = peer.RateLimitItemPerSecond(requests, seconds)
        for pause in pauses:
            clock.moment += pause * TICK + SHIFT
            assert _admitted(store, spends) is theirs.hit(item, "k")


@given(st.integers(1, 8), st.lists(st.integers(0, 40_000), min_size=1, max_size=80))
def test_a_day_admits_what_a_fixed_window_admits(requests: int, pauses: list[int]) -> None:
    """Away from midnight, where ours allows for other clocks, a day is a fixed window under its date."""
    clock = LimitClock(1024.0)
    store, spends = MemoryLimits(clock), (Spend("k", (CalendarPeriod(requests, "UTC", "some/day"),)),)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(their_memory, "time", SimpleNamespace(time=clock.monotonic))
        theirs = peer.strategies.FixedWindowRateLimiter(peer.storage.MemoryStorage())
        item = peer.RateLimitItemPerDay(requests)
        for pause in pauses:
            clock.moment += pause
            if min(clock.now() % 86_400, -clock.now() % 86_400) > 2:
                date = datetime.fromtimestamp(clock.now(), UTC).date().isoformat()
                assert _admitted(store, spends) is theirs.hit(item, "k", date)
