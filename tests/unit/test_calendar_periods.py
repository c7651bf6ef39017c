"""Calendar days: their midnights, and that no day exceeds its limit."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.config.request_match import RequestFacts
from nango_py.database.opening import open_database
from nango_py.limits.counting.calendar_periods import CLOCKS_DIFFER, boundaries, period_around
from nango_py.limits.limit_types import CalendarPeriod, Granted, Refused, Spend
from nango_py.limits.notation import parse_limit
from nango_py.limits.rules import RateLimits
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.simulated_api import Arrival, LimitClock, World, window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.limits.limit_types import LimitStore

NEW_YORK = "America/New_York"
HOUR = 3600.0


UPTIME = 1000.0


class DayClock(LimitClock):
    """A clock that is set to local times of a time zone."""

    def __init__(self, place: str, *moment: int) -> None:
        super().__init__(0.0)
        self.began = datetime(*moment, tzinfo=ZoneInfo(place)).timestamp()  # type: ignore[misc,arg-type]

    def now(self) -> float:
        """Unix seconds."""
        return self.began + self.moment

    def monotonic(self) -> float:
        """Seconds since the machine started, a while ago."""
        return self.moment + UPTIME


@pytest.fixture(params=["memory", "sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of store that can be given a clock."""
    return str(request.param)


def _store(kind: str, clock: LimitClock, opened: list[Any]) -> LimitStore:
    if kind == "memory":
        return MemoryLimits(clock)
    if kind == "sqlite":
        opened.append(closing(open_database(Secret("sqlite:///:memory:"))))
        return SqlLimits(opened[-1].__enter__(), clock, is_server=False)
    opened.append(fresh_redis())
    opened.append(closing(RedisLimits(Secret(opened[-1].__enter__()), clock=clock)))
    return opened[-1].__enter__()  # type: ignore[no-any-return]


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """What a test opens, closed after it in the other order."""
    things: list[Any] = []
    yield things
    for thing in reversed(things):
        thing.__exit__(None, None, None)


def _sent(store: LimitStore, spends: tuple[Spend, ...], most: int) -> int:
    """The number of calls, up to a maximum, that may be sent at once."""
    sent = 0
    for _ in range(most):
        grant = store.acquire(spends, (), 0.0)
        if isinstance(grant, Granted):
            store.settle(grant.ticket)
            sent += 1
    return sent


@pytest.mark.parametrize(
    ("place", "day", "hours"),
    [
        (NEW_YORK, (2026, 3, 8), 23),
        (NEW_YORK, (2026, 11, 1), 25),
        (NEW_YORK, (2026, 7, 1), 24),
        ("Australia/Lord_Howe", (2026, 4, 5), 24.5),
        ("Africa/Cairo", (2026, 4, 24), 23),  # put forward at midnight
        ("America/Havana", (2026, 11, 1), 25),  # put back to midnight
        ("UTC", (2026, 3, 8), 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(place: str, day: tuple[int, int, int], hours: float) -> None:
    """From the first moment of a date to the first of the next one, whatever the clocks do in between."""
    noon = datetime(*day, 12, tzinfo=ZoneInfo(place)).timestamp()
    begin, end = period_around(place, noon)
    assert end - begin == hours * HOUR
    date = datetime.fromtimestamp(begin, ZoneInfo(place)).date()
    assert (date.year, date.month, date.day) == day
    assert datetime.fromtimestamp(begin - 1, ZoneInfo(place)).date() == date - timedelta(days=1)
    assert period_around(place, begin) == period_around(place, end - 1e-6) == (begin, end)
    assert period_around(place, end)[0] == period_around(place, begin - 1e-6)[1] + hours * HOUR == end


@given(
    st.sampled_from(
        [NEW_YORK, "Africa/Cairo", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]
    ),
    st.floats(1.2e9, 2.2e9),
)
def test_days_follow_one_another(place: str, moment: float) -> None:
    """Every moment has one day, days touch, and all moments of a day have its date."""
    begin, end = period_around(place, moment)
    assert begin <= moment < end
    assert boundaries(place, moment, 2)[1:3] == [begin, end]
    zone = ZoneInfo(place)
    dates = {
        datetime.fromtimestamp(begin + part * (end - begin), zone).date() for part in (0.0, 0.3, 0.6, 0.999)
    }
    assert len(dates) == 1


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 8), 23), ((2026, 11, 1), 25), ((2026, 7, 1), 24)])
def test_a_day_begins_anew_at_its_own_midnight(
    kind: str, opened: list[Any], day: tuple[int, int, int], hours: int
) -> None:
    """What was used in the evening is free again after midnight in New York, on days of any length."""
    clock = DayClock(NEW_YORK, *day, 0, 0, 10)
    store = _store(kind, clock, opened)
    spends = (Spend("k", (CalendarPeriod(5, NEW_YORK, "5/day"),)),)
    assert _sent(store, spends, 9) == 5
    clock.moment = hours * HOUR - 11.0 - CLOCKS_DIFFER
    refusal = store.acquire(spends, (), 0.0)
    assert isinstance(refusal, Refused)
    assert refusal.window == "5/day"
    assert refusal.wait == pytest.approx(1.0 + 2 * CLOCKS_DIFFER, abs=0.001)
    (view,) = store.view(["k"])
    assert (view.used, view.left) == (5, 0)
    assert view.resets_in == pytest.approx(1.0 + 2 * CLOCKS_DIFFER, abs=0.001)
    clock.moment = hours * HOUR - 10.0 + CLOCKS_DIFFER + 0.001
    assert store.view(["k"])[0].used == 0
    assert _sent(store, spends, 9) == 5


