"""Limits and waits in a response: Retry-After, rate limit headers of all formats, sentences in the body.

Retry-After is RFC 9110 section 10.2.3; the `RateLimit` fields are drafts 03 to 10 of the IETF httpapi group.
Moments are relative to the response's Date header if there is one, so this machine's clock may be wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.limits.headers.dialects import DIALECTS, LimitStatus, declared_name, parse_declared
from nango_py.limits.headers.header_values import MAX_WAIT_SECONDS, lower_case, parse_date, parse_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.json_types import Settings

MIN_WAIT_SECONDS = 0.1
"""The shortest wait: some APIs send 0, which must not become a busy loop."""

MAX_BODY = 16_384
"""Number of characters of a body that are searched."""


def parse_wait(
    headers: Mapping[str, str], text: str, now: float, declared: Settings | None = None
) -> float | None:
    """The seconds that a 429 response asks to wait, or None.

    Retry-After comes first, then the latest reset of the limits with nothing left, then a sentence in the
    body.

    Args:
        headers: of the response.
        text: its body, or "".
        now: Unix seconds.
        declared: the blueprint's `rate_limits.headers`.
    """
    by_name = lower_case(headers)
    wait = parse_retry_after(by_name, now, declared_name(declared, "retry_after") or "retry-after")
    if wait is not None:
        return wait
    waits = [
        status.resets_in
        for status in parse_limits(by_name, now, declared)
        if status.remaining == 0 and status.resets_in
    ]
    return max(MIN_WAIT_SECONDS, *waits) if waits else parse_body_wait(text)


def parse_retry_after(headers: Mapping[str, str], now: float, name: str = "retry-after") -> float | None:
    """The seconds in Retry-After (a number or HTTP date), at least MIN_WAIT_SECONDS; None if unusable.

    Args:
        headers: of the response.
        now: Unix seconds.
        name: of the header, if the API uses another one.
    """
    by_name = lower_case(headers)
    name = name.lower()
    milliseconds = parse_number(by_name.get(f"{name}-ms"))
    if milliseconds is not None:
        return _checked_wait(milliseconds / 1000)
    seconds = parse_number(by_name.get(name))
    if seconds is None:
        moment = parse_date(by_name.get(name))
        if moment is None:
            return None
        seconds = max(0.0, moment - _response_time(by_name, now)())
    return _checked_wait(seconds)


def parse_body_wait(text: str) -> float | None:
    """The seconds in a sentence or field of a body, such as "Expected available in 56.0 seconds."."""
    scanned = text[:MAX_BODY]
    for pattern in _SENTENCES:
        found = pattern.search(scanned)
        if found:
            return _checked_wait(float(found[1]) * _unit_seconds((found[2] or "s").lower()))
    return None


def parse_limits(
    headers: Mapping[str, str], now: float, declared: Settings | None = None
) -> tuple[LimitStatus, ...]:
    """Every limit in the headers of a response.

    Args:
        headers: of the response.
        now: Unix seconds.
        declared: the blueprint's `rate_limits.headers`. If it names `remaining`, `limit` or `reset`, only
            these are read; otherwise all known formats are tried.
    """
    by_name = lower_case(headers)
    response_time = _response_time(by_name, now)
    if declared and not declared.keys().isdisjoint(("remaining", "limit", "reset")):
        return tuple(parse_declared(by_name, declared, response_time))
    return tuple(status for dialect in DIALECTS for status in dialect(by_name, response_time))


_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)?\b"
_SENTENCES = tuple(
    re.compile(pattern + _AMOUNT, re.IGNORECASE | re.ASCII)
    for pattern in (
        r"\b(?:available|(?:try|retry|send|request)(?: it| this| again| the request)*) in ",
        r"\b(?:retry|again|wait)(?: for| after| at least)* ",
        r"[\"']retry[_-]?after[\"'] ?: ?[\"']?",
    )
)


def _unit_seconds(word: str) -> float:
    if word.startswith(("ms", "milli")):
        return 0.001
    return {"s": 1.0, "m": 60.0, "h": 3600.0}[word[0]]


def _response_time(headers: Mapping[str, str], now: float) -> Callable[[], float]:
    """The time in the Date header, parsed when it is needed; `now` without one."""

    def moment() -> float:
        sent_at = parse_date(headers.get("date"))
        return now if sent_at is None else sent_at

    return moment


def _checked_wait(seconds: float) -> float | None:
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        return None
    return max(MIN_WAIT_SECONDS, seconds)
