"""What happens when a shared store goes away: each process keeps to its part, and comes back by itself.

While the store answers, it alone decides, and this process remembers what it sent itself. When it fails,
every process goes on with its own memory and its part of each limit, one over the number of processes seen
last. When it is back, or has lost what it knew, both must agree for a minute, so that no window of up to a
minute is exceeded on the way there or back, if the processes had used about equal parts. Where they had not,
short windows hold all the same: a process lets them pass once before it relies on its own memory.
"""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, Any, Protocol

from nango_py.errors import StorageError
from nango_py.limits.limit_types import (
    Bucket,
    CalendarDay,
    Granted,
    InFlight,
    LimitStore,
    Refused,
    Spend,
    Window,
)
from nango_py.limits.stores.memory import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.limits.limit_types import Limit, WindowView

AGAIN_AFTER = 1.0
"""Seconds after a failure until one caller tries the store again."""

AGREE_SECONDS = 60.0
"""How long both must agree after the store has come back, and so the longest window that is bridged."""

PASSED_SECONDS = 5.0
"""Windows of up to so many seconds are let pass once when the store is lost."""

COUNT_EVERY = 10.0
"""Seconds between two counts of the processes."""

MOST_PARTS = 2000
"""How many kinds of calls are kept divided."""

_logger = logging.getLogger("nango_py.limits")


class SharedStore(LimitStore, Protocol):
    """A store that other processes use too."""

    @property
    def generation(self) -> str:
        """Changes when the store has lost what it knew."""

    def processes(self, name: str) -> int:
        """How many processes use the store, the one of this name included."""


