"""What commands print: plain columns, JSON, and one line for each thing that went wrong."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDEST_CELL = 200


def columns(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The rows under their headings, aligned by spaces; no line ends in one."""
    cells = [list(headings), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def cell(value: Any) -> str:
    """A value on one line, controls escaped; "-" for nothing."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        value = value.isoformat(timespec="seconds")
    return printable(value if type(value) is str else str(value), WIDEST_CELL)


def echo_columns(headings: Sequence[str], rows: Sequence[Sequence[Any]], nothing: str) -> None:
    """Print the rows, or on standard error the sentence for having none, so that a pipe gets no rows."""
    if rows:
        click.echo(columns(headings, rows))
    else:
        click.echo(nothing, err=True)


def echo_json(value: Any) -> None:
    """Print a value as JSON; dates are in ISO 8601."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def echo_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values, one pair on a line; pairs without a value are left out."""
    shown = {name: cell(value) for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name.ljust(width)}  {value}")


def echo_error(text: str) -> None:
    """Print what went wrong as one line on standard error."""
    click.echo("error: " + " ".join(text.splitlines()), err=True)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "items"):
        return dict(value)
    return str(value)
