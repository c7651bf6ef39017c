"""The bookings of a meter that wait to be sent.

They are kept in pages of at most PAGE_SIZE, sorted by time. Of a page that a step need not look into it knows
the number, the cost and the bounds, so a step costs about as much with thousands of waiting bookings as with
some. A store may leave pages and lines where they are until they are needed.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.limit_types import Bucket

PAGE_SIZE = 64
"""Maximum number of bookings in a page; stores/redis_store.lua has the same."""

LOST_AFTER = 5.0
"""Seconds after its time until a booking is dropped if its caller does not confirm it."""

ROUNDING = 1e-9
"""The part of a token that rounding may create."""

Entry: TypeAlias = "tuple[float, int, Booking, int]"
"""(time, order, booking, cost) of a waiting booking."""

Level: TypeAlias = tuple[float, float]
"""(most, gain): a page leaves min(most, tokens + gain) of the tokens that are there at its first booking."""


class Page:
    """Some neighbours of a queue.

    Attributes:
        number: identifies it in the queue.
        entries: sorted; None while a store has not loaded them.
        count: of its bookings.
        cost: of all.
        first: the time of the first.
        last: the time and order of the last.
        min_order: no booking has a lower order.
        max_order: no booking has a higher order.
        wake_at: no caller will ask before.
        levels: what it does to each bucket; None until it is needed.
        is_changed: whether a store must write it.
    """

    __slots__ = (
        "cost",
        "count",
        "entries",
        "first",
        "is_changed",
        "last",
        "levels",
        "max_order",
        "min_order",
        "number",
        "wake_at",
    )

    def __init__(self, number: int, entries: list[Entry] | None = None) -> None:
        self.number = number
        self.entries = entries
        self.is_changed = entries is not None
        self.levels: list[Level] | None = None
        if entries:
            orders = [entry[1] for entry in entries]
            self.cost = sum(entry[3] for entry in entries)
            self.min_order, self.max_order = min(orders), max(orders)
            self.wake_at = min(entry[2].wake_at for entry in entries)
            self.count, self.first, self.last = len(entries), entries[0][0], entries[-1][:2]


class Line:
    """The waiting bookings with the same keys.

    Attributes:
        count: how many there are.
        last: the time of the last of them.
        moved_until: no booking that was planned again has a later time.
    """

    __slots__ = ("count", "last", "moved_until")

    def __init__(self, count: int = 0, last: float = 0.0, moved_until: float = 0.0) -> None:
        self.count = count
        self.last = last
        self.moved_until = moved_until


class Parts(Protocol):
    """Where a store keeps what it loads only if it is needed."""

    def page(self, number: int) -> list[Entry]:
        """The entries of a page."""

    def line(self, key: object) -> Line:
        """What is known of a line; a new one if nothing is."""


_LAST = attrgetter("last")


class Queue:
    """All waiting bookings of a meter.

    Attributes:
        pages: sorted; empty if nothing waits.
        lines: those that were needed, by the key of the line.
        next_number: of the next new page.
    """

    __slots__ = ("_parts", "lines", "next_number", "pages")

    def __init__(self, parts: Parts | None = None) -> None:
        self.pages: list[Page] = []
        self.lines: dict[object, Line] = {}
        self.next_number = 0
        self._parts = parts

    def __len__(self) -> int:
        return sum(page.count for page in self.pages)

    @property
    def last_time(self) -> float:
        """The time of the last; 0.0 if nothing waits."""
        return self.pages[-1].last[0] if self.pages else 0.0

    def entries(self, page: Page) -> list[Entry]:
        """The bookings of a page, sorted."""
        if page.entries is None:
            assert self._parts is not None  # noqa: S101 - only stores leave pages where they are
            page.entries = self._parts.page(page.number)
        return page.entries

    def page_at(self, time: float, order: int) -> Page:
        """The page in which a booking is, or would be."""
        return self.pages[min(bisect_left(self.pages, (time, order), key=_LAST), len(self.pages) - 1)]

    def line(self, key: object) -> Line:
        """What is known of a line."""
        line = self.lines.get(key)
        if line is None:
            if self._parts is None:
                return Line()
            line = self.lines[key] = self._parts.line(key)
        return line

    def insert(self, booking: Booking, cost: int) -> None:
        """Keep a place at `booking.time`."""
        entry = (booking.time, booking.order, booking, cost)
        line = self.lines[booking.line] = self.line(booking.line)
        line.count += 1
        line.last = max(line.last, booking.time)
        at = bisect_left(self.pages, entry[:2], key=_LAST)
        if at == len(self.pages) and (not at or self.pages[-1].count >= PAGE_SIZE):
            self.pages.append(self._new_page([entry]))
            return
        page = self.pages[min(at, len(self.pages) - 1)]
        entries = self.entries(page)
        entries.insert(bisect_left(entries, entry[:2]), entry)
        if len(entries) > PAGE_SIZE:
            half = len(entries) // 2
            pages = [self._new_page(entries[:half]), self._new_page(entries[half:])]
            self.pages[at : at + 1] = pages
            return
        page.count, page.cost = len(entries), page.cost + cost
        page.first, page.last = entries[0][0], entries[-1][:2]
        page.min_order = min(page.min_order, booking.order)
        page.max_order = max(page.max_order, booking.order)
        page.wake_at = min(page.wake_at, booking.wake_at)
        page.levels, page.is_changed = None, True

    def forget_levels(self) -> None:
        """What pages do to buckets is computed again."""
        for page in self.pages:
            page.levels = None

    def move(self, booking: Booking) -> None:
        """Remember that a booking was planned again."""
        line = self.line(booking.line)
        line.moved_until = max(line.moved_until, booking.time)

    def find(self, time: float, order: int) -> Entry | None:
        """The booking of this order, at this time or, if it was planned again, at another."""
        at = bisect_left(self.pages, (time, order), key=_LAST)
        for page in (*self.pages[at : at + 1], *self.pages):
            if page.min_order <= order <= page.max_order:
                for entry in self.entries(page):
                    if entry[1] == order:
                        return entry
        return None

    def remove(self, entry: Entry) -> None:
        """Give a booking's place back."""
        at = bisect_left(self.pages, entry[:2], key=_LAST)
        page = self.pages[at]
        entries = self.entries(page)
        del entries[bisect_left(entries, entry[:2])]
        page.count, page.cost = len(entries), page.cost - entry[3]
        page.levels, page.is_changed = None, True
        if entries:
            page.first, page.last = entries[0][0], entries[-1][:2]
        else:
            del self.pages[at]
        self._merge(at)
        self._leave(entry)

    def expire(self, now: float) -> bool:
        """Remove the bookings whose callers should have asked LOST_AFTER seconds ago; whether any did not."""
        has_lost = False
        for page in [page for page in self.pages if page.wake_at + LOST_AFTER < now]:
            entries = self.entries(page)
            for entry in [entry for entry in entries if entry[2].wake_at + LOST_AFTER < now]:
                # A lost caller may still come to confirm; then it is booked again under its old order.
                self.remove(entry)
                has_lost = True
            page.wake_at = min((entry[2].wake_at for entry in entries), default=math.inf)
        return has_lost

    def rebuild(self) -> None:
        """Make the queue whole again after a change was interrupted."""
        entries = sorted(entry for page in self.pages for entry in self.entries(page))
        lines: dict[object, Line] = {}
        for time, _, booking, _ in entries:
            line = lines.setdefault(booking.line, Line(0, 0.0, math.inf))
            line.count, line.last = line.count + 1, time
        starts = range(0, len(entries), PAGE_SIZE)
        pages = [self._new_page(entries[start : start + PAGE_SIZE]) for start in starts]
        self.pages, self.lines = pages, lines

    def last_before(self, booking: Booking) -> float:
        """The time of the last booking of the same line that arrived before one that was placed before."""
        line = self.line(booking.line)
        # Earlier arrivals were planned before this booking was, and can be later only if they were moved.
        until = max(booking.time, line.moved_until)
        return self._last_of(booking.line, booking.order, until) if line.count else 0.0

    def overdue(self, booking: Booking, now: float) -> list[Entry]:
        """The bookings of the same line that are due and arrived before this one, in order of arrival."""
        order = booking.order
        found = []
        for page in self.pages:
            if page.first >= now:
                break
            if page.min_order < order:
                found += [
                    entry
                    for entry in self.entries(page)
                    if entry[0] < now and entry[1] < order and entry[2].line == booking.line
                ]
        return sorted(found, key=lambda entry: entry[1])

    def _last_of(self, line_key: object, order: float, until: float) -> float:
        for page in reversed(self.pages):
            if page.first <= until and page.min_order < order:
                for time, other, booking, _ in reversed(self.entries(page)):
                    if time <= until and other < order and booking.line == line_key:
                        return time
        return 0.0

    def _leave(self, entry: Entry) -> None:
        key = entry[2].line
        line = self.line(key)
        line.count -= 1
        if not line.count:
            line.last = line.moved_until = 0.0
            if self._parts is None:
                del self.lines[key]
        elif line.last <= entry[0]:
            line.last = self._last_of(key, math.inf, math.inf)

    def _new_page(self, entries: list[Entry]) -> Page:
        self.next_number += 1
        return Page(self.next_number, entries)

    def _merge(self, at: int) -> None:
        """Merge the page with one beside it if both are small."""
        for first in (at, at - 1):
            if first < 0 or first + 1 >= len(self.pages):
                continue
            one, other = self.pages[first : first + 2]
            if one.count + other.count <= PAGE_SIZE // 2:
                merged = self._new_page([*self.entries(one), *self.entries(other)])
                self.pages[first : first + 2] = [merged]
                return


