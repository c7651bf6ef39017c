"""Protection of an API during an outage: a retry budget and a circuit breaker.

Both belong to one integration in one process, and both only reduce load. Waits that the API itself asks for
(429, Retry-After) are not counted.

Sources: https://sre.google/sre-book/handling-overload/ (retry budgets),
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nango_py.forks import new_short_lock
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.json_types import Settings

WINDOW_SECONDS = 60.0
SLICE_SECONDS = 1.0


class Tally:
    """A count over the last seconds, in slices of one second.

    Args:
        seconds: how long an event counts, from the beginning of its slice.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._slices: deque[list[float]] = deque()  # [begin, count], oldest first
        self._total = 0

    def add(self, now: float) -> None:
        """Count one event."""
        if not self._slices or now - self._slices[-1][0] >= SLICE_SECONDS:
            self._slices.append([now, 0])
        self._slices[-1][1] += 1
        self._total += 1

    def total(self, now: float) -> int:
        """The number of events in the last seconds."""
        while self._slices and now - self._slices[0][0] >= self._seconds:
            self._total -= int(self._slices.popleft()[1])
        return self._total


class RetryBudget:
    """Limits retries to a share of the calls of the last minute.

    Args:
        clock: the time.
        share: retries per call.
        floor: retries a minute that are always allowed, so that a program with few calls can retry at all.
    """

    def __init__(self, clock: Clock, share: float = 0.1, floor: int = 60) -> None:
        self._clock = clock
        self._share = share
        self._floor = floor
        self._lock = new_short_lock()
        # Both err on the safe side: a call is forgotten a slice too early, a retry never.
        self._calls = Tally(WINDOW_SECONDS)
        self._retries = Tally(WINDOW_SECONDS + SLICE_SECONDS)

    def count_call(self) -> None:
        """Count a call that begins."""
        with self._lock:
            now = self._clock.monotonic()
            self._calls.total(now)
            self._calls.add(now)

    def take(self) -> bool:
        """Whether the budget allows one more retry, which is then spent."""
        with self._lock:
            now = self._clock.monotonic()
            calls, retries = self._calls.total(now), self._retries.total(now)
            if retries + 1 > max(self._floor, calls * self._share):
                return False
            self._retries.add(now)
            return True


@record
class BreakerSettings:
    """The `retries.circuit_breaker` block.

    Attributes:
        failures: the number of failed attempts in a row that opens the breaker; 0 for never.
        seconds: the time over which they must be spread.
        pause_seconds: the first pause before one call may probe; each failed probe doubles it.
        longest_pause_seconds: the longest pause.
    """

    failures: int = 50
    seconds: float = 10.0
    pause_seconds: float = 5.0
    longest_pause_seconds: float = 60.0

    @classmethod
    def from_settings(cls, settings: Settings | bool | None) -> BreakerSettings:  # noqa: FBT001 - YAML's false
        """The settings of a checked block; `false` turns the breaker off."""
        if settings is False:
            return cls(failures=0)
        return cls(**settings) if settings and settings is not True else cls()


class CircuitBreaker:
    """Refuses calls to an API that has been failing, except for a probe now and then."""

    def __init__(self, clock: Clock, settings: BreakerSettings | None = None) -> None:
        self._clock = clock
        self._settings = settings or BreakerSettings()
        self._lock = new_short_lock()
        self._failures = 0
        self._failing_since = 0.0
        self._open_until = 0.0
        self._pause = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused at present."""
        return self._pause > 0

    def wait(self) -> float:
        """0.0 if a call may be made, else the seconds until the next probe.

        While the breaker is open, the call that gets 0.0 is the probe, and all others wait for its outcome.
        """
        if not self._pause:
            return 0.0
        with self._lock:
            now = self._clock.monotonic()
            if not self._pause:
                return 0.0
            if now < self._open_until:
                return self._open_until - now
            self._open_until = now + self._pause
            self._is_probing = True
            return 0.0

    def record_success(self) -> None:
        """Record a response that shows that the API works."""
        if self._failures:
            with self._lock:
                self._failures = 0
                self._pause = 0.0
                self._is_probing = False

    def record_failure(self) -> None:
        """Record an attempt that failed because of the API or the network."""
        settings = self._settings
        if not settings.failures:
            return
        with self._lock:
            now = self._clock.monotonic()
            if not self._failures:
                self._failing_since = now
            self._failures += 1
            if self._pause:
                if not self._is_probing:
                    return  # sent before the breaker opened; only a probe shows whether the outage goes on
                self._is_probing = False
                self._pause = min(self._pause * 2, settings.longest_pause_seconds)
                self._open_until = now + self._pause
            elif self._failures >= settings.failures and now - self._failing_since >= settings.seconds:
                self._pause = settings.pause_seconds
                self._open_until = now + self._pause


class Outage:
    """The retry budget and the circuit breaker of one integration."""

    __slots__ = ("breaker", "budget")

    def __init__(self, clock: Clock, settings: Settings | None = None) -> None:
        settings = settings or {}
        self.budget = RetryBudget(clock, float(settings.get("budget_share", 0.1)))
        self.breaker = CircuitBreaker(clock, BreakerSettings.from_settings(settings.get("circuit_breaker")))