PERIODS = [
    ("hour", (2026, 7, 1, 10, 0, 10), HOUR - 10),
    ("week", (2026, 6, 29, 0, 0, 10), 7 * 24 * HOUR - 10),  # a Monday
    ("month", (2026, 2, 1, 0, 0, 10), 28 * 24 * HOUR - 10),
    ("month", (2026, 12, 1, 0, 0, 10), 31 * 24 * HOUR - 10),
    ("month", (2026, 11, 1, 0, 0, 10), 30 * 24 * HOUR + HOUR - 10),  # clocks are put back
]


@pytest.mark.parametrize(("period", "moment", "length"), PERIODS)
def test_a_period_begins_when_the_calendar_says(
    kind: str, opened: list[Any], period: str, moment: tuple[int, ...], length: float
) -> None:
    """What was used is free again in the next hour, week or month, and not before."""
    clock = DayClock(NEW_YORK, *moment)
    store = _store(kind, clock, opened)
    spends = (Spend("k", (CalendarPeriod(3, NEW_YORK, "3", period),)),)
    assert _sent(store, spends, 9) == 3
    refusal = store.acquire(spends, (), 0.0)
    assert isinstance(refusal, Refused)
    assert refusal.wait == pytest.approx(length + CLOCKS_DIFFER, abs=0.001)
    for moved, sent in ((length - 2.0, 0), (length + 2.0, 3)):
        clock.moment = moved
        assert _sent(store, spends, 9) == sent


