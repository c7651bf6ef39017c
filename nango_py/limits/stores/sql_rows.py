"""The rows of some keys as a book of bookings, within one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.bookings import Bookings
from nango_py.limits.stores.sql_statements import letters, upsert
from nango_py.limits.stores.stored_meter import StoredMeter, StoredSlot, line_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from nango_py.clock import Clock
    from nango_py.limits.limit_types import Spend


@dataclass(frozen=True, slots=True)
class Ticket:
    """A booking in the database."""

    name: str
    order: int
    spends: tuple[Spend, ...]
    gates: tuple[str, ...]


class SqlRows:
    """The rows of some keys, as a book, within one transaction."""

    def __init__(self, run: Any, found: list[tuple[Any, ...]], machine: Clock) -> None:
        self._run = run
        self.found: dict[str, StoredMeter] = {}
        self._slots: dict[str, StoredSlot] = {}
        server_now = max((row[2] for row in found if row[2] is not None), default=None)
        self.now = machine.monotonic() if server_now is None else float(server_now)
        for key, state, _ in found:
            if state:
                self.found[key] = StoredMeter.load(key, state, self.now, self._slots)
        self.now = max([self.now, *(stored.touched for stored in self.found.values())])
        offset = machine.now() - machine.monotonic() if server_now is None else 0.0
        self.book = Bookings(StoredSlot, lambda: offset)
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
            letter = letters(index)
            values[f"key_{letter}"] = key
            values[f"state_{letter}"] = stored.dump(self.now)
            values[f"until_{letter}"] = int(until * 1e6) + 1
        if values:
            self._run(upsert(len(keys)), values)
