"""Budgets of one process, exact for any alignment of the API's windows."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from nango_py.limits.counting.bookings import Bookings

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.limit_types import Granted, Refused, Spend, WindowView

SWEEP_EVERY = 5.0
"""Seconds between two looks for keys of which nothing is left."""


class MemoryLimits:
    """A LimitStore for the threads and tasks of one process; see `LimitStore` for what each method does.

    Nothing is kept of a key once all its windows have passed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._book = Bookings(offset=lambda: clock.now() - clock.monotonic())
        self._lock = threading.Lock()
        self._sweep_at = clock.monotonic() + SWEEP_EVERY
        _alive.add(self)

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._sweep_at:
                self._book.sweep(now)
                self._sweep_at = now + SWEEP_EVERY
            return self._book.acquire(spends, gates, patience, now)

    def confirm(self, ticket: Booking) -> float:
        """0.0 to send now, else seconds more to wait."""
        with self._lock:
            return self._book.confirm(ticket, self._clock.monotonic())

    def settle(self, ticket: Booking) -> None:
        """The response is here, or was lost."""
        with self._lock:
            self._book.settle(ticket, self._clock.monotonic())

    def release(self, ticket: Booking) -> None:
        """Nothing was sent."""
        with self._lock:
            self._book.release(ticket)

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent now without having been booked here."""
        with self._lock:
            self._book.count(spends, self._clock.monotonic())

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long."""
        with self._lock:
            self._book.close_gate(gates, seconds, self._clock.monotonic())

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are."""
        with self._lock:
            return self._book.view(keys, self._clock.monotonic())

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys and gates that begin so."""
        with self._lock:
            return self._book.keys(prefix)


_alive: weakref.WeakSet[MemoryLimits] = weakref.WeakSet()
_held: list[MemoryLimits] = []


def _before_fork() -> None:
    # A child must not inherit a book that another thread was writing in.
    _held.extend(_alive)
    for store in _held:
        store._lock.acquire()  # noqa: SLF001 - the same module


def _after_fork() -> None:
    for store in _held:
        store._lock.release()  # noqa: SLF001
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
