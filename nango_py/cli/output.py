"""Output of commands: aligned columns, JSON, and one line per error."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

import click

from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDEST_CELL = 200
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def format_columns(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table aligned by spaces, without trailing spaces."""
    cells = [list(headings), *([format_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def format_cell(value: object) -> str:
    """A value on one line with control characters escaped; "-" for None and ""."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        value = value.isoformat(timespec="seconds")
    return printable(value if type(value) is str else str(value), WIDEST_CELL)


def echo_columns(headings: Sequence[str], rows: Sequence[Sequence[object]], empty_message: str) -> None:
    """Print a table, or `empty_message` on standard error if there are no rows."""
    if rows:
        click.echo(format_columns(headings, rows))
    else:
        click.echo(empty_message, err=True)


def echo_json(value: object) -> None:
    """Print a value as JSON, dates in ISO 8601."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_to_json))


def echo_fields(fields: Mapping[str, object]) -> None:
    """Print one name and value per line, without the empty ones."""
    shown = {name: format_cell(value) for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name.ljust(width)}  {value}")


def echo_error(text: str) -> None:
    """Print an error on one line of standard error."""
    click.echo("error: " + " ".join(text.splitlines()), err=True)


def format_count(number: int, noun: str) -> str:
    """A number with its noun: `1 connection`, `2 connections`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value.items()) if hasattr(value, "items") else str(value)
