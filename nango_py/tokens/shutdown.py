"""How a process ends without losing a token that is on its way: SIGTERM waits for running renewals."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

LONGEST_SECONDS = 30.0


class Shutdown:
    """The token exchanges that are under way in this process, and the wish to end it.

    The handler itself never waits: it may run in the thread whose renewal it would wait for. It notes the
    wish, no exchange begins any more, and whoever finishes the last one sends the signal once more.
    """

    def __init__(self) -> None:
        # A handler interrupts its thread anywhere, so it takes no lock; steps on a set are atomic.
        self._running: set[object] = set()
        self._pid = os.getpid()
        self._previous: Any = signal.SIG_DFL
        self._seconds = LONGEST_SECONDS
        self._timer: threading.Timer | None = None
        self.is_wanted = False
        self._is_late = False

    def begin(self) -> bool:
        """Count an exchange in; False where the process is about to end."""
        self._start_anew_after_fork()
        if self.is_wanted:
            return False
        self._running.add(object())
        return True

    def finish(self) -> None:
        """Count an exchange out."""
        if self._running:
            self._running.pop()
        if self.is_wanted and not self._running:
            os.kill(os.getpid(), signal.SIGTERM)

    def install(self, seconds: float) -> None:
        """Have SIGTERM wait for the exchanges under way, at most so many seconds.

        Raises:
            ValueError: this is not the main thread.
        """
        self._seconds = seconds
        current = signal.getsignal(signal.SIGTERM)
        if current != self._handle:
            self._previous = signal.SIG_DFL if current is None else current
            signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._start_anew_after_fork()
        if self._running and not self._is_late:
            if not self.is_wanted:
                self.is_wanted = True
                self._timer = threading.Timer(self._seconds, self._be_late)
                self._timer.daemon = True
                self._timer.start()
            return
        self.is_wanted = self._is_late = False
        if self._timer is not None:
            self._timer.cancel()
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _be_late(self) -> None:
        # The wish may have been granted long ago, and the program have gone on.
        if self.is_wanted:
            self._is_late = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _start_anew_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._running, self._pid, self.is_wanted, self._is_late = set(), os.getpid(), False, False
            self._timer = None  # it ran in the parent's thread


SHUTDOWN = Shutdown()
