"""A line on the terminal while a command waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self, TextIO

from nango_py.cli.output import is_terminal

if TYPE_CHECKING:
    from types import TracebackType

    from nango_py.engine.events import Event

CLEAR_LINE = "\r\033[K"


class WaitingLine:
    """Shows for what a command waits, from the second second on. A context manager.

    Args:
        stream: where to show it; nothing is shown if it is not a terminal.
        label: what it waits for.
        interval: seconds until the line appears, and between its changes.
    """

    def __init__(self, stream: TextIO | None, label: str, interval: float = 1.0) -> None:
        self._stream = stream if is_terminal(stream) else None
        self._label, self._interval = label, interval
        self._reason = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if self._stream is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._stream is not None:
            self._thread.join()

    def note(self, event: Event) -> None:
        """Show the reason of a wait."""
        self._reason = f" ({event.reason}, {event.seconds:.1f} s)" if event.reason else ""

    def _run(self) -> None:
        stream, seconds = self._stream, 0.0
        if stream is None:
            return
        while not self._end.wait(self._interval):
            seconds += self._interval
            text = f"waiting for {self._label}{self._reason}: {seconds:.0f} s, Ctrl-C stops"
            stream.write(f"{CLEAR_LINE}{text}")
            stream.flush()
        if seconds:
            stream.write(CLEAR_LINE)
            stream.flush()
