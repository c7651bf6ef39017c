"""Where in a file the wrong part of a template stands."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from nango_py.errors import Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.config.template.filters import TemplateProblem


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
