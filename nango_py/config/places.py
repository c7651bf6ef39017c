"""Which texts of a settings tree are templates, and where in a file a part of such a text stands."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from nango_py.errors import Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nango_py.config.filters import TemplateProblem
    from nango_py.config.model import Path

_BRANCHES = ("allOf", "anyOf", "oneOf")
_CONSEQUENCES = ("then", "else")


def template_places(schema: Mapping[str, Any], value: Any) -> dict[Path, str]:
    """The path of each text that may hold `${...}`, and its kind.

    Args:
        schema: an assembled schema, in which `template` marks such texts: "url", "path", "query",
            "header", "key" or "text".
        value: the settings.
    """
    found: dict[Path, str] = {}
    for path, kind in _marked(schema, schema, value, ()):
        found[path] = kind
    return found


def _marked(
    root: Mapping[str, Any], schema: Any, value: Any, path: Path, refs: frozenset[str] = frozenset()
) -> Iterator[tuple[Path, str]]:
    if not hasattr(schema, "items"):
        return
    if "template" in schema and isinstance(value, str):
        yield path, schema["template"]
    reference = schema.get("$ref", "")
    if reference.startswith("#/") and reference not in refs:
        yield from _marked(root, _referenced(root, reference), value, path, refs | {reference})
    for keyword in _BRANCHES:
        for branch in schema.get(keyword, ()):
            yield from _marked(root, branch, value, path, refs)
    for keyword in _CONSEQUENCES:
        yield from _marked(root, schema.get(keyword), value, path, refs)
    if hasattr(value, "items"):
        for key, item in value.items():
            for below in _schemas_of(schema, key):
                yield from _marked(root, below, item, (*path, key))
    elif isinstance(value, list | tuple):
        fixed = schema.get("prefixItems", ())
        for index, item in enumerate(value):
            below = fixed[index] if index < len(fixed) else schema.get("items")
            yield from _marked(root, below, item, (*path, index))


def _schemas_of(schema: Mapping[str, Any], key: str) -> Iterator[Any]:
    """The schemas that apply to one key of a mapping (JSON Schema 2020-12, 10.3.2)."""
    is_listed = key in schema.get("properties", {})
    if is_listed:
        yield schema["properties"][key]
    for pattern, below in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            is_listed = True
            yield below
    if not is_listed:
        yield schema.get("additionalProperties")


def _referenced(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def located(problem: TemplateProblem, text: str, position: Position, folders: Iterable[FilePath]) -> Problem:
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
