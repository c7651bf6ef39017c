"""The `nango` command. One file for each group of commands; what they need is imported when they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0 for success, 1 for a call that failed, 2 for wrong files or usage, 130 after Ctrl-C.
    """
    from nango_py.cli.entry import run

    return run(arguments)
