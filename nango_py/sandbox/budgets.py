"""A blueprint's `rate_limits`, read as what the sandbox counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Manner = Literal["fixed", "sliding", "bucket"]
"""How a window counts: aligned to the clock, back from each request, or as a bucket that fills steadily."""

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_TEXT = re.compile(r"\s*(\d+)\s*/\s*(second|minute|hour|day)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `requests` in `seconds`; as a bucket, `requests` at once and `requests / seconds` steadily."""

    label: str
    requests: float
    seconds: float
    manner: Manner


@dataclass(frozen=True, slots=True)
class Case:
    """Which calls a set of limits is for, and what one of them costs."""

    methods: frozenset[str]
    path: re.Pattern[str] | None
    endpoint: str
    params: tuple[tuple[str, str], ...]
    limits: tuple[Limit, ...]
    cost: int

    def concerns(self, method: str, path: str) -> bool:
        """Whether it may be for this call; the parameters are not looked at."""
        return (not self.methods or method in self.methods) and (
            self.path is None or bool(self.path.fullmatch(path))
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """Cases of which the first that fits counts, and the template of the key that they count under."""

    index: int
    key: str
    counted_per: str
    cases: tuple[Case, ...]


def read_budgets(rate_limits: Mapping[str, Any], manner: Manner) -> tuple[Budget, ...]:
    """The budgets in their order; `manner` is how windows count, `{burst, per_second}` is a bucket always.

    Raises:
        ValueError: a window is not of the blueprint format.
    """
    per = str(rate_limits.get("counted_per") or "connection")
    budgets = enumerate(rate_limits.get("budgets") or ())
    return tuple(_budget(index, budget, per, manner) for index, budget in budgets)


def _budget(index: int, settings: Mapping[str, Any], per: str, manner: Manner) -> Budget:
    cases = [_case(case, manner) for case in settings.get("cases") or ()]
    otherwise = settings.get("otherwise") or settings.get("windows")
    if otherwise:
        cases.append(_case({"windows": otherwise}, manner))
    return Budget(
        index, str(settings.get("key") or ""), str(settings.get("counted_per") or per), tuple(cases)
    )


def _case(settings: Mapping[str, Any], manner: Manner) -> Case:
    match = settings.get("match") or {}
    methods = match.get("method") or ()
    path = match.get("path")
    return Case(
        methods=frozenset(
            [methods.upper()] if isinstance(methods, str) else [name.upper() for name in methods]
        ),
        path=None if path is None else path_pattern(path),
        endpoint="" if path is None else str(path).strip("/"),
        params=tuple((name, str(value)) for name, value in (match.get("params") or {}).items()),
        limits=tuple(_limits(settings.get("windows"), manner)),
        cost=int(settings.get("cost") or 1),
    )


def path_pattern(path: str) -> re.Pattern[str]:
    """A pattern for the paths that `lists/{id}/` means: `{x}` and `*` are one part, `**` is the rest."""
    parts = re.split(r"(\{[^}/]*\}|\*\*|\*)", path.strip("/"))
    return re.compile(
        "".join(".*" if p == "**" else "[^/]+" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    )


def _limits(windows: Any, manner: Manner) -> Iterator[Limit]:
    for window in [windows] if isinstance(windows, str) or hasattr(windows, "items") else windows or ():
        yield _limit(window, manner)


def _limit(window: Any, manner: Manner) -> Limit:
    if isinstance(window, str):
        match = _TEXT.fullmatch(window)
        if match is None:
            raise ValueError(f"not a window: {window!r}; write 10/second, 10/minute, 10/hour or 10/day")
        return Limit(window, float(match[1]), _UNITS[match[2]], manner)
    if "burst" in window:
        burst, per_second = float(window["burst"]), float(window["per_second"])
        return Limit(f"burst {burst:g}, {per_second:g}/second", burst, burst / per_second, "bucket")
    requests, seconds = float(window["requests"]), float(window["per_seconds"])
    return Limit(f"{requests:g}/{seconds:g} seconds", requests, seconds, manner)
