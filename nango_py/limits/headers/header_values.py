"""Parsers of numbers, dates and lists in headers. What cannot be parsed is None, never an error."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_WAIT_SECONDS = 366 * 86400.0
"""A longer wait is a mistake of the server and is ignored."""

MAX_TEXT = 64
"""Maximum length of a number or date."""

MAX_LIST = 4096

EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12
"""A reset number from these on is a moment in Unix seconds, or in Unix milliseconds."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+", re.ASCII)
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)


class LowerCaseHeaders(dict[str, str]):
    """Header values by lower-case name."""

    __slots__ = ()


def lower_case(headers: Mapping[str, str]) -> LowerCaseHeaders:
    """The headers by lower-case name, copied only if necessary."""
    if isinstance(headers, LowerCaseHeaders):
        return headers
    return LowerCaseHeaders((name.lower(), value) for name, value in headers.items())


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
    text = (written or "").strip()
    if not 0 < len(text) <= MAX_TEXT:
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def parse_duration(written: str) -> float | None:
    """Seconds of `6m0s`, `1.5s` or `20ms`."""
    text = written.strip()
    found = _DURATION.fullmatch(text) if 0 < len(text) <= MAX_TEXT else None
    if found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def parse_reset(written: str | None, means: str, response_time: Callable[[], float]) -> float | None:
    """Seconds until the moment in a reset header; 0.0 if it has passed.

    Args:
        written: the header.
        means: `seconds`, `milliseconds`, `unix_seconds`, `unix_milliseconds`, `http_date`, `iso_date`, or
            `auto`, which distinguishes seconds from moments by their size.
        response_time: returns the Unix seconds of the response.
    """
    if written is None:
        return None
    value = parse_number(written)
    if value is None:
        seconds = parse_duration(written)
        if seconds is None:
            moment = parse_date(written)
            seconds = None if moment is None else moment - response_time()
    elif means == "unix_milliseconds" or (means == "auto" and value >= EPOCH_MILLISECONDS):
        seconds = value / 1000 - response_time()
    elif means == "unix_seconds" or (means == "auto" and value >= EPOCH_SECONDS):
        seconds = value - response_time()
    else:
        seconds = value / 1000 if means == "milliseconds" else value
    if seconds is None or not math.isfinite(seconds) or seconds > MAX_WAIT_SECONDS:
        return None
    return max(0.0, seconds)
