"""While a shared store is unreachable, each process uses its own share of the limits.

While the store responds it alone decides, and this process records what it sent. When the store fails, every
process continues with its own memory and its share of each limit: one divided by the number of processes seen
last. When the store is back, or has lost its data, both must agree for a minute. Then no window of up to a
minute is exceeded on the way there or back, provided that the processes had used about equal shares. If they
had not, short windows still hold, because a process lets them pass once before it relies on its own memory.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nango_py.errors import StorageError
from nango_py.forks import forget_in_children
from nango_py.limits.limit_types import (
    Bucket,
    CalendarPeriod,
    Granted,
    InFlight,
    LimitStore,
    Refused,
    Spend,
    Window,
)
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nango_py.clock import Clock
    from nango_py.limits.limit_types import Limit, LimitReport, WindowView

Result = TypeVar("Result")

RETRY_AFTER = 1.0
"""Seconds after a failure until one caller tries the store again."""

AGREE_SECONDS = 60.0
"""Seconds for which both must agree after the store is back, and so the longest window that is bridged."""

LONGEST_PAUSE = 5.0
"""Windows of up to this many seconds are let pass once when the store becomes unreachable."""

FIRST_COUNT, COUNT_EVERY = 1.0, 10.0
"""Seconds between two counts of the processes: at first, because many may start together, and at most."""

MAX_SHARES = 2000
"""Maximum number of calls whose shares are cached."""

MAX_UNENDED = 1000
"""Maximum number of calls whose end the store is given later, because it was unreachable."""

_logger = logging.getLogger("nango_py.limits")


class SharedStore(LimitStore, Protocol):
    """A store that other processes use too."""

    @property
    def generation(self) -> str:
        """Changes when the store has lost its data."""

    def processes(self, name: str) -> int:
        """The number of processes that use the store, including the one of this name."""


class Ticket:
    """A booking in the store, in this process, or in both."""

    __slots__ = ("gates", "local", "shared", "spends")

    def __init__(self, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        self.spends = spends
        self.gates = gates
        self.shared: Any = None
        self.local: Any = None


@record
class Share:
    """What this process may use of the budgets of one call while the store is unreachable.

    Attributes:
        whole: the budgets as they are.
        spends: this process's share of each.
        pause_gate: closed until the short windows have passed.
    """

    whole: tuple[Spend, ...]
    spends: tuple[Spend, ...]
    pause_gate: str


class FailoverLimits:
    """A LimitStore that uses a shared store, and this process's share of the limits while it is unreachable.

    Its methods raise no StorageError.

    Args:
        store: the shared one.
        clock: of this process.

    Attributes:
        is_remote: its methods can take a while, so asyncio calls them in a thread.
    """

    is_remote = True

    def __init__(self, store: SharedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._local = MemoryLimits(clock)
        self._processes = 1
        self._is_unreachable = False
        self._retry_at = 0.0
        self._agree_until = 0.0
        self._generation = ""
        self._shares: dict[tuple[tuple[str, int], ...], Share] = {}
        self._pauses: set[float] = set()
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`: a child counts as another process, and ends no call of its parent."""
        self._lock = threading.Lock()
        self._name = secrets.token_hex(8)
        self._count_at, self._count_every = 0.0, FIRST_COUNT
        self._unended: deque[Callable[[], None]] = deque(maxlen=MAX_UNENDED)

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], max_wait: float
    ) -> Granted | Refused:
        ticket = Ticket(spends, gates)
        if not self._should_try():
            return self._acquire_local(ticket, max_wait)
        try:
            self._end_late()
            outcome = self._store.acquire(spends, gates, max_wait)
        except StorageError as error:
            self._record_failure(error)
            return self._acquire_local(ticket, max_wait)
        self._record_success()
        self._count_processes()
        if isinstance(outcome, Refused):
            return outcome
        ticket.shared = outcome.ticket
        if self._clock.monotonic() >= self._agree_until:
            return Granted(outcome.wait, ticket)
        local = self._acquire_local(ticket, max_wait)
        if isinstance(local, Refused):
            self.release(ticket)
            return local
        return Granted(max(outcome.wait, local.wait), ticket)

    def confirm(self, ticket: Ticket) -> float:
        wait = 0.0
        if ticket.shared is not None:
            try:
                wait = self._store.confirm(ticket.shared)
            except StorageError as error:
                self._record_failure(error)
                self._unended.append(partial(self._store.release, ticket.shared))
                ticket.shared = None
        if ticket.shared is None and ticket.local is None:
            return self._acquire_local(ticket, 1e9).wait
        return wait if ticket.local is None else max(wait, self._local.confirm(ticket.local))

    def settle(self, ticket: Ticket, costs: tuple[int, ...] | None = None) -> None:
        if ticket.local is not None:
            self._local.settle(ticket.local, costs)
        else:
            spends = self._share(ticket.spends).spends
            if costs is not None:
                spends = tuple(map(_with_cost, spends, costs))
            self._local.count(spends)
        if ticket.shared is not None:
            self._end_shared(partial(self._store.settle, ticket.shared, costs))

    def release(self, ticket: Ticket) -> None:
        if ticket.local is not None:
            self._local.release(ticket.local)
        if ticket.shared is not None:
            self._end_shared(partial(self._store.release, ticket.shared))

    def count(self, spends: tuple[Spend, ...]) -> None:
        self._ask(lambda store: store.count(spends))

    def correct(self, spend: Spend, report: LimitReport) -> None:
        """See `LimitStore.correct`; while the store is unreachable, only for this process."""
        self._ask(lambda store: store.correct(spend, report))

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """See `LimitStore.close_gate`; while the store is unreachable, only for this process."""
        self._local.close_gate(gates, seconds)
        if self._should_try():
            try:
                self._store.close_gate(gates, seconds)
            except StorageError as error:
                self._record_failure(error)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """See `LimitStore.view`; while the store is unreachable, this process's share of the limits."""
        return self._ask(lambda store: store.view(keys))

    def keys(self, prefix: str) -> tuple[str, ...]:
        """See `LimitStore.keys`; while the store is unreachable, those of this process."""
        return self._ask(lambda store: store.keys(prefix))

    def _ask(self, method: Callable[[LimitStore], Result]) -> Result:
        """What the store returns, or this process's own limits while it is unreachable."""
        if self._should_try():
            try:
                return method(self._store)
            except StorageError as error:
                self._record_failure(error)
        return method(self._local)

    def _acquire_local(self, ticket: Ticket, max_wait: float) -> Granted | Refused:
        share = self._share(ticket.spends)
        outcome = self._local.acquire(share.spends, (*ticket.gates, share.pause_gate), max_wait)
        if isinstance(outcome, Refused):
            return outcome
        ticket.local = outcome.ticket
        return Granted(outcome.wait, ticket)

    def _share(self, spends: tuple[Spend, ...]) -> Share:
        cache_key = tuple((spend.key, spend.cost) for spend in spends)
        share = self._shares.get(cache_key)
        # Hashing the limits would take longer than everything else here.
        if share is None or not all(
            spend.limits is other.limits for spend, other in zip(spends, share.whole, strict=True)
        ):
            if len(self._shares) >= MAX_SHARES:
                self._shares.clear()
            divided = tuple(
                Spend(
                    spend.key,
                    tuple(_divide(limit, self._processes, spend.cost) for limit in spend.limits),
                    spend.cost,
                )
                for spend in spends
            )
            pause = _longest_short_window(spends)
            self._pauses.add(pause)
            share = self._shares[cache_key] = Share(spends, divided, _pause_gate(pause))
        return share

    def _should_try(self) -> bool:
        """Whether the store responds, or it is this caller's turn to try it again."""
        if not self._is_unreachable:
            return True
        with self._lock:
            now = self._clock.monotonic()
            if now < self._retry_at:
                return False
            self._retry_at = now + RETRY_AFTER
            return True

    def _record_failure(self, error: StorageError) -> None:
        with self._lock:
            is_first = not self._is_unreachable
            if is_first:
                # Before another thread can notice the failure and book here.
                self._pause_short_windows()
            self._is_unreachable = True
            self._retry_at = self._clock.monotonic() + RETRY_AFTER
        if is_first:
            _logger.warning(
                "%s; until it is reachable again this process uses 1/%d of each limit", error, self._processes
            )

    def _record_success(self) -> None:
        generation = self._store.generation
        if not self._is_unreachable and generation == self._generation:
            return
        with self._lock:
            was_unreachable = self._is_unreachable
            has_lost_data = bool(self._generation) and generation != self._generation
            # Everything that makes other threads careful comes before what lets them pass.
            if has_lost_data:
                self._pause_short_windows()
            if was_unreachable or has_lost_data:
                self._agree_until = self._clock.monotonic() + AGREE_SECONDS
            self._generation = generation
            self._is_unreachable = False
        if was_unreachable:
            _logger.info("the rate limit store is reachable again")
        elif has_lost_data:
            _logger.warning(
                "the rate limit store has lost its data; for %d s processes stay within their shares",
                AGREE_SECONDS,
            )

    def _pause_short_windows(self) -> None:
        for seconds in tuple(self._pauses):
            self._local.close_gate((_pause_gate(seconds),), seconds)

    def _end_shared(self, end: Callable[[], None]) -> None:
        """End a call in the store, or later: until then the call has its place under a cap."""
        if self._is_unreachable:
            self._unended.append(end)
            return
        try:
            end()
        except StorageError as error:
            self._unended.append(end)
            self._record_failure(error)

    def _end_late(self) -> None:
        while self._unended:
            try:
                end = self._unended.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                end()
            except BaseException:
                self._unended.appendleft(end)
                raise

    def _count_processes(self) -> None:
        now = self._clock.monotonic()
        if now < self._count_at:
            return
        self._count_at = now + self._count_every
        self._count_every = min(2 * self._count_every, COUNT_EVERY)
        try:
            processes = max(1, self._store.processes(self._name))
        except StorageError as error:
            self._record_failure(error)
            return
        # A store that lost its data also lost the other processes, until each has sent a heartbeat again.
        if processes > self._processes or (processes < self._processes and now >= self._agree_until):
            self._processes = processes
            self._shares.clear()


def _with_cost(spend: Spend, cost: int) -> Spend:
    return Spend(spend.key, spend.limits, cost)


def _longest_short_window(spends: tuple[Spend, ...]) -> float:
    windows = [limit.seconds for spend in spends for limit in spend.limits if isinstance(limit, Window)]
    return max((seconds for seconds in windows if seconds <= LONGEST_PAUSE), default=0.0)


def _pause_gate(seconds: float) -> str:
    return f" pause {seconds:g}"


def _divide(limit: Limit, processes: int, cost: int) -> Limit:
    """One process's share; a limit too small to be divided gets a longer window instead."""
    if isinstance(limit, Window):
        requests = max(cost, limit.requests // processes)
        stretch = max(1.0, requests * processes / limit.requests)
        return Window(requests, limit.seconds * stretch, limit.label)
    if isinstance(limit, CalendarPeriod):
        requests = max(cost, limit.requests // processes)
        return CalendarPeriod(requests, limit.time_zone, limit.label, limit.period)
    if isinstance(limit, InFlight):
        return InFlight(max(cost, limit.most // processes), limit.label)
    return Bucket(max(float(cost), limit.burst / processes), limit.per_second / processes, limit.label)
