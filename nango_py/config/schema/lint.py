"""Checks that a schema cannot express, such as settings that are valid alone and dangerous together."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from nango_py.config.own_fields import check_own_fields, own_names
from nango_py.config.schema.facts import check_facts
from nango_py.config.schema.field_patterns import matches_pattern, pattern_fault
from nango_py.config.schema.lint_pagination import lint_pagination
from nango_py.config.schema.lint_requests import check_requests
from nango_py.config.urls.hosts import is_network
from nango_py.config.values import MAPPINGS, as_tuple, list_at, mapping_at
from nango_py.errors import MAX_PROBLEMS, Problem, nearest, printable
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.document import Document
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

# YAML 1.1, which most editors use, reads these as true and false.
_BOOLEANS_ELSEWHERE = {"y": "true", "yes": "true", "on": "true", "n": "false", "no": "false", "off": "false"}
_NOT_FOR_BLUEPRINTS = {"allowed_networks": "open networks", "proxy_url": "name a proxy"}


def lint_settings(settings: Settings, locator: Located) -> list[Problem]:
    """The problems of settings that a schema cannot find.

    They are: budgets without limits (E203), refusals that name no budget (E404), rate limit headers without a
    wait (E402), rules that may send a POST twice (E403), invalid calendar periods and networks (E204),
    credentials that the auth mode does not have (E202), patterns that cannot be used (E319), and places of
    pages and sizes that do not fit (E203, E204).
    """
    checks = (
        _check_limit_headers, _check_budgets, _check_repeated_posts, _check_days, _check_networks,
        _check_fields, check_requests, check_facts, lint_pagination,
    )  # fmt: skip
    found = itertools.chain.from_iterable(check(settings, locator) for check in checks)
    return list(itertools.islice(found, MAX_PROBLEMS + 1))


def lint_usage(settings: Settings, names: Iterable[str], locator: Located) -> Iterator[Problem]:
    """Warnings: no request holds a credential (W103), or a key has no use in its auth mode (W104).

    Args:
        settings: merged and valid settings.
        names: the variables that base URL, headers and parameters use.
        locator: where the parts of the settings were written.
    """
    auth = settings["auth"]
    mode = AUTH_MODES.get(str.__str__(auth["auth_mode"]))
    offered = {*mode.variables, *own_names(settings), "raw"}
    is_sent_by_mode = mode.signs or mode.answers_challenges or not mode.variables
    if not is_sent_by_mode and offered.isdisjoint(name.partition(".")[0] for name in names):
        help_ = f"put one of {', '.join(mode.variables)} into requests.headers or requests.params"
        where = locator.position(("auth", "auth_mode"))
        yield Problem(where, "W103", "no request holds a credential", "", help_)
    if mode.name == "OAUTH1" and "scope_separator" in auth:
        where = locator.key_position(("auth", "scope_separator"))
        yield Problem(where, "W104", "scope_separator has no effect: OAuth 1.0a has no scopes")


def lint_blueprint(document: Document) -> list[Problem]:
    """Settings that only integrations.yaml may have (E320)."""
    data = document.data
    found = []
    for path in ((), *(("versions", version) for version in mapping_at(data, "versions"))):
        body = mapping_at(data, *path) if path else data
        for key, what in _NOT_FOR_BLUEPRINTS.items():
            if key in mapping_at(body, "requests"):
                where = document.key_position((*path, "requests", key))
                help_ = f"set requests.{key} in integrations.yaml"
                found.append(Problem(where, "E320", f"a blueprint may not {what}", "", help_))
    return found


def lint_names(document: Document) -> list[Problem]:
    """Integration names that YAML 1.1 reads as true or false (E207)."""
    found = []
    for name in mapping_at(document.data, "integrations"):
        meaning = _BOOLEANS_ELSEWHERE.get(name.lower())
        if meaning and document.has_plain_key(("integrations", name)):
            where = document.key_position(("integrations", name))
            what = f'many YAML readers read "{name}" as {meaning}'
            found.append(Problem(where, "E207", what, "", f'quote it: "{name}"'))
    return found


def _check_limit_headers(settings: Settings, locator: Located) -> Iterator[Problem]:
    headers = mapping_at(settings, "rate_limits", "headers")
    if headers.get("remaining") is not None and not (headers.get("reset") or headers.get("retry_after")):
        where = locator.key_position(("rate_limits", "headers", "remaining"))
        help_ = "add reset or retry_after; otherwise the wait is unknown"
        yield Problem(where, "E402", '"remaining" alone does not say when calls are allowed again', "", help_)


def _check_budgets(settings: Settings, locator: Located) -> Iterator[Problem]:
    limits = mapping_at(settings, "rate_limits")
    names = []
    closed = set(_refused_names(limits))
    for index, budget in enumerate(list_at(limits, "budgets")):
        path = ("rate_limits", "budgets", index)
        if isinstance(budget, MAPPINGS) and "key" in budget:
            names.append(str(budget.get("name", budget["key"])))
            if names[-1] not in closed:
                yield from _check_has_limits(budget, locator, path)
        yield from _check_family_windows(budget, locator, path)
    for index, refusal in enumerate(list_at(limits, "refusals")):
        closes = refusal.get("closes") if isinstance(refusal, MAPPINGS) else None
        place = ("rate_limits", "refusals", index, "closes")
        is_list = isinstance(closes, list | tuple)
        for number, name in enumerate(as_tuple(closes)):
            if isinstance(name, str) and name not in names:
                where = locator.position((*place, number) if is_list else place)
                near = nearest(name, names)
                known = ", ".join(names) or "none"
                help_ = f'did you mean "{near}"?' if near else f"budgets: {known}"
                yield Problem(where, "E404", f'no budget is named "{printable(name)}"', "", help_)


def _refused_names(limits: Settings) -> Iterator[str]:
    """The names of the budgets that refusals close; these need no limits."""
    for refusal in list_at(limits, "refusals"):
        yield from map(str, as_tuple(mapping_at(refusal).get("closes")))


def _check_has_limits(budget: Settings, locator: Located, path: Path) -> Iterator[Problem]:
    cases = [mapping_at(case) for case in list_at(budget, "cases")]
    has_limits = (
        any(not case.keys().isdisjoint(("windows", "max_in_flight")) for case in cases)
        or not budget.keys().isdisjoint(("otherwise", "max_in_flight"))
        or any("limit" in mapping_at(row) for row in as_tuple(budget.get("headers")))
    )
    if len(budget) > 1 and not has_limits:
        help_ = "or name the budget in refusals"
        where = locator.position(path)
        expected = "expected windows or otherwise, or headers with limit"
        yield Problem(where, "E203", "the budget has no limits", expected, help_)


def _check_family_windows(budget: object, locator: Located, path: Path) -> Iterator[Problem]:
    """Headers of windows that the budget does not have (E404)."""
    if not isinstance(budget, MAPPINGS) or "headers" not in budget:
        return
    rows = [
        budget.get("otherwise"),
        *(mapping_at(case).get("windows") for case in list_at(budget, "cases")),
    ]
    windows = [window for row in rows for window in list_at(row)]
    families = budget.get("headers")
    is_list = isinstance(families, list | tuple)
    for number, family in enumerate(as_tuple(families)):
        window = mapping_at(family).get("window")
        if window is not None and window not in windows:
            place = (*path, "headers", *((number,) if is_list else ()), "window")
            known = ", ".join(str(one) for one in windows if isinstance(one, str))
            help_ = f"write one of {known}" if known else "write it as in the budget"
            yield Problem(locator.position(place), "E404", "the budget has no such window", "", help_)


def _check_repeated_posts(settings: Settings, locator: Located) -> Iterator[Problem]:
    retries = mapping_at(settings, "retries")
    has_key = retries.get("idempotency_header") or retries.get("idempotency")
    if has_key or retries.get("allow_duplicate_posts") is True:
        return
    for index, rule in enumerate(list_at(retries, "rules")):
        block = "match" if "method" in mapping_at(rule, "match") else "when"
        named = as_tuple(mapping_at(rule, block).get("method"))
        repeated = [method for method in ("POST", "PATCH") if method in named]
        if repeated and rule.get("do") == "retry" and rule.get("allow_duplicate_posts") is not True:
            where = locator.key_position(("retries", "rules", index, block, "method"))
            help_ = "add idempotency or allow_duplicate_posts: true"
            yield Problem(where, "E403", f"{repeated[0]} could run twice", "", help_)


def _check_fields(settings: Settings, locator: Located) -> Iterator[Problem]:
    credentials = mapping_at(settings, "credentials")
    yield from check_own_fields(settings, locator)
    values = mapping_at(settings, "connection_config", "properties")
    for path, fields in ((("credentials",), credentials), (("connection_config", "properties"), values)):
        for name in fields:
            yield from _check_pattern(mapping_at(fields, name), locator, (*path, name))


def _check_pattern(field: Settings, locator: Located, path: Path) -> Iterator[Problem]:
    pattern, example = field.get("pattern"), field.get("example")
    if not isinstance(pattern, str):
        return
    fault = pattern_fault(pattern)
    if fault:
        yield Problem(locator.position((*path, "pattern")), "E319", f"the pattern {fault}")
    elif isinstance(example, str) and not matches_pattern(pattern, example):
        yield Problem(locator.position((*path, "example")), "E319", "the example does not match the pattern")


def _check_days(settings: Settings, locator: Located) -> Iterator[Problem]:
    for path, window in _calendar_periods(mapping_at(settings, "rate_limits").get("budgets")):
        if "per_seconds" in window:
            where = locator.key_position((*path, "per_seconds"))
            what = "a calendar period has no per_seconds"
            yield Problem(where, "E204", what, "", "remove per or per_seconds")
        zone = window.get("time_zone")
        if isinstance(zone, str) and "${" not in zone and not _is_time_zone(zone):
            what = f'unknown time zone "{printable(zone, 64)}"'
            where = locator.position((*path, "time_zone"))
            yield Problem(where, "E204", what, "expected UTC or an IANA name such as America/New_York")


def _check_networks(settings: Settings, locator: Located) -> Iterator[Problem]:
    for index, network in enumerate(list_at(settings, "requests", "allowed_networks")):
        if isinstance(network, str) and not is_network(str.__str__(network)):
            where = locator.position(("requests", "allowed_networks", index))
            what = f'"{printable(network, 64)}" is not a network'
            yield Problem(
                where, "E204", what, "expected zeros after the prefix, as in 10.0.0.0/8 or fd00::/8"
            )


def _calendar_periods(budgets: object) -> list[tuple[Path, Settings]]:
    """The windows of all budgets that are calendar periods, each with its path."""
    days: list[tuple[Path, Settings]] = []
    for index, budget in enumerate(list_at(budgets)):
        if not isinstance(budget, MAPPINGS):
            continue
        lists: list[tuple[Path, object]] = [(("otherwise",), budget.get("otherwise"))]
        for number, case in enumerate(list_at(budget, "cases")):
            if isinstance(case, MAPPINGS):
                lists.append((("cases", number, "windows"), case.get("windows")))
        days += [
            (("rate_limits", "budgets", index, *path, number), window)
            for path, windows in lists
            if isinstance(windows, list | tuple)
            for number, window in enumerate(windows)
            if isinstance(window, MAPPINGS) and "per" in window
        ]
    return days


def _is_time_zone(name: str) -> bool:
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
