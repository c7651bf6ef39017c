"""What is booked and not yet sent, as the arithmetic of limits asks about it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nango_py.limits.counting.booking import Booking


class Queue:
    """The bookings of a meter as moments that are not before now.

    Args:
        booked: (moment, order, slot, cost), sorted.
        now: this moment; a booking that is overdue counts now.
        before: only arrivals before this order count; None counts all.
    """

    __slots__ = ("times", "totals")

    def __init__(self, booked: list[tuple[float, int, Booking, int]], now: float, before: int | None) -> None:
        counted = booked if before is None else [entry for entry in booked if entry[1] < before]
        self.times = [max(now, entry[0]) for entry in counted]
        self.totals = list(accumulate(entry[3] for entry in counted))

    def through(self, moment: float) -> int:
        """The cost of all bookings at or before the moment."""
        index = bisect_right(self.times, moment)
        return self.totals[index - 1] if index else 0

    def before(self, moment: float) -> int:
        """The cost of all bookings before the moment."""
        index = bisect_left(self.times, moment)
        return self.totals[index - 1] if index else 0

    def reaching(self, total: int) -> float:
        """The moment at which the cost reaches so much."""
        return self.times[bisect_left(self.totals, total)]

    def after(self, moment: float) -> list[tuple[float, int]]:
        """Every booking after the moment, as (moment, cost)."""
        first = bisect_right(self.times, moment)
        before = [0, *self.totals]
        return [
            (self.times[index], self.totals[index] - before[index]) for index in range(first, len(self.times))
        ]


def needs_before(later: list[tuple[float, int]], rate: float) -> list[float]:
    """For each booking, the tokens that must be there just before it so that it and all after it fit."""
    needs = [0.0]
    following = math.inf
    for moment, taken in reversed(later):
        needs.append(taken + max(0.0, needs[-1] - (following - moment) * rate))
        following = moment
    needs.reverse()
    return needs
