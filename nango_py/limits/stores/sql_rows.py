"""The rows of some keys as bookings, within one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.bookings import Bookings
from nango_py.limits.stores.sql_statements import letters, upsert
from nango_py.limits.stores.stored_meter import Moment, StoredBooking, StoredMeter, digest_of_keys
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.database.base import Run
    from nango_py.limits.limit_types import Spend


@record
class Ticket:
    """A booking in the database."""

    name: str
    order: int
    spends: tuple[Spend, ...]
    gates: tuple[str, ...]


class SqlRows:
    """The rows of some keys, within one transaction.

    Args:
        rows: key, state, and the server's time or None.
        clock: of this machine, for rows without a time.
        boot: identifies the time since this machine was started; "" with a server's clock.

    Attributes:
        meters: of each key that has a row.
    """

    def __init__(self, rows: list[tuple[Any, ...]], clock: Clock, boot: str) -> None:
        self.meters: dict[str, StoredMeter] = {}
        self._by_name: dict[str, StoredBooking] = {}
        server_now = max((row[2] for row in rows if row[2] is not None), default=None)
        self.now = clock.monotonic() if server_now is None else float(server_now)
        self._wall = clock.now() if server_now is None else self.now
        self._boot = boot
        for key, state, _ in rows:
            if state:
                moment = Moment(self.now, self._wall, boot)
                self.meters[key] = StoredMeter.load(key, state, moment, self._by_name)
        self.now = max([self.now, *(stored.changed_at for stored in self.meters.values())])
        offset = clock.now() - clock.monotonic() if server_now is None else 0.0
        self.bookings = Bookings(StoredBooking, lambda: offset)
        self.bookings.arrivals = max((stored.arrivals for stored in self.meters.values()), default=0)
        self.bookings.meters = {key: stored.meter for key, stored in self.meters.items()}
        self.bookings.gates = {key: stored.gate for key, stored in self.meters.items() if stored.gate}

    def booking(self, ticket: Ticket) -> StoredBooking:
        """The booking of a ticket, created again if the rows have lost it."""
        booking = self._by_name.get(ticket.name)
        if booking is None:
            booking = StoredBooking(ticket.order, ticket.spends, ticket.gates)
            booking.name = ticket.name
        booking.spends, booking.gates = ticket.spends, ticket.gates
        booking.keys_digest = digest_of_keys(ticket.spends)
        positions = {spend.key: index for index, spend in enumerate(ticket.spends)}
        for other in self._by_name.values():
            if other.keys_digest == booking.keys_digest:
                # Rows are sorted by key, a call's budgets as in the blueprint.
                other.spends = tuple(sorted(other.spends, key=lambda spend: positions[spend.key]))
        return booking

    def save(self, run: Run, keys: Collection[str]) -> None:
        """Write the rows of these keys."""
        values: dict[str, str | int] = {}
        for index, key in enumerate(keys):
            stored = self.meters.get(key) or StoredMeter()
            stored.meter = self.bookings.meters.get(key, stored.meter)
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
