"""The rules of booking over many keys; stores add a lock, a clock and a place to keep it.

Every method takes the time as `now`, so the same rules serve a process's memory and a shared row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.limits.counting.booking import Booking
from nango_py.limits.counting.meter import Meter
from nango_py.limits.limit_types import GATE, Granted, Refused, WindowView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nango_py.limits.limit_types import Spend

LOST_AFTER = 5.0
"""A caller that did not come back so many seconds after its time is not waited for any more."""


class Bookings:
    """Meters by key, and gates by key with the moment each opens.

    Args:
        slot_type: what a new place is made of.
        offset: tells what to add to its moments to make them unix seconds; asked where days are counted.
    """

    def __init__(self, slot_type: type[Booking] = Booking, offset: Callable[[], float] = lambda: 0.0) -> None:
        self._slot_type = slot_type
        self._offset = offset
        self.meters: dict[str, Meter] = {}
        self.gates: dict[str, float] = {}
        self.arrivals = 0

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], patience: float, now: float
    ) -> Granted | Refused:
        """Book the earliest place, or say how far away it is."""
        self.arrivals += 1
        slot = self._slot_type(self.arrivals, spends, gates)
        meters = self._meters(slot, now)
        at, label = self._earliest(slot, meters, now, None)
        if at - now > patience:
            return Refused(at - now, label)
        slot.at = slot.promised = at
        if at <= now:
            self._send(slot, meters, now)
            return Granted(0.0, slot)
        slot.state = "booked"
        for meter, spend in zip(meters, spends, strict=True):
            meter.book(slot, spend.cost)
        return Granted(at - now, slot)

    def confirm(self, slot: Booking, now: float) -> float:
        """Check a booking again: what has happened meanwhile may have moved it."""
        if slot.state == "flying":
            return 0.0
        meters = self._meters(slot, now)
        self._retime(slot, meters, now)
        at, _ = self._earliest(slot, meters, now, slot.order)
        for meter in meters:
            meter.unbook(slot)
        slot.at = slot.promised = at
        if at <= now:
            self._send(slot, meters, now)
            return 0.0
        slot.state = "booked"
        for meter, spend in zip(meters, slot.spends, strict=True):
            meter.book(slot, spend.cost)
        return at - now

    def settle(self, slot: Booking, now: float) -> None:
        """The response came, or is lost."""
        if slot.state == "booked":
            self.release(slot)
        if slot.state == "flying":
            slot.state = "over"
            for spend in slot.spends:
                if spend.key in self.meters:
                    self.meters[spend.key].land(slot, now)

    def release(self, slot: Booking) -> None:
        """Nothing was sent."""
        if slot.state == "over":
            return
        for spend in slot.spends:
            if spend.key in self.meters:
                self.meters[spend.key].unbook(slot)
                self.meters[spend.key].recall(slot)
        slot.state = "over"

    def count(self, spends: tuple[Spend, ...], now: float) -> None:
        """Something was sent that nobody booked."""
        slot = self._slot_type(0, spends, ())
        for meter, spend in zip(self._meters(slot, now), spends, strict=True):
            meter.count(now, spend.cost)

    def close_gate(self, gates: tuple[str, ...], seconds: float, now: float) -> None:
        """A gate closed for longer stays closed for longer."""
        if seconds > 0:
            for gate in gates:
                self.gates[gate] = max(self.gates.get(gate, 0.0), now + seconds)

    def view(self, keys: Collection[str], now: float) -> tuple[WindowView, ...]:
        """Every limit and closed gate of these keys."""
        views: list[WindowView] = []
        for key in keys:
            meter = self.meters.get(key)
            gate = max(0.0, self.gates.get(key, 0.0) - now)
            if meter is not None:
                meter.tidy(now)
                if meter.has_days:
                    meter.offset = self._offset()
                for limit in meter.limits:
                    most, used, resets_in = meter.usage(limit, now)
                    left = max(0.0, most - used)
                    views.append(WindowView(key, limit.label, most, used, left, resets_in, gate))
            if gate:
                views.append(WindowView(key, GATE, 0.0, 0.0, 0.0, gate, gate))
        return tuple(views)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys and gates that begin so."""
        return tuple(sorted(key for key in self.meters.keys() | self.gates.keys() if key.startswith(prefix)))

    def sweep(self, now: float) -> None:
        """Forget every key and gate of which nothing is left."""
        for key in [key for key, meter in self.meters.items() if meter.is_idle(now)]:
            del self.meters[key]
        for gate in [gate for gate, opens in self.gates.items() if opens <= now]:
            del self.gates[gate]

    def _meters(self, slot: Booking, now: float) -> list[Meter]:
        found = []
        for spend in slot.spends:
            meter = self.meters.get(spend.key)
            if meter is None:
                meter = self.meters[spend.key] = Meter()
            if meter.limits is not spend.limits:
                meter.apply(spend.limits)
            meter.tidy(now)
            if meter.has_days:
                meter.offset = self._offset()
            if meter.booked and meter.booked[0][2].promised + LOST_AFTER < now:
                self._drop_lost(meter, now)
            found.append(meter)
        return found

    def _drop_lost(self, meter: Meter, now: float) -> None:
        for slot in [entry[2] for entry in meter.booked if entry[2].promised + LOST_AFTER < now]:
            # It may still come to confirm; then it is booked again, by its old order.
            for spend in slot.spends:
                if spend.key in self.meters:
                    self.meters[spend.key].unbook(slot)

    def _earliest(
        self, slot: Booking, meters: list[Meter], now: float, before: int | None
    ) -> tuple[float, str]:
        """The first moment that every gate and every meter allows, and what decided."""
        at, label = now, ""
        if self.gates:
            for gate in slot.gates:
                opens = self.gates.get(gate, 0.0)
                if opens > at:
                    at, label = opens, GATE
        quiet = True
        for meter in meters:
            if meter.booked:
                quiet = False
                at = max(at, _last_of(slot, meter))
        while True:
            start = at
            for meter, spend in zip(meters, slot.spends, strict=True):
                found, why = meter.earliest(at, spend.cost, now, before)
                if found > at:
                    at, label = found, why
            # Without bookings a moment that is late enough for one limit is so for all later moments.
            if quiet or at == start:
                return at, label or GATE

    def _retime(self, slot: Booking, meters: list[Meter], now: float) -> None:
        """Plan the overdue bookings of earlier callers with the same keys anew, in their order.

        Without it everyone behind a gate that has opened would be told the same next moment.
        """
        if not meters:
            return
        overdue = []
        for at, order, other, _ in meters[0].booked:
            if at >= now:
                break
            if order < slot.order and other.shares_line(slot):
                overdue.append((order, other))
        for order, other in sorted(overdue, key=lambda entry: entry[0]):
            at, _ = self._earliest(other, meters, now, order)
            for meter in meters:
                meter.unbook(other)
            other.at = at
            for meter, spend in zip(meters, other.spends, strict=True):
                meter.book(other, spend.cost)

    @staticmethod
    def _send(slot: Booking, meters: list[Meter], now: float) -> None:
        slot.state = "flying"
        for meter, spend in zip(meters, slot.spends, strict=True):
            meter.send(slot, now, spend.cost)


def _last_of(slot: Booking, meter: Meter) -> float:
    """The moment of the last booking with the same keys that came before this one."""
    for at, order, other, _ in reversed(meter.booked):
        if order < slot.order and other.shares_line(slot):
            return at
    return 0.0
