"""What happened in the demo, as the callers saw it and as the sandboxes saw it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nango_py.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.attempt import Attempt
    from nango_py.sandbox import Sandbox

OUR_LOGGER = "nango_py.integrations"
THEIR_LOGGER = "urllib3"
QUIET_LOGGER = "nango_py.config"
"""Warns that the first Klaviyo API is retired, which is no news in a demo of it."""

LOST = frozenset({"timeout", "reset", "truncated"})
FIRST_ERROR, TOO_MANY, FIRST_SERVER_ERROR = 400, 429, 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended.

    Attributes:
        status: of the last response; 0 where there was none.
        reason: why there was none.
    """

    integration: str
    method: str
    status: int
    reason: str
    attempts: tuple[Attempt, ...]

    @property
    def is_answered(self) -> bool:
        """Whether the API did what it was asked."""
        return 0 < self.status < FIRST_ERROR

    @property
    def is_refused(self) -> bool:
        """Whether it is a POST whose answer was lost: perhaps carried out, so not sent again."""
        is_unclear = self.reason in LOST or self.status >= FIRST_SERVER_ERROR
        return self.method == "POST" and is_unclear


@dataclass(frozen=True, slots=True)
class Witness:
    """What a sandbox says: it counts by itself.

    Attributes:
        received: requests that it read.
        duplicates: POSTs that were carried out more than once.
        overrun: windows that held more requests than the blueprint allows.
    """

    received: int
    duplicates: int
    overrun: int

    @classmethod
    def of(cls, sandbox: Sandbox) -> Witness:
        """What that sandbox saw so far."""
        overrun = sum(window.most > window.limit for window in sandbox.counted)
        return cls(len(sandbox.ledger), len(sandbox.ledger.duplicates()), overrun)


class Capture(logging.Handler):
    """Keeps every record of our logger and of urllib3's, as any other handler would get it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record's line."""
        self.records.append(self.format(record))

    def count(self, text: str) -> int:
        """How often the text stands in the records."""
        return sum(record.count(text) for record in self.records)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let the loggers speak while it is open, and leave them as they were."""
        levels = {OUR_LOGGER: logging.DEBUG, THEIR_LOGGER: logging.DEBUG, QUIET_LOGGER: logging.ERROR}
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


@dataclass(frozen=True, slots=True)
class Result:
    """The whole demo.

    Attributes:
        blueprints: integration -> the blueprint it extends.
        witnesses: integration -> what its sandbox saw.
        records: every log record, a line each.
        keys_found: how often a user's key stands in the records or in the database's files.
    """

    blueprints: Mapping[str, str]
    outcomes: tuple[Outcome, ...]
    witnesses: Mapping[str, Witness]
    records: tuple[str, ...]
    seconds: float
    keys_found: int

    @property
    def names(self) -> tuple[str, ...]:
        """The headings of the table's columns."""
        return (*self.blueprints.values(), "together")

    def title(self) -> str:
        """One line above the table."""
        return f"{len(self.outcomes)} calls for two users in {self.seconds:.1f} seconds"

    def rows(self) -> list[tuple[Any, ...]]:
        """The table: a label, a number for each API, and their sum."""
        rows: list[tuple[Any, ...]] = []
        for label, count in self._counts().items():
            numbers = [count(name) for name in self.blueprints]
            rows.append((label, *numbers, round(sum(numbers), 1)))
        return rows

    def _counts(self) -> dict[str, Callable[[str], float]]:
        return {
            "calls": lambda name: len(self._of(name)),
            "answered": lambda name: sum(outcome.is_answered for outcome in self._of(name)),
            "POST not repeated, answer lost": lambda name: sum(
                outcome.is_refused for outcome in self._of(name)
            ),
            "ended otherwise": lambda name: len(self._wrong(name)),
            "attempts": lambda name: len(self._attempts(name)),
            "waits": lambda name: sum(attempt.waited > 0 for attempt in self._attempts(name)),
            "seconds waited, all threads": lambda name: round(
                sum(one.waited for one in self._attempts(name)), 1
            ),
            "429s": lambda name: self._status(name, TOO_MANY),
            "503s": lambda name: self._status(name, 503),
            "timeouts": lambda name: self._reason(name, "timeout"),
            "resets and broken answers": lambda name: (
                self._reason(name, "reset") + self._reason(name, "truncated")
            ),
            "received by the sandbox": lambda name: self.witnesses[name].received,
            "limits overrun": lambda name: self.witnesses[name].overrun,
            "duplicates": lambda name: self.witnesses[name].duplicates,
        }

    def complaints(self) -> list[str]:
        """What should not have happened; [] when all is well."""
        found = []
        for name in self.blueprints:
            witness = self.witnesses[name]
            if witness.duplicates:
                found.append(f"{name}: {witness.duplicates} requests were carried out twice")
            if witness.overrun:
                found.append(f"{name}: {witness.overrun} limits were overrun")
            found += [
                f"{name}: a {one.method} ended with {one.status or one.reason}, attempt {len(one.attempts)}"
                for one in self._wrong(name)
            ]
        if self.keys_found:
            found.append(f"keys were found {self.keys_found} times in log records or in the database")
        return found

    def chosen_records(self) -> list[str]:
        """Three records: a limit obeyed and a timeout (both with a masked key), and a POST not repeated."""
        key = f"={MASK} "
        chosen: list[str] = []
        for marks in ((key, "-> 429"), (key, "-> timeout"), (" POST ", "; fail by")):
            fitting = [record for record in self.records if all(mark in record for mark in marks)]
            spare = [record for record in self.records if record not in chosen]
            chosen += (fitting or spare)[:1]
        return chosen

    def as_json(self) -> dict[str, Any]:
        """The table and the records as plain values."""
        return {
            "seconds": round(self.seconds, 2),
            "counts": {label: dict(zip(self.names, numbers, strict=True)) for label, *numbers in self.rows()},
            "keys_found": self.keys_found,
            "records": self.chosen_records(),
            "complaints": self.complaints(),
        }

    def _of(self, name: str) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.integration == name]

    def _wrong(self, name: str) -> list[Outcome]:
        return [outcome for outcome in self._of(name) if not outcome.is_answered and not outcome.is_refused]

    def _attempts(self, name: str) -> list[Attempt]:
        return [attempt for outcome in self._of(name) for attempt in outcome.attempts]

    def _status(self, name: str, status: int) -> int:
        return sum(attempt.status == status for attempt in self._attempts(name))

    def _reason(self, name: str, *reasons: str) -> int:
        return sum(attempt.reason in reasons for attempt in self._attempts(name))

    def _waited(self, name: str) -> float:
        return round(sum(attempt.waited for attempt in self._attempts(name)), 1)