class Ticket:
    """A booking in the store, in this process, or in both."""

    __slots__ = ("gates", "local", "shared", "spends")

    def __init__(self, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        self.spends = spends
        self.gates = gates
        self.shared: Any = None
        self.local: Any = None


class FailoverLimits:
    """A LimitStore that uses a shared one while it can, and this process's part of the limits while not.

    Args:
        store: the shared one.
        clock: of this process.

    Attributes:
        is_remote: asking it takes a while, so asyncio asks it in a thread.
    """

    is_remote = True

    def __init__(self, store: SharedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._local = MemoryLimits(clock)
        self._name = secrets.token_hex(8)
        self._processes = 1
        self._count_at = 0.0
        self._away_until = 0.0
        self._is_away = False
        self._agree_until = 0.0
        self._generation = ""
        self._parts: dict[tuple[tuple[str, int], ...], tuple[tuple[Spend, ...], tuple[Spend, ...], str]] = {}
        self._pauses: set[float] = set()
        self._lock = threading.Lock()

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        ticket = Ticket(spends, gates)
        if not self._may_ask():
            return self._acquire_local(ticket, patience)
        try:
            response = self._store.acquire(spends, gates, patience)
        except StorageError as error:
            self._lost(error)
            return self._acquire_local(ticket, patience)
        self._found()
        self._count_processes()
        if isinstance(response, Refused):
            return response
        ticket.shared = response.ticket
        if self._clock.monotonic() >= self._agree_until:
            return Granted(response.wait, ticket)
        local = self._acquire_local(ticket, patience)
        if isinstance(local, Refused):
            self.release(ticket)
            return local
        return Granted(max(response.wait, local.wait), ticket)

    def confirm(self, ticket: Ticket) -> float:
        """0.0 to send now, else seconds more to wait."""
        wait = 0.0
        if ticket.shared is not None:
            try:
                wait = self._store.confirm(ticket.shared)
            except StorageError as error:
                self._lost(error)
                ticket.shared = None
        if ticket.shared is None and ticket.local is None:
            response = self._acquire_local(ticket, 1e9)
            return response.wait
        return wait if ticket.local is None else max(wait, self._local.confirm(ticket.local))

    def settle(self, ticket: Ticket) -> None:
        """The response is here, or was lost."""
        if ticket.local is None:
            self._local.count(self._part(ticket.spends)[0])
        else:
            self._local.settle(ticket.local)
        self._tell(self._store.settle, ticket)

    def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        if ticket.local is not None:
            self._local.release(ticket.local)
        self._tell(self._store.release, ticket)

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking."""
        if self._may_ask():
            try:
                self._store.count(spends)
            except StorageError as error:
                self._lost(error)
            else:
                return
        self._local.count(spends)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long; without the store, nobody of this process."""
        self._local.close_gate(gates, seconds)
        if self._may_ask():
            try:
                self._store.close_gate(gates, seconds)
            except StorageError as error:
                self._lost(error)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are; without the store, this process's part of them."""
        if self._may_ask():
            try:
                return self._store.view(keys)
            except StorageError as error:
                self._lost(error)
        return self._local.view(keys)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys and gates that begin so; without the store, those of this process."""
        if self._may_ask():
            try:
                return self._store.keys(prefix)
            except StorageError as error:
                self._lost(error)
        return self._local.keys(prefix)

    def _acquire_local(self, ticket: Ticket, patience: float) -> Granted | Refused:
        part, pause = self._part(ticket.spends)
        response = self._local.acquire(part, (*ticket.gates, pause), patience)
        if isinstance(response, Refused):
            return response
        ticket.local = response.ticket
        return Granted(response.wait, ticket)

    def _part(self, spends: tuple[Spend, ...]) -> tuple[tuple[Spend, ...], str]:
        """The spends with this process's part of each limit, and the gate that lets short windows pass."""
        place = tuple((spend.key, spend.cost) for spend in spends)
        known = self._parts.get(place)
        # Hashing the limits would take longer than everything else here.
        if known is None or not all(
            spend.limits is other.limits for spend, other in zip(spends, known[0], strict=True)
        ):
            if len(self._parts) >= MOST_PARTS:
                self._parts.clear()
            part = tuple(
                Spend(
                    spend.key,
                    tuple(_part(limit, self._processes, spend.cost) for limit in spend.limits),
                    spend.cost,
                )
                for spend in spends
            )
            pause = _longest_short(spends)
            self._pauses.add(pause)
            known = self._parts[place] = (spends, part, _pause_gate(pause))
        return known[1], known[2]

    def _may_ask(self) -> bool:
        """Whether the store answers, or it is time for this caller to find out."""
        if not self._is_away:
            return True
        with self._lock:
            now = self._clock.monotonic()
            if now < self._away_until:
                return False
            self._away_until = now + AGAIN_AFTER
            return True

    def _lost(self, error: StorageError) -> None:
        with self._lock:
            first = not self._is_away
            if first:
                # Before another thread can see that the store is away, and book here.
                self._let_short_windows_pass()
            self._is_away = True
            self._away_until = self._clock.monotonic() + AGAIN_AFTER
        if first:
            _logger.warning(
                "%s; until it is back this process keeps to 1/%d of each limit", error, self._processes
            )

    def _found(self) -> None:
        generation = self._store.generation
        if not self._is_away and generation == self._generation:
            return
        with self._lock:
            was_away = self._is_away
            has_forgotten = bool(self._generation) and generation != self._generation
            # All that makes other threads careful comes before what lets them pass.
            if has_forgotten:
                self._let_short_windows_pass()
            if was_away or has_forgotten:
                self._agree_until = self._clock.monotonic() + AGREE_SECONDS
            self._generation = generation
            self._is_away = False
        if was_away:
            _logger.info("the rate limit store is back")
        elif has_forgotten:
            _logger.warning(
                "the rate limit store has lost its counts; processes keep to their parts for a while"
            )

    def _let_short_windows_pass(self) -> None:
        for seconds in tuple(self._pauses):
            self._local.close_gate((_pause_gate(seconds),), seconds)

    def _tell(self, act: Any, ticket: Ticket) -> None:
        if ticket.shared is None or self._is_away:
            return
        try:
            act(ticket.shared)
        except StorageError as error:
            self._lost(error)

    def _count_processes(self) -> None:
        now = self._clock.monotonic()
        if now < self._count_at:
            return
        self._count_at = now + COUNT_EVERY
        try:
            processes = max(1, self._store.processes(self._name))
        except StorageError as error:
            self._lost(error)
            return
        # A store that has lost its counts has lost the other processes too, until each has come again.
        if processes > self._processes or (processes < self._processes and now >= self._agree_until):
            self._processes = processes
            self._parts.clear()


def _longest_short(spends: tuple[Spend, ...]) -> float:
    """The longest window that can be let pass."""
    windows = [limit.seconds for spend in spends for limit in spend.limits if isinstance(limit, Window)]
    return max((seconds for seconds in windows if seconds <= PASSED_SECONDS), default=0.0)


def _pause_gate(seconds: float) -> str:
    return f" pause {seconds:g}"


def _part(limit: Limit, processes: int, cost: int) -> Limit:
    """One process's part; a limit too small to be divided is stretched in time instead."""
    if isinstance(limit, Window):
        requests = max(cost, limit.requests // processes)
        stretch = max(1.0, requests * processes / limit.requests)
        return Window(requests, limit.seconds * stretch, limit.label)
    if isinstance(limit, CalendarDay):
        return CalendarDay(max(cost, limit.requests // processes), limit.time_zone, limit.label)
    if isinstance(limit, InFlight):
        return InFlight(max(cost, limit.most // processes), limit.label)
    return Bucket(max(float(cost), limit.burst / processes), limit.per_second / processes, limit.label)
