"""Calendar hours, days, weeks and months of a time zone; a day has 23 or 25 hours where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOCKS_DIFFER = 1.0
"""Seconds by which the API's clock may differ from ours. A response this close to the end of a period counts
in both, and the first request of a period is sent this much later."""

HOUR, DAY = 3600.0, 86_400.0


class Length(NamedTuple):
    """The length of a kind of period in seconds.

    Attributes:
        usual: of most of them.
        longest: for which counts are kept; clocks that change make a period an hour longer.
    """

    usual: float
    longest: float


LENGTHS: Mapping[str, Length] = {
    "hour": Length(HOUR, 2 * HOUR),
    "day": Length(DAY, DAY + 2 * HOUR),
    "week": Length(7 * DAY, 7 * DAY + 2 * HOUR),
    "month": Length(30 * DAY, 31 * DAY + 2 * HOUR),
}
"""Weeks begin on Monday."""


@lru_cache(maxsize=64)
def get_time_zone(name: str) -> tzinfo:
    """The time zone of an IANA name such as "America/New_York".

    Raises:
        ValueError: the name is unknown.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise ValueError(f"unknown time zone {name!r}; expected UTC or an IANA name such as America/New_York")


def period_around(time_zone: str, moment: float, period: str = "day") -> tuple[float, float]:
    """The bounds of the period of a moment, in Unix seconds; a bound belongs to the period after it.

    Args:
        time_zone: "UTC" or an IANA name.
        moment: Unix seconds.
        period: one of LENGTHS.
    """
    local = datetime.fromtimestamp(moment, get_time_zone(time_zone))
    if period == "hour":
        # Some zones differ from UTC by half an hour.
        offset = local.utcoffset() or timedelta()
        begin = (moment + offset.total_seconds()) // HOUR * HOUR - offset.total_seconds()
        return begin, begin + HOUR
    first, after = _dates(local.date(), period)
    begin, end = _midnight(time_zone, first), _midnight(time_zone, after)
    # Rounding to microseconds may have crossed midnight.
    if moment < begin:
        return _midnight(time_zone, _dates(first - timedelta(days=1), period)[0]), begin
    return (begin, end) if moment < end else (end, _midnight(time_zone, _dates(after, period)[1]))


def boundaries(time_zone: str, moment: float, number: int, period: str = "day") -> list[float]:
    """The begin of the previous period, and those of the next ones.

    Args:
        time_zone: "UTC" or an IANA name.
        moment: Unix seconds.
        number: of boundaries after the first.
        period: one of LENGTHS.
    """
    begin = period_around(time_zone, moment, period)[0]
    found = [*period_around(time_zone, begin - 1.0, period)]
    while len(found) <= number:
        found.append(period_around(time_zone, found[-1], period)[1])
    return found


def _dates(day: date, period: str) -> tuple[date, date]:
    """The first day of the period of a day, and that of the next period."""
    if period == "week":
        first = day - timedelta(days=day.weekday())
        return first, first + timedelta(days=7)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=31)).replace(day=1)
    return day, day + timedelta(days=1)


@lru_cache(maxsize=512)
def _midnight(time_zone: str, day: date) -> float:
    # A midnight that clocks skip is the moment of the change; of a midnight that comes twice it is the first.
    return datetime.combine(day, time(), get_time_zone(time_zone)).timestamp()