class View:
    """The bookings of a queue that a call must respect.

    An overdue booking counts now, so moments are never before now.

    Args:
        queue: all.
        before: only those with a lower order count; None for all.
    """

    __slots__ = ("_before", "_entries", "_firsts", "_lasts", "_next", "_pages", "_queue", "_totals")

    def __init__(self, queue: Queue, before: int | None) -> None:
        self._queue = queue
        self._before = before
        self._next = 0
        # Of each page in which something counts: itself, its entries if only some count, the bounds of their
        # times, and the cost up to its end.
        self._pages: list[Page] = []
        self._entries: list[list[Entry] | None] = []
        self._firsts: list[float] = []
        self._lasts: list[float] = []
        self._totals: list[int] = []

    @property
    def total(self) -> int:
        """The cost of all."""
        self._read_until(math.inf)
        return self._totals[-1] if self._totals else 0

    def cost_until(self, moment: float) -> int:
        """The total cost up to and including the moment."""
        self._read_until(moment)
        at = bisect_right(self._lasts, moment)
        total = self._totals[at - 1] if at else 0
        if at < len(self._lasts) and self._firsts[at] <= moment:
            total += sum(cost for time, _, _, cost in self._entries_of(at) if time <= moment)
        return total

    def cost_before(self, moment: float) -> int:
        """The total cost before the moment."""
        return self.cost_until(math.nextafter(moment, -math.inf))

    def time_of(self, total: int) -> float:
        """The moment at which the total cost reaches this total; before now for an overdue booking."""
        while self._next < len(self._queue.pages) and not (self._totals and self._totals[-1] >= total):
            self._read_page()
        at = bisect_left(self._totals, total)
        entries = self._entries_of(at)
        rest = total - (self._totals[at - 1] if at else 0)
        return entries[bisect_left(list(accumulate(entry[3] for entry in entries)), rest)][0]

    def times_between(self, moment: float, end: float) -> Iterator[float]:
        """The times after the moment and before the end, the last first."""
        self._read_until(end)
        for at in range(bisect_left(self._firsts, end) - 1, -1, -1):
            if self._lasts[at] <= moment:
                return
            for entry in reversed(self._entries_of(at)):
                if moment < entry[0] < end:
                    yield entry[0]

    def after(self, moment: float) -> list[tuple[float, int]]:
        """(time, cost) of every booking after the moment."""
        self._read_until(math.inf)
        found: list[tuple[float, int]] = []
        for at in range(bisect_right(self._lasts, moment), len(self._lasts)):
            found += [(time, cost) for time, _, _, cost in self._entries_of(at) if time > moment]
        return found

    def tokens_after(
        self, buckets: tuple[Bucket, ...], place: int, level: float, now: float, until: float
    ) -> tuple[float, float]:
        """The tokens of a bucket after the last booking between now and `until`, and that booking's time.

        Args:
            buckets: of the meter.
            place: of the bucket among them.
            level: its tokens now, without those of bookings that are due.
            now: the current time.
            until: later bookings do not count.
        """
        burst, rate, since = buckets[place].burst, buckets[place].per_second, now
        self._read_until(until)
        for at in range(bisect_right(self._lasts, now), bisect_right(self._firsts, until)):
            page = self._pages[at]
            is_whole = self._entries[at] is None or len(self._entries_of(at)) == page.count
            if is_whole and self._firsts[at] > now and self._lasts[at] <= until:
                most, gain = self._levels(page, buckets)[place]
                level = min(most, min(burst, level + (page.first - since) * rate) + gain)
                since = page.last[0]
                continue
            for time, _, _, cost in self._entries_of(at):
                if now < time <= until:
                    level = min(burst, level + (time - since) * rate) - cost
                    since = time
        return level, since

    def _levels(self, page: Page, buckets: tuple[Bucket, ...]) -> list[Level]:
        if page.levels is None:
            page.levels = [page_level(self._queue.entries(page), bucket) for bucket in buckets]
        return page.levels

    def _read_until(self, moment: float) -> None:
        pages = self._queue.pages
        while self._next < len(pages) and pages[self._next].first <= moment:
            self._read_page()

    def _read_page(self) -> None:
        page, before = self._queue.pages[self._next], self._before
        self._next += 1
        entries: list[Entry] | None = None
        first, last, cost = page.first, page.last[0], page.cost
        if before is not None and page.max_order >= before:
            if page.min_order >= before:
                return
            entries = [entry for entry in self._queue.entries(page) if entry[1] < before]
            if not entries:
                return
            first, last, cost = entries[0][0], entries[-1][0], sum(entry[3] for entry in entries)
        self._pages.append(page)
        self._entries.append(entries)
        self._firsts.append(first)
        self._lasts.append(last)
        self._totals.append((self._totals[-1] if self._totals else 0) + cost)

    def _entries_of(self, at: int) -> list[Entry]:
        entries = self._entries[at]
        return self._queue.entries(self._pages[at]) if entries is None else entries


