"""Where a blueprint says that responses report limits: in headers and bodies, for all budgets or for one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nango_py.config.values import as_tuple
from nango_py.header_values import (
    MAX_WAIT_SECONDS,
    LowerCaseHeaders,
    parse_number,
    parse_reset,
)
from nango_py.json_path import search_json
from nango_py.limits.headers.dialects import LimitStatus, declared_name, parse_declared
from nango_py.limits.notation import parse_limit
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.json_types import JsonValue, Settings

WORDS = ("remaining", "limit", "reset")
MAX_NUMBER = 1e12
"""A larger number in a body is a mistake of the server and is ignored."""


@record
class Place:
    """One entry of `headers` or `body`.

    Attributes:
        settings: the entry.
        budget: the number of the budget that it describes; None for the one that its numbers fit.
        label: of the budget's limit; "" for the one that its numbers fit.
    """

    settings: Settings
    budget: int | None = None
    label: str = ""


class DeclaredLimits:
    """The `headers` and `body` of `rate_limits` and of its budgets.

    Attributes:
        headers: those of `rate_limits`, or None.
        has_body: whether bodies report limits.
    """

    def __init__(self, rate_limits: Settings | None) -> None:
        settings = rate_limits or {}
        self.headers: Settings | None = settings.get("headers")
        budgets = tuple(enumerate(settings.get("budgets", ())))
        self._families = tuple(
            place for number, budget in budgets for place in _places(budget.get("headers"), number)
        )
        own = _places(settings.get("body"), None)
        self._bodies = (
            *own,
            *(place for number, one in budgets for place in _places(one.get("body"), number)),
        )
        self.has_body = bool(self._bodies)

    @property
    def header_names(self) -> frozenset[str]:
        """The lower-case names of all declared headers."""
        entries = (self.headers, *(place.settings for place in self._families))
        return frozenset(declared_name(entry, word) for entry in entries for word in WORDS) - {""}

    @property
    def has_families(self) -> bool:
        """Whether headers describe single budgets."""
        return bool(self._families)

    def without_families(self, headers: LowerCaseHeaders) -> LowerCaseHeaders:
        """The headers without those that describe a single budget."""
        names = {declared_name(place.settings, word) for place in self._families for word in WORDS}
        return LowerCaseHeaders((name, value) for name, value in headers.items() if name not in names)

    def read_families(
        self, headers: Mapping[str, str], response_time: Callable[[], float]
    ) -> Iterator[LimitStatus]:
        """What the headers say of single budgets.

        Args:
            headers: by lower-case name.
            response_time: returns the Unix seconds of the response.
        """
        for place in self._families:
            for status in parse_declared(headers, place.settings, response_time):
                yield _complete(status, place)

    def read_body(self, body: JsonValue, response_time: float) -> Iterator[LimitStatus]:
        """What the body says of limits."""
        for place in self._bodies:
            status = _parse_body(body, place.settings, response_time)
            if status is not None:
                yield _complete(status, place)

    def read_wait(self, body: JsonValue, response_time: float) -> float | None:
        """The seconds that the body asks to wait, or None."""
        for place in self._bodies:
            seconds = _seconds(body, place.settings.get("wait"), response_time)
            if seconds is not None:
                return seconds
        return None


def _places(entries: Any, number: int | None) -> tuple[Place, ...]:
    return tuple(
        Place(row, number, parse_limit(row["window"]).label if "window" in row else "")
        for row in as_tuple(entries)
    )


def _complete(status: LimitStatus, place: Place) -> LimitStatus:
    seconds = place.settings.get("per_seconds", status.window_seconds)
    return LimitStatus(
        status.remaining, status.limit, status.resets_in, status.source, seconds,
        rate=status.rate, budget=place.budget, label=place.label,
    )  # fmt: skip


def _parse_body(body: JsonValue, settings: Settings, response_time: float) -> LimitStatus | None:
    remaining, limit, rate = (
        _number(body, settings.get(word)) for word in ("remaining", "limit", "restore_per_second")
    )
    resets_in = _seconds(body, settings.get("reset"), response_time)
    if resets_in is None and rate and limit is not None and remaining is not None:
        resets_in = max(0.0, limit - remaining) / rate
    if remaining is None and limit is None and resets_in is None and not rate:
        return None
    return LimitStatus(remaining, limit, resets_in, "body", rate=rate or None)


def _number(body: JsonValue, path: str | None) -> float | None:
    """A number that is not negative, also one in a text."""
    value = search_json(path, body) if path else None
    number = parse_number(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return float(number) if math.isfinite(number) and 0 <= number <= MAX_NUMBER else None


def _seconds(body: JsonValue, written: str | Settings | None, response_time: float) -> float | None:
    """A wait, in the unit that `means` names."""
    if written is None:
        return None
    path, means = (
        (written, "auto") if isinstance(written, str) else (written["path"], written.get("means", "auto"))
    )
    value = search_json(path, body)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else format(value, "f")
    seconds = parse_reset(text, means, lambda: response_time)
    return seconds if seconds is not None and seconds <= MAX_WAIT_SECONDS else None
