"""The rules of booking over many keys. Stores add a lock, a clock and a place to keep the meters.

Every method takes the time as `now`, so the same rules serve the memory of a process and rows of a database.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from nango_py.limits.counting.booking import Booking
from nango_py.limits.counting.meter import Meter
from nango_py.limits.limit_types import GATE, LONGEST_GATE, MAX_WAITING, QUEUE, Granted, Refused, WindowView

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from nango_py.limits.limit_types import LimitReport, Spend


class Bookings:
    """Meters by key, and for each closed gate the moment at which it opens; methods as in `LimitStore`.

    Args:
        booking_type: the class of new bookings.
        offset: returns what is added to `now` to get Unix seconds; called only for calendar periods.
    """

    def __init__(
        self, booking_type: type[Booking] = Booking, offset: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._booking_type = booking_type
        self._offset = offset
        self.meters: dict[str, Meter] = {}
        self.gates: dict[str, float] = {}
        self.arrivals = 0
        # Each key of meters and gates that was added here, once.
        self._unswept: deque[str] = deque()

    def acquire(
        self, spends: tuple[Spend, ...], gates: tuple[str, ...], max_wait: float, now: float
    ) -> Granted | Refused:
        self.arrivals += 1
        booking = self._booking_type(self.arrivals, spends, gates)
        meters = self._meters(booking, now)
        costs = [spend.cost for spend in spends]
        time, label = self._earliest(booking, costs, meters, now, None)
        if time - now > max_wait:
            return Refused(time - now, label)
        if time > now and any(len(meter.waiting) >= MAX_WAITING for meter in meters):
            return Refused(time - now, QUEUE)
        try:
            return Granted(self._place(booking, meters, time, now), booking)
        except BaseException:
            self.restore_order(booking)
            self.release(booking)
            raise

    def confirm(self, booking: Booking, now: float) -> float:
        if booking.state == "in_flight":
            return 0.0
        meters = self._meters(booking, now)
        costs = [spend.cost for spend in booking.spends]
        time, _ = self._earliest(booking, costs, meters, now, booking.order)
        if time > now:
            # If there is room for all overdue bookings, nothing needs to be planned again.
            self._replan_overdue(booking, meters, now)
            time, _ = self._earliest(booking, costs, meters, now, booking.order)
        for meter in meters:
            meter.dequeue(booking, is_sent=max(time, booking.time) <= now)
        wait = self._place(booking, meters, time, now)
        if wait:
            for meter in meters:
                meter.waiting.move(booking)
        return wait

    def settle(self, booking: Booking, now: float, costs: tuple[int, ...] | None = None) -> None:
        if booking.state == "waiting":
            self.release(booking)
        if booking.state == "in_flight":
            if costs is not None:
                self._change_costs(booking, costs)
            for spend in booking.spends:
                meter = self.meters.get(spend.key)
                if meter is not None:
                    # In every store a late response counts when the API must have counted the request.
                    meter.expire(now)
                    meter.finish(booking, now)
            booking.state = "ended"  # last: an interrupted step is made again

    def release(self, booking: Booking) -> None:
        if booking.state == "ended":
            return
        for spend in booking.spends:
            meter = self.meters.get(spend.key)
            if meter is not None and not meter.cancel(booking):
                meter.dequeue(booking)
        booking.state = "ended"

    def _change_costs(self, booking: Booking, costs: tuple[int, ...]) -> None:
        for spend, cost in zip(booking.spends, costs, strict=True):
            meter = self.meters.get(spend.key)
            if meter is not None:
                meter.change_cost(booking, cost)

    def restore_order(self, booking: Booking) -> None:
        """Make the meters of a booking usable after an exception stopped a step in the middle."""
        for spend in booking.spends:
            if spend.key in self.meters:
                self.meters[spend.key].forget_order()

    def count(self, spends: tuple[Spend, ...], now: float) -> None:
        booking = self._booking_type(0, spends, ())
        for meter, spend in zip(self._meters(booking, now), spends, strict=True):
            meter.count(now, spend.cost)

    def correct(self, spend: Spend, report: LimitReport, now: float) -> bool:
        (meter,) = self._meters(self._booking_type(0, (spend,), ()), now)
        return meter.correct(report, spend.cost, now)

    def close_gate(self, gates: tuple[str, ...], seconds: float, now: float) -> None:
        if seconds > 0:
            for gate in gates:
                if gate not in self.gates and gate not in self.meters:
                    self._unswept.append(gate)
                self.gates[gate] = max(self.gates.get(gate, 0.0), now + min(seconds, LONGEST_GATE))

    def view(self, keys: Collection[str], now: float) -> tuple[WindowView, ...]:
        views: list[WindowView] = []
        for key in keys:
            meter = self.meters.get(key)
            gate = max(0.0, self.gates.get(key, 0.0) - now)
            if meter is not None:
                meter.expire(now)
                if meter.has_calendar:
                    meter.offset = self._offset()
                for limit in meter.limits:
                    allowed, used, resets_in = meter.usage(limit, now)
                    left = max(0.0, allowed - used)
                    views.append(WindowView(key, limit.label, allowed, used, left, resets_in, gate))
            if gate:
                views.append(WindowView(key, GATE, 0.0, 0.0, 0.0, gate, gate))
        return tuple(views)

    def keys(self, prefix: str) -> tuple[str, ...]:
        return tuple(sorted(key for key in self.meters.keys() | self.gates.keys() if key.startswith(prefix)))

    def sweep(self, now: float, most: int) -> None:
        """Remove idle meters and open gates, of this number of keys; the next call looks at others."""
        for _ in range(min(most, len(self._unswept))):
            key = self._unswept[0]
            meter = self.meters.get(key)
            if meter is not None and meter.is_idle(now):
                del self.meters[key]
            if self.gates.get(key, math.inf) <= now:
                del self.gates[key]
            if key in self.meters or key in self.gates:
                self._unswept.rotate(-1)
            else:
                self._unswept.popleft()

    def _meters(self, booking: Booking, now: float) -> list[Meter]:
        """The meters of a booking's budgets, up to date."""
        meters = []
        for spend in booking.spends:
            meter = self.meters.get(spend.key)
            if meter is None:
                if spend.key not in self.gates:
                    self._unswept.append(spend.key)
                meter = self.meters[spend.key] = Meter()
            if meter.limits is not spend.limits:
                meter.set_limits(spend.limits)
            meter.expire(now)
            if meter.has_calendar:
                meter.offset = self._offset()
            meters.append(meter)
        return meters

    def _earliest(
        self, booking: Booking, costs: list[int], meters: list[Meter], now: float, before: int | None
    ) -> tuple[float, str]:
        """The first moment that every gate and every meter allows, and the label of what decided."""
        time, label = now, ""
        if self.gates:
            for gate in booking.gates:
                opens_at = self.gates.get(gate, 0.0)
                if opens_at > time:
                    time, label = opens_at, GATE
        is_quiet = True
        for meter in meters:
            if meter.waiting.pages:
                is_quiet = False
                time = max(time, meter.last_before(booking, before))
        while True:
            previous = time
            for meter, cost in zip(meters, costs, strict=True):
                found, found_label = meter.earliest(time, cost, now, before)
                if found > time:
                    time, label = found, found_label
            # If nothing waits, a moment that is late enough for one limit stays so at all later moments.
            if is_quiet or time == previous:
                return time, label or GATE

    def _replan_overdue(self, booking: Booking, meters: list[Meter], now: float) -> None:
        """Plan the overdue bookings of earlier callers with the same keys again, in their order.

        Otherwise all callers behind a gate would get the same next moment when it opens.
        """
        if not meters:
            return
        for _, _, other, _ in meters[0].waiting.overdue(booking, now):
            entries = [meter.waiting.find(other.time, other.order) for meter in meters]
            costs = [entry[3] for entry in entries if entry is not None]
            if len(costs) < len(meters):
                continue
            other.gates = other.gates or booking.gates
            time, _ = self._earliest(other, costs, meters, now, other.order)
            for meter in meters:
                meter.dequeue(other)
            other.time = time
            for meter, cost in zip(meters, costs, strict=True):
                meter.enqueue(other, cost)
                meter.waiting.move(other)

    @staticmethod
    def _place(booking: Booking, meters: list[Meter], time: float, now: float) -> float:
        """Send now, or wait until `time`; the wait in seconds."""
        booking.time = booking.wake_at = time
        booking.state = "in_flight" if time <= now else "waiting"
        for meter, spend in zip(meters, booking.spends, strict=True):
            if time <= now:
                meter.start(booking, now, spend.cost)
            else:
                meter.enqueue(booking, spend.cost)
        return max(0.0, time - now)
