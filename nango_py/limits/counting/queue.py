"""The bookings of a meter that wait to be sent, as the arithmetic of limits needs them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nango_py.limits.counting.booking import Booking

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


def tokens_needed(later: list[tuple[float, int]], rate: float) -> list[float]:
    """For each booking, the tokens needed just before it so that it and all after it fit."""
    needed = [0.0]
    following = math.inf
    for moment, cost in reversed(later):
        needed.append(cost + max(0.0, needed[-1] - (following - moment) * rate))
        following = moment
    needed.reverse()
    return needed
