"""What keeps a client from making an API's outage worse: a retry budget and a circuit breaker.

Both are per integration and per process, and both only ever take away extra load: waits that the API itself
asked for (429, Retry-After) are not counted.

Sources: https://sre.google/sre-book/handling-overload/ (retry budgets),
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock

WINDOW_SECONDS = 60.0
SLICES = 60


class RetryBudget:
    """Lets extra attempts be at most a share of the calls of the last minute.

    Args:
        share: extra attempts per call.
        floor: extra attempts a minute that are always allowed, so that a quiet program can retry at all.
    """

    def __init__(self, clock: Clock, share: float = 0.1, floor: int = 60) -> None:
        self._clock = clock
        self._share = share
        self._floor = floor
        self._lock = threading.Lock()
        self._slices: deque[list[float]] = deque()  # [start, calls, extra attempts], oldest first
        self._calls = 0.0
        self._extra = 0.0

    def call(self) -> None:
        """A call begins."""
        with self._lock:
            self._slice()[1] += 1
            self._calls += 1

    def take(self) -> bool:
        """Whether one more attempt is within the budget; it is spent when it is."""
        with self._lock:
            current = self._slice()
            if self._extra + 1 > max(self._floor, self._calls * self._share):
                return False
            current[2] += 1
            self._extra += 1
            return True

    def _slice(self) -> list[float]:
        now = self._clock.monotonic()
        while self._slices and self._slices[0][0] <= now - WINDOW_SECONDS:
            _, calls, extra = self._slices.popleft()
            self._calls -= calls
            self._extra -= extra
        if not self._slices or self._slices[-1][0] <= now - WINDOW_SECONDS / SLICES:
            self._slices.append([now, 0, 0])
        return self._slices[-1]


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """The `retries.circuit_breaker` block.

    Attributes:
        failures: how many failed attempts in a row, without one that succeeded, open it; 0 for never.
        seconds: how long they must have gone on.
        pause_seconds: the first pause before one call may probe; each failed probe doubles it.
        longest_pause_seconds: the longest pause.
    """

    failures: int = 50
    seconds: float = 10.0
    pause_seconds: float = 5.0
    longest_pause_seconds: float = 60.0

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any] | bool | None) -> BreakerSettings:  # noqa: FBT001 - YAML's false
        """The settings of a checked block; `false` switches the breaker off."""
        if settings is False:
            return cls(failures=0)
        return cls(**settings) if settings and settings is not True else cls()


class CircuitBreaker:
    """Refuses calls to an API that has failed for a while, and lets one through now and then to see."""

    def __init__(self, clock: Clock, settings: BreakerSettings | None = None) -> None:
        self._clock = clock
        self._settings = settings or BreakerSettings()
        self._lock = threading.Lock()
        self._failures = 0
        self._since = 0.0
        self._closed_until = 0.0
        self._pause = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are refused at present."""
        return self._pause > 0

    def wait(self) -> float:
        """0.0 where a call may be made, else the seconds until the next probe.

        While the breaker is open, the call that gets 0.0 is the probe, and all others wait for its outcome.
        """
        if not self._pause:
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            if self._pause and now < self._closed_until:
                return self._closed_until - now
            self._closed_until = now + self._pause
            return 0.0

    def succeeded(self) -> None:
        """An answer came that shows the API alive."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._pause = 0.0

    def failed(self) -> None:
        """An attempt failed by the API's fault, or the way to it."""
        settings = self._settings
        if not settings.failures:
            return
        with self._lock:
            now = self._clock.monotonic()
            if not self._failures:
                self._since = now
            self._failures += 1
            if self._pause:
                self._pause = min(self._pause * 2, settings.longest_pause_seconds)
                self._closed_until = now + self._pause
            elif self._failures >= settings.failures and now - self._since >= settings.seconds:
                self._pause = settings.pause_seconds
                self._closed_until = now + self._pause


class Outage:
    """The two of one integration."""

    __slots__ = ("breaker", "budget")

    def __init__(self, clock: Clock, settings: Mapping[str, Any] | None = None) -> None:
        settings = settings or {}
        self.budget = RetryBudget(clock, float(settings.get("budget_share", 0.1)))
        self.breaker = CircuitBreaker(clock, BreakerSettings.from_settings(settings.get("circuit_breaker")))
