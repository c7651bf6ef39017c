"""Replaces `${UPPER_CASE}` in integrations.yaml by environment variables, once, while loading."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from nango_py.config.template.compiled import RefusedText
from nango_py.config.template.compiler import substitute_environment
from nango_py.config.template.filters import TemplateProblem
from nango_py.errors import MAX_PROBLEMS, Position, Problem
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.values import Path
    from nango_py.config.yaml.document import Document

# Prose may show `${...}` in examples; it is not a template.
_PROSE = frozenset({"comment", "docs_url", "examples", "gotchas", "title"})


def resolve_environment(
    document: Document,
    places: Mapping[Path, str],
    environ: Mapping[str, str],
    folders: Iterable[FilePath],
    problems: list[Problem],
    above: int = 2,
) -> Document:
    """The document with the values of environment variables; see `substitute_environment`.

    Args:
        document: integrations.yaml, or the same from Python.
        places: the paths of texts and their kinds; those that are not templates may name environment
            variables only.
        environ: the environment.
        folders: where the document's file may be, to report the exact column of a problem.
        problems: receives unset variables (E310) and malformed templates.
        above: how many keys lead to the entry of an integration.
    """
    folders = tuple(folders)

    def resolve(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            below = path[above:]
            return {
                key: item if _is_unread(key, below) else resolve(item, (*path, key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [resolve(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value or len(problems) > MAX_PROBLEMS:
            return value
        is_template = _is_in_action(path[above:]) or places.get(path, "jmespath") != "jmespath"
        try:
            return substitute_environment(value, environ, is_template=is_template)
        except TemplateProblem as problem:
            problems.append(locate_problem(problem, value, document.position(path), folders))
            return RefusedText(value)

    return replaced(document, data=resolve(document.data, ()))


def _is_unread(key: str, path: Path) -> bool:
    """Whether a value is not searched for variables: prose, and of an action all but its requests."""
    if _is_in_action(path):
        return len(path) == len(("actions", "name")) and key not in _READ_IN_ACTIONS
    return key in _PROSE or key.startswith("x-")


_READ_IN_ACTIONS = frozenset({"request", "steps"})


def _is_in_action(path: Path) -> bool:
    """Whether a path in an entry is that of an action, or leads below it."""
    return len(path) >= len(("actions", "name")) and path[0] == "actions"


def locate_problem(
    problem: TemplateProblem, text: str, position: Position, folders: Iterable[FilePath]
) -> Problem:
    """The problem, at the column where its part of the text stands.

    The column is exact for a text on one line, quoted or not; for other texts it is where the text begins.
    """
    column = position.column
    if column and problem.offset:
        line = _read_line(position, folders)[column - 1 :]
        if line.startswith(text):
            column += problem.offset
        elif line[:1] in {"'", '"'} and line[1:].startswith(text):
            column += problem.offset + 1
    where = Position(position.file, position.line, column)
    return Problem(where, problem.code, problem.what, problem.expected, problem.help)


def _read_line(position: Position, folders: Iterable[FilePath]) -> str:
    """The line, read from the file again; only errors need it."""
    for path in (FilePath(position.file), *(folder / position.file for folder in folders)):
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError):
            continue
        return lines[position.line - 1] if position.line <= len(lines) else ""
    return ""
