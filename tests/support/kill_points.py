"""SIGKILL at a counted point of a process: around each statement and commit, and each change of a file."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from nango_py.connections.store import ConnectionStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILE_EVENTS = frozenset(
    {"open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect"}
)
"""Audit events, raised before the change that they name."""


def pass_points(folder: Path, reach: Callable[[int], None]) -> None:
    """Call `reach` with 1, 2, 3, ... at each point that this process passes from now on.

    Args:
        folder: whose files count.
        reach: may end the process; what it raises ends the step that it stands in.
    """
    numbers = itertools.count(1)
    write = ConnectionStore.write

    def pass_one(*_: object) -> None:
        reach(next(numbers))

    def counted_write(store: ConnectionStore, work: Callable[[Any], Any]) -> Any:
        def counted_work(run: Callable[..., Any]) -> Any:
            def counted_run(*arguments: Any, **named: Any) -> Any:
                pass_one()
                return run(*arguments, **named)

            result = work(counted_run)
            pass_one()  # before the commit
            return result

        result = write(store, counted_work)
        pass_one()  # after the commit
        return result

    def on_audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(arguments[0]).startswith(str(folder)):
            pass_one()

    ConnectionStore.write = counted_write  # type: ignore[method-assign]
    sys.addaudithook(on_audit)


def die_at_point(number: int, folder: Path) -> None:
    """Kill this process, as `kill -9` does, at its point of that number."""

    def reach(passed: int) -> None:
        if passed == number:
            os.kill(os.getpid(), signal.SIGKILL)

    pass_points(folder, reach)


def count_points(live: Callable[[], object], folder: Path) -> int:
    """The number of points that a child process passes while it runs `live`."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        passed = [0]
        try:
            pass_points(folder, lambda number: passed.__setitem__(0, number))
            live()
        finally:
            os.write(writing, str(passed[0]).encode())
            os._exit(0)
    os.close(writing)
    os.wait()
    counted = int(os.read(reading, 20))
    os.close(reading)
    return counted
