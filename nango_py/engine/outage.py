"""What keeps a client from making an API's outage worse: a retry budget and a circuit breaker.

Both are per integration and per process, and both only ever take away extra load: waits that the API itself
asked for (429, Retry-After) are not counted.

Sources: https://sre.google/sre-book/handling-overload/ (retry budgets),
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.clock import Clock

WINDOW_SECONDS = 60.0
SLICE_SECONDS = 1.0


class Tally:
    """How many there were in the last seconds, to a slice of a second.

    Args:
        seconds: how long one is remembered from the beginning of its slice.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._slices: deque[list[float]] = deque()  # [begin, how many], oldest first
        self._total = 0

    def add(self, now: float) -> None:
        """One more."""
        if not self._slices or now - self._slices[-1][0] >= SLICE_SECONDS:
            self._slices.append([now, 0])
        self._slices[-1][1] += 1
        self._total += 1

    def total(self, now: float) -> int:
        """How many are remembered."""
        while self._slices and now - self._slices[0][0] >= self._seconds:
            self._total -= int(self._slices.popleft()[1])
        return self._total


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
        # Both err on the same side: a call is forgotten a slice too early, an extra attempt never.
        self._calls = Tally(WINDOW_SECONDS)
        self._extra = Tally(WINDOW_SECONDS + SLICE_SECONDS)

    def count_call(self) -> None:
        """A call begins."""
        with self._lock:
            now = self._clock.monotonic()
            self._calls.total(now)
            self._calls.add(now)

    def take(self) -> bool:
        """Whether one more attempt is within the budget; it is spent when it is."""
        with self._lock:
            now = self._clock.monotonic()
            calls, extra = self._calls.total(now), self._extra.total(now)
            if extra + 1 > max(self._floor, calls * self._share):
                return False
            self._extra.add(now)
            return True


@record
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
        self._probing = False

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
            if not self._pause:
                return 0.0
            if now < self._closed_until:
                return self._closed_until - now
            self._closed_until = now + self._pause
            self._probing = True
            return 0.0

    def record_success(self) -> None:
        """A response came that shows the API alive."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._pause = 0.0
                self._probing = False

    def record_failure(self) -> None:
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
                if not self._probing:
                    return  # sent before it opened; only probes say how long the outage lasts
                self._probing = False
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
