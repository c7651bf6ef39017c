"""How an API tells its limits: Retry-After and the RateLimit headers, as the blueprint names them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock
    from nango_py.sandbox.request_counts import Verdict

RetryAfter = Literal["seconds", "decimals", "http-date", "body"]
"""How a 429 says when to come back: Retry-After in one of three forms, or only in the body's sentence."""

_USUAL = {"remaining": "RateLimit-Remaining", "reset": "RateLimit-Reset"}


class Dialect:
    """The headers of one API.

    Args:
        headers: the blueprint's `rate_limits.headers`, or None for the usual names. Only what it declares is
            told; RateLimit-Limit goes with the remaining number.
        form: how 429 responses say when to come back.
        clock: for dates.
    """

    def __init__(self, headers: Mapping[str, Any] | None, form: RetryAfter, clock: Clock) -> None:
        told: Mapping[str, Any] = _USUAL if headers is None else headers
        self._remaining = _name_of(told.get("remaining"))
        self._limit = _name_of(told.get("limit")) or self._remaining.replace("Remaining", "Limit")
        self._reset = _name_of(told.get("reset"))
        self._reset_means = _means_of(told.get("reset"))
        self._retry_after = _name_of(told.get("retry_after")) or "Retry-After"
        self._form = form
        self._clock = clock

    def sentence(self, wait_seconds: float) -> str:
        """What the body of a 429 says, in Klaviyo's words."""
        seconds = str(math.ceil(wait_seconds)) + (".0" if self._form == "body" else "")
        return f"Request was throttled. Expected available in {seconds} seconds."

    def retry_after(self, wait_seconds: float) -> dict[str, str]:
        """The header of a refusal, rounded up so that who obeys it is never too early."""
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
        """The headers of a response that is no refusal."""
        if verdict.limit is None:
            return {}
        told = {}
        if self._remaining:
            told[self._limit] = str(verdict.limit)
            told[self._remaining] = str(verdict.remaining)
        if self._reset:
            told[self._reset] = self._moment(verdict.reset_seconds)
        return told

    def _moment(self, seconds: float) -> str:
        at = self._clock.now() + seconds
        match self._reset_means:
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


def _name_of(header: Any) -> str:
    return str(header.get("name") or "") if hasattr(header, "get") else str(header or "")


def _means_of(header: Any) -> str:
    return str(header.get("means") or "seconds") if hasattr(header, "get") else "seconds"
