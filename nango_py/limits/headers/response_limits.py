"""What a response says about limits: Retry-After, rate limit headers of all dialects, sentences in a body.

Retry-After is RFC 9110 section 10.2.3, the `RateLimit` fields are the drafts 03 to 10 of the IETF's httpapi
group. Moments are reckoned from the response's own Date where it has one, so this machine's clock may be wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nango_py.limits.headers.dialects import DIALECTS, Observation, as_declared, declared_name
from nango_py.limits.headers.header_values import LONGEST_SECONDS, date, lower_case, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "FLOOR_SECONDS",
    "Observation",
    "body_wait",
    "observe",
    "requested_wait",
    "retry_after",
    "strictest",
]

FLOOR_SECONDS = 0.1
"""The shortest wait that a response can ask for: some say 0, and nobody may spin on it."""

BODY_SCANNED = 16_384
"""How many characters of a body are searched for a wait."""


def requested_wait(
    headers: Mapping[str, str], text: str, now: float, declared: Mapping[str, Any] | None = None
) -> float | None:
    """The seconds that a response which refused for rate asks to wait, or None when it names no time.

    Retry-After wins; then the reset of whatever limit has nothing left, the longest if there are several;
    then a sentence in the body.

    Args:
        headers: of the response.
        text: its body, or "".
        now: unix seconds.
        declared: the blueprint's `rate_limits.headers`.
    """
    by_name = lower_case(headers)
    told = retry_after(by_name, now, declared_name(declared, "retry_after") or "retry-after")
    if told is not None:
        return told
    waits = [
        seen.resets_in for seen in observe(by_name, now, declared) if seen.remaining == 0 and seen.resets_in
    ]
    return max(FLOOR_SECONDS, *waits) if waits else body_wait(text)


def retry_after(headers: Mapping[str, str], now: float, name: str = "retry-after") -> float | None:
    """The seconds that Retry-After asks for, whole, decimal or as HTTP date; None if it says nothing usable.

    Never less than asked, and never less than FLOOR_SECONDS.

    Args:
        headers: of the response.
        now: unix seconds.
        name: the header, where the API has one of its own.
    """
    by_name = lower_case(headers)
    name = name.lower()
    milliseconds = number(by_name.get(f"{name}-ms"))
    if milliseconds is not None:
        return _usable(milliseconds / 1000)
    seconds = number(by_name.get(name))
    if seconds is None:
        moment = date(by_name.get(name))
        if moment is None:
            return None
        seconds = max(0.0, moment - _answered_at(by_name, now)())
    return _usable(seconds)


def body_wait(text: str) -> float | None:
    """The seconds that a sentence or field of a body asks for: "Expected available in 56.0 seconds."."""
    scanned = text[:BODY_SCANNED]
    for pattern in _SENTENCES:
        found = pattern.search(scanned)
        if found:
            return _usable(float(found[1]) * _unit_seconds((found[2] or "s").lower()))
    return None


def observe(
    headers: Mapping[str, str], now: float, declared: Mapping[str, Any] | None = None
) -> tuple[Observation, ...]:
    """Every limit that the headers tell of; empty where there are none.

    Args:
        headers: of any response.
        now: unix seconds.
        declared: the blueprint's `rate_limits.headers`. Where it names `remaining`, `limit` or `reset`, these
            are read and nothing else; otherwise the known dialects are tried.
    """
    by_name = lower_case(headers)
    answered_at = _answered_at(by_name, now)
    if declared and not declared.keys().isdisjoint(("remaining", "limit", "reset")):
        return tuple(as_declared(by_name, declared, answered_at))
    return tuple(seen for dialect in DIALECTS for seen in dialect(by_name, answered_at))


def strictest(observations: Iterable[Observation]) -> Observation | None:
    """The one that leaves fewest requests for longest; None when nothing tells what remains."""
    known = [
        (seen.remaining, -(seen.resets_in or 0.0), seen)
        for seen in observations
        if seen.remaining is not None
    ]
    return min(known, key=lambda entry: entry[:2])[2] if known else None


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
    """Seconds in a unit such as `min` or `milliseconds`."""
    if word.startswith(("ms", "milli")):
        return 0.001
    return {"s": 1.0, "m": 60.0, "h": 3600.0}[word[0]]


def _answered_at(headers: Mapping[str, str], now: float) -> Callable[[], float]:
    """The server's own moment of answering where it says it, read only when it is needed."""

    def moment() -> float:
        told = date(headers.get("date"))
        return now if told is None else told

    return moment


def _usable(seconds: float) -> float | None:
    if not 0 <= seconds <= LONGEST_SECONDS:
        return None
    return max(FLOOR_SECONDS, seconds)
