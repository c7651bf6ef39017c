"""Limits shared through a database: SQLite for the processes of one machine, PostgreSQL for many machines.

Each key is a row. A booking locks the rows of its keys, runs the same arithmetic as the store in memory, and
writes them back. The calls that wait for a key are in further rows, of which a step reads a few.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, TypeVar

from nango_py.forks import forget_in_children
from nango_py.limits.limit_types import Granted, Refused
from nango_py.limits.stores.sql_rows import SqlRows, Ticket
from nango_py.limits.stores.sql_statements import (
    BEAT,
    COUNT_PROCESSES,
    CREATE,
    CREATE_INDEX,
    CREATE_PROCESSES,
    CREATE_QUEUES,
    FORGET_PROCESSES,
    KEYS,
    SWEEP,
    SWEEP_QUEUES,
    insert_missing,
    name_parameters,
    select,
)
from nango_py.limits.stores.stored_meter import MAX_CLOCK_STEP, read_boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nango_py.clock import Clock
    from nango_py.database.base import Database, Run
    from nango_py.limits.limit_types import LimitReport, Spend, WindowView
    from nango_py.limits.stores.stored_meter import StoredBooking

Result = TypeVar("Result")

SWEEP_EVERY = 5.0
"""Seconds between two removals of expired rows, of a bounded number each time."""

RESPONSE_SECONDS = 2.0
"""Timeout of a connection attempt, after which this process uses its own memory."""

PROCESS_TTL = 30.0
"""Seconds after its last heartbeat when a process no longer counts."""


class SqlLimits:
    """A LimitStore in a database.

    Every method raises StorageError when the database fails.

    Args:
        database: used for nothing else. In SQLite writes do not wait for the disk: a power cut may lose the
            last counts, which would not be acceptable for connections.
        clock: of this machine; used with SQLite.
        is_server: whether many machines share the database, so that its clock is used.
        boot: identifies the time since this machine was started, for which its clock counts.
    """

    def __init__(self, database: Database, clock: Clock, *, is_server: bool, boot: str | None = None) -> None:
        self._database = database
        self._clock = clock
        self._is_server = is_server
        self._boot = "" if is_server else read_boot_id() if boot is None else boot
        self._threads = threading.local()
        self._sweep_at = clock.monotonic() + SWEEP_EVERY
        self._has_tables = False
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`."""
        self._lock = threading.Lock()

    @property
    def generation(self) -> str:
        """Never changes: a database does not lose its data."""
        return "sql"

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], max_wait: float
    ) -> Granted | Refused:
        self._sweep_if_due()
        keys = _keys(spends, gates)
        if not spends:
            rows = self._read(keys)
            outcome = rows.bookings.acquire((), gates, max_wait, rows.now)
            if isinstance(outcome, Refused):
                return outcome
            return Granted(outcome.wait, Ticket("", 0, (), gates))

        def acquire(run: Run, rows: SqlRows) -> Granted | Refused:
            rows.read_parts(spends, math.inf, 0)
            outcome = rows.bookings.acquire(spends, gates, max_wait, rows.now)
            if isinstance(outcome, Refused):
                return outcome
            rows.save(run, [spend.key for spend in spends])
            booking: StoredBooking = outcome.ticket
            return Granted(outcome.wait, Ticket(booking.name, booking.order, spends, gates, booking.time))

        return self._change(keys, acquire)

    def confirm(self, ticket: Ticket) -> float:
        if not ticket.spends:
            rows = self._read(_keys((), ticket.gates))
            return rows.bookings.confirm(rows.booking(ticket), rows.now)

        def confirm(run: Run, rows: SqlRows) -> float:
            booking = rows.booking(ticket)
            wait = rows.bookings.confirm(booking, rows.now)
            rows.save(run, [spend.key for spend in ticket.spends])
            ticket.time = booking.time
            return wait

        return self._change(_keys(ticket.spends, ticket.gates), confirm)

    def settle(self, ticket: Ticket, costs: tuple[int, ...] | None = None) -> None:
        self._end(ticket, lambda rows, booking: rows.bookings.settle(booking, rows.now, costs))

    def release(self, ticket: Ticket) -> None:
        self._end(ticket, lambda rows, booking: rows.bookings.release(booking))

    def count(self, spends: tuple[Spend, ...]) -> None:
        def count(run: Run, rows: SqlRows) -> None:
            rows.bookings.count(spends, rows.now)
            rows.save(run, [spend.key for spend in spends])

        if spends:
            self._change(_keys(spends, ()), count)

    def correct(self, spend: Spend, report: LimitReport) -> None:
        keys = (spend.key,)
        # Most reports say nothing new, and need no transaction.
        rows = self._read(keys)
        if not rows.bookings.correct(spend, report, rows.now):
            return

        def correct(run: Run, rows: SqlRows) -> None:
            if rows.bookings.correct(spend, report, rows.now):
                rows.save(run, keys)

        self._change(keys, correct)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        def close(run: Run, rows: SqlRows) -> None:
            rows.bookings.close_gate(gates, seconds, rows.now)
            rows.save(run, gates)

        self._change(tuple(dict.fromkeys(gates)), close)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        rows = self._read(tuple(keys))
        return rows.bookings.view([key for key in keys if key in rows.meters], rows.now)

    def keys(self, prefix: str) -> tuple[str, ...]:
        self._create_tables()
        rows = self._database.read(KEYS, {"prefix": prefix, "size": len(prefix)})
        return tuple(sorted(key for (key,) in rows))

    def processes(self, name: str) -> int:
        """Record a heartbeat; the number of processes that use this store, including this one.

        Args:
            name: of this process, the same in every call.
        """
        self._create_tables()

        def beat(run: Run) -> int:
            now = self._microseconds(run)
            run(BEAT, {"name": name, "now": now})
            latest = now + int(MAX_CLOCK_STEP * 1e6)
            run(FORGET_PROCESSES, {"old": now - int(PROCESS_TTL * 1e6), "latest": latest})
            return int(run(COUNT_PROCESSES)[0][0])

        return self._database.write(beat)

    def close(self) -> None:
        """Close the database connections of this process."""
        self._database.close()

    def _end(self, ticket: Ticket, change: Callable[[SqlRows, StoredBooking], None]) -> None:
        def end(run: Run, rows: SqlRows) -> None:
            change(rows, rows.booking(ticket))
            rows.save(run, [spend.key for spend in ticket.spends])

        if ticket.spends:
            self._change(_keys(ticket.spends, ()), end)

    def _read(self, keys: tuple[str, ...]) -> SqlRows:
        """The rows of these keys, without a lock."""
        self._create_tables()
        parameters = name_parameters("key", keys)
        found = self._database.read(select(len(keys), self._time()), parameters) if keys else []
        rows = SqlRows(found, self._clock, self._boot, self._database.read)
        if not rows.shifted:
            return rows
        self._change(keys, lambda _run, _rows: None)
        return self._read(keys)

    def _change(self, keys: tuple[str, ...], work: Callable[[Run, SqlRows], Result]) -> Result:
        """The result of `work` on the locked rows of these keys."""
        self._create_tables()
        lock = select(len(keys), self._time()) + "FOR UPDATE"

        def transact(run: Run) -> Result:
            parameters = name_parameters("key", keys)
            rows = run(lock, parameters)
            if self._is_server and len(rows) < len(keys):
                # A row that does not exist cannot be locked.
                run(insert_missing(len(keys)), parameters)
                rows = run(lock, parameters)
            loaded = SqlRows(rows, self._clock, self._boot, run)
            loaded.save(run, loaded.shifted)
            return work(run, loaded)

        self._disable_sync()
        return self._database.write(transact)

    def _time(self) -> str:
        return "extract(epoch from clock_timestamp())" if self._is_server else "NULL"

    def _microseconds(self, run: Run) -> int:
        return int(run("SELECT :server_now", {"server_now": int(self._clock.monotonic() * 1e6)})[0][0])

    def _unix_microseconds(self, run: Run) -> int:
        return self._microseconds(run) if self._is_server else int(self._clock.now() * 1e6)

    def _disable_sync(self) -> None:
        if self._is_server or getattr(self._threads, "is_sync_off", False):
            return
        self._database.read("PRAGMA synchronous = OFF", {})
        self._threads.is_sync_off = True

    def _create_tables(self) -> None:
        if self._has_tables:
            return
        with self._lock, self._database.opening_lock():
            if not self._has_tables:
                self._database.write(self._run_create)
                self._has_tables = True

    def _run_create(self, run: Run) -> None:
        if self._database.schema_lock:
            run(self._database.schema_lock)
        run(CREATE)
        run(CREATE_INDEX)
        run(CREATE_QUEUES)
        run(CREATE_PROCESSES)

    def _sweep_if_due(self) -> None:
        if self._clock.monotonic() < self._sweep_at:
            return
        self._sweep_at = self._clock.monotonic() + SWEEP_EVERY
        self._create_tables()
        self._database.write(self._run_sweep)

    def _run_sweep(self, run: Run) -> None:
        run(SWEEP, {"now": self._unix_microseconds(run)})
        run(SWEEP_QUEUES)


def _keys(spends: tuple[Spend, ...], gates: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*(spend.key for spend in spends), *gates}))
