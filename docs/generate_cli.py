"""Writes docs/cli.md from the commands themselves; a test fails when it is stale.

Run it after a change of a command: `python docs/generate_cli.py`.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nango_py.cli.root import nango

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent / "cli.md"
HEAD = """\
# The command line

Written by `docs/generate_cli.py` from the help of the commands. Output is plain in pipes; what lists takes
`--json`. Errors are one line each on standard error. Exit codes: 0 done, 1 a call failed, 2 wrong files or
usage, 130 Ctrl-C.
"""


def commands(
    command: click.Command = nango, path: tuple[str, ...] = ("nango",)
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its full name, groups before what is below them."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from commands(command.commands[name], (*path, name))


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(name, command) for name, command in commands())


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    text, _, example = inspect.cleandoc(command.help or "").partition("\b\nExample:\n")
    parts = [f"\n## {name}\n\n```\n{usage}\n```\n\n{text.strip()}\n"]
    options = [_option(option, context) for option in command.params if isinstance(option, click.Option)]
    if options:
        parts.append("\n| option | |\n|---|---|\n" + "".join(options))
    if example:
        lines = "\n".join(line.removeprefix("  ") for line in example.rstrip().splitlines())
        parts.append(f"\n```sh\n{lines}\n```\n")
    return "".join(parts)


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    names, text = record if record is not None else (", ".join(option.opts), "")
    return f"| `{names}` | {' '.join(text.split()).replace('|', '&#124;')} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
