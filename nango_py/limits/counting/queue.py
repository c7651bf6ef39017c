"""The bookings of a meter that wait to be sent, as the arithmetic of limits needs them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nango_py.limits.counting.booking import Booking
    from nango_py.limits.limit_types import Bucket

Waiting: TypeAlias = "list[tuple[float, int, Booking, int]]"
"""(time, order, booking, cost) of each waiting booking, sorted."""


class Queue:
    """The times and costs of waiting bookings.

    An overdue booking counts now, so moments are never before now.

    Attributes:
        times: of the bookings, sorted.
        totals: the cost up to and including each, plus `base`.
        base: the cost of bookings that were removed from the front.
    """

    __slots__ = ("base", "times", "totals")

    def __init__(self, waiting: Waiting) -> None:
        self.times = [entry[0] for entry in waiting]
        self.totals = list(accumulate(entry[3] for entry in waiting))
        self.base = 0

    @property
    def total(self) -> int:
        """The cost of all."""
        return self.totals[-1] - self.base if self.totals else 0

    def append(self, time: float, cost: int) -> None:
        """Add a booking after all others."""
        self.totals.append((self.totals[-1] if self.totals else self.base) + cost)
        self.times.append(time)

    def remove_first(self) -> None:
        """Remove the first booking."""
        self.base = self.totals.pop(0)
        self.times.pop(0)

    def cost_until(self, moment: float) -> int:
        """The total cost up to and including the moment."""
        index = bisect_right(self.times, moment)
        return self.totals[index - 1] - self.base if index else 0

    def cost_before(self, moment: float) -> int:
        """The total cost before the moment."""
        index = bisect_left(self.times, moment)
        return self.totals[index - 1] - self.base if index else 0

    def time_of(self, total: int) -> float:
        """The moment at which the total cost reaches this total; before now for an overdue booking."""
        return self.times[bisect_left(self.totals, total + self.base)]

    def after(self, moment: float) -> list[tuple[float, int]]:
        """(time, cost) of every booking after the moment."""
        first = bisect_right(self.times, moment)
        before = self.totals[first - 1] if first else self.base
        found = []
        for time, total in zip(self.times[first:], self.totals[first:], strict=True):
            found.append((time, total - before))
            before = total
        return found


EMPTY_QUEUE = Queue([])


ROUNDING = 1e-9
"""The part of a token that rounding may create."""


def earliest_with_tokens(
    bucket: Bucket, level: float, now: float, later: list[tuple[float, int]], start: float, cost: int
) -> float:
    """The first moment from `start` on with tokens for a call that leaves every later booking its own.

    Args:
        bucket: the bucket.
        level: its tokens now.
        now: the current time.
        later: (time, cost) of the bookings after now.
        start: the result is not before it.
        cost: of the call.
    """
    burst, rate, since = bucket.burst, bucket.per_second, now
    if later and later[-1][0] <= start:
        # The usual case: the call comes after all others, and leaves them their tokens.
        for next_booking, taken in later:
            level = min(burst, level + (next_booking - since) * rate) - taken
            since = next_booking
        later = []
    needed = _tokens_needed(later, rate)
    for index, (next_booking, taken) in enumerate([*later, (math.inf, 0)]):
        if next_booking > start:
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
