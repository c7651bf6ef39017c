"""Calendar days: from midnight to midnight of a time zone, 23 or 25 hours long where clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

ORDINARY_DAY = 86_400.0

LONGEST_DAY = 93_600.0
"""Seconds for which a day's counts are kept; no day has more than 25 hours."""

CLOCKS_DIFFER = 1.0
"""Seconds by which the API's midnight may differ from ours. A response this close to midnight counts in both
days, and the first request of a day is sent this much later."""


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


def day_around(time_zone: str, moment: float) -> tuple[float, float]:
    """The midnights before and after a moment, in Unix seconds; a midnight belongs to the day after it."""
    day = datetime.fromtimestamp(moment, get_time_zone(time_zone)).date()
    begin, end = _bounds(time_zone, day)
    # Rounding to microseconds may have crossed midnight.
    if moment < begin:
        return _bounds(time_zone, day - timedelta(days=1))
    return (begin, end) if moment < end else _bounds(time_zone, day + timedelta(days=1))


def midnights(time_zone: str, moment: float, days: int) -> list[float]:
    """The midnight at the start of the previous day, and those of the next days.

    Args:
        time_zone: "UTC" or an IANA name.
        moment: Unix seconds.
        days: number of midnights after the first.
    """
    first = day_around(time_zone, day_around(time_zone, moment)[0] - 1.0)
    found = [*first]
    while len(found) <= days:
        found.append(day_around(time_zone, found[-1])[1])
    return found


@lru_cache(maxsize=512)
def _bounds(time_zone: str, day: date) -> tuple[float, float]:
    # A midnight that clocks skip is the moment of the change; of a midnight that comes twice it is the first.
    zone = get_time_zone(time_zone)
    first, last = (datetime.combine(one, time(), zone) for one in (day, day + timedelta(days=1)))
    return first.timestamp(), last.timestamp()
