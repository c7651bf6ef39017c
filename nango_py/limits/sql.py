"""Budgets shared through a database: SQLite for the processes of one machine, PostgreSQL for many machines.

Each key is a row. A booking locks the rows of its keys, does the same arithmetic as the store in memory, and
writes them back, so what is exact there is exact here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nango_py.limits.book import Book
from nango_py.limits.model import Granted, Refused
from nango_py.limits.stored import StoredMeter, StoredSlot, line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager

    from nango_py.clock import Clock
    from nango_py.limits.model import Spend, WindowView

Result = TypeVar("Result")

SWEEP_EVERY = 60.0
"""Seconds between two removals of rows of which nothing is left."""

SEEN_WITHIN = 30.0
"""A process that was not seen for so many seconds is gone."""


class LimitDatabase(Protocol):
    """What is needed of a database; `nango_py.connections.database.Database` is one."""

    schema_lock: str

    def opening(self) -> AbstractContextManager[None]:
        """Held while the tables are made."""

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of one SELECT."""

    def write(self, work: Callable[[Any], Result]) -> Result:
        """What `work` returns, its statements having been done together."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A booking in the database."""

    name: str
    order: int
    spends: tuple[Spend, ...]
    gates: tuple[str, ...]


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

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float
    ) -> Granted | Refused:
        """Book the earliest place."""
        self._sweep_at_times()
        keys = _keys(spends, gates)
        if not spends:
            rows = self._read(keys)
            answer = rows.book.acquire((), gates, patience, rows.now)
            return Granted(answer.wait, Ticket("", 0, (), gates)) if isinstance(answer, Granted) else answer

        def book(rows: _Rows) -> Granted | Refused:
            answer = rows.book.acquire(spends, gates, patience, rows.now)
            if isinstance(answer, Refused):
                return answer
            rows.save([spend.key for spend in spends])
            slot: StoredSlot = answer.ticket
            return Granted(answer.wait, Ticket(slot.name, slot.order, spends, gates))

        return self._change(keys, book)

    def confirm(self, ticket: Ticket) -> float:
        """0.0 to send now, else seconds more to wait."""
        if not ticket.spends:
            rows = self._read(_keys((), ticket.gates))
            return rows.book.confirm(rows.slot(ticket), rows.now)

        def check(rows: _Rows) -> float:
            wait = rows.book.confirm(rows.slot(ticket), rows.now)
            rows.save([spend.key for spend in ticket.spends])
            return wait

        return self._change(_keys(ticket.spends, ticket.gates), check)

    def settle(self, ticket: Ticket) -> None:
        """The answer is here, or was lost."""
        self._end(ticket, lambda rows, slot: rows.book.settle(slot, rows.now))

    def release(self, ticket: Ticket) -> None:
        """Nothing was sent."""
        self._end(ticket, lambda rows, slot: rows.book.release(slot))

    def count(self, spends: tuple[Spend, ...]) -> None:
        """Count what was sent without a booking."""

        def count(rows: _Rows) -> None:
            rows.book.count(spends, rows.now)
            rows.save([spend.key for spend in spends])

        if spends:
            self._change(_keys(spends, ()), count)

    def close_gate(self, gates: tuple[str, ...], seconds: float) -> None:
        """Nobody passes for so long."""

        def close(rows: _Rows) -> None:
            rows.book.close_gate(gates, seconds, rows.now)
            rows.save(gates)

        self._change(tuple(dict.fromkeys(gates)), close)

    def view(self, keys: Collection[str]) -> tuple[WindowView, ...]:
        """How full the limits of these keys and gates are."""
        rows = self._read(tuple(keys))
        return rows.book.view([key for key in keys if key in rows.found], rows.now)

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

    def _end(self, ticket: Ticket, act: Callable[[_Rows, StoredSlot], None]) -> None:
        if not ticket.spends:
            return

        def end(rows: _Rows) -> None:
            slot = rows.slot(ticket)
            act(rows, slot)
            rows.save([spend.key for spend in ticket.spends])

        self._change(_keys(ticket.spends, ()), end)

    def _read(self, keys: tuple[str, ...]) -> _Rows:
        """The rows as they are, to look at only."""
        self._make()
        select = _select(len(keys), self._time())
        found = self._database.read(select, _named("key", keys)) if keys else []
        return _Rows(None, found, self._now())

    def _change(self, keys: tuple[str, ...], work: Callable[[_Rows], Result]) -> Result:
        """What `work` makes of the locked rows."""
        self._make()
        select = _select(len(keys), self._time()) + "FOR UPDATE"

        def transact(run: Any) -> Result:
            names = _named("key", keys)
            found = run(select, names)
            if self._is_server and len(found) < len(keys):
                # A row that is not there cannot be locked.
                run(_insert_missing(len(keys)), names)
                found = run(select, names)
            return work(_Rows(run, found, self._now()))

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


