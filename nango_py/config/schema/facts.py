"""Checks what a blueprint says about its facts: sources, unconfirmed values, changes and dates."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from nango_py.config.values import MAPPINGS, list_at
from nango_py.errors import Problem, nearest, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

FACTS = ("sources", "unconfirmed", "changes")
"""The keys that describe one file, and not the API."""

_STEP = re.compile(r'\.?(?:"((?:[^"\\]|\\.)+)"|([^.\[\]"]+))|\[(0|[1-9][0-9]{0,8})\]')
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATES: tuple[Path, ...] = (("status", "released"), ("status", "deprecated_on"), ("status", "retires_on"))


def parse_key_path(text: str) -> Path | None:
    """The path that `requests.headers."X.Y"` or `rate_limits.budgets[0]` names; None if it is not one."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or (at == 0) is text.startswith((".", "["), at):
            return None
        quoted, name, index = step.groups()
        steps.append(int(index) if index else quoted.replace('\\"', '"') if quoted else name)
        at = step.end()
    return tuple(steps) or None


def key_paths(value: object) -> tuple[tuple[Path, str], ...]:
    """The texts of a path or a list of paths, each with its place in the value."""
    if isinstance(value, str):
        return (((), value),)
    return tuple(((index,), item) for index, item in enumerate(list_at(value)) if isinstance(item, str))


def check_facts(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Paths that name no key of the blueprint (E325), and dates that do not exist (E204).

    Args:
        settings: the whole settings of a blueprint, with those that it extends.
        locator: where the parts of the settings were written.
    """
    for place, value in _paths(settings):
        for below, text in key_paths(value):
            problem = _check_path(text, settings, locator, (*place, *below))
            if problem is not None:
                yield problem
    for place in (*_DATES, *_days(settings)):
        day = _at(settings, place)
        if isinstance(day, str) and _DATE.fullmatch(day) and not _is_day(day):
            yield Problem(locator.position(place), "E204", "the date does not exist", "expected YYYY-MM-DD")


def _paths(settings: Settings) -> Iterator[tuple[Path, object]]:
    """The values that hold paths of keys, each with its place."""
    yield ("unconfirmed",), settings.get("unconfirmed")
    for block, key in (("sources", "covers"), ("changes", "affects")):
        for index, entry in _entries(settings, block):
            yield (block, index, key), entry.get(key)


def _days(settings: Settings) -> Iterator[Path]:
    for block, key in (("sources", "read_on"), ("changes", "on")):
        for index, _ in _entries(settings, block):
            yield block, index, key


def _entries(settings: Settings, block: str) -> Iterator[tuple[int, Settings]]:
    for index, entry in enumerate(list_at(settings, block)):
        if isinstance(entry, MAPPINGS):
            yield index, entry


def _check_path(text: str, settings: Settings, locator: Located, place: Path) -> Problem | None:
    if not text:
        return None  # the schema check reports it
    path = parse_key_path(text)
    where = locator.position(place)
    if path is None:
        expected = "expected a path such as rate_limits.budgets[0] or requests.headers.Accept"
        return Problem(where, "E325", "not the path of a key", expected)
    value: object = settings
    for number, step in enumerate(path):
        known = _keys(value)
        if step not in known:
            near = nearest(str(step), list(map(str, known)))
            reached = f' below "{printable(format_key_path(path[:number]))}"' if number else ""
            help_ = f'did you mean "{near}"?' if near else ""
            return Problem(where, "E325", f'no key "{printable(str(step), 64)}"{reached}', "", help_)
        value = _at(value, (step,))
    return None


def _keys(value: object) -> Sequence[str | int]:
    if isinstance(value, MAPPINGS):
        return list(value)
    return range(len(value)) if isinstance(value, list | tuple) else ()


def format_key_path(path: Path) -> str:
    """The path as `parse_key_path` reads it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            is_plain = step and not re.search(r'[.\[\]"]', step)
            escaped = step.replace('"', '\\"')
            text += ("." if text else "") + (step if is_plain else f'"{escaped}"')
    return text


def _at(value: object, path: Path) -> object:
    for step in path:
        if isinstance(value, MAPPINGS):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int):
            value = value[step]
    return value


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
