"""Properties of the limiter over arbitrary histories, checked by counting that shares nothing with it."""

from __future__ import annotations

import random
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.database.opening import open_database
from nango_py.limits.limit_types import Limit, Spend
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.simulated_api import Arrival, LimitClock, World, broken_limits, bucket, overfull, window

windows = st.builds(
    window, st.integers(1, 7), st.sampled_from([0.25, 1.0, 2.0, 3.7]) | st.floats(0.05, 5.0, allow_nan=False)
)
buckets = st.builds(bucket, st.integers(1, 6).map(float), st.floats(0.5, 8.0, allow_nan=False))
limits = st.lists(windows | buckets, min_size=1, max_size=3).map(tuple)
moments = st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0]) | st.floats(0.0, 3.0, allow_nan=False)
delays = st.sampled_from([0.0, 0.0, 0.01]) | st.floats(0.0, 4.0, allow_nan=False)


@st.composite
def histories(draw: st.DrawFn) -> list[Arrival]:
    """Arrivals of calls that share an account's budget and have one of two endpoints' budgets, or neither."""
    account: tuple[Limit, ...] = draw(limits)
    endpoints = [draw(limits), draw(limits)]
    costs = draw(st.sampled_from([st.just(1), st.integers(1, 2)]))
    arrivals = []
    for _ in range(draw(st.integers(1, 40))):
        spends = [Spend("account", account, min(draw(costs), _most(account)))]
        which = draw(st.integers(0, 2))
        if which < 2:
            cost = min(draw(costs), _most(endpoints[which]))
            spends.insert(0, Spend(f"endpoint {which}", endpoints[which], cost))
        arrivals.append(Arrival(draw(moments), tuple(spends), draw(delays), draw(delays), draw(delays)))
    return arrivals


def _most(of: tuple[Limit, ...]) -> int:
    return min(int(getattr(limit, "requests", 0) or getattr(limit, "burst", 0)) for limit in of)


@given(histories())
def test_no_window_of_any_alignment_is_exceeded(arrivals: list[Arrival]) -> None:
    """In any order of calls, and with any delay of counting and response, no limit is ever broken."""
    clock = LimitClock()
    sent = World(MemoryLimits(clock), clock).play(arrivals)
    assert broken_limits(sent) == []


@given(histories())
def test_everybody_is_served(arrivals: list[Arrival]) -> None:
    """No caller starves: each is sent, and none after more than all the work before it could have taken."""
    clock = LimitClock()
    sent = World(MemoryLimits(clock), clock).play(arrivals)
    assert sorted(request.number for request in sent) == list(range(len(arrivals)))
    slowest = sum(
        arrival.travels + arrival.responds_after + arrival.late + max(map(_slowest, arrival.spends))
        for arrival in arrivals
    )
    assert all(request.sent - request.came <= 2 * slowest + 1 for request in sent)


@given(histories())
def test_a_database_keeps_the_windows_as_exactly_as_memory(arrivals: list[Arrival]) -> None:
    """The store that keeps every state as a row sends each request at the moment at which memory does."""
    in_memory, in_rows = LimitClock(), LimitClock()
    expected = World(MemoryLimits(in_memory), in_memory).play(arrivals)
    with closing(open_database(Secret("sqlite:///:memory:"))) as database:
        sent = World(SqlLimits(database, in_rows, is_server=False), in_rows).play(arrivals)
    assert broken_limits(sent) == []
    assert [(one.number, one.sent) for one in sent] == [(one.number, one.sent) for one in expected]


@given(histories())
def test_the_script_in_redis_keeps_every_window(arrivals: list[Arrival]) -> None:
    """The arithmetic in Redis breaks no limit either, and serves everybody."""
    clock = LimitClock()
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=clock)) as store:
        sent = World(store, clock).play(arrivals)
    assert broken_limits(sent) == []
    assert sorted(request.number for request in sent) == list(range(len(arrivals)))


def _slowest(spend: Spend) -> float:
    return max(
        getattr(limit, "seconds", 0.0) or spend.cost / getattr(limit, "per_second", 1.0)
        for limit in spend.limits
    )


@given(st.lists(moments, min_size=2, max_size=40), limits)
def test_calls_with_the_same_keys_go_in_order_of_arrival(gaps: list[float], of: tuple[Limit, ...]) -> None:
    """Who came first under the same keys is sent first, when all wake on time."""
    clock = LimitClock()
    sent = World(MemoryLimits(clock), clock).play(
        [Arrival(gap, (Spend("k", of),), 0.005, 0.005) for gap in gaps]
    )
    moments_sent = [request.sent for request in sorted(sent, key=lambda request: request.number)]
    assert all(first <= second for first, second in pairwise(moments_sent))


@pytest.mark.parametrize(
    ("of", "allowed"),
    [
        ((window(10, 1.0),), 10 * 30),
        ((window(10, 1.0), window(15, 6.0)), 15 * 5),
        ((bucket(10.0, 2.5),), 10 + 2.5 * 30),
    ],
    ids=["window", "two windows", "token bucket"],
)
@pytest.mark.parametrize(("slowest", "share"), [(0.002, 0.985), (0.05, 0.95)], ids=["loopback", "delayed"])
def test_the_rate_is_used(of: tuple[Limit, ...], allowed: float, slowest: float, share: float) -> None:
    """Eight callers that never rest send almost all that the limits allow, whatever the responses' delay."""
    clock = LimitClock()
    dice = random.Random(7)
    arrivals = [
        Arrival(0.0, (Spend("k", of),), dice.uniform(0, slowest / 2), dice.uniform(0, slowest / 2))
        for _ in range(400)
    ]
    sent = World(MemoryLimits(clock), clock).play(arrivals)
    assert broken_limits(sent) == []
    assert sum(request.sent < 1030.0 for request in sent) >= share * allowed


def test_the_check_itself_finds_an_overfull_window() -> None:
    """The counting that judges the limiter sees windows at any alignment, and buckets run dry."""
    assert overfull(window(2, 1.0), [(0.0, 1), (0.6, 1), (1.2, 1)]) == ""
    assert overfull(window(2, 1.0), [(0.0, 1), (0.6, 1), (1.2, 1), (1.5, 1)]) != ""
    assert overfull(bucket(2.0, 1.0), [(0.0, 2), (1.0, 1)]) == ""
    assert overfull(bucket(2.0, 1.0), [(0.0, 2), (0.9, 1)]) != ""
