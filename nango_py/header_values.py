"""Parsers of numbers, dates and lists in headers. What cannot be parsed is None, never an error."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_WAIT_SECONDS = 366 * 86400.0
"""A longer wait is a mistake of the server and is ignored."""

MAX_TEXT = 64
"""Maximum length of a number or date."""

MAX_LIST = 4096

MAX_WAITS = 256
"""Number of characters of a wait in a header that are read."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+", re.ASCII)
_AMOUNT = r"\d{1,12}(?:\.\d{1,12})?"
_UNIT = r"(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)(?![a-z])"
# In `1m30s` a digit follows the unit.
_PART = re.compile(rf"({_AMOUNT}) ?({_UNIT})", re.ASCII | re.IGNORECASE)
DURATION = re.compile(
    rf"{_AMOUNT} ?{_UNIT}(?:,? ?(?:and )?{_AMOUNT} ?{_UNIT}){{0,4}}", re.ASCII | re.IGNORECASE
)
"""One to five amounts with units."""

_ISO_DURATION = re.compile(
    r"P(?=.*\d)(?:(\d{1,6})W)?(?:(\d{1,6})D)?"
    r"(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?",
    re.ASCII | re.IGNORECASE,
)
CLOCK = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)", re.ASCII)
"""Hours, minutes and seconds, as .NET writes a duration."""

_EPOCHS = ((1e17, 1e9), (1e14, 1e6), (1e12, 1e3), (1e9, 1.0))
"""From which size on a number is a moment in Unix nanoseconds, microseconds, milliseconds or seconds."""


LEAST_MOMENT = 1e12
"""From which size on a number of milliseconds is a moment in Unix time."""

MILLISECONDS = frozenset({"ms", "msec", "millis", "milliseconds"})
"""What the names of headers in this unit end with."""


class LowerCaseHeaders(dict[str, str]):
    """Header values by lower-case name."""

    __slots__ = ()


def lower_case(headers: Mapping[str, str]) -> LowerCaseHeaders:
    """The headers by lower-case name, copied only if necessary."""
    if isinstance(headers, LowerCaseHeaders):
        return headers
    return LowerCaseHeaders((name.lower(), value) for name, value in headers.items())


def is_in_milliseconds(name: str) -> bool:
    """Whether the name of a header says that its value is in milliseconds."""
    return name.lower().rpartition("-")[2] in MILLISECONDS


def parse_number(written: str | None) -> float | None:
    """Parse `15`, `1.5` or `"15"`."""
    if written is None or len(written) > MAX_TEXT:
        return None
    found = _NUMBER.fullmatch(written.strip().strip('"'))
    return float(found[0]) if found else None


def parse_first_number(written: str | None) -> float | None:
    """The 100 of `100, 100;w=60`."""
    return None if written is None else parse_number(written.partition(",")[0].partition(";")[0])


def parse_fraction(written: str | None) -> tuple[float | None, float | None]:
    """`32/40` as (32, 40)."""
    used, slash, most = (written or "").partition("/")
    return (parse_number(used), parse_number(most)) if slash else (None, None)


def parse_list(written: str) -> list[tuple[str, dict[str, str]]]:
    """A structured list as (name, parameters); the value of a member `key=value` is the parameter ""."""
    found = []
    for member in written[:MAX_LIST].split(","):
        head, *rest = (part.strip() for part in member.split(";"))
        if not head:
            continue
        pairs = (part.partition("=") for part in rest)
        params = {key.strip(): value.strip().strip('"') for key, _, value in pairs}
        name, equals, value = head.partition("=")
        if equals:
            params[""] = value.strip().strip('"')
        found.append((name.strip().strip('"'), params))
    return found


@lru_cache(maxsize=1024)  # an API's limits are the same text in every response
def parse_limit_and_window(written: str | None) -> tuple[float | None, float | None]:
    """`10, 10;w=1, 1000;w=3600`: the limit in force and its window's seconds."""
    limit = parse_first_number(written)
    for name, params in parse_list(written or ""):
        if parse_number(name) == limit and "w" in params:
            return limit, parse_number(params["w"])
    return limit, None


