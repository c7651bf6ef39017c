"""Limits of one process, kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.forks import new_short_lock
from nango_py.limits.counting.bookings import Bookings
from nango_py.limits.limit_types import Granted

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.limit_types import LimitReport, Refused, Spend, WindowView

SWEEP_EVERY = 5.0
"""Seconds between two looks at many keys."""

SWEPT_NOW_AND_THEN, SWEPT_EACH_TIME = 1000, 2
"""Numbers of keys looked at every SWEEP_EVERY seconds, and whenever something is counted: the store holds its
lock, so it removes idle keys little by little, and faster than they are added."""


class MemoryLimits:
    """A LimitStore for the threads and tasks of one process.

    A key is removed soon after all its windows have passed. If an exception of a signal handler stops a step,
    `acquire` has booked nothing, and the other steps can be made again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bookings = Bookings(offset=lambda: clock.now() - clock.monotonic())
        self.lock = new_short_lock()
        self._sweep_at = clock.monotonic() + SWEEP_EVERY

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], max_wait: float
    ) -> Granted | Refused:
        grant: Granted | Refused | None = None
        try:
            with self.lock:
                now = self._clock.monotonic()
                self._sweep(now)
                grant = self._bookings.acquire(spends, gates, max_wait, now)
        except BaseException:
            if isinstance(grant, Granted):
                self.release(grant.ticket)
            raise
        return grant

    def confirm(self, ticket: Booking) -> float:
        with self.lock:
            try:
                return self._bookings.confirm(ticket, self._clock.monotonic())
            except BaseException:
                self._bookings.restore_order(ticket)
                raise

    def settle(self, ticket: Booking, costs: tuple[int, ...] | None = None) -> None:
        with self.lock:
            try:
                self._bookings.settle(ticket, self._clock.monotonic(), costs)
            except BaseException:
                self._bookings.restore_order(ticket)
                raise

    def release(self, ticket: Booking) -> None:
        with self.lock:
            try:
                self._bookings.release(ticket)
            except BaseException:
                self._bookings.restore_order(ticket)
                raise

    def count(self, spends: tuple[Spend, ...]) -> None:
        with self.lock:
            now = self._clock.monotonic()
            self._sweep(now)
            self._bookings.count(spends, now)

    def correct(self, spend: Spend, report: LimitReport) -> None:
        with self.lock:
            self._bookings.correct(spend, report, self._clock.monotonic())

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        with self.lock:
            now = self._clock.monotonic()
            self._sweep(now)
            self._bookings.close_gate(gates, seconds, now)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        with self.lock:
            return self._bookings.view(keys, self._clock.monotonic())

    def keys(self, prefix: str) -> tuple[str, ...]:
        with self.lock:
            return self._bookings.keys(prefix)

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            self._bookings.sweep(now, SWEPT_EACH_TIME)
            return
        self._bookings.sweep(now, SWEPT_NOW_AND_THEN)
        self._sweep_at = now + SWEEP_EVERY
