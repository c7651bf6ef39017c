"""Budgets shared through a database: SQLite for the processes of one machine, PostgreSQL for many machines.

Each key is a row. A booking locks the rows of its keys, does the same arithmetic as the store in memory, and
writes them back, so what is exact there is exact here.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nango_py.limits.limit_types import Granted, Refused
from nango_py.limits.stores.sql_rows import SqlRows, Ticket
from nango_py.limits.stores.sql_statements import (
    BEAT,
    COUNT_PROCESSES,
    CREATE,
    CREATE_PROCESSES,
    FORGET_PROCESSES,
    KEYS,
    SWEEP,
    insert_missing,
    named,
    select,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager

    from nango_py.clock import Clock
    from nango_py.limits.limit_types import Spend, WindowView
    from nango_py.limits.stores.stored_meter import StoredSlot

Result = TypeVar("Result")

SWEEP_EVERY = 60.0
"""Seconds between two removals of rows of which nothing is left."""

RESPONSE_SECONDS = 2.0
"""How long a call tries to connect to a server, before this process goes on by itself."""

SEEN_WITHIN = 30.0
"""A process that was not seen for so many seconds is gone."""


class LimitDatabase(Protocol):
    """What is needed of a database; `nango_py.database.base.Database` is one."""

    schema_lock: str

    def opening(self) -> AbstractContextManager[None]:
        """Held while the tables are made."""

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of one SELECT."""

    def write(self, work: Callable[[Any], Result]) -> Result:
        """What `work` returns, its statements having been done together."""

    def close(self) -> None:
        """Close the connections of this process."""


