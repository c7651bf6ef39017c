"""Checks of a blueprint that need no call: rules that no call reaches, and examples that do not fit."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from nango_py.auth.base import extended_mode
from nango_py.config.header_checks import check_sent_names
from nango_py.config.logins import examples_for_login, is_for_another_login
from nango_py.config.own_fields import own_fields
from nango_py.config.request_match import RequestMatch
from nango_py.config.schema.additional_config import check_additional_config
from nango_py.config.schema.fast_check import is_surely_valid
from nango_py.config.schema.format import resolve_references
from nango_py.config.template_checks import check_blueprint_templates
from nango_py.config.values import list_at, mapping_at
from nango_py.connections.connection import thaw
from nango_py.errors import ConfigError, CredentialsError, Problem
from nango_py.limits.limit_types import Bucket
from nango_py.limits.notation import parse_limit
from nango_py.record import replaced
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Schema, Settings

NEEDS_RESPONSE = frozenset({"error", "retries", "wait_seconds", "closes", "next_page"})


def check_logins(catalogue: Catalogue, blueprint: Blueprint) -> list[Problem]:
    """The problems of a valid blueprint's templates, rules and examples, with each of its logins."""
    found: list[Problem] = []
    for login in blueprint.logins or ("",):
        variant = catalogue.find(blueprint.ref, blueprint.origins[()], [], login)
        found += check_blueprint_templates(variant)
        settings = dict(variant.settings)
        if login != blueprint.login and settings.get("examples"):
            settings["examples"] = examples_for_login(settings, blueprint.settings)
        found += check_statically(settings, variant.origins)
    return list(dict.fromkeys(found))


def check_statically(settings: Settings, locator: Located) -> list[Problem]:
    """Warnings about cases and endpoints that no call reaches (W106), and errors.

    The errors are limits that never allow a call (E405) and examples that do not fit the blueprint (E326).
    Blocks that are invalid are left out, as other checks report them.

    Args:
        settings: the whole settings of a blueprint, with those that it extends.
        locator: where the parts of the settings were written.
    """
    found: list[Problem] = []
    if _is_valid("rate_limits", settings.get("rate_limits")):
        found += _check_budgets(settings["rate_limits"], locator)
    endpoints = _mappings(settings.get("endpoints"))
    if all(_is_valid_item("endpoint", endpoint) for endpoint in endpoints):
        found += _check_endpoints(endpoints, locator)
    fields = [key for key in ("credentials", "connection_config") if settings.get(key) is not None]
    has_fields = all(_is_valid(key, settings[key]) for key in fields)
    for number, example in enumerate(_mappings(settings.get("examples"))):
        is_checked = has_fields and not is_for_another_login(example)
        if is_checked and _is_valid_item("example", example):
            found += _check_example(settings, example, ("examples", number), locator)
    return found


def _is_valid(definition: str, block: object) -> bool:
    return block is not None and is_surely_valid(resolve_references(definition), block)


def _is_valid_item(definition: str, item: object) -> bool:
    """Whether an item of a list is valid; null removes no key there."""
    return is_surely_valid(_list_of(definition), [item])


@functools.cache
def _list_of(definition: str) -> Schema:
    return {"type": "array", "items": resolve_references(definition)}


def _mappings(value: object) -> Sequence[Settings]:
    return [mapping_at(item) for item in list_at(value)]


def _check_budgets(rate_limits: Settings, locator: Located) -> Iterator[Problem]:
    for number, budget in enumerate(_mappings(rate_limits.get("budgets"))):
        path: Path = ("rate_limits", "budgets", number)
        earlier: list[tuple[RequestMatch, Path]] = []
        for index, case in enumerate(_mappings(budget.get("cases"))):
            place = (*path, "cases", index)
            for match, where in _single_paths(RequestMatch.from_settings(case["match"]), place):
                known = next((at for one, at in earlier if one.covers(match)), None)
                if known is not None:
                    line = locator.position(known).line
                    what = f"no call reaches this case: the one in line {line} matches all of its calls"
                    help_ = "put the more specific case first, or remove one"
                    yield Problem(locator.position(where), "W106", what, "", help_)
                earlier.append((match, where))
            yield from _check_windows(case.get("windows"), case.get("cost", 1), (*place, "windows"), locator)
        yield from _check_windows(budget.get("otherwise"), 1, (*path, "otherwise"), locator)


def _single_paths(match: RequestMatch, place: Path) -> Iterator[tuple[RequestMatch, Path]]:
    """A match for each path of a case, and where it is written."""
    if len(match.patterns) <= 1:
        yield match, place
        return
    for index, pattern in enumerate(match.patterns):
        yield replaced(match, patterns=(pattern,)), (*place, "match", "path", index)


def _check_windows(windows: object, cost: object, path: Path, locator: Located) -> Iterator[Problem]:
    """Limits that are smaller than the cost of one call."""
    for index, window in enumerate(list_at(windows)):
        try:
            limit = parse_limit(window)
        except ValueError:
            continue
        most = limit.burst if isinstance(limit, Bucket) else getattr(limit, "requests", math.inf)
        if isinstance(cost, int) and cost > most:
            what = f"{limit.label} never allows a call of cost {cost}"
            yield Problem(locator.position((*path, index)), "E405", what)


def _check_endpoints(endpoints: Sequence[Settings], locator: Located) -> Iterator[Problem]:
    earlier: list[tuple[RequestMatch, set[str]]] = []
    for index, endpoint in enumerate(endpoints):
        match = RequestMatch.from_settings(endpoint["match"])
        keys = {key for key in endpoint if key != "match" and not key.startswith("x-")}
        decided = set().union(*(known for one, known in earlier if one.covers(match)))
        if keys <= decided:
            what = "no call reaches this entry: earlier ones match all of its calls and decide its keys"
            help_ = "put the more specific entry first, or remove one"
            yield Problem(locator.position(("endpoints", index)), "W106", what, "", help_)
        earlier.append((match, keys))


def _check_example(settings: Settings, example: Settings, path: Path, locator: Located) -> Iterator[Problem]:
    mode = mapping_at(settings, "auth").get("auth_mode")
    place = f"example {int(path[1]) + 1}"
    if "credentials" in example and mode in AUTH_MODES.names():
        try:
            extended_mode(str(mode), own_fields(settings)).validate(thaw(example["credentials"]), place)
        except CredentialsError as error:
            yield Problem(locator.position((*path, "credentials")), "E326", str(error))
    try:
        check_additional_config(
            settings.get("connection_config"), thaw(example.get("additional_config", {})), place
        )
    except ConfigError as error:
        where = locator.position((*path, "additional_config"))
        for problem in error.problems:
            yield Problem(where, "E326", f"{place}: {problem.what}", problem.expected, problem.help)
    unmet = sorted(NEEDS_RESPONSE & (example.get("expects") or {}).keys())
    if unmet and "response" not in example:
        where = locator.key_position((*path, "expects", unmet[0]))
        yield Problem(where, "E326", f"{place}: {unmet[0]} is about a response", "", "add a response")
    yield from check_sent_names(example, path, locator)
