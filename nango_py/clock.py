"""The time, injected: a test of an hour of waiting takes no time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What every part that needs the time takes instead of the `time` module."""

    def now(self) -> float:
        """Unix seconds. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for waits and windows."""

    def sleep(self, seconds: float) -> None:
        """Wait. Only executors call this."""


class SystemClock:
    """The machine's own time."""

    __slots__ = ()

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


SYSTEM_CLOCK = SystemClock()