def parse_date(written: str | None) -> float | None:
    """Unix seconds of an HTTP date or an ISO 8601 date and time; without a zone it is UTC."""
    text = (written or "").strip().strip('"')
    if not 0 < len(text) <= MAX_TEXT:
        return None
    # datetime reads no names of time zones, and no small letters.
    if text[:1].isdigit():
        text = text.upper()
        text = f"{text[:-4]}+00:00" if text.endswith((" UTC", " GMT")) else text
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def parse_wait_value(written: str, response_time: Callable[[], float]) -> float | None:
    """Seconds of a wait: a number, a duration with units, or a moment as a date or in Unix time.

    Args:
        written: such as `30`, `30 seconds`, `1m30s`, `Wed, 21 Oct 2015 07:28:00 GMT` or `1445412480`.
        response_time: returns the Unix seconds of the response.
    """
    value = parse_number(written)
    if value is not None:
        scale = next((scale for least, scale in _EPOCHS if value >= least), None)
        return value if scale is None else max(0.0, value / scale - response_time())
    seconds = parse_duration(written)
    if seconds is not None:
        return seconds
    moment = parse_date(written)
    return None if moment is None else max(0.0, moment - response_time())


_LINES = re.compile(r"(?<!mon)(?<!tue)(?<!wed)(?<!thu)(?<!fri)(?<!sat)(?<!sun)(?<!day),\s*", re.IGNORECASE)
"""Separates values, but not the parts of an HTTP date."""


def parse_longest_wait(written: str, response_time: Callable[[], float]) -> float | None:
    """The longest of the waits in the lines of a header, which clients and proxies join with commas."""
    parts = _LINES.split(written[:MAX_WAITS])
    waits = [parse_wait_value(part, response_time) for part in (written, *parts)]
    return max((wait for wait in waits if wait is not None and wait <= MAX_WAIT_SECONDS), default=None)


def parse_duration(written: str) -> float | None:
    """Seconds of `6m0s`, `20ms`, `1 minute and 30 seconds`, `00:00:30` or `PT30S` (ISO 8601)."""
    text = written.strip().strip('"')
    if len(text) <= MAX_TEXT and (found := _ISO_DURATION.fullmatch(text)):
        units = (604_800.0, 86_400.0, 3600.0, 60.0, 1.0)
        return sum(float(amount or 0) * unit for amount, unit in zip(found.groups(), units, strict=True))
    if len(text) <= MAX_TEXT and (found := CLOCK.fullmatch(text)):
        return float(found[1]) * 3600.0 + float(found[2]) * 60.0 + float(found[3])
    if not 0 < len(text) <= MAX_TEXT or not DURATION.fullmatch(text):
        return None
    parts = [(float(amount), _unit_seconds(unit.lower())) for amount, unit in _PART.findall(text)]
    if any(later >= unit for (_, unit), (_, later) in pairwise(parts)):
        return None  # several waits, not one
    return sum(amount * unit for amount, unit in parts)


def _unit_seconds(unit: str) -> float:
    if unit.startswith(("ms", "milli")):
        return 0.001
    return {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}[unit[0]]


def parse_reset(written: str | None, means: str, response_time: Callable[[], float]) -> float | None:
    """Seconds until the moment in a reset header; 0.0 if it has passed.

    Args:
        written: the header. Of several numbers the first counts, as for the others of its family.
        means: `seconds`, `milliseconds`, `unix_seconds`, `unix_milliseconds`, `http_date`, `iso_date`, or
            `auto`, which distinguishes seconds from moments by their size.
        response_time: returns the Unix seconds of the response.
    """
    if written is None:
        return None
    value = parse_first_number(written)
    seconds: float | None
    if value is None:
        seconds = parse_wait_value(written, response_time)
    elif means in {"auto", "http_date", "iso_date"}:
        seconds = parse_wait_value(format(value, "f"), response_time)
    elif means == "unix_milliseconds" or (means == "milliseconds" and value >= LEAST_MOMENT):
        seconds = value / 1000 - response_time()
    elif means == "unix_seconds":
        seconds = value - response_time()
    else:
        seconds = value / 1000 if means == "milliseconds" else value
    if seconds is None or not math.isfinite(seconds) or seconds > MAX_WAIT_SECONDS:
        return None
    return max(0.0, seconds)
