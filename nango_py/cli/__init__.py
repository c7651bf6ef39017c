"""The `nango` command: one file per group of commands, which import their libraries when they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the `nango` command with `sys.argv` or other arguments, and return its exit code."""
    from nango_py.cli.entry import run

    return run(arguments)
