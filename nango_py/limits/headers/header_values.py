"""Numbers, dates and lists as headers write them. Anything unreadable is None, never an error."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONGEST_SECONDS = 366 * 86400.0
"""A longer wait is a mistake of the server, and is treated as if it had said nothing."""

LONGEST_TEXT = 64
"""No number or date in a header is longer."""

LONGEST_LIST = 4096

EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12
"""A bare reset above these is a moment in unix seconds, or in milliseconds."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+", re.ASCII)
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)


class LowerCaseHeaders(dict[str, str]):
    """Headers by lower-case name."""

    __slots__ = ()


def lower_case(headers: Mapping[str, str]) -> LowerCaseHeaders:
    """The headers by lower-case name; what is so already is not copied."""
    if isinstance(headers, LowerCaseHeaders):
        return headers
    return LowerCaseHeaders((name.lower(), value) for name, value in headers.items())


def number(written: str | None) -> float | None:
    """`15`, `1.5`, `"15"`."""
    if written is None or len(written) > LONGEST_TEXT:
        return None
    found = _NUMBER.fullmatch(written.strip().strip('"'))
    return float(found[0]) if found else None


def first_number(written: str | None) -> float | None:
    """Of `100, 100;w=60` the 100."""
    return None if written is None else number(written.partition(",")[0].partition(";")[0])


def fraction(written: str | None) -> tuple[float | None, float | None]:
    """`32/40` as (32, 40)."""
    used, slash, most = (written or "").partition("/")
    return (number(used), number(most)) if slash else (None, None)


def items(written: str) -> list[tuple[str, dict[str, str]]]:
    """A structured list as (name, parameters); of a member `key=value` the value stands under ""."""
    found = []
    for member in written[:LONGEST_LIST].split(","):
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
def limit_and_window(written: str | None) -> tuple[float | None, float | None]:
    """`10, 10;w=1, 1000;w=3600`: the limit in force and its window's seconds."""
    limit = first_number(written)
    for name, params in items(written or ""):
        if number(name) == limit and "w" in params:
            return limit, number(params["w"])
    return limit, None


def date(written: str | None) -> float | None:
    """Unix seconds of an HTTP date or an ISO 8601 moment; a moment without zone is UTC."""
    text = (written or "").strip()
    if not 0 < len(text) <= LONGEST_TEXT:
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


def duration(written: str) -> float | None:
    """Seconds of `6m0s`, `1.5s` or `20ms`."""
    text = written.strip()
    found = _DURATION.fullmatch(text) if 0 < len(text) <= LONGEST_TEXT else None
    if found is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def reset(written: str | None, means: str, answered_at: Callable[[], float]) -> float | None:
    """Seconds until the moment that a reset header names; a moment that has passed is 0.0.

    Args:
        written: the header.
        means: `seconds`, `milliseconds`, `unix_seconds`, `unix_milliseconds`, `http_date`, `iso_date`, or
            `auto`, which tells seconds left from moments by their size.
        answered_at: unix seconds of the response.
    """
    if written is None:
        return None
    value = number(written)
    if value is None:
        seconds = duration(written)
        if seconds is None:
            moment = date(written)
            seconds = None if moment is None else moment - answered_at()
    elif means == "unix_milliseconds" or (means == "auto" and value >= EPOCH_MILLISECONDS):
        seconds = value / 1000 - answered_at()
    elif means == "unix_seconds" or (means == "auto" and value >= EPOCH_SECONDS):
        seconds = value - answered_at()
    else:
        seconds = value / 1000 if means == "milliseconds" else value
    if seconds is None or not math.isfinite(seconds) or seconds > LONGEST_SECONDS:
        return None
    return max(0.0, seconds)
