"""Limits as a blueprint writes them: "10/second", {requests, per_seconds} or {burst, per_second}."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from nango_py.limits.counting.calendar_periods import LENGTHS, get_time_zone
from nango_py.limits.limit_types import Bucket, CalendarPeriod, Limit, Window

UNITS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip
"""Seconds of each unit."""

_TEXT = re.compile(r"(\d{1,12}) ?/ ?(?:(\d{1,9}) ?)?([a-z]+)")


def parse_limit(written: object) -> Limit:
    """Parse one limit.

    Args:
        written: "150/minute", "40/10seconds", {"requests": 15, "per_seconds": 6},
            {"requests": 1000, "per": "day", "time_zone": "America/New_York"} (UTC unless given) or
            {"burst": 10, "per_second": 2.5}.

    Raises:
        ValueError: the limit is none of these; the message says what was expected.
    """
    if isinstance(written, str):
        return _from_text(written)
    if isinstance(written, Mapping):
        names = {name for name in written if not name.startswith("x-")}
        if names == {"requests", "per_seconds"}:
            requests, seconds = _number(written["requests"]), _number(written["per_seconds"])
            if requests == int(requests) and requests >= 1:
                return Window(int(requests), seconds, f"{int(requests)}/{seconds:g}s")
        if names | {"time_zone"} == {"requests", "per", "time_zone"} and written["per"] in LENGTHS:
            requests, time_zone = _number(written["requests"]), str(written.get("time_zone", "UTC"))
            period = str(written["per"])
            get_time_zone(time_zone)
            if requests == int(requests) and requests >= 1:
                return CalendarPeriod(
                    int(requests), time_zone, f"{int(requests)}/{period} {time_zone}", period
                )
        if names == {"burst", "per_second"}:
            burst, rate = _number(written["burst"]), _number(written["per_second"])
            if burst >= 1:
                return Bucket(burst, rate, f"burst {burst:g}, {rate:g}/second")
    raise ValueError(
        'expected "10/second", {requests: 10, per_seconds: 6}, {requests: 10, per: day, time_zone: UTC} '
        "or {burst: 10, per_second: 2.5}"
    )


def _from_text(written: str) -> Window:
    found = _TEXT.fullmatch(written.strip().lower())
    if found is None or found[3] not in UNITS or int(found[1]) < 1 or (found[2] and int(found[2]) < 1):
        raise ValueError('expected "<number>/<unit>" with second, minute, hour or day, such as "10/second"')
    return Window(int(found[1]), int(found[2] or 1) * UNITS[found[3]], written.strip())


def _number(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError("expected a number above 0")
    return float(value)
