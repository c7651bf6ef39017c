"""When schedules are due: intervals, and cron expressions in a time zone. Times are in microseconds."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from nango_py.argument_types import check_type
from nango_py.errors import printable
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY, CRON = "every", "cron"
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 10 * 366 * 86_400.0
SECOND, FIELDS = 1_000_000, 5


@record
class Rule:
    """When a schedule is due.

    Attributes:
        text: `every SECONDS` or `cron EXPRESSION`.
        time_zone: of a cron expression: an IANA name.
    """

    text: str
    time_zone: str = "UTC"

    @property
    def kind(self) -> str:
        """`every` or `cron`."""
        return self.text.partition(" ")[0]

    @property
    def value(self) -> str:
        """The seconds or the expression."""
        return self.text.partition(" ")[2]

    def next_tick(self, after: int, start: int) -> int:
        """The first tick after a moment.

        A cron expression with a fixed time runs once on a day on which the clock is changed: at the first of
        two such times, or after a skipped hour. Others follow the clock.

        Args:
            after: the moment.
            start: of an interval, whose ticks are multiples of it from there.

        Raises:
            ValueError: a cron expression has no further tick.
        """
        if self.kind == EVERY:
            step = int(float(self.value) * SECOND)
            if after < start - step:  # the clock was set back since then
                start = after
            return start + max(1, (after - start) // step + 1) * step
        from cronsim import CronSimError

        with suppress(CronSimError):  # the row was altered, or another version stored it
            for tick in cron_ticks(self.value, self.time_zone, after):
                if tick > after:
                    return tick
        raise ValueError(f'the cron expression "{printable(self.value)}" has no further tick')


def cron_ticks(expression: str, time_zone: str, after: int) -> Iterator[int]:
    """The ticks of a cron expression from a moment on; the first ones may be before it."""
    from cronsim import CronSim

    moment = datetime.fromtimestamp(after // SECOND, ZoneInfo(time_zone))
    for tick in CronSim(expression, moment):
        yield int(tick.timestamp()) * SECOND


def check_interval(seconds: float) -> Rule:
    """The rule of an interval.

    Raises:
        ValueError: it is shorter than a second, or longer than ten years.
    """
    check_type("the interval", seconds, (int, float), "seconds")
    if not seconds >= SHORTEST_SECONDS:
        raise ValueError(f"an interval of {seconds:g} s is too short; expected at least {SHORTEST_SECONDS:g}")
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"the interval is too long; expected at most {LONGEST_SECONDS:.0f} s")
    return Rule(f"{EVERY} {seconds:.15g}")


def check_cron(expression: str, time_zone: str) -> Rule:
    """The rule of a cron expression.

    Raises:
        TypeError: one of them is not text.
        ValueError: the expression is invalid or never due, or the time zone is unknown.
    """
    from cronsim import CronSimError

    check_type("the cron expression", expression, str, "text")
    check_type("the time zone", time_zone, str, "text")
    expression = " ".join(expression.split())
    problem = ""
    if len(expression.split()) != FIELDS:
        problem = f'invalid cron expression "{printable(expression)}": Wrong number of fields'
    try:
        zone = ZoneInfo(time_zone)
        next(cron_ticks(expression, zone.key, 0))
    except CronSimError as error:
        problem = problem or f'invalid cron expression "{printable(expression)}": {printable(str(error))}'
    except StopIteration:
        problem = f'the cron expression "{printable(expression)}" is never due'
    except (KeyError, ValueError, OSError):
        zone = None
    if zone is None:
        named = printable(time_zone)
        raise ValueError(f'unknown time zone "{named}"; expected an IANA name such as Europe/Berlin')
    if problem:
        raise ValueError(f"{problem}; expected five fields such as 0 7 * * MON")
    return Rule(f"{CRON} {expression}", time_zone)