NOTHING = View(Queue(), None)
"""The view of a queue in which nothing waits."""


def page_level(entries: list[Entry], bucket: Bucket) -> Level:
    """What the bookings of a page do to the tokens of a bucket."""
    most, gain, since = bucket.burst, 0.0, entries[0][0]
    for time, _, _, cost in entries:
        refilled = (time - since) * bucket.per_second
        most, gain, since = min(bucket.burst, most + refilled) - cost, gain + refilled - cost, time
    return most, gain


def earliest_with_tokens(
    bucket: Bucket, level: float, since: float, later: list[tuple[float, int]], start: float, cost: int
) -> float:
    """The first moment from `start` on with tokens for a call that leaves every later booking its own.

    Args:
        bucket: the bucket.
        level: its tokens at `since`.
        since: a moment at or before `start`.
        later: (time, cost) of the bookings after `start`.
        start: the result is not before it.
        cost: of the call.
    """
    burst, rate = bucket.burst, bucket.per_second
    needed = _tokens_needed(later, rate)
    for index, (next_booking, taken) in enumerate([*later, (math.inf, 0)]):
        at = max(start, since)
        tokens = min(burst, level + (at - since) * rate)
        if tokens < cost - ROUNDING:
            at, tokens = at + (cost - tokens) / rate, float(cost)
        left = min(burst, tokens - cost + (next_booking - at) * rate)
        if at <= next_booking and left >= needed[index] - ROUNDING:
            return at
        level = min(burst, level + (next_booking - since) * rate) - taken
        since = next_booking
    return math.inf


def _tokens_needed(later: list[tuple[float, int]], rate: float) -> list[float]:
    """For each booking, the tokens needed just before it so that it and all after it fit."""
    needed = [0.0]
    following = math.inf
    for moment, cost in reversed(later):
        needed.append(cost + max(0.0, needed[-1] - (following - moment) * rate))
        following = moment
    needed.reverse()
    return needed
