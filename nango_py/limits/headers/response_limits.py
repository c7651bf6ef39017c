"""Limits and waits in a response: Retry-After, rate limit headers of all formats, sentences in the body.

Retry-After is RFC 9110 section 10.2.3; the `RateLimit` fields are drafts 03 to 10 of the IETF httpapi group.
Moments are relative to the response's Date header if there is one, so this machine's clock may be wrong.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.header_values import (
    CLOCK,
    DURATION,
    MAX_WAIT_SECONDS,
    MAX_WAITS,
    is_in_milliseconds,
    lower_case,
    parse_date,
    parse_longest_wait,
    parse_wait_value,
)
from nango_py.limits.headers.dialects import DIALECTS, LimitStatus, declared_name, parse_declared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.json_types import Settings

MIN_WAIT_SECONDS = 0.1
"""The shortest wait: some APIs send 0, which must not become a busy loop."""

GITHUB_SECONDS = 60.0
"""The wait after GitHub's secondary limit if the response names none: "at least one minute".
Source: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""

MAX_BODY = 16_384
"""Number of characters of a body that are searched."""


def parse_wait(
    headers: Mapping[str, str],
    text: str,
    now: float,
    declared: Settings | None = None,
    statuses: tuple[LimitStatus, ...] | None = None,
) -> float | None:
    """The seconds that a 429 response asks to wait, or None.

    Retry-After comes first, then the latest reset of the limits with nothing left, then a reset without a
    remaining number, then a sentence in the body.

    Args:
        headers: of the response.
        text: its body, or "".
        now: Unix seconds.
        declared: the blueprint's `rate_limits.headers`.
        statuses: the limits in the headers, if they were read already.
    """
    by_name = lower_case(headers)
    wait = parse_retry_after(by_name, now, declared_name(declared, "retry_after") or "retry-after")
    if wait is not None:
        return wait
    statuses = parse_limits(by_name, now, declared) if statuses is None else statuses
    exhausted = [
        status.resets_in
        for status in statuses
        if status.remaining is not None and status.remaining < 1 and status.resets_in
    ]
    unspecific = [status.resets_in for status in statuses if status.remaining is None and status.resets_in]
    waits = exhausted or unspecific
    return max(MIN_WAIT_SECONDS, *waits) if waits else parse_body_wait(text, response_time_of(by_name, now)())


def parse_retry_after(headers: Mapping[str, str], now: float, name: str = "retry-after") -> float | None:
    """The seconds in Retry-After, at least MIN_WAIT_SECONDS; None if unusable.

    Its value is a number, a duration with units, or a moment. Of several values the longest counts.

    Args:
        headers: of the response.
        now: Unix seconds.
        name: of the header, if the API uses another one.
    """
    by_name = lower_case(headers)
    response_time = response_time_of(by_name, now)
    name = name.lower()
    milliseconds = parse_longest_wait(by_name.get(f"{name}-ms", ""), response_time)
    if milliseconds is not None:
        return _usable_wait(milliseconds / 1000)
    seconds = parse_longest_wait(by_name.get(name, ""), response_time)
    if seconds is None and name == "retry-after":
        for other, value in by_name.items():
            found = _RETRY_AFTER.fullmatch(other)
            seconds = parse_longest_wait(value, response_time) if found else None
            if found and seconds is not None:
                return _usable_wait(seconds / 1000 if found[1] else seconds)
    if seconds is None:
        return parse_body_wait(f"retry after {by_name.get(name, '')[:MAX_WAITS]}", response_time())
    return _usable_wait(seconds / 1000 if is_in_milliseconds(name) else seconds)


_RETRY_AFTER = re.compile(r"(?:[a-z]+-){0,4}retry-?after(?:-(ms|milliseconds)|-seconds|-sec)?")
"""Names of single APIs, such as Azure's x-ms-retry-after-ms."""


def parse_body_wait(text: str, response_time: float = 0.0) -> float | None:
    """The seconds in a sentence or field of a body, such as "Expected available in 56.0 seconds.".

    Args:
        text: the body.
        response_time: Unix seconds of the response, for moments such as "Retry after 2026-11-30T03:20:00Z".
    """
    scanned = _with_plain_numbers(text[:MAX_BODY])
    for pattern in _SENTENCES:
        for found in pattern.finditer(scanned):
            words = found.groupdict()
            seconds = parse_wait_value(words["value"], lambda: response_time)
            if seconds is not None:
                return _usable_wait(seconds / 1000 if words.get("ms") else seconds)
    return GITHUB_SECONDS if "secondary rate limit" in scanned else None


