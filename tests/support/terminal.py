"""The nango command on its own terminal."""

from __future__ import annotations

import os
import pty
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.fork_server import NANGO, start
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-W", "error", "-m", "nango_py")


class Terminal:
    """A terminal of 80 columns where the command runs; Ctrl-C works. A context manager.

    Attributes:
        pid: the number of the process.
        written: what the command has written so far.
        code: the exit code, after `read_all`.
    """

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._leader, follower = pty.openpty()
        environment = {**os.environ, "COLUMNS": "80", **(env or {})}
        self._process = start(NANGO, *arguments, env=environment, cwd=folder, terminal=follower)
        os.close(follower)
        self._killer = threading.Timer(HANG_SECONDS * 3, self._process.kill)
        self._killer.start()
        self._content = b""
        self.pid = self._process.pid
        self.code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._killer.cancel()
        self._process.__exit__()
        os.close(self._leader)

    @property
    def written(self) -> str:
        """The text, with the line ends of files."""
        return self._content.decode(errors="replace").replace("\r\n", "\n")

    def read_until(self, text: str) -> None:
        """Read until the command has written a text; fail if it ends before."""
        while text not in self.written:
            assert self._read(), self.written

    def read_all(self) -> str:
        """Everything that the command writes until it ends."""
        while self._read():
            pass
        self.code = self._process.wait()
        return self.written

    def type(self, text: str) -> None:
        """Type on the keyboard; character 3 is Ctrl-C."""
        os.write(self._leader, text.encode())

    def _read(self) -> bool:
        try:
            part = os.read(self._leader, 65_536)
        except OSError:  # Linux says so at the end
            return False
        self._content += part
        return bool(part)


def on_terminal(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """What a command writes to a terminal of 80 columns."""
    with Terminal(folder, *arguments, env=env) as terminal:
        return terminal.read_all()
