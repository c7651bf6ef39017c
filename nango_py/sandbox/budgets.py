"""A blueprint's `rate_limits`, read as what the sandbox counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Manner = Literal["fixed", "sliding", "bucket"]
"""How a window counts: aligned to the clock, back from each request, or as a bucket that fills steadily."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = re.compile(r"\s*(\d+) ?/ ?(\d*) ?(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s*")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `requests` in `seconds`; as a bucket, `requests` at once and `requests / seconds` steadily."""

    label: str
    requests: float
    seconds: float
    manner: Manner


@dataclass(frozen=True, slots=True)
class Case:
    """Which calls a set of limits is for, and what one of them costs.

    With a `key` of its own the limits of all cases of that key hold together; otherwise cases with different
    limits are counted apart.
    """

    methods: frozenset[str]
    path: re.Pattern[str] | None
    endpoint: str
    params: tuple[tuple[str, frozenset[str]], ...]
    limits: tuple[Limit, ...]
    cost: int
    key: str

    def concerns(self, method: str, path: str) -> bool:
        """Whether it may be for this call; the parameters are not looked at."""
        return (not self.methods or method in self.methods) and (
            self.path is None or bool(self.path.fullmatch(path))
        )

    def fits(self, params: Mapping[str, str]) -> bool:
        """Whether each parameter that it names is there with every value it names; commas part values."""
        return all(name in params and wanted <= _values(params[name]) for name, wanted in self.params)


@dataclass(frozen=True, slots=True)
class Budget:
    """Cases of which the first that fits counts, and the template of the key that they count under."""

    index: int
    key: str
    cases: tuple[Case, ...]


def read_budgets(rate_limits: Mapping[str, Any], manner: Manner) -> tuple[Budget, ...]:
    """The budgets in their order; `manner` is how windows count, `{burst, per_second}` is a bucket always.

    Raises:
        ValueError: a window is not of the blueprint format.
    """
    budgets = enumerate(rate_limits.get("budgets") or ())
    return tuple(_budget(index, budget, manner) for index, budget in budgets)


def _budget(index: int, settings: Mapping[str, Any], manner: Manner) -> Budget:
    rows = [*(settings.get("cases") or ())]
    if settings.get("otherwise"):
        rows.append({"windows": settings["otherwise"]})
    together: dict[str, list[Any]] = {}
    for row in rows:
        together.setdefault(row.get("key") or "", []).extend(_listed(row["windows"]))
    cases = []
    for row in rows:
        windows = together[row["key"]] if row.get("key") else _listed(row["windows"])
        limits = tuple(dict.fromkeys(_limit(window, manner) for window in windows))
        cases.append(_case(row, limits))
    return Budget(index, str(settings.get("key") or ""), tuple(cases))


def _case(settings: Mapping[str, Any], limits: tuple[Limit, ...]) -> Case:
    match = settings.get("match") or {}
    path = match.get("path")
    params = (match.get("params") or {}).items()
    return Case(
        methods=frozenset(method.upper() for method in _listed(match.get("method") or ())),
        path=None if path is None else path_pattern(path),
        endpoint="" if path is None else str(path).strip("/"),
        params=tuple((name, _values(_text(value))) for name, value in params),
        limits=limits,
        cost=int(settings.get("cost") or 1),
        key=str(settings.get("key") or ""),
    )


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or hasattr(value, "items") else list(value)


def _values(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(","))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def path_pattern(path: str) -> re.Pattern[str]:
    """A pattern for the paths that `lists/{id}/` means: `{x}` and `*` are one part, `**` is the rest."""
    parts = re.split(r"(\{[^}/]*\}|\*\*|\*)", path.strip("/"))
    return re.compile(
        "".join(".*" if p == "**" else "[^/]+" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    )


def _limit(window: Any, manner: Manner) -> Limit:
    if isinstance(window, str):
        match = _TEXT.fullmatch(window.lower())
        if match is None:
            raise ValueError(f"not a window: {window!r}; write 10/second, 10/minute, 10/hour or 10/day")
        return Limit(window.strip(), float(match[1]), int(match[2] or 1) * _UNITS[match[3][0]], manner)
    if "burst" in window:
        burst, per_second = float(window["burst"]), float(window["per_second"])
        return Limit(f"burst {burst:g}, {per_second:g}/second", burst, burst / per_second, "bucket")
    if "per" in window:
        # The sandbox's days begin with its clock, whatever the time zone.
        label = f"{window['requests']}/day {window.get('time_zone', 'UTC')}"
        return Limit(label, float(window["requests"]), _UNITS["d"], manner)
    requests, seconds = float(window["requests"]), float(window["per_seconds"])
    return Limit(f"{requests:g}/{seconds:g} seconds", requests, seconds, manner)
