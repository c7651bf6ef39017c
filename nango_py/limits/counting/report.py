"""What responses said of one limit: what is used beside our calls, and when the limit is whole again."""

from __future__ import annotations

from nango_py.record import record

TOLERANCE = 0.02
"""The part of a limit by which reported numbers may be wrong; Klaviyo calls its own approximate."""

SAME_RESET = 1.0
"""Seconds within which two reports name the same reset: most headers have whole seconds."""

REFRESHED_AFTER = 0.1
"""The part of a limit after whose use the next report is kept, even if it says nothing new."""

OWN_CALLS_STAY = 60.0
"""A window shorter than this holds at any alignment: our calls count for its whole length in any case."""

WITHOUT_RESET = 60.0
"""Maximum number of seconds for which a report without a reset is believed."""


@record
class Report:
    """What responses said of one limit of a meter.

    Attributes:
        others: the cost that counts beside the log until `until`.
        until: when the whole limit is available again, according to the API.
        since: entries of the log up to this moment do not count.
        reported_at: when the last response said so. From `until` on, entries up to this moment do not count.
    """

    others: int
    until: float
    since: float
    reported_at: float

    def others_at(self, moment: float) -> int:
        """The cost that counts beside the log at a moment."""
        return self.others if moment < self.until else 0

    def since_at(self, moment: float) -> float:
        """The moment after which entries of the log count at a moment."""
        return self.since if moment < self.until else self.reported_at

    def shift(self, seconds: float) -> Report:
        """The same on a clock that is ahead by this number of seconds."""
        return Report(self.others, self.until + seconds, self.since + seconds, self.reported_at + seconds)

    def matters(self, now: float, longest: float) -> bool:
        """Whether forgetting the report would change anything; `longest` is the longest window in seconds."""
        return now < self.until or self.reported_at > now - longest


@record
class Counted:
    """What is counted of a limit when a response reports it.

    Attributes:
        used: without calls in flight.
        in_flight: calls in flight.
        beside: the part of `used` that ended while the response's own call was in flight.
        fresh: the part of `used` that ended after the last report.
        is_exact: whether the API cannot make us forget our calls, because the window is short.
    """

    used: int
    in_flight: int
    beside: int
    fresh: int
    is_exact: bool


def correct(
    report: Report | None, counted: Counted, reported: int, allowed: float, until: float, now: float
) -> Report | None:
    """The report after another response; None if it says nothing new.

    A response includes the calls that ended before its own call was sent, and possibly those that were in
    flight beside it. If less is counted than it can mean, others use the limit. If more is counted, the API
    has forgotten calls that still count here.

    Args:
        report: the one before.
        counted: what is counted now.
        reported: the used cost, according to the response.
        allowed: the capacity of the limit.
        until: when the whole limit is available, according to the response.
        now: the current time.
    """
    others, since = (report.others_at(now), report.since_at(now)) if report else (0, 0.0)
    before = others
    missing = reported - counted.in_flight - counted.used
    surplus = counted.used - reported - counted.beside
    if missing > 0 and (reported >= allowed or missing > TOLERANCE * allowed):
        others += missing
    elif surplus > 0 and (counted.used + counted.in_flight >= allowed or surplus > TOLERANCE * allowed):
        if surplus <= others or counted.is_exact:
            others = max(0, others - surplus)
        else:
            others, since = reported + counted.beside, now
    elif (
        report
        and report.until <= until <= report.until + SAME_RESET
        and counted.fresh < max(1.0, REFRESHED_AFTER * allowed)
    ):
        return None
    if report and report.until <= until <= report.until + SAME_RESET:
        until = report.until
    if counted.is_exact:
        is_same = others == before and (others == 0 or (report is not None and until == report.until))
        return None if is_same else Report(others, until, 0.0, 0.0)
    return Report(others, until, since, now)
