"""A clock whose waits take no time."""

from __future__ import annotations

import threading

from nango_py.clock import SYSTEM_CLOCK


class VirtualClock:
    """A clock that only waits move. Thread-safe.

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

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass at once."""
        with self._lock:
            self._passed += seconds
