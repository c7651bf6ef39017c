"""The result of the demo, as seen by the callers and by the sandboxes."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nango_py.record import record
from nango_py.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.attempt import Attempt
    from nango_py.sandbox import Sandbox

OUR_LOGGER = "nango_py.integrations"
URLLIB3_LOGGER = "urllib3"
CONFIG_LOGGER = "nango_py.config"
"""Warns that the first Klaviyo API is retired, which is on purpose in the demo."""

LOST = frozenset({"timeout", "reset", "truncated"})
FIRST_ERROR, TOO_MANY_REQUESTS, FIRST_SERVER_ERROR, UNAVAILABLE = 400, 429, 500, 503
TOTAL = "together"


@record
class CallOutcome:
    """The outcome of one call.

    Attributes:
        status: the status of the last response; 0 if there was none.
        reason: why there was no response.
    """

    integration: str
    method: str
    status: int
    reason: str
    attempts: tuple[Attempt, ...]

    @property
    def is_success(self) -> bool:
        """Whether the API carried the request out."""
        return 0 < self.status < FIRST_ERROR

    @property
    def is_unknown(self) -> bool:
        """Whether it is a POST that the API may have carried out, so it was not retried."""
        is_lost = self.reason in LOST or self.status >= FIRST_SERVER_ERROR
        return self.method == "POST" and is_lost


@record
class SandboxCounts:
    """What a sandbox counted, independently of the client.

    Attributes:
        received: requests received.
        duplicates: POSTs carried out more than once.
        exceeded: windows with more requests than the blueprint allows.
    """

    received: int
    duplicates: int
    exceeded: int

    @classmethod
    def of(cls, sandbox: Sandbox) -> SandboxCounts:
        """The current counts of a sandbox."""
        exceeded = sum(window.peak > window.limit for window in sandbox.counted)
        return cls(len(sandbox.ledger), len(sandbox.ledger.duplicates()), exceeded)


class LogCapture(logging.Handler):
    """Collects the log records of nango_py and urllib3 as text."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a record."""
        self.records.append(self.format(record))

    def count(self, text: str) -> int:
        """The number of times that the text occurs in the records."""
        return sum(record.count(text) for record in self.records)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Capture records inside the context, and restore the loggers afterwards."""
        levels = {OUR_LOGGER: logging.DEBUG, URLLIB3_LOGGER: logging.DEBUG, CONFIG_LOGGER: logging.ERROR}
        loggers = {logging.getLogger(name): level for name, level in levels.items()}
        before = [(logger, logger.level, logger.propagate) for logger in loggers]
        for logger, level in loggers.items():
            logger.addHandler(self)
            logger.setLevel(level)
            logger.propagate = False
        try:
            yield
        finally:
            for logger, level, propagate in before:
                logger.removeHandler(self)
                logger.setLevel(level)
                logger.propagate = propagate


@record
class Result:
    """The result of the demo.

    Attributes:
        blueprints: integration -> the blueprint that it extends.
        sandboxes: integration -> the counts of its sandbox.
        records: every log record, one line each.
        keys_found: occurrences of the users' keys in the records and the database files.
    """

    blueprints: Mapping[str, str]
    outcomes: tuple[CallOutcome, ...]
    sandboxes: Mapping[str, SandboxCounts]
    records: tuple[str, ...]
    seconds: float
    keys_found: int

    @property
    def names(self) -> tuple[str, ...]:
        """The headings of the number columns."""
        return (*self.blueprints.values(), TOTAL)

    def title(self) -> str:
        """The line above the table."""
        return f"{len(self.outcomes)} calls for two users in {self.seconds:.1f} seconds"

    def rows(self) -> list[tuple[str | float, ...]]:
        """The table: a label, a number per API, and their sum."""
        rows: list[tuple[str | float, ...]] = []
        for label, count in self._counters().items():
            numbers = [count(name) for name in self.blueprints]
            rows.append((label, *numbers, round(sum(numbers), 1)))
        return rows

    def _counters(self) -> dict[str, Callable[[str], float]]:
        return {
            "calls": lambda name: len(self._outcomes(name)),
            "succeeded": lambda name: sum(one.is_success for one in self._outcomes(name)),
            "POST not retried, outcome unknown": (
                lambda name: sum(one.is_unknown for one in self._outcomes(name))
            ),
            "failed": lambda name: len(self._failures(name)),
            "attempts": lambda name: len(self._attempts(name)),
            "waits": lambda name: sum(attempt.waited > 0 for attempt in self._attempts(name)),
            "seconds waited, all threads": (
                lambda name: round(sum(attempt.waited for attempt in self._attempts(name)), 1)
            ),
            "429s": lambda name: self._count_status(name, TOO_MANY_REQUESTS),
            "503s": lambda name: self._count_status(name, UNAVAILABLE),
            "timeouts": lambda name: self._count_reasons(name, "timeout"),
            "resets and truncated responses": lambda name: self._count_reasons(name, "reset", "truncated"),
            "received by the sandbox": lambda name: self.sandboxes[name].received,
            "limits exceeded": lambda name: self.sandboxes[name].exceeded,
            "duplicates": lambda name: self.sandboxes[name].duplicates,
        }

    def problems(self) -> list[str]:
        """Everything that should not have happened."""
        problems = []
        for name in self.blueprints:
            counts = self.sandboxes[name]
            if counts.duplicates:
                problems.append(f"{name}: {counts.duplicates} requests were carried out twice")
            if counts.exceeded:
                problems.append(f"{name}: {counts.exceeded} limits were exceeded")
            problems += [
                f"{name}: a {one.method} failed in attempt {len(one.attempts)}: {one.status or one.reason}"
                for one in self._failures(name)
            ]
        if self.keys_found:
            problems.append(f"keys were found {self.keys_found} times in log records or in the database")
        return problems

    def example_records(self) -> list[str]:
        """Three records: a 429 and a timeout (both with a masked key), and a POST that was not retried."""
        key = f"={MASK} "
        examples: list[str] = []
        for marks in ((key, "-> 429"), (key, "-> timeout"), (" POST ", "; fail by")):
            matching = [record for record in self.records if all(mark in record for mark in marks)]
            others = [record for record in self.records if record not in examples]
            examples += (matching or others)[:1]
        return examples

    def as_json(self) -> dict[str, object]:
        """The result for `nango demo --json`."""
        return {
            "seconds": round(self.seconds, 2),
            "counts": {label: dict(zip(self.names, numbers, strict=True)) for label, *numbers in self.rows()},
            "keys_found": self.keys_found,
            "records": self.example_records(),
            "problems": self.problems(),
        }

    def _outcomes(self, name: str) -> list[CallOutcome]:
        return [outcome for outcome in self.outcomes if outcome.integration == name]

    def _failures(self, name: str) -> list[CallOutcome]:
        return [one for one in self._outcomes(name) if not one.is_success and not one.is_unknown]

    def _attempts(self, name: str) -> list[Attempt]:
        return [attempt for outcome in self._outcomes(name) for attempt in outcome.attempts]

    def _count_status(self, name: str, status: int) -> int:
        return sum(attempt.status == status for attempt in self._attempts(name))

    def _count_reasons(self, name: str, *reasons: str) -> int:
        return sum(attempt.reason in reasons for attempt in self._attempts(name))
