"""A meter as JSON texts, for stores that keep it in rows.

One row is the meter. Each page and each line of its queue is a row that is read only if it is needed.
"""

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
from nango_py.limits.counting.queue import Line, Page, Queue, page_level
from nango_py.limits.counting.report import Report
from nango_py.limits.limit_types import LONGEST_GATE, Bucket, CalendarPeriod, InFlight, Spend, Window
from nango_py.record import field_names, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.json_types import JsonObject
    from nango_py.limits.counting.queue import Entry
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
    """

    __slots__ = ("name",)

    def __init__(
        self,
        order: int,
        spends: tuple[Spend, ...],
        gates: tuple[str, ...],
        name: str | None = None,
        line: str | None = None,
    ) -> None:
        super().__init__(order, spends, gates)
        self.name = secrets.token_hex(8) if name is None else name
        self._line = line

    @property
    def line(self) -> str:
        """A short text that stands for the keys."""
        if self._line is None:
            self._line = digest_of_keys(self.spends)
        return str(self._line)


def digest_of_keys(spends: tuple[Spend, ...]) -> str:
    """A short text that stands for the keys."""
    return hashlib.sha256("\0".join(spend.key for spend in spends).encode()).hexdigest()[:12]


class StoredQueue:
    """The rows of one queue; see `Parts`.

    Args:
        read: returns the text of the row of this name, or "".
        bookings: by name, those of the step.

    Attributes:
        is_dropped: whether all rows are to be removed.
    """

    def __init__(self, read: Callable[[str], str], bookings: dict[str, StoredBooking]) -> None:
        self._read = read
        self._bookings = bookings
        self._pages: set[int] = set()
        self._lines: dict[object, str] = {}
        self.is_dropped = False

    def page(self, number: int) -> list[Entry]:
        """The entries of a page."""
        entries: list[Entry] = []
        for time, order, name, line, wake_at, cost in json.loads(self._read(_page_name(number)) or "[]"):
            booking = self._bookings.get(name)
            if booking is None:
                booking = self._bookings[name] = StoredBooking(order, (), (), name, line)
                booking.state = "waiting"
            booking.time, booking.wake_at = time, wake_at
            entries.append((time, order, booking, cost))
        return entries

    def line(self, key: object) -> Line:
        """What is known of a line."""
        text = self._lines[key] = "" if self.is_dropped else self._read(line_name(str(key)))
        return Line(*json.loads(text)) if text else Line()

    def load(self, queue: Queue, pages: list[Any], next_number: int) -> None:
        """Add pages to a queue, as `dump` describes them."""
        for values in pages:
            page = Page(values[0])
            for name, value in zip(_PAGE_FIELDS, values, strict=True):
                setattr(page, name, value)
            page.last = (page.last[0], page.last[1])  # JSON has no tuples
            queue.pages.append(page)
            self._pages.add(page.number)
        queue.next_number = next_number

    def changes(self, queue: Queue) -> dict[str, str]:
        """The new text of each row that has changed, or "" for rows that are no longer needed."""
        rows = {_page_name(number): "" for number in self._pages}
        for page in queue.pages:
            rows.pop(_page_name(page.number), None)
            if page.is_changed:
                entries = [
                    (time, order, _as_stored(booking).name, booking.line, booking.wake_at, cost)
                    for time, order, booking, cost in queue.entries(page)
                ]
                rows[_page_name(page.number)] = _text(entries)
        for key, line in queue.lines.items():
            text = _text([line.count, line.last, line.moved_until]) if line.count else ""
            if text != self._lines.get(key, ""):
                rows[line_name(str(key))] = text
        return rows


def page_name_at(queue: Queue, time: float, order: int) -> str:
    """The name of the row that holds a booking, or is next to it."""
    return _page_name(queue.page_at(time, order).number)


def _page_name(number: int) -> str:
    return f"page {number}"


def line_name(line: str) -> str:
    """The name of the row of a line."""
    return f"line {line}"


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class StoredMeter:
    """A meter, its gate, and the number of arrivals.

    Attributes:
        changed_at: the moment of the last change.
        is_shifted: whether the clock was set back or started again since.
        queue: the rows of the meter's queue.
    """

    def __init__(self) -> None:
        self.meter = Meter()
        self.gate = 0.0
        self.arrivals = 0
        self.changed_at = 0.0
        self.is_shifted = False
        self.queue: StoredQueue | None = None

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
                [_as_stored(booking).name, booking.order, sent, cost]
                for booking, (sent, cost) in meter.in_flight.items()
            ],
            "queue": _dump_pages(meter),
            "next_page": meter.waiting.next_number,
            "packed": meter.packed,
        }
        return _text(state)

    @classmethod
    def load(
        cls, text: str, moment: Moment, bookings: dict[str, StoredBooking], read: Callable[[str], str]
    ) -> StoredMeter:
        """The content of a row.

        Args:
            text: from `dump`.
            moment: the current time. If the machine was restarted since the last change, its clock started
                again, and Unix time says how long ago everything was.
            bookings: by name, those of other rows; those of this row are added.
            read: returns the text of a row of the queue, by its name, or "".
        """
        state = json.loads(text)
        shift = 0.0
        is_of_this_boot = state.get("boot", moment.boot) == moment.boot
        if not is_of_this_boot or state["now"] - moment.now > MAX_CLOCK_STEP:
            elapsed = max(0.0, moment.wall - state.get("wall", moment.wall))
            shift = moment.now - elapsed - state["now"]
        stored = cls()
        stored.is_shifted = bool(shift)
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
            label: Report(**fields).shift(shift) for label, fields in state.get("reports", {}).items()
        }
        for name, order, sent, cost in state["in_flight"]:
            booking = bookings.setdefault(name, StoredBooking(order, (), (), name, ""))
            booking.state = "in_flight"
            meter.start(booking, sent + shift, cost)
        stored.queue = StoredQueue(read, bookings)
        meter.waiting = Queue(stored.queue)
        if shift:
            # The callers are gone, or confirm and are booked again.
            stored.queue.is_dropped = bool(state.get("queue"))
        else:
            stored.queue.load(meter.waiting, state.get("queue", []), state.get("next_page", 0))
            meter.packed = state.get("packed")
        return stored


_PAGE_FIELDS = ("number", "count", "cost", "first", "last", "min_order", "max_order", "wake_at", "levels")

_KINDS: dict[frozenset[str], type[Limit]] = {
    frozenset(field_names(kind)): kind for kind in (Window, CalendarPeriod, Bucket, InFlight)
}


def _dump_pages(meter: Meter) -> list[list[object]]:
    queue = meter.waiting
    for page in queue.pages:
        if page.levels is None:
            page.levels = [page_level(queue.entries(page), bucket) for bucket in meter.buckets]
    return [[getattr(page, name) for name in _PAGE_FIELDS] for page in queue.pages]


def _fields(value: Limit | Report) -> JsonObject:
    return {name: getattr(value, name) for name in field_names(type(value))}


def _as_stored(booking: Booking) -> StoredBooking:
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