class SqlLimits:
    """A LimitStore in a database; see `LimitStore` for what each method does.

    Args:
        database: one of its own. SQLite is told not to wait for the disk: after a power cut the counts of
            the last moments may be lost, which must not happen to connections.
        clock: this machine's; used with SQLite.
        is_server: whether many machines share the database, so that its clock is the one that counts.

    Every method raises StorageError when the database fails.
    """

    def __init__(self, database: LimitDatabase, clock: Clock, *, is_server: bool) -> None:
        self._database = database
        self._clock = clock
        self._is_server = is_server
        self._threads = threading.local()
        self._sweep_at = clock.monotonic() + SWEEP_EVERY
        self._is_made = False
        self._lock = threading.Lock()

    @property
    def generation(self) -> str:
        """Never changes: a database does not forget."""
        return "sql"

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        self._sweep_at_times()
        keys = _keys(spends, gates)
        if not spends:
            rows = self._read(keys)
            response = rows.book.acquire((), gates, patience, rows.now)
            return (
                Granted(response.wait, Ticket("", 0, (), gates))
                if isinstance(response, Granted)
                else response
            )

        def book(rows: SqlRows) -> Granted | Refused:
            response = rows.book.acquire(spends, gates, patience, rows.now)
            if isinstance(response, Refused):
                return response
            rows.save([spend.key for spend in spends])
            slot: StoredSlot = response.ticket
            return Granted(response.wait, Ticket(slot.name, slot.order, spends, gates))

        return self._change(keys, book)

    def confirm(self, ticket: Ticket) -> float:
        """0.0 to send now, else seconds more to wait."""
        if not ticket.spends:
            rows = self._read(_keys((), ticket.gates))
            return rows.book.confirm(rows.slot(ticket), rows.now)

        def check(rows: SqlRows) -> float:
            wait = rows.book.confirm(rows.slot(ticket), rows.now)
            rows.save([spend.key for spend in ticket.spends])
            return wait

        return self._change(_keys(ticket.spends, ticket.gates), check)

    def settle(self, ticket: Ticket) -> None:
        """The response is here, or was lost."""
        self._end(ticket, lambda rows, slot: rows.book.settle(slot, rows.now))

    def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        self._end(ticket, lambda rows, slot: rows.book.release(slot))

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking."""

        def count(rows: SqlRows) -> None:
            rows.book.count(spends, rows.now)
            rows.save([spend.key for spend in spends])

        if spends:
            self._change(_keys(spends, ()), count)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long."""

        def close(rows: SqlRows) -> None:
            rows.book.close_gate(gates, seconds, rows.now)
            rows.save(gates)

        self._change(tuple(dict.fromkeys(gates)), close)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are."""
        rows = self._read(tuple(keys))
        return rows.book.view([key for key in keys if key in rows.found], rows.now)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys and gates that begin so."""
        self._make()
        found = self._database.read(KEYS, {"prefix": prefix, "size": len(prefix)})
        return tuple(sorted(key for (key,) in found))

    def processes(self, name: str) -> int:
        """How many processes use this store, this one included.

        Args:
            name: this process's, the same at every call.
        """
        self._make()

        def beat(run: Any) -> int:
            now = self._microseconds(run)
            run(BEAT, {"name": name, "now": now})
            run(FORGET_PROCESSES, {"old": now - int(SEEN_WITHIN * 1e6)})
            return int(run(COUNT_PROCESSES)[0][0])

        return self._database.write(beat)

    def close(self) -> None:
        """Close the database's connections of this process."""
        self._database.close()

    def _end(self, ticket: Ticket, act: Callable[[SqlRows, StoredSlot], None]) -> None:
        if not ticket.spends:
            return

        def end(rows: SqlRows) -> None:
            slot = rows.slot(ticket)
            act(rows, slot)
            rows.save([spend.key for spend in ticket.spends])

        self._change(_keys(ticket.spends, ()), end)

    def _read(self, keys: tuple[str, ...]) -> SqlRows:
        """The rows as they are, to look at only."""
        self._make()
        found = self._database.read(select(len(keys), self._time()), named("key", keys)) if keys else []
        return SqlRows(None, found, self._clock)

    def _change(self, keys: tuple[str, ...], work: Callable[[SqlRows], Result]) -> Result:
        """What `work` makes of the locked rows."""
        self._make()
        lock = select(len(keys), self._time()) + "FOR UPDATE"

        def transact(run: Any) -> Result:
            names = named("key", keys)
            found = run(lock, names)
            if self._is_server and len(found) < len(keys):
                # A row that is not there cannot be locked.
                run(insert_missing(len(keys)), names)
                found = run(lock, names)
            return work(SqlRows(run, found, self._clock))

        self._do_not_wait_for_the_disk()
        return self._database.write(transact)

    def _now(self) -> float:
        return self._clock.monotonic()

    def _time(self) -> str:
        return "extract(epoch from clock_timestamp())" if self._is_server else "NULL"

    def _microseconds(self, run: Any) -> int:
        if self._is_server:
            return int(run("SELECT cast(extract(epoch from clock_timestamp()) * 1000000 AS bigint)")[0][0])
        return int(self._now() * 1e6)

    def _do_not_wait_for_the_disk(self) -> None:
        if self._is_server or getattr(self._threads, "is_set", False):
            return
        self._database.read("PRAGMA synchronous = OFF", {})
        self._threads.is_set = True

    def _make(self) -> None:
        if self._is_made:
            return
        with self._lock, self._database.opening():
            if not self._is_made:
                self._database.write(self._make_tables)
                self._is_made = True

    def _make_tables(self, run: Any) -> None:
        if self._database.schema_lock:
            run(self._database.schema_lock)
        run(CREATE)
        run(CREATE_PROCESSES)

    def _sweep_at_times(self) -> None:
        if self._clock.monotonic() < self._sweep_at:
            return
        self._sweep_at = self._clock.monotonic() + SWEEP_EVERY
        self._make()
        self._database.write(lambda run: run(SWEEP, {"now": self._microseconds(run)}))


def _keys(spends: tuple[Spend, ...], gates: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*(spend.key for spend in spends), *gates}))
