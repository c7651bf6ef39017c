"""Ticks of intervals and cron expressions, when clocks change too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import croniter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.jobs.schedule import SECOND, check_cron, check_interval

MINUTE = 60 * SECOND
YEAR_2026 = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def ticks(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next ticks of an expression, as local times."""
    rule, found = check_cron(expression, zone), []
    moment = int(datetime.fromisoformat(after).timestamp()) * SECOND
    for _ in range(count):
        moment = rule.next_tick(moment, 0)
        local = datetime.fromtimestamp(moment // SECOND, ZoneInfo(zone))
        found.append(local.strftime("%m-%d %H:%M %Z"))
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Berlin skips 02:00 to 03:00 on 29 March 2026, and has it twice on 25 October.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T03:00+01:00", ["03-29 03:00 CEST", "03-30 02:30 CEST"]),
        ("0,30 2 * * *", "Europe/Berlin", "2026-03-29T00:00+01:00", ["03-29 03:00 CEST", "03-30 02:00 CEST"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T03:00+02:00", ["10-25 02:30 CEST", "10-26 02:30 CET"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:15+01:00", ["10-26 02:30 CET"]),
        ("0 7 * * *", "Europe/Berlin", "2026-03-28T12:00+01:00", ["03-29 07:00 CEST", "03-30 07:00 CEST"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00+01:00", ["03-29 01:30 CET", "03-29 03:00 CEST"]),
        (
            "0 * * * *", "Europe/Berlin", "2026-10-25T01:30+02:00",
            ["10-25 02:00 CEST", "10-25 02:00 CET", "10-25 03:00 CET"],
        ),
        # New York skips 02:00 to 03:00 on 8 March 2026, and has 01:00 to 02:00 twice on 1 November.
        ("15 2 * * *", "America/New_York", "2026-03-08T00:00-05:00", ["03-08 03:00 EDT", "03-09 02:15 EDT"]),
        ("15 1 * * *", "America/New_York", "2026-10-31T12:00-04:00", ["11-01 01:15 EDT", "11-02 01:15 EST"]),
        # Lord Howe changes by half an hour.
        (
            "15 2 * * *", "Australia/Lord_Howe", "2026-10-04T00:00+10:30",
            ["10-04 02:30 +11", "10-05 02:15 +11"],
        ),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00+00:00", ["02-29 00:00 UTC"]),
        ("0 9 * * MON-FRI", "UTC", "2026-11-27T09:00+00:00", ["11-30 09:00 UTC", "12-01 09:00 UTC"]),
        ("0 0 L * *", "UTC", "2026-02-01T00:00+00:00", ["02-28 00:00 UTC", "03-31 00:00 UTC"]),
    ],
)  # fmt: skip
def test_ticks_when_clocks_change(expression: str, zone: str, after: str, expected: list[str]) -> None:
    """A fixed time runs once a day: at the first of two, or after a skipped hour. Others follow the clock."""
    assert ticks(expression, zone, after, len(expected)) == expected


@given(
    st.builds(
        "{} {} {} {} {}".format,
        st.one_of(st.just("*"), st.sampled_from(["*/7", "0,31", "5-9"]), st.integers(0, 59)),
        st.one_of(st.just("*"), st.sampled_from(["*/5", "1-3"]), st.integers(0, 23)),
        st.one_of(st.just("*"), st.integers(1, 28)),
        st.one_of(st.just("*"), st.integers(1, 12)),
        st.just("*"),
    ),
    st.integers(YEAR_2026, YEAR_2026 + 4 * 365 * 86_400),
)
def test_ticks_in_utc_are_those_of_croniter(expression: str, after: int) -> None:
    """Another implementation finds the same ticks, for every expression and moment."""
    rule, moment = check_cron(expression, "UTC"), after * SECOND
    other = croniter.croniter(expression, datetime.fromtimestamp(after, UTC))
    for _ in range(3):
        moment = rule.next_tick(moment, 0)
        assert datetime.fromtimestamp(moment // SECOND, UTC) == other.get_next(datetime)


@given(
    st.integers(YEAR_2026, YEAR_2026 + 365 * 86_400), st.sampled_from(["Europe/Berlin", "America/New_York"])
)
def test_a_daily_tick_comes_once_on_each_day(after: int, zone: str) -> None:
    """From any moment of a year, each of the next ten days of the calendar has one tick."""
    rule, moment = check_cron("30 2 * * *", zone), after * SECOND
    days = []
    for _ in range(10):
        following = rule.next_tick(moment, 0)
        assert following > moment
        moment = following
        days.append(datetime.fromtimestamp(moment // SECOND, ZoneInfo(zone)).date())
    assert days == [days[0] + timedelta(days=number) for number in range(10)]


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.floats(1, 1e6))
def test_an_interval_ticks_at_its_multiples(start: int, passed: int, seconds: float) -> None:
    """The next tick is after the moment, within one interval, at a multiple of it from the start."""
    rule = check_interval(seconds)
    step = int(float(rule.value) * SECOND)
    tick = rule.next_tick(start + passed, start)
    assert 0 < tick - start - passed <= step
    assert (tick - start) % step == 0
    assert rule.next_tick(start - 1, start) == start + step
