"""The moments at which requests were counted, sorted, with running totals for bisection.

An exception of a signal handler leaves a log whole: see counting/meter.py.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MERGE_ABOVE = 256
"""Maximum number of entries before neighbours are merged."""

RESOLUTION = 200
"""Merging moves an entry by at most two parts of the shortest window that contains it, of this number."""

TRIM_STEP = 64
"""Minimum number of expired entries that are worth removing from the front of a list."""


class CountedLog:
    """A sorted log of (moment, cost).

    Attributes:
        times: the moment of each entry.
        totals: the total cost up to and including each entry.
        dropped: the total cost of removed entries.
        total: the total cost of all entries, removed ones included.
        merge_above: the number of entries above which `merge_old` saves space.
    """

    __slots__ = ("dropped", "merge_above", "times", "total", "totals")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.totals: list[int] = []
        self.dropped = 0
        self.total = 0
        self.merge_above = MERGE_ABOVE

    def total_until(self, moment: float) -> int:
        """The total cost up to and including the moment."""
        index = bisect_right(self.times, moment)
        return self.totals[index - 1] if index else self.dropped

    def time_of(self, total: int) -> float:
        """The moment at which the total cost reached this total."""
        return self.times[bisect_left(self.totals, total)]

    def add(self, moment: float, cost: int) -> None:
        """Count a cost at the moment."""
        if not self.times or self.times[-1] <= moment:
            self.total += cost
            self.totals += [self.total]
            self.times += [moment]
            return
        times, totals = self.with_entry(moment, cost)
        self.times, self.totals = times, totals
        self.total += cost

    def with_entry(self, moment: float, cost: int) -> tuple[list[float], list[int]]:
        """The times and totals with one more entry."""
        times, totals = self.times, self.totals
        index = bisect_right(times, moment)
        before = totals[index - 1] if index else self.dropped
        later = [before + cost, *(total + cost for total in totals[index:])]
        return [*times[:index], moment, *times[index:]], [*totals[:index], *later]

    def drop_until(self, moment: float) -> None:
        """Remove entries up to and including the moment; a few may stay for a while."""
        times = self.times
        if not times or times[0] > moment:
            return
        index = bisect_right(times, moment)
        if index == len(times) or index >= TRIM_STEP:
            times, totals = times[index:], self.totals[index:]
            self.dropped, self.times, self.totals = self.totals[index - 1], times, totals

    def merge_old(self, now: float, spans: Sequence[float]) -> None:
        """Merge old neighbours into the later one, which can only lengthen waits.

        Args:
            now: the current time.
            spans: the lengths of the windows in seconds, ascending.
        """
        times: list[float] = []
        totals: list[int] = []
        last_cell: tuple[float, int] = (0.0, -1)
        for moment, total in zip(self.times, self.totals, strict=True):
            age = now - moment
            span = next((length for length in spans if length > age), spans[-1])
            # A window shorter than the age no longer contains the entry, so only longer ones set the step.
            # Cells have fixed bounds, so merging again and again moves an entry no further.
            step = span / RESOLUTION
            cell = (step, math.floor(moment / step))
            if cell == last_cell:
                times[-1], totals[-1] = moment, total
            else:
                last_cell = cell
                times.append(moment)
                totals.append(total)
        self.times, self.totals = times, totals
        self.merge_above = max(MERGE_ABOVE, 2 * len(times))
