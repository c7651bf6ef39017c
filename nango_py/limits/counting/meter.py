"""What is counted under one key, and the arithmetic of its limits.

A request is counted by the API at some moment between its sending and its response. So a place that was
answered counts at the response, one on its way counts now, and one that is booked counts when it is due. The
sending is never before the moment checked, so no window of any alignment can hold too many: of any set that
the API counted within a window, the one sent last was sent less than a window after the first response.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.calendar_days import CLOCKS_DIFFER, LONGEST_DAY, ORDINARY_DAY, day_around
from nango_py.limits.counting.counted_log import CountedLog
from nango_py.limits.counting.queue import Queue, needs_before
from nango_py.limits.limit_types import Bucket, CalendarDay, InFlight, Window, capacity

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.limit_types import Limit

COUNTED_WITHIN = 10.0
"""By so many seconds after its sending an API has counted a request. A response that takes longer is slow
work, or lost, and does not hold its place in a short window all the while."""

LEASE = 300.0
"""So long a request on its way may hold its place under a cap, if its process never says that it ended."""

LOOK_AGAIN = 0.05
"""Seconds after which who waits under a cap looks again: nobody knows when a request on its way will end."""

DUST = 1e-9
"""The part of a token that rounding may make up."""


class Meter:
    """The log, the places on their way and the bookings of one key.

    Attributes:
        has_days: whether it has calendar days, and so needs `offset`.
        offset: what is added to its moments to make them unix seconds.
    """

    __slots__ = (
        "_buckets",
        "_finds",
        "_longest",
        "_most",
        "_patience",
        "_spans",
        "booked",
        "flying",
        "flying_cost",
        "has_days",
        "levels",
        "limits",
        "log",
        "offset",
    )

    def __init__(self) -> None:
        self.limits: tuple[Limit, ...] = ()
        self.log = CountedLog()
        self.flying: dict[Booking, tuple[float, int]] = {}
        self.flying_cost = 0
        self.booked: list[tuple[float, int, Booking, int]] = []
        self._spans: tuple[float, ...] = ()
        self.has_days = False
        self.offset = 0.0
        self._buckets: tuple[Bucket, ...] = ()
        self._finds: tuple[tuple[Any, Callable[..., float]], ...] = ()
        self.levels: dict[str, tuple[float, float]] = {}
        self._longest = 0.0
        self._most = math.inf
        self._patience = COUNTED_WITHIN

    def apply(self, limits: tuple[Limit, ...]) -> None:
        """Count by these limits from now on; what was counted before stays counted."""
        if limits == self.limits:
            return
        self.limits = limits
        self.has_days = any(isinstance(limit, CalendarDay) for limit in limits)
        spans = {limit.seconds for limit in limits if isinstance(limit, Window)}
        self._spans = tuple(sorted({*spans, ORDINARY_DAY} if self.has_days else spans))
        self._buckets = tuple(limit for limit in limits if isinstance(limit, Bucket))
        self._finds = tuple((limit, _FINDS[type(limit)]) for limit in limits)
        self._longest = max((*spans, LONGEST_DAY) if self.has_days else spans, default=0.0)
        self._patience = LEASE if any(isinstance(limit, InFlight) for limit in limits) else COUNTED_WITHIN
        labels = {bucket.label for bucket in self._buckets}
        self.levels = {label: level for label, level in self.levels.items() if label in labels}
        self._most = min(map(capacity, limits), default=math.inf)

    # -- changes -------------------------------------------------------------------------------------------

    def tidy(self, now: float) -> None:
        """Forget what no window sees any more, and stop waiting for answers that take too long."""
        while self.flying:
            slot = next(iter(self.flying))
            counted = self.flying[slot][0] + self._patience
            if counted > now:
                break
            self.land(slot, counted)
        if self.log.times:
            self.log.forget_through(now - self._longest)

    def book(self, slot: Booking, cost: int) -> None:
        """Keep a place for `slot.at`."""
        entry = (slot.at, slot.order, slot, cost)
        if not self.booked or self.booked[-1] < entry:
            self.booked.append(entry)
        else:
            self.booked.insert(bisect_left(self.booked, entry), entry)

    def unbook(self, slot: Booking) -> None:
        """Give a booked place back."""
        index = bisect_left(self.booked, (slot.at, slot.order))
        if index < len(self.booked) and self.booked[index][2] is slot:
            del self.booked[index]

    def send(self, slot: Booking, now: float, cost: int) -> None:
        """The place is used from now on; it is counted at any moment from now to its response."""
        self.flying[slot] = (now, cost)
        self.flying_cost += cost

    def recall(self, slot: Booking) -> None:
        """The place was not used after all."""
        if slot in self.flying:
            self.flying_cost -= self.flying.pop(slot)[1]

    def land(self, slot: Booking, now: float) -> None:
        """The response came: the place was counted by now at the latest."""
        if slot not in self.flying:
            return
        cost = self.flying.pop(slot)[1]
        self.flying_cost -= cost
        self.count(now, cost)

    def count(self, moment: float, cost: int) -> None:
        """Something was counted at the moment."""
        log = self.log
        if self._spans:
            log.add(moment, cost)
            if len(log.times) > log.crowded:
                log.coarsen(moment, self._spans)
        for bucket in self._buckets:
            level, since = self._level(bucket, moment)
            self.levels[bucket.label] = (level - cost, since)

    # -- questions -----------------------------------------------------------------------------------------

    def is_idle(self, now: float) -> bool:
        """Whether forgetting the key changes nothing."""
        self.tidy(now)
        if self.booked or self.flying:
            return False
        if self.log.times and self.log.times[-1] > now - self._longest:
            return False
        return all(self._level(bucket, now)[0] >= bucket.burst for bucket in self._buckets)

    def kept_until(self) -> float:
        """The moment from which forgetting the key changes nothing, if nothing more happens."""
        ends = [0.0]
        ends += [sent + self._patience + self._longest for sent, _ in self.flying.values()]
        ends += [at + COUNTED_WITHIN + self._longest for at, _, _, _ in self.booked[-1:]]
        ends += [moment + self._longest for moment in self.log.times[-1:]]
        for bucket in self._buckets:
            level, since = self.levels.get(bucket.label, (bucket.burst, 0.0))
            missing = bucket.burst - level + self.flying_cost + len(self.booked)
            ends.append(since + missing / bucket.per_second)
        return max(ends)

    def earliest(self, start: float, cost: int, now: float, before: int | None = None) -> tuple[float, str]:
        """The first moment from `start` on at which so much can be sent, and the limit that decided.

        Args:
            start: no moment before it is offered.
            cost: how much is sent at once.
            now: this moment; what is on its way counts at it.
            before: consider only bookings of arrivals before this one; None considers all.
        """
        if cost > self._most:
            return math.inf, min(self.limits, key=capacity).label
        queue = Queue(self.booked, now, before) if self.booked else None
        moment, label = start, ""
        while True:
            before_round = moment
            for limit, find in self._finds:
                found = find(self, limit, moment, cost, now, queue)
                if found > moment:
                    moment, label = found, limit.label
            if queue is None or moment == before_round:
                return moment, label

    def usage(self, limit: Limit, now: float) -> tuple[float, float, float]:
        """What a limit allows, what of it is used now, and the seconds until nothing is."""
        held = self.flying_cost + sum(entry[3] for entry in self.booked if entry[0] <= now)
        if isinstance(limit, InFlight):
            return limit.most, held, 0.0
        if isinstance(limit, Bucket):
            used = limit.burst - self._level(limit, now)[0] + held
            return limit.burst, used, used / limit.per_second
        if isinstance(limit, CalendarDay):
            begin, end = self._day(limit, now)
            used = self.log.total - self.log.through(begin) + held
            return limit.requests, used, end - now if used else 0.0
        seen = self.log.total - self.log.through(now - limit.seconds)
        if held:
            return limit.requests, seen + held, limit.seconds
        return limit.requests, seen, self.log.times[-1] + limit.seconds - now if seen else 0.0

    # -- arithmetic ----------------------------------------------------------------------------------------

    def _free(self, window: Window, start: float, cost: int, now: float) -> float:
        """`_window` where nothing is booked."""
        log, room, held = self.log, window.requests - cost, self.flying_cost
        if log.total - log.dropped + held <= room:
            return start
        horizon = start - window.seconds
        seen = log.through(horizon) if horizon < now else log.total + held
        over = log.total + held - seen - room
        if over <= 0:
            return start
        return _after(log.reaching(seen + over) if seen + over <= log.total else now, window.seconds)

    def _window(self, window: Window, start: float, cost: int, now: float, queue: Queue | None) -> float:
        """The first moment t >= start for which no (x - seconds, x] that holds t is over its limit."""
        if queue is None:
            return self._free(window, start, cost, now)
        span, room = window.seconds, window.requests - cost
        moment = start
        while True:
            over = self._within(moment, span, now, queue) - room
            if over > 0:
                moment = _after(self._leaving(moment - span, over, now, queue), span)
                continue
            late = self._crowded(moment, span, room, now, queue)
            if late is None:
                return moment
            moment = late

    def _within(self, end: float, span: float, now: float, queue: Queue) -> int:
        """How much lies in (end - span, end], for an end at or after now."""
        start = end - span
        if start < now:
            return self.log.total - self.log.through(start) + self.flying_cost + queue.through(end)
        return queue.through(end) - queue.through(start)

    def _leaving(self, start: float, over: int, now: float, queue: Queue) -> float:
        """The moment of the `over`-th that is counted after `start`."""
        if start >= now:
            return queue.reaching(queue.through(start) + over)
        seen = self.log.through(start)
        if seen + over <= self.log.total:
            return self.log.reaching(seen + over)
        over -= self.log.total - seen + self.flying_cost
        return now if over <= 0 else max(now, queue.reaching(over))

    def _crowded(self, moment: float, span: float, room: int, now: float, queue: Queue) -> float | None:
        """The last later booking whose window a place at this moment would overfill."""
        first, last = bisect_right(queue.times, moment), bisect_left(queue.times, moment + span)
        for index in range(last - 1, first - 1, -1):
            if self._within(queue.times[index], span, now, queue) > room:
                return queue.times[index]
        return None

    def _day(self, limit: CalendarDay, moment: float) -> tuple[float, float]:
        """What is after the first may count in the day that is used at a moment; the second is its end."""
        begin, end = day_around(limit.time_zone, moment + self.offset - CLOCKS_DIFFER)
        # Unix seconds are rounded to some ten millionths.
        return begin - self.offset - CLOCKS_DIFFER, end - self.offset + CLOCKS_DIFFER + 1e-6

    def _in_day(self, limit: CalendarDay, start: float, cost: int, now: float, queue: Queue | None) -> float:
        """The first moment t >= start whose day has room beside all that is counted or booked in it."""
        moment = start
        while True:
            begin, end = self._day(limit, moment)
            used = 0
            if begin <= now:
                used = self.log.total - self.log.through(begin) + self.flying_cost
            if queue is not None:
                used += queue.before(end) - (queue.before(begin) if begin > now else 0)
            if used + cost <= limit.requests:
                return moment
            moment = end

    def _under(self, cap: InFlight, start: float, cost: int, now: float, queue: Queue | None) -> float:
        """`start` if there is room under the cap now, else when to look again; the line looks in turns."""
        waiting = queue.totals[-1] if queue is not None and queue.totals else 0
        held = self.flying_cost + (0 if queue is None else queue.through(now))
        if held + cost <= cap.most:
            return start
        return max(start, now + LOOK_AGAIN * (1 + waiting / cap.most))

    def _level(self, bucket: Bucket, moment: float) -> tuple[float, float]:
        """The tokens at a moment, from what was counted only, and that moment."""
        level, since = self.levels.get(bucket.label, (bucket.burst, moment))
        if moment > since:
            return min(bucket.burst, level + (moment - since) * bucket.per_second), moment
        return level, since

    def _bucket(self, bucket: Bucket, start: float, cost: int, now: float, queue: Queue | None) -> float:
        """The first moment t >= start with tokens for this place that leaves every later booking its own."""
        rate = bucket.per_second
        level = self._level(bucket, now)[0] - self.flying_cost
        if queue is None:
            level = min(bucket.burst, level + (start - now) * rate)
            return start if level >= cost - DUST else start + (cost - level) / rate
        level -= queue.through(now)
        later = queue.after(now)
        needs = needs_before(later, rate)
        since = now
        for index, (moment, taken) in enumerate([*later, (math.inf, 0)]):
            if moment > start:
                at = max(start, since)
                have = min(bucket.burst, level + (at - since) * rate)
                if have < cost - DUST:
                    at, have = at + (cost - have) / rate, float(cost)
                spare = min(bucket.burst, have - cost + (moment - at) * rate)
                if at <= moment and spare >= needs[index] - DUST:
                    return at
            level = min(bucket.burst, level + (moment - since) * rate) - taken
            since = moment
        return math.inf


_FINDS: dict[type[Limit], Callable[..., float]] = {
    Window: Meter._window,  # noqa: SLF001 - the class above
    CalendarDay: Meter._in_day,  # noqa: SLF001
    Bucket: Meter._bucket,  # noqa: SLF001
    InFlight: Meter._under,  # noqa: SLF001
}
"""How the earliest moment under each kind of limit is found."""


def _after(moment: float, span: float) -> float:
    """The first moment at which a window of this span has left `moment` behind, rounding included."""
    end = moment + span
    while end - span < moment:
        end = math.nextafter(end, math.inf)
    return end
