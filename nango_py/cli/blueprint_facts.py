"""The facts of a blueprint as lines for a person: status, limits, changes and sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.cli.output import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.model import Blueprint, Status
    from nango_py.json_types import Settings

SHOWN_CASES = 6
WINDOWS_WIDTH = 24


def format_status(status: Status) -> str:
    """The deprecation or retirement of a blueprint's API, or ""."""
    target = f", use {status.migrate_to}" if status.migrate_to else ""
    if status.retires_on:
        return f"end of life {status.retires_on}{target}"
    return f"deprecated {status.deprecated_on}{target}" if status.deprecated_on else ""


def format_limits(limits: Settings) -> str:
    """The rate limits on one line: the default windows, and the number of rules for single endpoints."""
    from nango_py.config.values import as_tuple

    budgets = limits.get("budgets", ())
    words = [text for budget in budgets for text in _windows(budget.get("otherwise", ()))]
    words += [f"{budget['max_in_flight']} in flight" for budget in budgets if "max_in_flight" in budget]
    matches = [case["match"] for budget in budgets for case in budget.get("cases", ())]
    rules = sum(len(as_tuple(match.get("path", ""))) for match in matches)
    if rules:
        words.append(format_count(rules, "endpoint rule"))
    return ", ".join(words) or "learned from responses"


def limit_lines(limits: Settings) -> Iterator[str]:
    """A line for each budget, followed by its first cases."""
    for budget in limits.get("budgets", ()):
        words = _windows(budget.get("otherwise", ()))
        if "max_in_flight" in budget:
            words.append(f"{budget['max_in_flight']} in flight")
        key, owner = budget.get("key"), budget.get("counted_per")
        if key and "${" in key:
            words.append(f"for each {key}")
        if owner:
            words.append(f"per {owner}")
        name = budget.get("name") or key or "requests"
        yield f"{name}: {', '.join(words) or 'by endpoint'}"
        yield from _case_lines(budget.get("cases", ()))


def _case_lines(cases: tuple[Settings, ...]) -> Iterator[str]:
    for case in cases[:SHOWN_CASES]:
        windows = _windows(case.get("windows", ()))
        if "max_in_flight" in case:
            windows.append(f"{case['max_in_flight']} in flight")
        text = ", ".join(windows) or "not counted"
        yield f"  {text.ljust(WINDOWS_WIDTH)} {_match(case['match'])}"
    if len(cases) > SHOWN_CASES:
        yield f"  and {format_count(len(cases) - SHOWN_CASES, 'more case')}"


def _match(match: Settings) -> str:
    from nango_py.config.values import as_tuple

    paths = [str(path) for path in as_tuple(match.get("path", ()))]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    others = [f"{key} {value}" for key, value in match.items() if key not in {"method", "path"}]
    methods = " or ".join(map(str, as_tuple(match.get("method", ()))))
    return " ".join(filter(None, (methods, (paths[0] + more) if paths else "", *others)))


def _windows(windows: object) -> list[str]:
    from nango_py.config.values import as_tuple
    from nango_py.limits.notation import parse_limit

    return [parse_limit(window).label for window in as_tuple(windows)]


def change_lines(blueprint: Blueprint) -> Iterator[str]:
    """A line for each announced change, by date."""
    for change in blueprint.changes:
        yield " ".join(filter(None, (f"{change.on}: {change.what}", change.then, change.url)))


def source_lines(settings: Settings) -> Iterator[str]:
    """A line for each page that the file is from, with the day when it was read."""
    from nango_py.config.values import as_tuple

    for source in settings.get("sources", ()):
        yield f"{source['read_on']}  {source['url']}  ({', '.join(map(str, as_tuple(source['covers'])))})"
