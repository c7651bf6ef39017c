"""Responses correct what is counted, in memory, SQL and Redis alike: what others use, and when it ends."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.database.opening import open_database
from nango_py.limits.limit_types import CalendarPeriod, Granted, LimitReport, Refused, Spend, Window
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.shared_quota import SharedQuota, store_opener
from tests.support.simulated_api import LimitClock, bucket, window

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.limits.limit_types import Limit, LimitStore

KINDS = ("memory", "sql", "redis")
HOUR = window(200, 3600.0)
DAY = CalendarPeriod(200, "UTC", "200/day UTC")


@pytest.mark.parametrize(("kind", "seconds"), [*((kind, 3600.0) for kind in KINDS), ("memory", 60.0)])
@pytest.mark.parametrize("knowledge", ["written", "learned"])
@pytest.mark.parametrize("life", ["one process", "restarts"])
def test_a_caller_who_starts_late_uses_every_following_window(
    kind: str, knowledge: str, life: str, seconds: float, tmp_path: Path
) -> None:
    """Others left 10 and the reset is in 3 s: waits end there, and later windows are used to their end."""
    clock = LimitClock(10 * seconds - 3.0)
    spends = () if knowledge == "learned" else (Spend("k", (window(100, seconds),)),)
    with store_opener(kind, tmp_path, clock) as open_store:
        api = SharedQuota(100, seconds, clock, spends)
        api.store = open_store()
        api.others(90)
        for number in range(9, 14):
            if life == "restarts":
                api.restart(open_store())
            while api.window == number:
                reset = api.reset
                waited = api.call()
                assert waited == 0.0 or clock.moment <= reset + 0.01
            if number < 13:
                api.others(30)
            # An API with late resets: all of a window is sent in its last seconds.
            clock.moment = max(clock.moment, (number + 2) * seconds - 5.0)
    assert min(api.ours[number] for number in range(10, 14)) >= 0.95 * 70
    assert sum(not is_accepted for _, is_accepted in api.sent) <= 2


def _report(left: float, resets_in: float | None = 3.0, age: float = 0.0, of: Limit = HOUR) -> LimitReport:
    return LimitReport(of.label, left, resets_in, age)


def _wait(store: LimitStore, *limits: Limit) -> float:
    """The wait of a call now; it books nothing."""
    result = store.acquire((Spend("k", limits),), (), 0.0)
    if isinstance(result, Refused):
        return result.wait
    store.release(result.ticket)
    return 0.0


def _send(store: LimitStore, number: int, *limits: Limit) -> None:
    for _ in range(number):
        grant = store.acquire((Spend("k", limits),), (), 0.0)
        assert isinstance(grant, Granted)
        store.settle(grant.ticket)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [HOUR, DAY], ids=["window", "day"])
def test_what_others_used_counts_until_the_reset(kind: str, limit: Limit, tmp_path: Path) -> None:
    """What others took is gone at the reset that the response named, and not a window later."""
    clock = LimitClock(50_000.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 1, limit)
        store.correct(Spend("k", (limit,)), _report(0.0, of=limit))
        assert _wait(store, limit) == pytest.approx(3.0, abs=0.01)
        assert store.view(["k"])[0].left == 0
        clock.moment += 3.01
        assert _wait(store, limit) == 0.0
        assert store.view(["k"])[0].left >= 199


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [HOUR, DAY], ids=["window", "day"])
def test_a_response_gives_back_what_others_no_longer_use(kind: str, limit: Limit, tmp_path: Path) -> None:
    """The next response says that more is left, and the wait ends at once."""
    clock = LimitClock(50_000.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 1, limit)
        store.correct(Spend("k", (limit,)), _report(0.0, 1800.0, of=limit))
        store.correct(Spend("k", (limit,)), _report(150.0, 1800.0, of=limit))
        assert _wait(store, limit) == 0.0
        assert store.view(["k"])[0].left == 150


@pytest.mark.parametrize("kind", KINDS)
def test_own_calls_of_a_window_that_the_api_ended_are_forgotten(kind: str, tmp_path: Path) -> None:
    """What was sent before the API's reset does not hold calls back after it."""
    clock = LimitClock(50_000.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 200, HOUR)
        assert _wait(store, HOUR) == pytest.approx(3600.0, abs=0.01)
        store.correct(Spend("k", (HOUR,)), _report(0.0, 5.0))
        assert _wait(store, HOUR) == pytest.approx(5.0, abs=0.01)
        clock.moment += 5.01
        _send(store, 1, HOUR)
        store.correct(Spend("k", (HOUR,)), _report(199.0, 3600.0))
        _send(store, 199, HOUR)
        assert _wait(store, HOUR) > 3590.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_response_that_is_late_gives_nothing_back_that_it_did_not_see(kind: str, tmp_path: Path) -> None:
    """Responses overtake each other: one that was computed before other calls of ours does not undo them."""
    clock = LimitClock(50_000.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        spend = Spend("k", (HOUR,))
        slow = store.acquire((spend,), (), 0.0)
        assert isinstance(slow, Granted)
        clock.moment += 1.0
        _send(store, 150, HOUR)
        clock.moment += 1.0
        store.settle(slow.ticket)
        store.correct(spend, _report(199.0, 1800.0, age=2.0))
        assert store.view(["k"])[0].used == 151
        flying = store.acquire((spend,), (), 0.0)
        assert isinstance(flying, Granted)
        store.correct(spend, _report(48.0, 1800.0))  # may or may not contain the one in flight
        assert store.view(["k"])[0].used == 152


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_without_a_reset_is_believed_for_a_minute(kind: str, tmp_path: Path) -> None:
    """A daily header that names no reset does not stop calls for a day; a calendar day ends at midnight."""
    clock = LimitClock(50_000.0)
    rolling = Window(200, 86_400.0, "200/day")
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 1, rolling)
        store.correct(Spend("k", (rolling,)), _report(0.0, None, of=rolling))
        assert _wait(store, rolling) == pytest.approx(60.0, abs=0.01)
    with store_opener(kind, tmp_path / "other", clock) as open_store:
        (tmp_path / "other").mkdir()
        store = open_store()
        _send(store, 1, DAY)
        store.correct(Spend("k", (DAY,)), _report(0.0, None, of=DAY))
        assert _wait(store, DAY) == pytest.approx(86_400.0 - clock.now() % 86_400.0, abs=3.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_takes_the_level_that_a_response_reports(kind: str, tmp_path: Path) -> None:
    """Shopify's 32/40 sets the level, in both directions."""
    clock = LimitClock(50_000.0)
    limit = bucket(40.0, 2.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 1, limit)
        store.correct(Spend("k", (limit,)), _report(0.0, None, of=limit))
        assert _wait(store, limit) == pytest.approx(0.5, abs=0.01)
        store.correct(Spend("k", (limit,)), _report(30.0, None, of=limit))
        assert store.view(["k"])[0].left == pytest.approx(30.0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_of_an_unknown_limit_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Only limits of the call's own budget can be corrected."""
    clock = LimitClock(50_000.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 1, HOUR)
        store.correct(Spend("k", (HOUR,)), _report(0.0, of=DAY))
        assert store.view(["k"])[0].used == 1


STEPS = st.tuples(
    st.sampled_from([0.0, 0.001, 1.0, 7.0]) | st.floats(0.0, 30.0),
    st.sampled_from(["book", "book", "book", "settle", "settle", "report"]),
    st.integers(0, 9),
    st.none() | st.sampled_from([0.0, 1.0, 5.0]) | st.floats(0.0, 40.0),
    st.floats(0.0, 12.0),
)
Steps: TypeAlias = "list[tuple[float, str, int, float | None, float]]"
SEVERAL: tuple[Limit, ...] = (
    window(4, 2.0),
    window(7, 20.0),
    bucket(6.0, 0.5),
    CalendarPeriod(9, "UTC", "9/day"),
)


def _play(store: LimitStore, clock: LimitClock, steps: Steps) -> list[float]:
    """The wait of each call, and what is used of each limit after each report."""
    spend, tickets, seen = Spend("k", SEVERAL), [], []
    for gap, step, number, resets_in, age in steps:
        clock.moment += gap
        if step == "book":
            result = store.acquire((spend,), (), 25.0)
            seen.append(result.wait)
            if isinstance(result, Granted):
                tickets.append(result.ticket)
        elif step == "settle" and tickets:
            store.settle(tickets.pop(number % len(tickets)))
        elif step == "report":
            limit = SEVERAL[number % len(SEVERAL)]
            store.correct(spend, LimitReport(limit.label, float(number % 7), resets_in, age))
            # Stores forget a key that is not used.
            seen += [view.used for view in store.view(["k"]) if view.used > 1e-3]
    return seen


@given(st.lists(STEPS, max_size=40))
def test_every_store_corrects_alike(steps: Steps) -> None:
    """Whatever is sent and reported, memory, SQL and Redis make each call wait as long."""
    clock = LimitClock()
    expected = _play(MemoryLimits(clock), clock, steps)
    clock = LimitClock()
    with closing(open_database(Secret("sqlite:///:memory:"))) as database:
        assert _play(SqlLimits(database, clock, is_server=False), clock, steps) == expected
    clock = LimitClock()
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=clock)) as store:
        assert _play(store, clock, steps) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_window_holds_wherever_it_begins(kind: str, tmp_path: Path) -> None:
    """Below a minute our calls count for the whole window; what others used still ends at its reset."""
    clock, limit = LimitClock(50_000.0), window(10, 20.0)
    with store_opener(kind, tmp_path, clock) as open_store:
        store = open_store()
        _send(store, 6, limit)
        store.correct(Spend("k", (limit,)), _report(0.0, 3.0, of=limit))
        assert _wait(store, limit) == pytest.approx(3.0, abs=0.01)
        clock.moment += 3.01
        store.correct(Spend("k", (limit,)), _report(9.0, 20.0, of=limit))
        assert store.view(["k"])[0].used == 6
        _send(store, 4, limit)
        assert _wait(store, limit) == pytest.approx(16.99, abs=0.01)
