"""Checks of `pagination:` that a schema cannot express: how its pointers fit together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.values import MAPPINGS
from nango_py.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

_SIZE_PLACES = ("param", "header", "body")
_NAMED = re.compile(r"\{([^{}]*)\}")


def lint_pagination(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Page sizes without one place (E203, E204) or above the maximum (E401), and targets that cannot be."""
    path: Path = ("pagination",)
    block = settings.get("pagination")
    if not isinstance(block, MAPPINGS):
        return
    yield from _check_size(block.get("size"), (*path, "size"), locator)
    yield from _check_next(block.get("next"), (*path, "next"), locator)
    if block.get("phrase") is not None and block.get("param") is None:
        where = locator.key_position((*path, "phrase"))
        yield Problem(where, "E203", "a phrase needs the param whose text it is part of")
    if block.get("param") is not None and block.get("to") is not None:
        where = locator.key_position((*path, "param"))
        yield Problem(where, "E204", "param and to name the same place", "", "remove param")


def _check_size(size: object, path: Path, locator: Located) -> Iterator[Problem]:
    if not isinstance(size, MAPPINGS):
        return
    places = [key for key in _SIZE_PLACES if size.get(key) is not None]
    if not places:
        where = locator.key_position(path)
        yield Problem(where, "E203", "the page size has no place", "expected param, header or body")
    for key in places[1:]:
        what = "the page size has two places"
        yield Problem(locator.key_position((*path, key)), "E204", what, "", f"remove {key} or {places[0]}")
    if size.get("phrase") is not None and places and "param" not in places:
        where = locator.key_position((*path, "phrase"))
        yield Problem(where, "E203", "a phrase needs the param whose text it is part of")
    value, maximum = size.get("value"), size.get("max")
    if isinstance(value, int) and isinstance(maximum, int) and value > maximum:
        yield Problem(locator.position((*path, "value")), "E401", f"must be <= max, which is {maximum}")


def _check_next(rule: object, path: Path, locator: Located) -> Iterator[Problem]:
    target = rule.get("to") if isinstance(rule, MAPPINGS) else None
    if not isinstance(rule, MAPPINGS) or not isinstance(target, MAPPINGS):
        return
    written, segment = rule.get("path"), target.get("segment")
    if written is not None and "url" in target:
        what = "path has no effect beside to: {url: true}"
        yield Problem(locator.key_position((*path, "path")), "E204", what, "", "remove path")
        return
    names = _NAMED.findall(written) if isinstance(written, str) else []
    if isinstance(segment, str) and segment not in names:
        help_ = f"write path: things/{{{printable(segment, 40)}}}"
        what = "a segment needs a path that has it"
        yield Problem(locator.position((*path, "to", "segment")), "E203", what, "", help_)
    for name in names:
        if name not in {"path", segment}:
            what = f'unknown name "{printable(name, 40)}" in path'
            yield Problem(
                locator.position((*path, "path")), "E204", what, "expected {path} or the segment in to"
            )
