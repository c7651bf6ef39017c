"""Graceful shutdown: SIGTERM ends the process only after the token exchanges in flight."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object] | int | None


class Shutdown:
    """The number of token exchanges in flight, and whether SIGTERM has arrived.

    The signal handler never waits, because the exchange it would wait for may run in the thread that it
    interrupted. It only makes `begin` refuse further exchanges; the end of the last one sends the signal
    again. An exchange may begin or end at any line of the handler, so each side, after it has changed
    something, looks at the other once more.
    """

    def __init__(self) -> None:
        # A handler may interrupt its thread anywhere and takes no lock; operations on a set are atomic.
        self._in_flight: set[object] = set()
        self._unsent: set[int] = set()  # the signal, until somebody takes it to send it again
        self._pid = os.getpid()
        self._previous_handler: Handler = signal.SIG_DFL
        self._max_seconds = 0.0
        self._timer: threading.Timer | None = None
        self._is_requested = False
        self._is_overdue = False

    def begin(self) -> bool:
        """Count an exchange in; False if the process is about to end and must not start one."""
        self._reset_after_fork()
        if self._must_refuse():
            return False
        self._in_flight.add(object())
        if self._must_refuse():
            self.finish()
            return False
        return True

    def finish(self) -> None:
        """Count an exchange out."""
        if self._in_flight:
            self._in_flight.pop()
        if self._is_requested and not self._in_flight and self._take_signal():
            os.kill(os.getpid(), signal.SIGTERM)

    def install(self, max_seconds: float) -> None:
        """Make SIGTERM wait for the exchanges in flight, and then do what it did before.

        Raises:
            ValueError: this is not the main thread.
        """
        self._max_seconds = max_seconds
        handler = signal.getsignal(signal.SIGTERM)
        if handler != self._handle:
            self._previous_handler = signal.SIG_DFL if handler is None else handler
            signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._reset_after_fork()
        if self._in_flight and not self._is_overdue:
            if self._timer is None:
                self._timer = threading.Timer(self._max_seconds, self._stop_waiting)
                self._timer.daemon = True
                self._timer.start()
            self._unsent.add(number)
            self._is_requested = True
            if self._in_flight or not self._take_signal():
                return
        self._is_requested = self._is_overdue = False
        self._unsent.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if callable(self._previous_handler):
            self._previous_handler(number, frame)
        elif self._previous_handler is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _stop_waiting(self) -> None:
        # The previous handler may already have been called, and the program may have continued.
        if self._is_requested and self._take_signal():
            self._is_overdue = True
            os.kill(os.getpid(), signal.SIGTERM)

    def _must_refuse(self) -> bool:
        return self._is_requested

    def _take_signal(self) -> bool:
        """Whether the caller is the one that sends or delivers the signal."""
        try:
            self._unsent.pop()
        except KeyError:
            return False
        return True

    def _reset_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._in_flight, self._unsent, self._pid = set(), set(), os.getpid()
            self._is_requested = self._is_overdue = False
            self._timer = None  # a thread of the parent


SHUTDOWN = Shutdown()