def _with_plain_numbers(text: str) -> str:
    """The text with `1200 seconds` for "1,200 more  seconds", "600-1200 seconds" and the like."""
    text = " ".join(text.split())
    text = re.sub(
        r"\b\d{1,3}(?:,\d{3}){1,3}\b", lambda found: found[0].replace(",", ""), text, flags=re.ASCII
    )
    return _WORDS_OF_NUMBERS.sub(lambda found: "1" if found["one"] else "", text)


_WORDS_OF_NUMBERS = re.compile(
    r"\b(?P<one>an?|one)(?= (?:second|minute|hour|day|week)\b)"
    r"|(?<=\d) (?:more|additional|further|full|whole)\b"
    rf"|\b\d{{1,6}} ?(?:-|\u2013|to|or) ?(?={DURATION.pattern})",
    re.ASCII | re.IGNORECASE,
)


def parse_limits(
    headers: Mapping[str, str], now: float, declared: Settings | None = None
) -> tuple[LimitStatus, ...]:
    """Every limit in the headers of a response.

    Args:
        headers: of the response.
        now: Unix seconds.
        declared: the blueprint's `rate_limits.headers`. If it does not name all of `remaining`, `limit` and
            `reset`, the headers of known formats are read too.
    """
    by_name = lower_case(headers)
    response_time = response_time_of(by_name, now)
    statuses = tuple(parse_declared(by_name, declared, response_time)) if declared else ()
    if declared and declared.keys() >= {"remaining", "limit", "reset"}:
        return statuses
    known = tuple(status for dialect in DIALECTS for status in dialect(by_name, response_time))
    return _complete(statuses[0], known) if statuses else known


def _complete(declared: LimitStatus, known: tuple[LimitStatus, ...]) -> tuple[LimitStatus, ...]:
    """The declared limit with what known headers say of it, and the other limits."""
    others = []
    for status in known:
        pairs = (declared.remaining, status.remaining), (declared.limit, status.limit)
        if any(None not in pair and pair[0] != pair[1] for pair in pairs):
            others.append(status)
            continue
        declared = LimitStatus(
            *(mine if (mine := getattr(declared, name)) is not None else getattr(status, name)
              for name in ("remaining", "limit", "resets_in", "source", "window_seconds", "rate"))
        )  # fmt: skip
    return (declared, *others)


_VALUE = (
    r"(?P<value>\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,9})?(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
    r"|(?:mon|tue|wed|thu|fri|sat|sun), \d\d? [a-z]{3} \d{4} \d\d:\d\d:\d\d gmt"
    rf"|PT?\d[\dDTHM]{{0,30}}(?:\.\d{{1,9}})?[DHMSW]\b|{DURATION.pattern}"
    r"|\d{1,19}(?:\.\d{1,12})?(?![\w%/]|[.:-]\d"
    r"| ?(?:times|attempts|requests|calls|retries|of)\b| (?:[a-z]+ )?(?:days|months?|years?)\b))"
)
_AGAIN = r"(?: it| this| again| the request| your request)*"
_BETWEEN = r"(?: ?[:=] ?| )[\"'(\[]?"
_RETRY_FIELD = (
    r"[\"'<]?\bretry[_-]?(?:after|delay|in)(?:_?in)?(?:[_-]?(?:(?P<ms>ms|milliseconds?|millis)|seconds?|secs?|s))?"
    r"(?:[\"'] ?:|>|[\"']?=) ?(?:\{ ?[\"']seconds[\"'] ?: ?)?[\"']?"
)
_RESET_FIELD = (
    r"[\"'](?:rate_?limit_?)?(?:resets?_?(?:after|at|in|time)?|wait(?:_?(?:time|seconds|for))?)[\"']"
    r" ?: ?[\"']?"
)
_SENTENCES = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"{_RETRY_FIELD}(?P<value>{CLOCK.pattern})",
        _RETRY_FIELD + _VALUE,
        (
            rf"\b(?:available|(?:try|retry|send|request){_AGAIN}|resets?) (?:again )?(?:in|at|after)"
            rf"(?: about)?{_BETWEEN}{_VALUE}"
        ),
        (
            rf"\b(?:(?:retry|again|wait)-?|(?:blocked|back off)(?= for))"
            rf"(?:(?: |(?<=-))(?:for|in|after|until|at least|another|about))*{_BETWEEN}{_VALUE}"
        ),
        _RESET_FIELD + _VALUE,
    )
)


def response_time_of(headers: Mapping[str, str], now: float) -> Callable[[], float]:
    """The time in the Date header, parsed when it is needed; `now` without one."""

    def moment() -> float:
        sent_at = parse_date(headers.get("date"))
        return now if sent_at is None else sent_at

    return moment


def _usable_wait(seconds: float) -> float | None:
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        return None
    return max(MIN_WAIT_SECONDS, seconds)
