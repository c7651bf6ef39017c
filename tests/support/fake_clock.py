"""A clock for tests: an hour of waiting takes no time."""

from __future__ import annotations

import asyncio
import threading


class ManualClock:
    """A `nango_py.clock.Clock` that only the test moves; `sleep` moves it at once. Thread-safe.

    Attributes:
        slept: the seconds of each sleep, in order.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._lock = threading.Lock()
        self._now = now
        self._monotonic = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        """Unix seconds."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Seconds that only grow."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass at once."""
        self.advance(seconds)
        with self._lock:
            self.slept.append(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """As `sleep`, and give other tasks their turn."""
        self.sleep(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        """Let the seconds pass for both times."""
        with self._lock:
            self._now += max(seconds, 0.0)
            self._monotonic += max(seconds, 0.0)

    def start_machine_again(self) -> None:
        """The monotonic clock begins again."""
        with self._lock:
            self._monotonic = 10.0

    def set_now(self, now: float) -> None:
        """Set the wall clock, as an administrator or NTP would; the other time goes on."""
        with self._lock:
            self._now = now
