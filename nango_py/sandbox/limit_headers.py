"""Response headers for rate limits: Retry-After and RateLimit-*, with the names of the blueprint."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.json_types import Settings
    from nango_py.sandbox.request_counts import Verdict

RetryAfter = Literal["seconds", "decimals", "http-date", "body"]
"""The format of the time to wait in a 429: a form of Retry-After, or only a sentence in the body."""

_DEFAULTS = {"remaining": "RateLimit-Remaining", "reset": "RateLimit-Reset"}


class RateLimitHeaders:
    """The rate limit headers of one API.

    Args:
        headers: the blueprint's `rate_limits.headers`, or None for the standard names. Other headers are not
            sent; RateLimit-Limit comes with the remaining number.
        form: the format of the time to wait in a 429.
        clock: for dates.
    """

    def __init__(self, headers: Settings | None, form: RetryAfter, clock: Clock) -> None:
        declared: Settings = _DEFAULTS if headers is None else headers
        self._remaining = _name_of(declared.get("remaining"))
        self._limit = _name_of(declared.get("limit")) or self._remaining.replace("Remaining", "Limit")
        reset = declared.get("reset")
        self._reset = _name_of(reset)
        self._reset_unit = "seconds" if reset is None or isinstance(reset, str) else reset.get("means")
        self._retry_after = _name_of(declared.get("retry_after")) or "Retry-After"
        self._form = form
        self._clock = clock

    def sentence(self, wait_seconds: float) -> str:
        """The message of a 429, in Klaviyo's words."""
        seconds = str(math.ceil(wait_seconds)) + (".0" if self._form == "body" else "")
        return f"Request was throttled. Expected available in {seconds} seconds."

    def retry_after(self, wait_seconds: float) -> dict[str, str]:
        """The Retry-After header, rounded up so that a client never comes too early."""
        match self._form:
            case "body":
                return {}
            case "decimals":
                text = f"{math.ceil(wait_seconds * 1000) / 1000:.3f}"
            case "http-date":
                text = formatdate(math.ceil(self._clock.now() + wait_seconds), usegmt=True)
            case "seconds":
                text = str(math.ceil(wait_seconds))
        return {self._retry_after: text}

    def numbers(self, verdict: Verdict) -> dict[str, str]:
        """The RateLimit-* headers of a response other than a 429."""
        if verdict.limit is None:
            return {}
        headers = {}
        if self._remaining:
            headers[self._limit] = str(verdict.limit)
            headers[self._remaining] = str(verdict.remaining)
        if self._reset:
            headers[self._reset] = format_moment(verdict.reset_seconds, self._reset_unit, self._clock)
        return headers


def format_moment(seconds: float, means: str, clock: Clock) -> str:
    """A moment in some seconds, rounded up, in the form that `means` names."""
    at = clock.now() + seconds
    match means:
        case "milliseconds":
            return str(math.ceil(seconds * 1000))
        case "unix_seconds":
            return str(math.ceil(at))
        case "unix_milliseconds":
            return str(math.ceil(at * 1000))
        case "http_date":
            return formatdate(math.ceil(at), usegmt=True)
        case "iso_date":
            return datetime.fromtimestamp(math.ceil(at), UTC).isoformat()
    return str(math.ceil(seconds))


def _name_of(header: str | Settings | None) -> str:
    return header if isinstance(header, str) else str((header or {}).get("name") or "")
