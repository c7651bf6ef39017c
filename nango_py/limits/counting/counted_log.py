"""Moments at which something was counted, sorted, with running totals: every question is one bisection."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

COARSE_ABOVE = 1024
"""How many separate moments are kept before neighbours are merged."""

RESOLUTION = 1024
"""A merged moment is late by at most this part of the shortest window that still sees it."""

TRIM_STEP = 64


class CountedLog:
    """A sorted log of (moment, count).

    Attributes:
        times: the moments.
        totals: the count up to and including each, beginning at `dropped`.
        total: everything that was ever counted.
        crowded: above so many moments, `coarsen` is worth calling.
    """

    __slots__ = ("crowded", "dropped", "times", "total", "totals")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.totals: list[int] = []
        self.dropped = 0
        self.total = 0
        self.crowded = COARSE_ABOVE

    def through(self, moment: float) -> int:
        """The total of everything at or before the moment."""
        index = bisect_right(self.times, moment)
        return self.totals[index - 1] if index else self.dropped

    def reaching(self, total: int) -> float:
        """The moment at which the total reached so much."""
        return self.times[bisect_left(self.totals, total)]

    def add(self, moment: float, count: int) -> None:
        """Count so much at the moment."""
        times, totals = self.times, self.totals
        self.total += count
        if not times or times[-1] <= moment:
            totals.append(self.total)
            times.append(moment)
            return
        index = bisect_right(times, moment)
        before = totals[index - 1] if index else self.dropped
        times.insert(index, moment)
        totals[index:] = [before + count, *(total + count for total in totals[index:])]

    def forget_through(self, moment: float) -> None:
        """Drop what lies at or before the moment; small amounts may stay for a while."""
        times = self.times
        if not times or times[0] > moment:
            return
        index = bisect_right(times, moment)
        if index == len(times):
            self.dropped = self.totals[-1]
            times.clear()
            self.totals.clear()
        elif index >= TRIM_STEP:
            self.dropped = self.totals[index - 1]
            del times[:index], self.totals[:index]

    def coarsen(self, now: float, spans: Sequence[float]) -> None:
        """Merge old neighbours into the later one when there are very many; that only errs towards waiting.

        Args:
            now: this moment.
            spans: the windows' lengths in seconds, ascending.
        """
        times: list[float] = []
        totals: list[int] = []
        first = -1.0
        for moment, total in zip(self.times, self.totals, strict=True):
            age = now - moment
            span = next((length for length in spans if length > age), spans[-1])
            # A window shorter than the age no longer sees the moment, so only longer ones set the step.
            if times and moment - first <= span / RESOLUTION:
                times[-1], totals[-1] = moment, total
            else:
                first = moment
                times.append(moment)
                totals.append(total)
        self.times, self.totals = times, totals
        self.crowded = max(COARSE_ABOVE, 2 * len(times))
