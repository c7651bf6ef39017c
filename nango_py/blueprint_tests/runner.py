"""Runs all tests of a blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.blueprint_tests.actions import action_differences
from nango_py.blueprint_tests.bench import Bench
from nango_py.blueprint_tests.credentials import verification_differences
from nango_py.blueprint_tests.difference import Difference
from nango_py.blueprint_tests.examples import example_differences
from nango_py.blueprint_tests.lists import page_differences, walk_differences
from nango_py.blueprint_tests.logins import login_differences
from nango_py.blueprint_tests.publishing import publishing_differences
from nango_py.blueprint_tests.refusals import refusal_differences
from nango_py.blueprint_tests.static_checks import check_logins
from nango_py.blueprint_tests.uploads import upload_differences
from nango_py.errors import ConfigError, NangoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.errors import Position, Problem


def find_differences(
    blueprint: Blueprint, catalogue: Catalogue, *, is_strict: bool = False
) -> list[Difference]:
    """Everything that is not as a blueprint says, by place.

    Each example is planned and sent to the sandbox of the blueprint, its lists are walked, and its
    verification and the refusals of its API are tried, with each login. Waits take no time.

    Args:
        blueprint: a valid blueprint.
        catalogue: the catalogue that has found it.
        is_strict: whether to apply the rules for published blueprints too.
    """
    found = [_as_difference(problem) for problem in check_logins(catalogue, blueprint)]
    for login in blueprint.logins or ("",):
        variant = catalogue.find(blueprint.ref, blueprint.origins[()], [], login)
        try:
            bench = Bench(variant, catalogue)
            found += _test(bench)
            found += publishing_differences(bench) if is_strict else ()
        except ConfigError as error:
            found += map(_as_difference, error.problems)
    return sorted(dict.fromkeys(found), key=lambda difference: difference.position)


def _as_difference(problem: Problem) -> Difference:
    return Difference(problem.position, "check", str(problem).partition(": ")[2])


def _test(bench: Bench) -> Iterator[Difference]:
    for number, example in bench.numbered_examples:
        name = f"example {number + 1}"
        place = _position(bench, ("examples", number))
        yield from _find_differences(name, place, example_differences(bench, example))
        yield from _find_differences(name, place, page_differences(bench, example))
    actions = bench.settings.get("actions") or {}
    for action in actions:
        for number, example in enumerate(actions[action].get("examples") or ()):
            place = _position(bench, ("actions", action, "examples", number))
            if not _is_of_base_url(bench, place):
                continue
            name = f"action {action}, example {number + 1}"
            yield from _find_differences(name, place, action_differences(bench, action, example))
    yield from _find_differences(
        "verification", _position(bench, ("verification",)), verification_differences(bench)
    )
    yield from _find_differences("login", _position(bench, ("auth",)), login_differences(bench))
    yield from _find_differences("upload", _position(bench, ("endpoints",)), upload_differences(bench))
    place = _position(bench, ("rate_limits",))
    yield from _find_differences("refusals", place, refusal_differences(bench))
    place = _position(bench, ("pagination",))
    yield from _find_differences("pagination", place, walk_differences(bench))


def _is_of_base_url(bench: Bench, place: Position) -> bool:
    """Whether the URLs of an example are those of this blueprint, not those of one that it extends."""
    own = bench.blueprint.origins[()].file
    return place.file == own or _position(bench, ("requests", "base_url")).file != own


def _find_differences(test: str, place: Position, texts: Iterable[str]) -> Iterator[Difference]:
    try:
        for text in texts:
            yield Difference(place, test, text)
    except NangoError as error:
        yield Difference(place, test, f"cannot be tested: {error}")


def _position(bench: Bench, path: Path) -> Position:
    origins = bench.blueprint.origins
    return origins.get(path) or origins[()]