@given(
    st.sampled_from([NEW_YORK, "Africa/Cairo", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["hour", "week", "month"]),
    st.floats(1.2e9, 2.2e9),
)
def test_periods_follow_one_another(place: str, period: str, moment: float) -> None:
    """Every moment has one period, and periods touch where the local calendar says."""
    begin, end = period_around(place, moment, period)
    assert begin <= moment < end
    assert boundaries(place, moment, 2, period)[1:3] == [begin, end]
    local = datetime.fromtimestamp(begin, ZoneInfo(place))
    if period == "week":
        assert local.weekday() == 0
    if period == "month":
        assert local.day == 1


def test_an_answer_after_midnight_counts_in_both_days(kind: str, opened: list[Any]) -> None:
    """The API may have counted it before or after, so neither day may be overfilled by it."""
    clock = DayClock("UTC", 2026, 7, 1, 23, 59, 50)
    store = _store(kind, clock, opened)
    spends = (Spend("k", (CalendarPeriod(3, "UTC", "3/day"),)),)
    late = store.acquire(spends, (), 0.0)
    assert isinstance(late, Granted)
    assert _sent(store, spends, 9) == 2
    clock.moment = 12.0
    store.settle(late.ticket)
    assert _sent(store, spends, 9) == 2


def test_a_long_wait_is_for_the_day_that_has_room(kind: str, opened: list[Any]) -> None:
    """Callers who may wait for days are booked day by day, in their order."""
    clock = DayClock(NEW_YORK, 2026, 10, 30, 12)
    store = _store(kind, clock, opened)
    spends = (Spend("k", (CalendarPeriod(2, NEW_YORK, "2/day"), window(1, 1.0))),)
    waits = [grant.wait for _ in range(8) if isinstance(grant := store.acquire(spends, (), 1e7), Granted)]
    first = 12 * HOUR + CLOCKS_DIFFER
    expected = [0.0, 1.0, first, first + 1, first + 24 * HOUR, first + 24 * HOUR + 1]
    expected += [first + 49 * HOUR, first + 49 * HOUR + 1]  # the clocks are put back on 1 November
    assert waits == pytest.approx(expected, abs=0.01)


@st.composite
def histories(draw: st.DrawFn) -> tuple[DayClock, list[Arrival], float]:
    """Calls around midnights of a day on which clocks change, and how far off the API's clock is."""
    day = draw(st.sampled_from([(2026, 3, 7), (2026, 10, 31), (2026, 7, 1)]))
    clock = DayClock(NEW_YORK, *day, 23, 59, draw(st.integers(0, 59)))
    limits = (CalendarPeriod(draw(st.integers(1, 5)), NEW_YORK, "some/day"),)
    if draw(st.booleans()):
        limits = (*limits, window(2, 1.5))  # type: ignore[assignment]
    gaps = st.sampled_from([0.0, 0.5, 1.0, 30.0, HOUR, 11 * HOUR]) | st.floats(0.0, 90.0)
    delays = st.sampled_from([0.0, 0.01]) | st.floats(0.0, 4.0)
    arrivals = [
        Arrival(draw(gaps), (Spend("k", limits),), draw(delays), draw(delays), draw(delays))
        for _ in range(draw(st.integers(1, 25)))
    ]
    return clock, arrivals, draw(st.floats(-CLOCKS_DIFFER, CLOCKS_DIFFER))


def _check(kind: str, played: tuple[DayClock, list[Arrival], float]) -> None:
    clock, arrivals, off = played
    opened: list[Any] = []
    try:
        sent = World(_store(kind, clock, opened), clock).play(arrivals)
    finally:
        for thing in reversed(opened):
            thing.__exit__(None, None, None)
    limit = arrivals[0].spends[0].limits[0]
    assert isinstance(limit, CalendarPeriod)
    counted: dict[object, int] = {}
    for request in sent:
        date = datetime.fromtimestamp(clock.began + request.counted + off, ZoneInfo(NEW_YORK)).date()
        counted[date] = counted.get(date, 0) + 1
    assert max(counted.values()) <= limit.requests
    assert sorted(request.number for request in sent) == list(range(len(arrivals)))


@given(histories())
def test_no_day_holds_more_than_it_may(played: tuple[DayClock, list[Arrival], float]) -> None:
    """Counted by date alone, by an API whose clock may be a second off, no day is ever overfilled."""
    _check("memory", played)


@given(histories())
def test_rows_keep_days_as_memory_does(played: tuple[DayClock, list[Arrival], float]) -> None:
    """The same with every state written down and read again."""
    _check("sqlite", played)


@given(histories())
def test_the_script_in_redis_keeps_days(played: tuple[DayClock, list[Arrival], float]) -> None:
    """The same by the arithmetic in Redis, which knows midnights and no time zones."""
    _check("redis", played)


def test_redis_is_told_new_midnights_as_days_go_by(opened: list[Any]) -> None:
    """A process that runs for a month still knows when the clocks change."""
    clock = DayClock(NEW_YORK, 2026, 10, 10, 12)
    store = _store("redis", clock, opened)
    spends = (Spend("k", (CalendarPeriod(1, NEW_YORK, "1/day"),)),)
    for _ in range(30):
        assert _sent(store, spends, 3) == 1
        clock.moment = period_around(NEW_YORK, clock.now())[1] - clock.began + 2.0


def test_a_blueprint_may_name_the_time_zone() -> None:
    """UTC unless given; an unknown zone is refused by name."""
    rules = RateLimits.from_settings(
        {"budgets": [{"key": "all", "otherwise": [{"requests": 9, "per": "day", "time_zone": NEW_YORK}]}]}
    )
    (spend,) = rules.spends_and_gates(RequestFacts("GET", "a"), {"integration": "i", "user_id": "u"})[0]
    assert spend.limits == (CalendarPeriod(9, NEW_YORK, "9/day America/New_York"),)
    assert parse_limit({"requests": 9, "per": "day"}) == CalendarPeriod(9, "UTC", "9/day UTC")
    for zone in ("America/New_Yorck", "../../etc/passwd", ""):
        with pytest.raises(ValueError, match="unknown time zone"):
            parse_limit({"requests": 9, "per": "day", "time_zone": zone})
