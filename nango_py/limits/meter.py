"""What is counted under one key, and the arithmetic of its limits.

A request is counted by the API at some moment between its sending and its answer. So a place that was
answered counts at the answer, one on its way counts now, and one that is booked counts when it is due. The
sending is never before the moment checked, so no window of any alignment can hold too many: of any set that
the API counted within a window, the one sent last was sent less than a window after the first answer.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from nango_py.limits.model import Window
from nango_py.limits.points import Points

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.limits.model import Bucket, Limit, Spend

COUNTED_WITHIN = 10.0
"""An API has counted a request by so many seconds after its sending: an answer that takes longer is slow work
or lost, and must not hold its place in a short window all the while."""

DUST = 1e-9
"""The part of a token that rounding may make up."""


class Slot:
    """One call's place in every budget it spends from.

    Attributes:
        order: arrivals count up; who came first goes first among calls with the same keys.
        at: the moment it is booked for.
        promised: the moment its caller was told to come back at.
        state: `booked`, `flying` (sent, not yet answered) or `over`.
    """

    __slots__ = ("at", "gates", "keys", "order", "promised", "spends", "state")

    def __init__(self, order: int, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        self.order = order
        self.spends = spends
        self.gates = gates
        self.keys = tuple(spend.key for spend in spends)
        self.at = self.promised = 0.0
        self.state = "over"


class Meter:
    """The log, the places on their way and the bookings of one key."""

    __slots__ = ("_longest", "booked", "flying", "flying_cost", "levels", "limits", "log")

    def __init__(self) -> None:
        self.limits: tuple[Limit, ...] = ()
        self.log = Points()
        self.flying: dict[Slot, tuple[float, int]] = {}
        self.flying_cost = 0
        self.booked: list[tuple[float, int, Slot, int]] = []
        self.levels: dict[Bucket, tuple[float, float]] = {}
        self._longest = 0.0

    def apply(self, limits: tuple[Limit, ...]) -> None:
        """Count by these limits from now on; what was counted before stays counted."""
        if limits is self.limits or limits == self.limits:
            return
        self.limits = limits
        self._longest = max((limit.seconds for limit in limits if isinstance(limit, Window)), default=0.0)
        self.levels = {limit: self.levels[limit] for limit in limits if limit in self.levels}

    # -- changes -------------------------------------------------------------------------------------------

    def tidy(self, now: float) -> None:
        """Forget what no window sees any more, and stop waiting for answers that take too long."""
        while self.flying:
            slot = next(iter(self.flying))
            counted = self.flying[slot][0] + COUNTED_WITHIN
            if counted > now:
                break
            self.land(slot, counted)
        if self.log.times:
            self.log.forget_through(now - self._longest)

    def book(self, slot: Slot, cost: int) -> None:
        """Keep a place for `slot.at`."""
        entry = (slot.at, slot.order, slot, cost)
        if not self.booked or self.booked[-1] < entry:
            self.booked.append(entry)
        else:
            self.booked.insert(bisect_left(self.booked, entry), entry)

    def unbook(self, slot: Slot) -> None:
        """Give a booked place back."""
        index = bisect_left(self.booked, (slot.at, slot.order))
        if index < len(self.booked) and self.booked[index][2] is slot:
            del self.booked[index]

    def send(self, slot: Slot, now: float, cost: int) -> None:
        """The place is used from now on; it is counted at any moment from now to its answer."""
        self.flying[slot] = (now, cost)
        self.flying_cost += cost

    def recall(self, slot: Slot) -> None:
        """The place was not used after all."""
        if slot in self.flying:
            self.flying_cost -= self.flying.pop(slot)[1]

    def land(self, slot: Slot, now: float) -> None:
        """The answer came: the place was counted by now at the latest."""
        if slot not in self.flying:
            return
        cost = self.flying.pop(slot)[1]
        self.flying_cost -= cost
        self.count(now, cost)

    def count(self, moment: float, cost: int) -> None:
        """Something was counted at the moment."""
        if self._longest:
            self.log.add(moment, cost)
            if len(self.log.times) > self.log.crowded:
                self.log.coarsen(
                    moment, sorted({limit.seconds for limit in self.limits if isinstance(limit, Window)})
                )
        for limit in self.limits:
            if not isinstance(limit, Window):
                level, since = self._level(limit, moment)
                self.levels[limit] = (level - cost, since)

    # -- questions -----------------------------------------------------------------------------------------

    def is_idle(self, now: float) -> bool:
        """Whether forgetting the key changes nothing."""
        self.tidy(now)
        if self.booked or self.flying:
            return False
        if self.log.times and self.log.times[-1] > now - self._longest:
            return False
        return all(self._level(bucket, now)[0] >= bucket.burst for bucket in self.levels)

    def earliest(self, start: float, cost: int, now: float, before: int | None = None) -> tuple[float, str]:
        """The first moment from `start` on at which so much can be sent, and the limit that decided.

        Args:
            start: no moment before it is offered.
            cost: how much is sent at once.
            now: this moment; what is on its way counts at it.
            before: consider only bookings of arrivals before this one; None considers all.
        """
        moment, label = start, ""
        queue = _Queue(self.booked, now, before) if self.booked else None
        for limit in self.limits:
            if cost > (limit.requests if isinstance(limit, Window) else limit.burst):
                return math.inf, limit.label
        while True:
            settled = True
            for limit in self.limits:
                if isinstance(limit, Window):
                    found = self._window(limit, moment, cost, now, queue)
                else:
                    found = self._bucket(limit, moment, cost, now, queue)
                if found > moment:
                    moment, label, settled = found, limit.label, False
            if settled or len(self.limits) == 1:
                return moment, label

    def usage(self, limit: Limit, now: float) -> tuple[float, float, float]:
        """What a limit allows, what of it is used now, and the seconds until nothing is."""
        held = self.flying_cost + sum(entry[3] for entry in self.booked if entry[0] <= now)
        if not isinstance(limit, Window):
            used = limit.burst - self._level(limit, now)[0] + held
            return limit.burst, used, used / limit.per_second
        seen = self.log.total - self.log.through(now - limit.seconds)
        if held:
            return limit.requests, seen + held, limit.seconds
        return limit.requests, seen, self.log.times[-1] + limit.seconds - now if seen else 0.0

    # -- arithmetic ----------------------------------------------------------------------------------------

    def _window(self, window: Window, start: float, cost: int, now: float, queue: _Queue | None) -> float:
        """The first moment t >= start for which no (x - seconds, x] that holds t is over its limit."""
        log, span, room = self.log, window.seconds, window.requests - cost
        if queue is None:
            held = self.flying_cost
            if log.total - log.dropped + held <= room:
                return start
            horizon = start - span
            seen = log.through(horizon) if horizon < now else log.total + held
            over = log.total + held - seen - room
            if over <= 0:
                return start
            return _after(log.reaching(seen + over) if seen + over <= log.total else now, span)
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

    def _within(self, end: float, span: float, now: float, queue: _Queue) -> int:
        """How much lies in (end - span, end], for an end at or after now."""
        start = end - span
        if start < now:
            return self.log.total - self.log.through(start) + self.flying_cost + queue.through(end)
        return queue.through(end) - queue.through(start)

    def _leaving(self, start: float, over: int, now: float, queue: _Queue) -> float:
        """The moment of the `over`-th that is counted after `start`."""
        if start >= now:
            return queue.reaching(queue.through(start) + over)
        seen = self.log.through(start)
        if seen + over <= self.log.total:
            return self.log.reaching(seen + over)
        over -= self.log.total - seen + self.flying_cost
        return now if over <= 0 else max(now, queue.reaching(over))

    def _crowded(self, moment: float, span: float, room: int, now: float, queue: _Queue) -> float | None:
        """The last later booking whose window a place at this moment would overfill."""
        first, last = bisect_right(queue.times, moment), bisect_left(queue.times, moment + span)
        for index in range(last - 1, first - 1, -1):
            if self._within(queue.times[index], span, now, queue) > room:
                return queue.times[index]
        return None

    def _level(self, bucket: Bucket, moment: float) -> tuple[float, float]:
        """The tokens at a moment, from what was counted only, and that moment."""
        level, since = self.levels.get(bucket, (bucket.burst, moment))
        if moment > since:
            return min(bucket.burst, level + (moment - since) * bucket.per_second), moment
        return level, since

    def _bucket(self, bucket: Bucket, start: float, cost: int, now: float, queue: _Queue | None) -> float:
        """The first moment t >= start with tokens for this place that leaves every later booking its own."""
        rate = bucket.per_second
        level = self._level(bucket, now)[0] - self.flying_cost
        if queue is None:
            level = min(bucket.burst, level + (start - now) * rate)
            return start if level >= cost - DUST else start + (cost - level) / rate
        level -= queue.through(now)
        later = queue.after(now)
        needs = _needs(later, rate)
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


class _Queue:
    """The bookings that count, as moments not before now."""

    __slots__ = ("times", "totals")

    def __init__(self, booked: list[tuple[float, int, Slot, int]], now: float, before: int | None) -> None:
        counted = booked if before is None else [entry for entry in booked if entry[1] < before]
        self.times = [max(now, entry[0]) for entry in counted]
        self.totals = _running(entry[3] for entry in counted)

    def through(self, moment: float) -> int:
        index = bisect_right(self.times, moment)
        return self.totals[index - 1] if index else 0

    def reaching(self, total: int) -> float:
        return self.times[bisect_left(self.totals, total)]

    def after(self, moment: float) -> list[tuple[float, int]]:
        first = bisect_right(self.times, moment)
        before = [0, *self.totals]
        return [
            (self.times[index], self.totals[index] - before[index]) for index in range(first, len(self.times))
        ]


def _running(counts: Iterable[int]) -> list[int]:
    from itertools import accumulate

    return list(accumulate(counts))


def _needs(later: list[tuple[float, int]], rate: float) -> list[float]:
    """For each booking, the tokens that must be there just before it so that it and all after it fit."""
    needs = [0.0]
    following = math.inf
    for moment, taken in reversed(later):
        needs.append(taken + max(0.0, needs[-1] - (following - moment) * rate))
        following = moment
    needs.reverse()
    return needs


def _after(moment: float, span: float) -> float:
    """The first moment at which a window of this span has left `moment` behind, rounding included."""
    end = moment + span
    while end - span < moment:
        end = math.nextafter(end, math.inf)
    return end