class _Rows:
    """The rows of some keys, as a book, within one transaction."""

    def __init__(self, run: Any, found: list[tuple[Any, ...]], machine_now: float) -> None:
        self._run = run
        self.found: dict[str, StoredMeter] = {}
        self._slots: dict[str, StoredSlot] = {}
        server_now = max((row[2] for row in found if row[2] is not None), default=None)
        self.now = machine_now if server_now is None else float(server_now)
        for key, state, _ in found:
            if state:
                self.found[key] = StoredMeter.load(key, state, self.now, self._slots)
        self.now = max([self.now, *(stored.touched for stored in self.found.values())])
        self.book = Book(StoredSlot)
        self.book.arrivals = max((stored.arrivals for stored in self.found.values()), default=0)
        self.book.meters = {key: stored.meter for key, stored in self.found.items()}
        self.book.gates = {key: stored.gate for key, stored in self.found.items() if stored.gate}

    def slot(self, ticket: Ticket) -> StoredSlot:
        """The place of a ticket as the rows have it; one that they have lost is made again."""
        slot = self._slots.get(ticket.name)
        if slot is None:
            slot = StoredSlot(ticket.order, ticket.spends, ticket.gates)
            slot.name = ticket.name
        slot.spends, slot.gates, slot.line = ticket.spends, ticket.gates, line_of(ticket.spends)
        place = {spend.key: index for index, spend in enumerate(ticket.spends)}
        for other in self._slots.values():
            if other.line == slot.line:
                # Rows come in the order of their keys, a call's budgets in the blueprint's.
                other.spends = tuple(sorted(other.spends, key=lambda spend: place[spend.key]))
        return slot

    def save(self, keys: Collection[str]) -> None:
        """Write these rows back."""
        values: dict[str, Any] = {}
        for index, key in enumerate(keys):
            stored = self.found.get(key) or StoredMeter()
            stored.meter = self.book.meters.get(key, stored.meter)
            stored.gate = self.book.gates.get(key, 0.0)
            stored.arrivals = self.book.arrivals
            until = max(stored.meter.kept_until(), stored.gate)
            letter = _letters(index)
            values[f"key_{letter}"] = key
            values[f"state_{letter}"] = stored.dump(self.now)
            values[f"until_{letter}"] = int(until * 1e6) + 1
        if values:
            self._run(_upsert(len(keys)), values)


CREATE = """
CREATE TABLE IF NOT EXISTS nango_limits (
  key TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, kept_until BIGINT NOT NULL
)
"""
CREATE_PROCESSES = """
CREATE TABLE IF NOT EXISTS nango_limit_processes (name TEXT NOT NULL PRIMARY KEY, seen_at BIGINT NOT NULL)
"""
SWEEP = "DELETE FROM nango_limits WHERE kept_until < :now"
BEAT = """
INSERT INTO nango_limit_processes (name, seen_at) VALUES (:name, :now)
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
"""
FORGET_PROCESSES = "DELETE FROM nango_limit_processes WHERE seen_at < :old"
COUNT_PROCESSES = "SELECT count(*) FROM nango_limit_processes"


_SELECT = "SELECT key, state, {time} FROM nango_limits WHERE key IN ({keys}) ORDER BY key "
_INSERT_MISSING = """
INSERT INTO nango_limits (key, state, kept_until) VALUES {rows} ON CONFLICT (key) DO NOTHING
"""
_UPSERT = """
INSERT INTO nango_limits (key, state, kept_until) VALUES {rows}
ON CONFLICT (key) DO UPDATE SET state = excluded.state, kept_until = excluded.kept_until
"""


def _select(count: int, time: str) -> str:
    # In one order, so that no two that lock several rows wait for each other.
    return _SELECT.format(time=time, keys=", ".join(f":key_{_letters(index)}" for index in range(count)))


def _insert_missing(count: int) -> str:
    rows = ", ".join(f"(:key_{_letters(index)}, '', 0)" for index in range(count))
    return _INSERT_MISSING.format(rows=rows)


def _upsert(count: int) -> str:
    names = [_letters(index) for index in range(count)]
    return _UPSERT.format(rows=", ".join(f"(:key_{name}, :state_{name}, :until_{name})" for name in names))


def _keys(spends: tuple[Spend, ...], gates: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*(spend.key for spend in spends), *gates}))


def _named(word: str, values: Collection[str]) -> dict[str, str]:
    return {f"{word}_{_letters(index)}": value for index, value in enumerate(values)}


def _letters(index: int) -> str:
    """a, b, ..., z, ba, ...: names of parameters are letters only."""
    rest, letter = divmod(index, len(ascii_lowercase))
    return (_letters(rest) if rest else "") + ascii_lowercase[letter]
