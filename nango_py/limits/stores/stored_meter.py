"""A meter as JSON text, for stores that keep it in a row."""

from __future__ import annotations

import hashlib
import json
import secrets
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.booking import Booking
from nango_py.limits.counting.meter import Meter
from nango_py.limits.counting.report import Report
from nango_py.limits.limit_types import LONGEST_GATE, Bucket, CalendarPeriod, InFlight, Spend, Window
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject
    from nango_py.limits.limit_types import Limit

MAX_CLOCK_STEP = 1.0
"""Seconds by which a row may be from the future: two processes that read the clock can reach the lock in
another order."""


@record
class Moment:
    """A moment on the clock of the rows.

    Attributes:
        now: its time.
        wall: Unix seconds.
        boot: identifies the time since the machine was started, for which `now` counts; "" if unknown.
    """

    now: float
    wall: float
    boot: str


@lru_cache(maxsize=1)
def read_boot_id() -> str:
    """Identifies the time since this machine was started; "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class StoredBooking(Booking):
    """A booking that other processes can read.

    Attributes:
        name: unique among all bookings.
        keys_digest: equal for bookings with the same keys.
    """

    __slots__ = ("keys_digest", "name")

    def __init__(self, order: int, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        super().__init__(order, spends, gates)
        self.name = secrets.token_hex(8)
        self.keys_digest = digest_of_keys(spends)

    def has_same_keys(self, other: Booking) -> bool:
        """Whether both spend from the same budgets."""
        return isinstance(other, StoredBooking) and self.keys_digest == other.keys_digest


def digest_of_keys(spends: tuple[Spend, ...]) -> str:
    """A short text that stands for the keys."""
    return hashlib.sha256("\0".join(spend.key for spend in spends).encode()).hexdigest()[:12]


class StoredMeter:
    """The content of one row: a meter, its gate, and the number of arrivals.

    Attributes:
        changed_at: the moment of the last change.
    """

    def __init__(self) -> None:
        self.meter = Meter()
        self.gate = 0.0
        self.arrivals = 0
        self.changed_at = 0.0

    def dump(self, moment: Moment) -> str:
        """The text of the row, which `load` reads."""
        meter = self.meter
        costs = _costs(meter)
        state = {
            "now": moment.now,
            "wall": moment.wall,
            "boot": moment.boot,
            "gate": self.gate,
            "arrivals": self.arrivals,
            "limits": [_fields(limit) for limit in meter.limits],
            "log": meter.log.times if costs is None else [meter.log.times, costs],
            "levels": meter.levels,
            "reports": {label: _fields(report) for label, report in meter.reports.items()},
            "in_flight": [
                [_stored(booking).name, booking.order, sent, cost]
                for booking, (sent, cost) in meter.in_flight.items()
            ],
            "waiting": [
                [time, order, _stored(booking).name, _stored(booking).keys_digest, booking.wake_at, cost]
                for time, order, booking, cost in meter.waiting
            ],
        }
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def load(cls, key: str, text: str, moment: Moment, bookings: dict[str, StoredBooking]) -> StoredMeter:
        """The content of a row.

        Args:
            key: of the row.
            text: from `dump`.
            moment: the current time. If the machine was restarted since the last change, its clock started
                again, and Unix time says how long ago everything was.
            bookings: by name, those of other rows; those of this row are added.
        """
        state = json.loads(text)
        shift = 0.0
        is_of_this_boot = state.get("boot", moment.boot) == moment.boot
        if not is_of_this_boot or state["now"] - moment.now > MAX_CLOCK_STEP:
            elapsed = max(0.0, moment.wall - state.get("wall", moment.wall))
            shift = moment.now - elapsed - state["now"]
        stored = cls()
        meter = stored.meter
        stored.changed_at = state["now"] + shift
        stored.gate = state["gate"] + shift if state["gate"] else 0.0
        if not stored.gate <= moment.now + LONGEST_GATE + MAX_CLOCK_STEP:
            stored.gate = 0.0  # written by something else
        stored.arrivals = state["arrivals"]
        meter.set_limits(tuple(_KINDS[frozenset(fields)](**fields) for fields in state["limits"]))
        _load_log(meter, state["log"], shift)
        meter.levels = {label: (level, since + shift) for label, (level, since) in state["levels"].items()}
        meter.reports = {
            label: Report(**fields).moved(shift) for label, fields in state.get("reports", {}).items()
        }
        for name, order, sent, cost in state["in_flight"]:
            booking = bookings.setdefault(name, StoredBooking(order, (), ()))
            booking.name, booking.state = name, "in_flight"
            meter.start(booking, sent + shift, cost)
        for time, order, name, keys_digest, wake_at, cost in state["waiting"]:
            booking = bookings.setdefault(name, StoredBooking(order, (), ()))
            booking.name, booking.keys_digest, booking.state = name, keys_digest, "waiting"
            booking.time, booking.wake_at = time + shift, wake_at + shift
            booking.spends = (*booking.spends, Spend(key, meter.limits, cost))
            meter.waiting.append((booking.time, order, booking, cost))
        return stored


_KINDS: dict[frozenset[str], type[Limit]] = {
    frozenset(field_names(kind)): kind for kind in (Window, CalendarPeriod, Bucket, InFlight)
}


def _fields(value: Limit | Report) -> JsonObject:
    return {name: getattr(value, name) for name in field_names(type(value))}


def _stored(booking: Booking) -> StoredBooking:
    assert isinstance(booking, StoredBooking)  # noqa: S101 - stores make no other
    return booking


def _costs(meter: Meter) -> list[int] | None:
    """The cost of each entry of the log; None if all are 1, the usual case."""
    log = meter.log
    if log.total - log.dropped == len(log.times):
        return None
    before = [log.dropped, *log.totals]
    return [total - earlier for total, earlier in zip(log.totals, before, strict=False)]


def _load_log(meter: Meter, entries: list[Any], shift: float) -> None:
    if not entries:
        return
    times, costs = entries if isinstance(entries[0], list) else (entries, None)
    log = meter.log
    log.times = [moment + shift for moment in times] if shift else times
    log.totals = list(range(1, len(times) + 1)) if costs is None else list(accumulate(costs))
    log.total = log.totals[-1]
