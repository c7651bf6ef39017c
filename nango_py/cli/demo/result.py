"""The result of the demo, as seen by the callers and by the sandboxes."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from nango_py.record import record
from nango_py.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.attempt import Attempt
    from nango_py.sandbox import Sandbox

LOST = frozenset({"timeout", "reset", "truncated"})
FIRST_ERROR, FIRST_SERVER_ERROR = 400, 500
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

    @property
    def is_failure(self) -> bool:
        """Whether it has neither succeeded nor an unknown outcome."""
        return not self.is_success and not self.is_unknown


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
        columns = [_count(self._outcomes(name), self.sandboxes[name]) for name in self.blueprints]
        rows = [(label, [column[label] for column in columns]) for label in columns[0]]
        return [(label, *numbers, round(sum(numbers), 1)) for label, numbers in rows]

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
                for one in self._outcomes(name)
                if one.is_failure
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


def _count(outcomes: list[CallOutcome], sandbox: SandboxCounts) -> dict[str, float]:
    """The numbers of one API by their labels."""
    attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
    statuses = Counter(attempt.status for attempt in attempts)
    reasons = Counter(attempt.reason for attempt in attempts)
    return {
        "calls": len(outcomes),
        "succeeded": sum(outcome.is_success for outcome in outcomes),
        "POST not retried, outcome unknown": sum(outcome.is_unknown for outcome in outcomes),
        "failed": sum(outcome.is_failure for outcome in outcomes),
        "attempts": len(attempts),
        "waits": sum(attempt.waited > 0 for attempt in attempts),
        "seconds waited, all threads": round(sum(attempt.waited for attempt in attempts), 1),
        "429s": statuses[429],
        "503s": statuses[503],
        "timeouts": reasons["timeout"],
        "resets and truncated responses": reasons["reset"] + reasons["truncated"],
        "received by the sandbox": sandbox.received,
        "limits exceeded": sandbox.exceeded,
        "duplicates": sandbox.duplicates,
    }
