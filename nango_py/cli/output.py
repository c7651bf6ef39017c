"""Output of commands: aligned columns, JSON, and one line per error."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING

import click

from nango_py.errors import printable
from nango_py.tools.masking import mask_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO

    from nango_py.engine.executor import Executor
    from nango_py.json_types import JsonValue

WIDEST_CELL = 200
NARROWEST_CELL = 8
BLOCK_LINES = 1000
"""Lines of a table that are held in memory, to align them."""
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

COLORS = {
    "active": "green", "needs_reauth": "yellow", "needs_choice": "yellow", "deprecated": "yellow",
    "retired": "red",
}  # fmt: skip
"""Colours of cells with these texts, on a terminal."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads a stream."""
    return stream is not None and stream.isatty()


def has_colors(stream: TextIO | None) -> bool:
    """Whether to use colours on a stream: on terminals, unless NO_COLOR is set (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def format_columns(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, width: int = 0, is_colored: bool = False
) -> str:
    """A table aligned by spaces, without trailing spaces.

    Args:
        headings: of the columns.
        rows: the cells.
        width: the longest line; long cells are cut for it; 0 cuts nothing.
        is_colored: whether to use ANSI colours.
    """
    return "\n".join(_iter_columns(headings, rows, width=width, is_colored=is_colored))


def _iter_columns(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, width: int, is_colored: bool
) -> Iterator[str]:
    """The lines of a table. Columns are as wide as the widest cell of the lines up to the next thousand."""
    rest: Iterator[Sequence[object]] = chain([headings], rows)
    widest, is_heading = [0] * len(headings), is_colored
    while block := [[format_cell(value) for value in row] for row in islice(rest, BLOCK_LINES)]:
        columns = zip(*block, strict=True)
        widest = [max(size, *map(len, column)) for size, column in zip(widest, columns, strict=True)]
        widths = _fit(widest, width)
        for line in block:
            texts = [cut(text, size).ljust(size) for text, size in zip(line, widths, strict=True)]
            texts[-1] = texts[-1].rstrip()
            if is_colored:
                texts = [_style(text, is_heading=is_heading) for text in texts]
            is_heading = False
            yield "  ".join(texts).rstrip()


def _fit(widths: list[int], width: int) -> list[int]:
    """The widths of columns, the widest made narrower until a line fits."""
    widths = list(widths)
    while width and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > NARROWEST_CELL:
        widths[widths.index(max(widths))] -= 1
    return widths


def cut(text: str, size: int) -> str:
    """The text, with its end replaced by … if it is longer."""
    return text if len(text) <= size else f"{text[: size - 1]}…"


def _style(text: str, *, is_heading: bool) -> str:
    color = COLORS.get(text.strip())
    return click.style(text, bold=is_heading or None, fg=color) if is_heading or color else text


def format_cell(value: object) -> str:
    """A value on one line with control characters escaped; "-" for None and "". Dates are in UTC."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        value = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return printable(value if type(value) is str else str(value), WIDEST_CELL)


def echo_columns(headings: Sequence[str], rows: Iterable[Sequence[object]], empty_message: str) -> None:
    """Print a table as its rows arrive, or `empty_message` on standard error if there are none.

    On a terminal it fits the terminal; elsewhere nothing is cut.
    """
    rest = iter(rows)
    first = next(rest, None)
    if first is None:
        click.echo(empty_message, err=True)
        return
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 0
    is_colored = has_colors(sys.stdout)
    for line in _iter_columns(headings, chain([first], rest), width=width, is_colored=is_colored):
        click.echo(line)


def mask_for(executor: Executor, value: JsonValue) -> JsonValue:
    """What an API returned without the credentials of the connection, which it may repeat."""
    return mask_result(value, executor.plan("GET", "any").settings.secrets)


def mask_bytes(executor: Executor, content: bytes) -> bytes:
    """The same for a body."""
    masked = mask_for(executor, content.decode("utf-8", "surrogateescape"))
    return str(masked).encode("utf-8", "surrogateescape")


def format_json(content: bytes) -> str:
    """A JSON object or list, indented for a person; "" for other content."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    return format_value(value, indent=2) if isinstance(value, dict | list) else ""


def format_value(value: object, indent: int | None = None) -> str:
    """A value as JSON. Characters that move a cursor, turn text around or are not text are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=_to_json)
    return text if text.isascii() and "\x7f" not in text else _UNSAFE.sub(_escape, text)


_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def echo_json(value: object) -> None:
    """Print a value as JSON, dates in ISO 8601: indented on a terminal, on one line for programs."""
    click.echo(_dump(value))


def echo_json_list(values: Iterable[object]) -> None:
    """Print values as they arrive, as `echo_json` prints a list of them."""
    indent, separator = ("\n  ", ",\n  ") if is_terminal(sys.stdout) else ("", ", ")
    number = 0
    for number, value in enumerate(values, 1):
        text = _dump(value).replace("\n", indent)  # JSON texts contain no line ends
        click.echo(f"{separator if number > 1 else '[' + indent}{text}", nl=False)
    click.echo(f"{indent[:1]}]" if number else "[]")


def _dump(value: object) -> str:
    return format_value(value, 2 if is_terminal(sys.stdout) else None)


def echo_fields(fields: Mapping[str, object]) -> None:
    """Print one name and value per line, without the empty ones."""
    shown = {name: format_cell(value) for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name.ljust(width)}  {value}")


def echo_error(text: str) -> None:
    """Print an error on one line of standard error."""
    word = click.style("error:", fg="red", bold=True) if has_colors(sys.stderr) else "error:"
    click.echo(f"{word} {' '.join(text.splitlines())}", err=True)


def format_count(number: int, noun: str) -> str:
    """A number with its noun: `1 connection`, `2 connections`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _to_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value.items()) if hasattr(value, "items") else str(value)
