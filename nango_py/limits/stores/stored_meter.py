"""A meter as text, for stores that keep it in a row."""

from __future__ import annotations

import hashlib
import json
import secrets
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.booking import Booking
from nango_py.limits.counting.meter import Meter
from nango_py.limits.limit_types import Bucket, CalendarDay, InFlight, Spend, Window

if TYPE_CHECKING:
    from nango_py.limits.limit_types import Limit


SETBACK = 1.0
"""Up to so many seconds a clock may seem to go back: two that read it came to the lock in another order."""


class StoredSlot(Booking):
    """A place that other processes see too.

    Attributes:
        name: tells it from all others.
        line: the same for places with the same keys.
    """

    __slots__ = ("line", "name")

    def __init__(self, order: int, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        super().__init__(order, spends, gates)
        self.name = secrets.token_hex(8)
        self.line = line_of(spends)

    def shares_line(self, other: Booking) -> bool:
        """Whether both spend from the same budgets."""
        return isinstance(other, StoredSlot) and self.line == other.line


def line_of(spends: tuple[Spend, ...]) -> str:
    """A short text that stands for the keys."""
    return hashlib.sha256("\0".join(spend.key for spend in spends).encode()).hexdigest()[:12]


class StoredMeter:
    """What one row holds: a meter, its gate, and how many callers have come.

    Attributes:
        touched: the moment of the last change.
    """

    def __init__(self) -> None:
        self.meter = Meter()
        self.gate = 0.0
        self.arrivals = 0
        self.touched = 0.0

    def dump(self, now: float) -> str:
        """The row's text; `load` makes it again."""
        meter = self.meter
        counts = _counts(meter)
        state = {
            "now": now,
            "gate": self.gate,
            "arrivals": self.arrivals,
            "limits": [limit_to_json(limit) for limit in meter.limits],
            "log": meter.log.times if counts is None else [meter.log.times, counts],
            "levels": meter.levels,
            "flying": [[_name(slot), slot.order, sent, cost] for slot, (sent, cost) in meter.flying.items()],
            "booked": [
                [at, order, _name(slot), _line(slot), slot.promised, cost]
                for at, order, slot, cost in meter.booked
            ],
        }
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def load(cls, key: str, text: str, now: float, slots: dict[str, StoredSlot]) -> StoredMeter:
        """The row of a key.

        Args:
            key: the row's.
            text: what `dump` made.
            now: a moment on the clock that the row was written by. If it lies well before the last change,
                the machine was started anew, and everything counts as if it had just happened.
            slots: places by name; those of the row are added, or found here if another row has them too.
        """
        state = json.loads(text)
        shift = now - state["now"] if state["now"] - now > SETBACK else 0.0
        stored = cls()
        meter = stored.meter
        stored.touched = state["now"] + shift
        stored.gate = state["gate"] + shift if state["gate"] else 0.0
        stored.arrivals = state["arrivals"]
        meter.apply(tuple(_limit_from_json(limit) for limit in state["limits"]))
        _load_log(meter, state["log"], shift)
        meter.levels = {label: (level, since + shift) for label, (level, since) in state["levels"].items()}
        for name, order, sent, cost in state["flying"]:
            slot = _slot(slots, name, "", order, "flying")
            meter.send(slot, sent + shift, cost)
        for at, order, name, line, promised, cost in state["booked"]:
            slot = _slot(slots, name, line, order, "booked")
            slot.at, slot.promised = at + shift, promised + shift
            slot.spends = (*slot.spends, Spend(key, meter.limits, cost))
            meter.booked.append((slot.at, order, slot, cost))
        return stored


def _slot(slots: dict[str, StoredSlot], name: str, line: str, order: int, state: str) -> StoredSlot:
    slot = slots.get(name)
    if slot is None:
        slot = StoredSlot(order, (), ())
        slot.name, slot.line, slot.state = name, line, state
        slots[name] = slot
    return slot


def _counts(meter: Meter) -> list[int] | None:
    """How much stands at each moment of the log; None for one each, the usual case."""
    log = meter.log
    if log.total - log.dropped == len(log.times):
        return None
    before = [log.dropped, *log.totals]
    return [total - earlier for total, earlier in zip(log.totals, before, strict=False)]


def _load_log(meter: Meter, written: list[Any], shift: float) -> None:
    if not written:
        return
    times, counts = written if isinstance(written[0], list) else (written, None)
    log = meter.log
    log.times = [moment + shift for moment in times] if shift else times
    log.totals = list(range(1, len(times) + 1))
    if counts is not None:
        log.totals = list(accumulate(counts))
    log.total = log.totals[-1]


def _name(slot: Booking) -> str:
    return slot.name if isinstance(slot, StoredSlot) else ""


def _line(slot: Booking) -> str:
    return slot.line if isinstance(slot, StoredSlot) else ""


def limit_to_json(limit: Limit) -> list[Any]:
    """A limit as a list; `limit_from_json` makes it again."""
    if isinstance(limit, Window):
        return ["window", limit.requests, limit.seconds, limit.label]
    if isinstance(limit, Bucket):
        return ["bucket", limit.burst, limit.per_second, limit.label]
    if isinstance(limit, CalendarDay):
        return ["day", limit.requests, limit.time_zone, limit.label]
    return ["flight", limit.most, 0, limit.label]


def _limit_from_json(written: list[Any]) -> Limit:
    kind, first, second, label = written
    if kind == "flight":
        return InFlight(first, label)
    if kind == "day":
        return CalendarDay(first, second, label)
    return Window(first, second, label) if kind == "window" else Bucket(first, second, label)
