"""Which texts of a settings tree are templates, and where in a file a part of such a text stands."""

from __future__ import annotations

import functools
import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from nango_py.config.schema.format import resolve_references
from nango_py.errors import Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nango_py.config.model import Path
    from nango_py.config.template.filters import TemplateProblem

_BRANCHES = ("allOf", "anyOf", "oneOf")
_CONSEQUENCES = ("then", "else")
_NAMED = ("properties", "patternProperties")
_REST = ("additionalProperties", "items")


def template_places(definition: str, value: Any) -> dict[Path, str]:
    """The path of each text that may hold `${...}`, and its kind.

    Args:
        definition: the name of a definition of the file format. In it `template` marks such texts: "url",
            "path", "query", "header", "key" or "text".
        value: the settings that it describes.
    """
    return dict(_marked(_outline(definition), value, ()))


@functools.cache
def _outline(definition: str) -> Mapping[str, Any]:
    return _with_templates(resolve_references(definition)) or {}


def _with_templates(schema: Any) -> dict[str, Any] | None:
    """The parts of a schema below which a text may be a template; None where there are none."""
    if not isinstance(schema, dict):
        return None
    found: dict[str, Any] = {"template": schema["template"]} if "template" in schema else {}
    branches = [branch for keyword in _BRANCHES for branch in schema.get(keyword, ())]
    branches += [schema.get(keyword) for keyword in _CONSEQUENCES]
    kept = [branch for branch in map(_with_templates, branches) if branch]
    if kept:
        found["branches"] = kept
    for keyword in _NAMED:
        if keyword in schema:
            # A name without templates still keeps its key from additionalProperties.
            found[keyword] = {key: _with_templates(below) for key, below in schema[keyword].items()}
    for keyword in _REST:
        below = _with_templates(schema.get(keyword))
        if below:
            found[keyword] = below
    named = [below for keyword in _NAMED for below in found.get(keyword, {}).values()]
    return found if any(named) or found.keys() - set(_NAMED) else None


def _marked(outline: Mapping[str, Any] | None, value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if not outline:
        return
    if isinstance(value, str):
        if "template" in outline:
            yield path, outline["template"]
    else:
        for key, item in _items(value):
            for below in _schemas_of(outline, key):
                yield from _marked(below, item, (*path, key))
    for branch in outline.get("branches", ()):
        yield from _marked(branch, value, path)


def _items(value: Any) -> Iterable[tuple[str | int, Any]]:
    if hasattr(value, "items"):
        pairs: Iterable[tuple[str | int, Any]] = value.items()
        return pairs
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _schemas_of(schema: Mapping[str, Any], key: str | int) -> Iterator[Any]:
    """The schemas that apply to one key or item (JSON Schema 2020-12, 10.3)."""
    if isinstance(key, int):
        yield schema.get("items")
        return
    is_listed = key in schema.get("properties", {})
    if is_listed:
        yield schema["properties"][key]
    for pattern, below in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            is_listed = True
            yield below
    if not is_listed:
        yield schema.get("additionalProperties")


def locate_problem(
    problem: TemplateProblem, text: str, position: Position, folders: Iterable[FilePath]
) -> Problem:
    """The problem at the place in the file where its part of the text stands.

    Exact for a text on one line, quoted or not; for other texts the place where the text begins.
    """
    column = position.column
    if column and problem.offset:
        line = _line(position, folders)[column - 1 :]
        if line.startswith(text):
            column += problem.offset
        elif line[:1] in {"'", '"'} and line[1:].startswith(text):
            column += problem.offset + 1
    where = Position(position.file, position.line, column)
    return Problem(where, problem.code, problem.what, problem.expected, problem.help)


def _line(position: Position, folders: Iterable[FilePath]) -> str:
    """The line of the file, read again: it is wanted for an error only."""
    for path in (FilePath(position.file), *(folder / position.file for folder in folders)):
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError):
            continue
        return lines[position.line - 1] if position.line <= len(lines) else ""
    return ""
