"""The clock, injected so that tests of long waits take no time."""

from __future__ import annotations

import threading
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


class VirtualClock:
    """A clock for tests that only waits and `advance` move, so that waits take no time. Thread-safe.

    Pass the same one to `Nango` and to its sandboxes.

    Args:
        now: the time at which it starts, in unix seconds; by default the present.
    """

    def __init__(self, now: float | None = None) -> None:
        self._lock = threading.Lock()
        self._now = SYSTEM_CLOCK.now() if now is None else now
        self._passed = 0.0

    def now(self) -> float:
        """Unix seconds."""
        with self._lock:
            return self._now + self._passed

    def monotonic(self) -> float:
        """Seconds that never decrease."""
        with self._lock:
            return self._passed

    def advance(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> None:
        """Let time pass at once."""
        with self._lock:
            self._passed += max(0.0, seconds + 60 * (minutes + 60 * (hours + 24 * days)))

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass at once."""
        self.advance(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """As `sleep`, and let other tasks run."""
        import asyncio

        self.advance(seconds)
        await asyncio.sleep(0)
