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
    """Waiting bookings, with an overdue one counted now.

    Args:
        waiting: of a meter.
        now: the current time.
        before: consider only bookings with a lower order; None considers all.
    """

    __slots__ = ("times", "totals")

    def __init__(self, waiting: Waiting, now: float, before: int | None) -> None:
        considered = waiting if before is None else [entry for entry in waiting if entry[1] < before]
        self.times = [max(now, entry[0]) for entry in considered]
        self.totals = list(accumulate(entry[3] for entry in considered))

    def cost_until(self, moment: float) -> int:
        """The total cost up to and including the moment."""
        index = bisect_right(self.times, moment)
        return self.totals[index - 1] if index else 0

    def cost_before(self, moment: float) -> int:
        """The total cost before the moment."""
        index = bisect_left(self.times, moment)
        return self.totals[index - 1] if index else 0

    def time_of(self, total: int) -> float:
        """The moment at which the total cost reaches this total."""
        return self.times[bisect_left(self.totals, total)]

    def after(self, moment: float) -> list[tuple[float, int]]:
        """(time, cost) of every booking after the moment."""
        first = bisect_right(self.times, moment)
        before = [0, *self.totals]
        return [
            (self.times[index], self.totals[index] - before[index]) for index in range(first, len(self.times))
        ]


EMPTY_QUEUE = Queue([], 0.0, None)


def tokens_needed(later: list[tuple[float, int]], rate: float) -> list[float]:
    """For each booking, the tokens needed just before it so that it and all after it fit."""
    needed = [0.0]
    following = math.inf
    for moment, cost in reversed(later):
        needed.append(cost + max(0.0, needed[-1] - (following - moment) * rate))
        following = moment
    needed.reverse()
    return needed
