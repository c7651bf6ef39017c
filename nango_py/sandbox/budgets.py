"""The limits of a blueprint's `rate_limits`, as the sandbox counts them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from nango_py.config.request_match import RequestMatch
from nango_py.record import record, replaced

if TYPE_CHECKING:
    from nango_py.json_types import Settings

CountingMode = Literal["fixed", "sliding", "bucket"]
"""Windows aligned to the clock, windows that end at each request, or token buckets."""

LimitSpeed = Literal["real", "fast", "none"]
"""The limits of the blueprint, the same in windows sixty times shorter, or no limits."""

_STATED = 100
"""The number of usual calls that a made-up limit allows."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 604800.0, "month": 2592000.0}
_WINDOW = re.compile(r"\s*(\d+) ?/ ?(\d*) ?(s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s*")


@record
class Limit:
    """At most `requests` in `seconds`, or a bucket with that burst that refills in `seconds`."""

    label: str
    requests: float
    seconds: float
    mode: CountingMode


@record
class Case:
    """The limits of some calls, and the cost of such a call.

    `settle` is the JMESPath at which a response states the real cost, and `settle_header` the header.
    `max_in_flight` is 0 if it is that of the budget.

    Cases with the same `key` share the limits of all of them. Without a `key`, cases with different limits
    are counted separately.
    """

    match: RequestMatch
    limits: tuple[Limit, ...]
    cost: int
    key: str
    settle: str
    settle_header: str = ""
    max_in_flight: int = 0


@record
class Budget:
    """Cases, of which the first that matches applies, the template of their key, and the quota's owner.

    `max_in_flight` is 0 if any number of requests may be in flight.
    """

    index: int
    key: str
    cases: tuple[Case, ...]
    counted_per: str
    max_in_flight: int


def parse_budgets(rate_limits: Settings, mode: CountingMode, speed: float = 1.0) -> tuple[Budget, ...]:
    """The budgets of a blueprint. `{burst, per_second}` windows are buckets in every mode.

    Args:
        rate_limits: of the blueprint.
        mode: how windows count.
        speed: how much shorter windows are than declared.

    Raises:
        ValueError: a window is invalid.
    """
    budgets = enumerate(rate_limits.get("budgets") or ())
    owner = str(rate_limits.get("counted_per") or "connection")
    return tuple(_parse_budget(index, budget, mode, owner, speed) for index, budget in budgets)


def _parse_budget(index: int, settings: Settings, mode: CountingMode, owner: str, speed: float) -> Budget:
    rows = [*(settings.get("cases") or ())]
    max_in_flight = int(settings.get("max_in_flight") or 0)
    stated = _stated_windows(settings)
    if settings.get("otherwise") or max_in_flight or (stated and not rows):
        rows.append({"windows": settings.get("otherwise") or []})
    rows = [{**row, "windows": row.get("windows") or stated} for row in rows]
    shared: dict[str, list[str | Settings]] = {}
    for row in rows:
        shared.setdefault(row.get("key") or "", []).extend(_to_list(row.get("windows") or []))
    cases = []
    for row in rows:
        windows = shared[row["key"]] if row.get("key") else _to_list(row.get("windows") or [])
        parsed = dict.fromkeys(_parse_limit(window, mode) for window in windows)
        limits = tuple(replaced(limit, seconds=limit.seconds / speed) for limit in parsed)
        cases.append(_parse_case(row, limits, settings.get("cost")))
    owner = str(settings.get("counted_per") or owner)
    return Budget(index, str(settings.get("key") or ""), tuple(cases), owner, max_in_flight)


def _stated_windows(settings: Settings) -> list[str | Settings]:
    """Made-up limits of a budget whose limits are stated by its responses alone."""
    declared = settings.get("headers") or ()
    families = [declared] if isinstance(declared, Mapping) else [*declared]
    rows = settings.get("cases") or ()
    if settings.get("otherwise") or any(row.get("windows") for row in rows):
        return []
    costs = [row.get("cost") or settings.get("cost") or 1 for row in (*rows, {})]
    most = max(cost if isinstance(cost, int) else int(cost["reserve"]) for cost in costs)
    return [
        {"requests": _STATED * most, "per_seconds": family.get("per_seconds") or 60.0}
        for family in families
        if family.get("limit")
    ]


def _parse_case(settings: Settings, limits: tuple[Limit, ...], cost: int | Settings | None) -> Case:
    cost = settings.get("cost") or cost or 1
    settle: str | Settings = "" if isinstance(cost, int) else cost.get("settle") or ""
    return Case(
        match=RequestMatch.from_settings(settings.get("match")),
        limits=limits,
        cost=cost if isinstance(cost, int) else int(cost["reserve"]),
        key=str(settings.get("key") or ""),
        settle=settle if isinstance(settle, str) else "",
        settle_header="" if isinstance(settle, str) else str(settle.get("header") or ""),
        max_in_flight=int(settings.get("max_in_flight") or 0),
    )


def _to_list(windows: str | Settings | list[str | Settings]) -> list[str | Settings]:
    return [windows] if isinstance(windows, str | Mapping) else list(windows)


def path_pattern(path: str) -> re.Pattern[str]:
    """A regular expression for a path: `{x}` and `*` match a segment, `**` the rest (a group each)."""
    parts = re.split(r"(\{[^}/]*\}|\*\*|\*)", path.strip("/"))
    return re.compile(
        "".join("(.*)" if p == "**" else "([^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts))
    )


def label_of(window: str | Settings) -> str:
    """The label of a window, as it is in `Limit`."""
    return _parse_limit(window, "fixed").label


def _parse_limit(window: str | Settings, mode: CountingMode) -> Limit:
    if isinstance(window, str):
        match = _WINDOW.fullmatch(window.lower())
        if match is None:
            raise ValueError(f"invalid window {window!r}; write 10/second, 10/minute, 10/hour or 10/day")
        return Limit(window.strip(), float(match[1]), int(match[2] or 1) * _UNITS[match[3][0]], mode)
    if "burst" in window:
        burst, per_second = float(window["burst"]), float(window["per_second"])
        return Limit(f"burst {burst:g}, {per_second:g}/second", burst, burst / per_second, "bucket")
    if "per" in window:
        # Periods of the sandbox start with its clock, in every time zone, and months have 30 days.
        label = f"{window['requests']}/{window['per']} {window.get('time_zone', 'UTC')}"
        return Limit(label, float(window["requests"]), _PERIODS[window["per"]], mode)
    requests, seconds = float(window["requests"]), float(window["per_seconds"])
    return Limit(f"{requests:g}/{seconds:g} seconds", requests, seconds, mode)
