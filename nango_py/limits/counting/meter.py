"""What is counted under one key, and the arithmetic of its limits.

The API counts a request at some moment between its sending and its response. So a request with a response
counts at the response, one in flight counts now, and a waiting booking counts when it is due. No request is
sent before the moment that is checked, so no window of any alignment can hold too many: of any requests that
the API counted within a window, the last was sent less than a window after the first response.

stores/redis_store.lua does the same arithmetic under the same names.

Python may run a signal handler, which may raise, when a function begins, after a call and when a loop
repeats. So what must change together is changed by lines without calls and loops: an interrupted step has
changed all of it or nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.calendar_periods import CLOCKS_DIFFER, LENGTHS, period_around
from nango_py.limits.counting.counted_log import CountedLog
from nango_py.limits.counting.queue import EMPTY_QUEUE, Queue, earliest_with_tokens
from nango_py.limits.counting.report import OWN_CALLS_STAY, WITHOUT_RESET, Counted, correct
from nango_py.limits.limit_types import Bucket, CalendarPeriod, InFlight, Window, capacity

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.counting.queue import Waiting
    from nango_py.limits.counting.report import Report
    from nango_py.limits.limit_types import Limit, LimitReport

COUNTED_WITHIN = 10.0
"""Seconds after sending by which the API must have counted the request. A response that takes longer does not
hold its place in a short window until it arrives."""

LEASE = 300.0
"""Seconds for which a request in flight holds its place under a cap if its process never ends it."""

LOST_AFTER = 5.0
"""Seconds after its time until a booking is dropped if its caller does not confirm it."""

POLL_SECONDS = 0.05
"""Seconds between two attempts under a cap: when a request in flight will end is unknown."""


class Meter:
    """The log, the requests in flight and the waiting bookings of one key.

    Attributes:
        in_flight: when each was sent, and its cost.
        spans: the lengths of the windows in seconds, ascending.
        longest: seconds after which a counted request no longer matters.
        max_cost: a call that costs more can never be sent.
        in_flight_seconds: after which a request in flight counts as finished.
        levels: of each bucket, by label: the tokens, and the moment at which it had them.
        reports: of each window and calendar period, by label: what responses said of it.
        has_calendar: whether there are calendar periods, which need `offset`.
        offset: added to this clock's moments to get Unix seconds.
    """

    __slots__ = (
        "_buckets",
        "_by_order",
        "_lost_at",
        "_queue",
        "_rules",
        "has_calendar",
        "in_flight",
        "in_flight_cost",
        "in_flight_seconds",
        "levels",
        "limits",
        "log",
        "longest",
        "max_cost",
        "offset",
        "reports",
        "spans",
        "waiting",
    )

    def __init__(self) -> None:
        self.limits: tuple[Limit, ...] = ()
        self.log = CountedLog()
        self.in_flight: dict[Booking, tuple[float, int]] = {}
        self.in_flight_cost = 0
        self.waiting: Waiting = []
        # The waiting bookings by order, and as a queue; None until they are needed.
        self._by_order: Waiting | None = None
        self._queue: Queue | None = None
        self._lost_at = 0.0
        self.spans: tuple[float, ...] = ()
        self.has_calendar = False
        self.offset = 0.0
        self._buckets: tuple[Bucket, ...] = ()
        self._rules: tuple[tuple[Any, Callable[..., float]], ...] = ()
        self.levels: dict[str, tuple[float, float]] = {}
        self.reports: dict[str, Report] = {}
        self.longest = 0.0
        self.max_cost = math.inf
        self.in_flight_seconds = COUNTED_WITHIN

    def set_limits(self, limits: tuple[Limit, ...]) -> None:
        """Use these limits from now on; what was counted before stays counted."""
        if limits == self.limits:
            return
        has_calendar = any(isinstance(limit, CalendarPeriod) for limit in limits)
        spans = {limit.seconds for limit in limits if isinstance(limit, Window)}
        if not spans and not has_calendar and any(isinstance(limit, Bucket) for limit in limits):
            spans = {COUNTED_WITHIN}  # reports need to know what ended beside their own call
        self.has_calendar = has_calendar
        calendars = [LENGTHS[limit.period] for limit in limits if isinstance(limit, CalendarPeriod)]
        self.spans = tuple(sorted({*spans, *(length.usual for length in calendars)}))
        self._buckets = tuple(limit for limit in limits if isinstance(limit, Bucket))
        self._rules = tuple((limit, _EARLIEST[type(limit)]) for limit in limits)
        self.longest = max((*spans, *(length.longest for length in calendars)), default=0.0)
        has_cap = any(isinstance(limit, InFlight) for limit in limits)
        self.in_flight_seconds = LEASE if has_cap else COUNTED_WITHIN
        labels = {limit.label for limit in limits}
        self.levels = {label: level for label, level in self.levels.items() if label in labels}
        self.reports = {label: report for label, report in self.reports.items() if label in labels}
        self.max_cost = min(map(capacity, limits), default=math.inf)
        self.limits = limits  # last: an interrupted change is made again

    # -- changes -------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Drop what no longer matters: old entries, lost bookings, and responses that take too long."""
        while self.in_flight:
            booking = next(iter(self.in_flight))
            counted_by = self.in_flight[booking][0] + self.in_flight_seconds
            if counted_by > now:
                break
            self.finish(booking, counted_by)
        if self.log.times:
            self.log.drop_until(now - self.longest)
        if self.reports:
            self.reports = {
                label: report for label, report in self.reports.items() if report.matters(now, self.longest)
            }
        if self.waiting and self._lost_at < now:
            # A lost caller may still come to confirm; then it is booked again under its old order.
            waiting = [entry for entry in self.waiting if entry[2].wake_at + LOST_AFTER >= now]
            lost_at = min((entry[2].wake_at for entry in waiting), default=now) + LOST_AFTER
            self.waiting, self._lost_at = waiting, lost_at
            self._queue = self._by_order = None

    def enqueue(self, booking: Booking, cost: int) -> None:
        """Keep a place at `booking.time`."""
        entry, waiting = (booking.time, booking.order, booking, cost), self.waiting
        self._lost_at = min(self._lost_at, booking.wake_at + LOST_AFTER)
        if self._by_order is not None:
            self._by_order.insert(bisect_left(self._by_order, booking.order, key=_order_of), entry)
        if not waiting or waiting[-1] < entry:
            waiting.append(entry)
            if self._queue is not None:
                self._queue.append(booking.time, cost)
        else:
            waiting.insert(bisect_left(waiting, entry), entry)
            self._queue = None

    def dequeue(self, booking: Booking) -> None:
        """Give a waiting booking's place back."""
        index = bisect_left(self.waiting, (booking.time, booking.order))
        if index < len(self.waiting) and self.waiting[index][2] is booking:
            del self.waiting[index]
            if self._by_order is not None:
                del self._by_order[bisect_left(self._by_order, booking.order, key=_order_of)]
            if index == 0 and self._queue is not None:
                self._queue.remove_first()
            else:
                self._queue = None

    def forget_order(self) -> None:
        """Sort the waiting bookings again when they are needed: a change of them was interrupted."""
        self._queue = self._by_order = None

    def earlier(self, order: int) -> Waiting:
        """The waiting bookings with a lower order, sorted by time."""
        if self._by_order is None:
            self._by_order = sorted(self.waiting, key=_order_of)
        if not self._by_order or self._by_order[-1][1] < order:
            return self.waiting
        return sorted(self._by_order[: bisect_left(self._by_order, order, key=_order_of)])

    def queue(self) -> Queue:
        """All waiting bookings."""
        if not self.waiting:
            return EMPTY_QUEUE
        if self._queue is None:
            self._queue = Queue(self.waiting)
        return self._queue

    def start(self, booking: Booking, now: float, cost: int) -> None:
        """The request is sent now."""
        self.in_flight[booking] = (now, cost)
        self.in_flight_cost += cost

    def change_cost(self, booking: Booking, cost: int) -> None:
        """The request has cost something else than was booked."""
        if booking in self.in_flight:
            sent, booked = self.in_flight[booking]
            self.in_flight[booking] = (sent, cost)
            self.in_flight_cost += cost - booked

    def cancel(self, booking: Booking) -> None:
        """The request was not sent after all."""
        if booking in self.in_flight:
            cost = self.in_flight[booking][1]
            del self.in_flight[booking]
            self.in_flight_cost -= cost

    def finish(self, booking: Booking, moment: float) -> None:
        """The response came: the API has counted the request by this moment."""
        if booking not in self.in_flight:
            return
        cost, log = self.in_flight[booking][1], self.log
        levels = self._levels_after(moment, cost) if self._buckets else self.levels
        times = log.times
        late = log.with_entry(moment, cost) if self.spans and times and times[-1] > moment else None
        # From here to the end of the change there is no call and no loop.
        if late is not None:
            log.times, log.totals = late
            log.total += cost
        elif self.spans:
            log.total += cost
            log.totals += [log.total]
            log.times += [moment]
        self.levels = levels
        del self.in_flight[booking]
        self.in_flight_cost -= cost
        if len(log.times) > log.merge_above:
            log.merge_old(moment, self.spans)

    def count(self, moment: float, cost: int) -> None:
        """A request was counted at the moment."""
        log = self.log
        if self.spans:
            log.add(moment, cost)
            if len(log.times) > log.merge_above:
                log.merge_old(moment, self.spans)
        if self._buckets:
            self.levels = self._levels_after(moment, cost)

    def _levels_after(self, moment: float, cost: int) -> dict[str, tuple[float, float]]:
        levels = {**self.levels}
        for bucket in self._buckets:
            level, since = self._level(bucket, moment)
            levels[bucket.label] = (level - cost, since)
        return levels

    def correct(self, said: LimitReport, cost: int, now: float) -> bool:
        """Correct what is used of a limit by what a response says; whether that changed anything.

        Args:
            said: by the response.
            cost: of the response's own call.
            now: the current time.
        """
        limit = next((limit for limit in self.limits if limit.label == said.label), None)
        if limit is None or isinstance(limit, InFlight):
            return False
        reported = max(0, math.ceil(capacity(limit) - said.remaining))
        beside = max(0, self._ended_after(now - said.age) - cost)
        if isinstance(limit, Bucket):
            return self._correct_bucket(limit, reported, beside, now)
        used = round(self.usage(limit, now)[1]) - self._held(now)
        report = self.reports.get(limit.label)
        fresh = self._ended_after(report.reported_at) if report else 0
        is_exact = isinstance(limit, Window) and limit.seconds < OWN_CALLS_STAY
        counted = Counted(used, self.in_flight_cost, min(used, beside), fresh, is_exact)
        resets_in = self._seconds_to_reset(limit, now) if said.resets_in is None else said.resets_in
        corrected = correct(report, counted, reported, capacity(limit), now + resets_in, now)
        if corrected is None:
            return False
        self.reports[limit.label] = corrected
        return True

    def _ended_after(self, moment: float) -> int:
        return self.log.total - self.log.total_until(moment)

    def _held(self, now: float) -> int:
        """The cost in flight or due to be sent."""
        held = self.in_flight_cost
        for time, _, _, cost in self.waiting:
            if time > now:
                break
            held += cost
        return held

    def _seconds_to_reset(self, limit: Window | CalendarPeriod, now: float) -> float:
        if isinstance(limit, CalendarPeriod):
            return self._period_bounds(limit, now)[1] - now
        return min(limit.seconds, WITHOUT_RESET)

    def _correct_bucket(self, bucket: Bucket, reported: int, beside: int, now: float) -> bool:
        level, since = self._level(bucket, now)
        used = bucket.burst - level
        least, most = reported - self.in_flight_cost, reported + beside
        corrected = min(max(used, float(least)), float(most))
        if abs(corrected - used) < 1:
            return False
        self.levels[bucket.label] = (bucket.burst - corrected, since)
        return True

    # -- questions -----------------------------------------------------------------------------------------

    def is_idle(self, now: float) -> bool:
        """Whether forgetting the key changes nothing."""
        self.expire(now)
        if self.waiting or self.in_flight:
            return False
        if self.reports or (self.log.times and self.log.times[-1] > now - self.longest):
            return False
        return all(self._level(bucket, now)[0] >= bucket.burst for bucket in self._buckets)

    def expires_at(self) -> float:
        """The moment from which forgetting the key changes nothing, if nothing more happens."""
        ends = [0.0]
        ends += [sent + self.in_flight_seconds + self.longest for sent, _ in self.in_flight.values()]
        ends += [time + COUNTED_WITHIN + self.longest for time, _, _, _ in self.waiting[-1:]]
        ends += [moment + self.longest for moment in self.log.times[-1:]]
        ends += [max(report.until, report.reported_at + self.longest) for report in self.reports.values()]
        for bucket in self._buckets:
            level, since = self.levels.get(bucket.label, (bucket.burst, 0.0))
            missing = bucket.burst - level + self.in_flight_cost + len(self.waiting)
            ends.append(since + missing / bucket.per_second)
        return max(ends)

    def earliest(self, start: float, cost: int, now: float, before: int | None = None) -> tuple[float, str]:
        """The first moment from `start` on at which a cost can be sent, and the label of the deciding limit.

        Args:
            start: the result is not before it.
            cost: of the call.
            now: the current time.
            before: consider only waiting bookings with a lower order; None considers all.
        """
        if cost > self.max_cost:
            return math.inf, min(self.limits, key=capacity).label
        queue = self.queue() if before is None or not self.waiting else Queue(self.earlier(before))
        moment, label = start, ""
        while True:
            previous = moment
            for limit, find in self._rules:
                found = find(self, limit, moment, cost, now, queue)
                if found > moment:
                    moment, label = found, limit.label
            if queue is EMPTY_QUEUE or moment == previous:
                return moment, label

    def usage(self, limit: Limit, now: float) -> tuple[float, float, float]:
        """The capacity of a limit, what of it is used now, and the seconds until nothing is."""
        held = self._held(now)
        if isinstance(limit, InFlight):
            return limit.most, held, 0.0
        if isinstance(limit, Bucket):
            used = limit.burst - self._level(limit, now)[0] + held
            return limit.burst, used, used / limit.per_second
        report = self.reports.get(limit.label)
        others, since = (report.others_at(now), report.since_at(now)) if report else (0, 0.0)
        if isinstance(limit, CalendarPeriod):
            begin, end = self._period_bounds(limit, now)
            used = self._ended_after(max(begin, since)) + others + held
            return limit.requests, used, end - now if used else 0.0
        counted = self._ended_after(max(now - limit.seconds, since))
        ends = self.log.times[-1] + limit.seconds - now if counted else 0.0
        if held:
            ends = limit.seconds
        if report and others:
            ends = max(ends, report.until - now)
        return limit.requests, counted + others + held, ends

    # -- the first moment from `start` on at which each kind of limit has room -----------------------------

    def earliest_in_window(self, window: Window, start: float, cost: int, now: float, queue: Queue) -> float:
        """The first moment that every span of this length, at any alignment, has room for."""
        log, span, room = self.log, window.seconds, window.requests - cost
        report = self.reports.get(window.label)
        others = report.others if report else 0
        if queue is EMPTY_QUEUE and log.total - log.dropped + self.in_flight_cost + others <= room:
            return start
        moment = start
        while True:
            over = self._used_within(moment, span, now, queue, report) - room
            if over > 0:
                if report is not None and report.others_at(moment) > room:
                    moment = report.until
                    continue
                found = _after(self._nth_after(moment, span, over, now, queue, report), span)
                moment = min(found, report.until) if report and moment < report.until else found
                continue
            later = self._overfilled(moment, span, room, now, queue, report)
            if later is None:
                return moment
            moment = later

    def _used_within(self, end: float, span: float, now: float, queue: Queue, report: Report | None) -> int:
        """The cost in (end - span, end], for an end at or after now."""
        start, others = end - span, 0
        waiting = queue.cost_until(end)
        if start >= now:
            return waiting - queue.cost_until(start) + (report.others_at(end) if report else 0)
        if report is not None:
            start, others = max(start, report.since_at(end)), report.others_at(end)
        return self._ended_after(start) + self.in_flight_cost + waiting + others

    def _nth_after(
        self, moment: float, span: float, over: int, now: float, queue: Queue, report: Report | None
    ) -> float:
        """The moment of the `over`-th that counts in the window that ends at this moment."""
        start = moment - span
        if start >= now:
            return queue.time_of(queue.cost_until(start) + over)
        if report is not None:
            start = max(start, report.since_at(moment))
        total = self.log.total_until(start) + over
        if total <= self.log.total:
            return self.log.time_of(total)
        waiting = total - self.log.total - self.in_flight_cost
        return now if waiting <= 0 else max(now, queue.time_of(waiting))

    def _overfilled(
        self, moment: float, span: float, room: int, now: float, queue: Queue, report: Report | None
    ) -> float | None:
        """The last later booking whose window a request at this moment would overfill."""
        first, last = bisect_right(queue.times, moment), bisect_left(queue.times, moment + span)
        for index in range(last - 1, first - 1, -1):
            if self._used_within(queue.times[index], span, now, queue, report) > room:
                return queue.times[index]
        return None

    def _period_bounds(self, period: CalendarPeriod, moment: float) -> tuple[float, float]:
        """What is counted after the first may be in the period of this moment; the second is its end."""
        unix = moment + self.offset - CLOCKS_DIFFER
        begin, end = period_around(period.time_zone, unix, period.period)
        # Unix seconds are rounded to some ten millionths.
        return begin - self.offset - CLOCKS_DIFFER, end - self.offset + CLOCKS_DIFFER + 1e-6

    def earliest_in_period(
        self, period: CalendarPeriod, start: float, cost: int, now: float, queue: Queue
    ) -> float:
        """The first moment whose period has room beside all that is counted or waits in it."""
        report = self.reports.get(period.label)
        moment = start
        while True:
            begin, end = self._period_bounds(period, moment)
            used = queue.cost_before(end) + (report.others_at(moment) if report else 0)
            if begin <= now:
                begin = max(begin, report.since_at(moment)) if report else begin
                used += self._ended_after(begin) + self.in_flight_cost
            else:
                used -= queue.cost_before(begin)
            if used + cost <= period.requests:
                return moment
            moment = min(end, report.until) if report and moment < report.until else end

    def earliest_under_cap(self, cap: InFlight, start: float, cost: int, now: float, queue: Queue) -> float:
        """`start` if there is room under the cap now, else when to ask again; callers ask in turns."""
        if self.in_flight_cost + queue.cost_until(now) + cost <= cap.most:
            return start
        return max(start, now + POLL_SECONDS * (1 + queue.total / cap.most))

    def _level(self, bucket: Bucket, moment: float) -> tuple[float, float]:
        """The tokens at a moment, after what was counted only, and that moment."""
        level, since = self.levels.get(bucket.label, (bucket.burst, moment))
        if moment > since:
            return min(bucket.burst, level + (moment - since) * bucket.per_second), moment
        return level, since

    def earliest_in_bucket(self, bucket: Bucket, start: float, cost: int, now: float, queue: Queue) -> float:
        """The first moment with tokens for this call that leaves every later booking its own."""
        level = self._level(bucket, now)[0] - self.in_flight_cost - queue.cost_until(now)
        return earliest_with_tokens(bucket, level, now, queue.after(now), start, cost)


_EARLIEST: dict[type[Limit], Callable[..., float]] = {
    Window: Meter.earliest_in_window,
    CalendarPeriod: Meter.earliest_in_period,
    Bucket: Meter.earliest_in_bucket,
    InFlight: Meter.earliest_under_cap,
}


def _order_of(entry: tuple[float, int, Booking, int]) -> int:
    return entry[1]


def _after(moment: float, span: float) -> float:
    """The first moment at which a window of this span no longer contains `moment`, rounding included."""
    end = moment + span
    while end - span < moment:
        end = math.nextafter(end, math.inf)
    return end
