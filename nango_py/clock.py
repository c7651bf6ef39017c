"""The clock, injected so that tests of long waits take no time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Used everywhere instead of the `time` module."""

    def now(self) -> float:
        """Unix seconds. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds that never decrease; for waits and windows."""

    def sleep(self, seconds: float) -> None:
        """Wait. Only executors call this."""


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


SYSTEM_CLOCK = SystemClock()
