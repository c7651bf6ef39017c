"""The rows of some keys as bookings, within one transaction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from nango_py.limits.counting.bookings import Bookings
from nango_py.limits.stores.sql_statements import (
    DROP_QUEUE,
    delete_parts,
    letters,
    name_parameters,
    select_parts,
    upsert,
    upsert_parts,
)
from nango_py.limits.stores.stored_meter import (
    Moment,
    StoredBooking,
    StoredMeter,
    StoredQueue,
    digest_of_keys,
    line_name,
    page_name_at,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.database.base import Parameters, Rows, Run
    from nango_py.limits.limit_types import Spend


class Read(Protocol):
    """Runs one SELECT."""

    def __call__(self, sql: str, parameters: Parameters, /) -> Rows:
        """Its rows."""


class Ticket:
    """A booking in the database.

    Attributes:
        time: its place when it was last acquired or confirmed.
    """

    __slots__ = ("gates", "name", "order", "spends", "time")

    def __init__(
        self, name: str, order: int, spends: tuple[Spend, ...], gates: tuple[str, ...], time: float = 0.0
    ) -> None:
        self.name = name
        self.order = order
        self.spends = spends
        self.gates = gates
        self.time = time


class SqlRows:
    """The rows of some keys, within one transaction.

    Args:
        rows: key, state, and the server's time or None.
        clock: of this machine, for rows without a time.
        boot: identifies the time since this machine was started; "" with a server's clock.
        run: runs statements; within the transaction, if there is one.

    Attributes:
        meters: of each key that has a row.
    """

    def __init__(self, rows: list[tuple[Any, ...]], clock: Clock, boot: str, run: Read) -> None:
        self._run = run
        self._parts: dict[tuple[str, str], str] = {}
        self.meters: dict[str, StoredMeter] = {}
        self._by_name: dict[str, StoredBooking] = {}
        server_now = max((row[2] for row in rows if row[2] is not None), default=None)
        self.now = clock.monotonic() if server_now is None else float(server_now)
        self._wall = clock.now() if server_now is None else self.now
        self._boot = boot
        for key, state, _ in rows:
            if state:
                moment = Moment(self.now, self._wall, boot)
                self.meters[key] = StoredMeter.load(
                    state, moment, self._by_name, partial(self._read_part, key)
                )
        self.now = max([self.now, *(stored.changed_at for stored in self.meters.values())])
        offset = clock.now() - clock.monotonic() if server_now is None else 0.0
        self.bookings = Bookings(StoredBooking, lambda: offset)
        self.bookings.arrivals = max((stored.arrivals for stored in self.meters.values()), default=0)
        self.bookings.meters = {key: stored.meter for key, stored in self.meters.items()}
        self.bookings.gates = {key: stored.gate for key, stored in self.meters.items() if stored.gate}

    @property
    def shifted(self) -> list[str]:
        """The keys to save because the clock was set back: each load would shift them again."""
        return [key for key, stored in self.meters.items() if stored.is_shifted]

    def booking(self, ticket: Ticket) -> StoredBooking:
        """The booking of a ticket: in flight, or taken to be waiting."""
        booking = self._by_name.get(ticket.name)
        if booking is None:
            booking = StoredBooking(ticket.order, ticket.spends, ticket.gates, ticket.name)
            booking.state, booking.time, booking.wake_at = "waiting", ticket.time, ticket.time
            self._by_name[ticket.name] = booking
            self.read_parts(ticket.spends, ticket.time, ticket.order)
        booking.spends, booking.gates = ticket.spends, ticket.gates
        return booking

    def read_parts(self, spends: tuple[Spend, ...], time: float, order: int) -> None:
        """Read what a step needs of the queues at once, because each statement is a round trip."""
        wanted = []
        line = line_name(digest_of_keys(spends))
        for spend in spends:
            stored = self.meters.get(spend.key)
            if stored is not None and stored.meter.waiting.pages:
                wanted += [(spend.key, line), (spend.key, page_name_at(stored.meter.waiting, time, order))]
        if wanted:
            self._parts.update(dict.fromkeys(wanted, ""))
            rows = self._run(select_parts(len(wanted)), _name_parts(wanted))
            self._parts.update(((key, part), state) for key, part, state in rows)

    def _read_part(self, key: str, part: str) -> str:
        found = self._parts.get((key, part))
        if found is None:
            rows = self._run(select_parts(1), _name_parts([(key, part)]))
            found = rows[0][2] if rows else ""
        return str(found)

    def save(self, run: Run, keys: Collection[str]) -> None:
        """Write the rows of these keys."""
        values: dict[str, str | int] = {}
        parts: dict[tuple[str, str], str] = {}
        for index, key in enumerate(keys):
            stored = self.meters.get(key) or StoredMeter()
            stored.meter = self.bookings.meters.get(key, stored.meter)
            queue = stored.queue or StoredQueue(partial(self._read_part, key), self._by_name)
            if queue.is_dropped:
                run(DROP_QUEUE, {"key": key})
            parts.update(((key, part), state) for part, state in queue.changes(stored.meter.waiting).items())
            stored.gate = self.bookings.gates.get(key, 0.0)
            stored.arrivals = self.bookings.arrivals
            letter = letters(index)
            values[f"key_{letter}"] = key
            values[f"state_{letter}"] = stored.dump(Moment(self.now, self._wall, self._boot))
            # Unix time, so that rows of earlier boots are removed; in whole minutes, because the column has
            # an index.
            until = max(stored.meter.expires_at(), stored.gate) + self._wall - self.now
            values[f"until_{letter}"] = (int(until / 60) + 1) * 60_000_000
        if values:
            run(upsert(len(keys)), values)
        _save_parts(run, parts)


def _save_parts(run: Run, parts: dict[tuple[str, str], str]) -> None:
    dropped = [name for name, state in parts.items() if not state]
    kept = {name: state for name, state in parts.items() if state}
    if dropped:
        run(delete_parts(len(dropped)), _name_parts(dropped))
    if kept:
        values = {**_name_parts(kept), **name_parameters("state", list(kept.values()))}
        run(upsert_parts(len(kept)), values)


def _name_parts(names: Collection[tuple[str, str]]) -> dict[str, str]:
    keys, parts = ([name[place] for name in names] for place in (0, 1))
    return {**name_parameters("key", keys), **name_parameters("part", parts)}
