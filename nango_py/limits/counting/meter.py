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
from typing import TYPE_CHECKING, Any

from nango_py.limits.counting.calendar_periods import CLOCKS_DIFFER, LENGTHS, period_around
from nango_py.limits.counting.counted_log import CountedLog
from nango_py.limits.counting.queue import NOTHING, Queue, View, earliest_with_tokens
from nango_py.limits.counting.report import OWN_CALLS_STAY, WITHOUT_RESET, Counted, correct
from nango_py.limits.limit_types import Bucket, CalendarPeriod, InFlight, Window, capacity

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.counting.report import Report
    from nango_py.limits.limit_types import Limit, LimitReport

COUNTED_WITHIN = 10.0
"""Seconds after sending by which the API must have counted the request. A response that takes longer does not
hold its place in a short window until it arrives."""

LEASE = 300.0
"""Seconds for which a request in flight holds its place under a cap if its process never ends it."""

POLL_SECONDS = 0.05
"""Seconds between two attempts under a cap: when a request in flight will end is unknown."""


class Meter:
    """The log, the requests in flight and the waiting bookings of one key.

    Attributes:
        in_flight: when each was sent, and its cost.
        buckets: those of the limits.
        spans: the lengths of the windows in seconds, ascending.
        packed: no moment from the first to the second has room for this cost or more; and the label of what
            decided.
        longest: seconds after which a counted request no longer matters.
        max_cost: a call that costs more can never be sent.
        in_flight_seconds: after which a request in flight counts as finished.
        levels: of each bucket, by label: the tokens, and the moment at which it had them.
        reports: of each window and calendar period, by label: what responses said of it.
        has_calendar: whether there are calendar periods, which need `offset`.
        offset: added to this clock's moments to get Unix seconds.
    """

    __slots__ = (
        "_has_cap",
        "_rules",
        "buckets",
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
        "packed",
        "reports",
        "spans",
        "waiting",
    )

    def __init__(self) -> None:
        self.limits: tuple[Limit, ...] = ()
        self.log = CountedLog()
        self.in_flight: dict[Booking, tuple[float, int]] = {}
        self.in_flight_cost = 0
        self.waiting = Queue()
        self.packed: tuple[float, float, int, str] | None = None
        self._has_cap = False
        self.spans: tuple[float, ...] = ()
        self.has_calendar = False
        self.offset = 0.0
        self.buckets: tuple[Bucket, ...] = ()
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
        self.buckets = tuple(limit for limit in limits if isinstance(limit, Bucket))
        self.waiting.forget_levels()
        self._rules = tuple((limit, _EARLIEST[type(limit)]) for limit in limits)
        self.longest = max((*spans, *(length.longest for length in calendars)), default=0.0)
        self._has_cap = any(isinstance(limit, InFlight) for limit in limits)
        self.in_flight_seconds = LEASE if self._has_cap else COUNTED_WITHIN
        labels = {limit.label for limit in limits}
        self.levels = {label: level for label, level in self.levels.items() if label in labels}
        self.reports = {label: report for label, report in self.reports.items() if label in labels}
        self.max_cost = min(map(capacity, limits), default=math.inf)
        self.packed = None
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
        if self.waiting.pages and self.waiting.expire(now):
            self.packed = None

    def enqueue(self, booking: Booking, cost: int) -> None:
        """Keep a place at `booking.time`."""
        self.waiting.insert(booking, cost)

    def dequeue(self, booking: Booking, *, is_sent: bool = False) -> None:
        """Give a waiting booking's place back, unless it is sent at its time or later."""
        entry = self.waiting.find(booking.time, booking.order) if self.waiting.pages else None
        if entry is not None:
            self.waiting.remove(entry)
            if not is_sent:
                self.packed = None

    def forget_order(self) -> None:
        """Sort the waiting bookings again: a change of them was interrupted."""
        self.waiting.rebuild()
        self.packed = None

    def last_before(self, booking: Booking, before: int | None) -> float:
        """The time of the last waiting booking with the same keys that arrived earlier; 0.0 without one."""
        return self.waiting.line(booking.line).last if before is None else self.waiting.last_before(booking)

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
            self.packed = None

    def cancel(self, booking: Booking) -> bool:
        """The request was not sent after all; whether it was in flight."""
        if booking not in self.in_flight:
            return False
        cost = self.in_flight[booking][1]
        del self.in_flight[booking]
        self.in_flight_cost -= cost
        self.packed = None
        return True

    def finish(self, booking: Booking, moment: float) -> None:
        """The response came: the API has counted the request by this moment."""
        if booking not in self.in_flight:
            return
        cost, log = self.in_flight[booking][1], self.log
        levels = self._levels_after(moment, cost) if self.buckets else self.levels
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
        if self.buckets:
            self.levels = self._levels_after(moment, cost)

    def _levels_after(self, moment: float, cost: int) -> dict[str, tuple[float, float]]:
        levels = {**self.levels}
        for bucket in self.buckets:
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
        beside = max(0, self._cost_ended_after(now - said.age) - cost)
        if isinstance(limit, Bucket):
            return self._correct_bucket(limit, reported, beside, now)
        used = round(self.usage(limit, now)[1]) - self._held_cost(now)
        report = self.reports.get(limit.label)
        fresh = self._cost_ended_after(report.reported_at) if report else 0
        is_exact = isinstance(limit, Window) and limit.seconds < OWN_CALLS_STAY
        counted = Counted(used, self.in_flight_cost, min(used, beside), fresh, is_exact)
        resets_in = self._seconds_to_reset(limit, now) if said.resets_in is None else said.resets_in
        corrected = correct(report, counted, reported, capacity(limit), now + resets_in, now)
        if corrected is None:
            return False
        self.reports[limit.label] = corrected
        self.packed = None
        return True

    def _cost_ended_after(self, moment: float) -> int:
        return self.log.total - self.log.total_until(moment)

    def _held_cost(self, now: float) -> int:
        """The cost in flight or due to be sent."""
        return self.in_flight_cost + (View(self.waiting, None).cost_until(now) if self.waiting.pages else 0)

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
        self.packed = None
        return True

    # -- questions -----------------------------------------------------------------------------------------

    def is_idle(self, now: float) -> bool:
        """Whether forgetting the key changes nothing."""
        self.expire(now)
        if self.waiting.pages or self.in_flight:
            return False
        if self.reports or (self.log.times and self.log.times[-1] > now - self.longest):
            return False
        return all(self._level(bucket, now)[0] >= bucket.burst for bucket in self.buckets)

    def expires_at(self) -> float:
        """The moment from which forgetting the key changes nothing, if nothing more happens."""
        ends = [0.0]
        ends += [sent + self.in_flight_seconds + self.longest for sent, _ in self.in_flight.values()]
        ends.append(self.waiting.last_time + COUNTED_WITHIN + self.longest if self.waiting.pages else 0.0)
        ends += [moment + self.longest for moment in self.log.times[-1:]]
        ends += [max(report.until, report.reported_at + self.longest) for report in self.reports.values()]
        for bucket in self.buckets:
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
        if not self.waiting.pages:
            return self._search(start, cost, now, NOTHING)
        if before is not None:
            return self._search(start, cost, now, View(self.waiting, before))
        since, until, least, packed_label = self.packed or (start, start, cost, "")
        if since <= start <= until and cost >= least:
            moment, label = self._search(until, cost, now, View(self.waiting, None))
            label = label or (packed_label if until > start else "")
        else:
            since, (moment, label) = start, self._search(start, cost, now, View(self.waiting, None))
        if not self._has_cap:
            self.packed = (since, moment, cost, label or packed_label)
        return moment, label

    def _search(self, start: float, cost: int, now: float, queue: View) -> tuple[float, str]:
        moment, label = start, ""
        while True:
            previous = moment
            for limit, find in self._rules:
                found = find(self, limit, moment, cost, now, queue)
                if found > moment:
                    moment, label = found, limit.label
            if queue is NOTHING or moment == previous:
                return moment, label

    def usage(self, limit: Limit, now: float) -> tuple[float, float, float]:
        """The capacity of a limit, what of it is used now, and the seconds until nothing is."""
        if isinstance(limit, InFlight):
            return limit.most, self.in_flight_cost, 0.0
        held = self._held_cost(now)
        if isinstance(limit, Bucket):
            used = limit.burst - self._level(limit, now)[0] + held
            return limit.burst, used, used / limit.per_second
        report = self.reports.get(limit.label)
        others, since = (report.others_at(now), report.since_at(now)) if report else (0, 0.0)
        if isinstance(limit, CalendarPeriod):
            begin, end = self._period_bounds(limit, now)
            used = self._cost_ended_after(max(begin, since)) + others + held
            return limit.requests, used, end - now if used else 0.0
        counted = self._cost_ended_after(max(now - limit.seconds, since))
        ends = self.log.times[-1] + limit.seconds - now if counted else 0.0
        if held:
            ends = limit.seconds
        if report and others:
            ends = max(ends, report.until - now)
        return limit.requests, counted + others + held, ends

    # -- the first moment from `start` on at which each kind of limit has room -----------------------------

    def earliest_in_window(self, window: Window, start: float, cost: int, now: float, queue: View) -> float:
        """The first moment that every span of this length, at any alignment, has room for."""
        log, span, room = self.log, window.seconds, window.requests - cost
        report = self.reports.get(window.label)
        others = report.others if report else 0
        if queue is NOTHING and log.total - log.dropped + self.in_flight_cost + others <= room:
            return start
        moment = start
        while True:
            over = self._cost_within(moment, span, now, queue, report) - room
            if over > 0:
                if report is not None and report.others_at(moment) > room:
                    moment = report.until
                    continue
                found = _after(self._nth_after(moment, span, over, now, queue, report), span)
                moment = min(found, report.until) if report and moment < report.until else found
                continue
            later = self._last_overfilled(moment, span, room, now, queue, report)
            if later is None:
                return moment
            moment = later

    def _cost_within(self, end: float, span: float, now: float, queue: View, report: Report | None) -> int:
        """The cost in (end - span, end], for an end at or after now."""
        start, others = end - span, 0
        waiting = queue.cost_until(end)
        if start >= now:
            return waiting - queue.cost_until(start) + (report.others_at(end) if report else 0)
        if report is not None:
            start, others = max(start, report.since_at(end)), report.others_at(end)
        return self._cost_ended_after(start) + self.in_flight_cost + waiting + others

    def _nth_after(
        self, moment: float, span: float, over: int, now: float, queue: View, report: Report | None
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

    def _last_overfilled(
        self, moment: float, span: float, room: int, now: float, queue: View, report: Report | None
    ) -> float | None:
        """The last later booking whose window a request at this moment would overfill."""
        for time in queue.times_between(moment, moment + span):
            if self._cost_within(time, span, now, queue, report) > room:
                return time
        return None

    def _period_bounds(self, period: CalendarPeriod, moment: float) -> tuple[float, float]:
        """What is counted after the first may be in the period of this moment; the second is its end."""
        unix = moment + self.offset - CLOCKS_DIFFER
        begin, end = period_around(period.time_zone, unix, period.period)
        # Unix seconds are rounded to some ten millionths.
        return begin - self.offset - CLOCKS_DIFFER, end - self.offset + CLOCKS_DIFFER + 1e-6

    def earliest_in_period(
        self, period: CalendarPeriod, start: float, cost: int, now: float, queue: View
    ) -> float:
        """The first moment whose period has room beside all that is counted or waits in it."""
        report = self.reports.get(period.label)
        moment = start
        while True:
            begin, end = self._period_bounds(period, moment)
            used = queue.cost_before(end) + (report.others_at(moment) if report else 0)
            if begin <= now:
                begin = max(begin, report.since_at(moment)) if report else begin
                used += self._cost_ended_after(begin) + self.in_flight_cost
            else:
                used -= queue.cost_before(begin)
            if used + cost <= period.requests:
                return moment
            moment = min(end, report.until) if report and moment < report.until else end

    def earliest_under_cap(self, cap: InFlight, start: float, cost: int, now: float, queue: View) -> float:
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

    def earliest_in_bucket(self, bucket: Bucket, start: float, cost: int, now: float, queue: View) -> float:
        """The first moment with tokens for this call that leaves every later booking its own."""
        level = self._level(bucket, now)[0] - self.in_flight_cost - queue.cost_until(now)
        place = self.buckets.index(bucket)
        level, since = queue.tokens_after(self.buckets, place, level, now, start)
        return earliest_with_tokens(bucket, level, since, queue.after(start), start, cost)


_EARLIEST: dict[type[Limit], Callable[..., float]] = {
    Window: Meter.earliest_in_window,
    CalendarPeriod: Meter.earliest_in_period,
    Bucket: Meter.earliest_in_bucket,
    InFlight: Meter.earliest_under_cap,
}


def _after(moment: float, span: float) -> float:
    """The first moment at which a window of this span no longer contains `moment`, rounding included."""
    end = moment + span
    while end - span < moment:
        end = math.nextafter(end, math.inf)
    return end
