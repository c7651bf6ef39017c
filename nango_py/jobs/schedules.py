"""Stored schedules, and the jobs that their ticks create: one for each tick, however many workers see it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from nango_py.connections.rows import from_microseconds
from nango_py.connections.sealed_columns import Sealed
from nango_py.errors import TamperError, printable
from nango_py.jobs import statements
from nango_py.jobs.job import NewJob
from nango_py.jobs.schedule import Rule
from nango_py.jobs.store import LOGGER, result_of
from nango_py.record import record

if TYPE_CHECKING:
    from datetime import datetime

    from nango_py.database.base import Run
    from nango_py.jobs.runner import Enqueue, Runner
    from nango_py.jobs.store import JobStore
    from nango_py.json_types import JsonValue


PAUSE, DAY = 3600 * 1_000_000, 86_400 * 1_000_000
"""Microseconds after which a schedule that cannot be used is tried again, and until the next tick if it is
checked whether the clock was ahead."""


@record
class Schedule:
    """A schedule as it was when it was read.

    Attributes:
        name: distinguishes the schedules of one handler and connection.
        rule: `every SECONDS` or `cron EXPRESSION`.
        next_at: the next tick.
    """

    id: str
    handler: str
    integration: str
    user_id: str
    name: str
    rule: str
    time_zone: str
    lane: str
    next_at: datetime


class ScheduleRow(NamedTuple):
    """A row of nango_schedules, with the columns in the order of the SQL statements."""

    id: str
    handler: str
    integration: str
    user_id: str
    name: str
    rule: str
    time_zone: str
    lane: str
    next_at: int
    created_at: int
    key_id: str
    payload: bytes

    def view(self) -> Schedule:
        """The public part."""
        return Schedule(*self[:8], from_microseconds(self.next_at))


class Schedules:
    """The schedules of a store. Safe to share between threads.

    Args:
        store: the jobs.
        max_attempts: of the jobs that ticks create.
    """

    def __init__(self, store: JobStore, max_attempts: int) -> None:
        self._store = store
        self._max_attempts = max_attempts

    def put(
        self, handler: str, identity: tuple[str, str], name: str, rule: Rule, payload: JsonValue, lane: str
    ) -> Schedule:
        """Store a schedule, or replace the one of that handler, connection and name.

        If the rule is the same, the next tick stays.
        """
        database, now = self._store.database, self._store.now()
        connection = self._store.connection_of(*identity)
        text = json.dumps({"payload": result_of(payload, "payload"), "connection": connection})
        row = ScheduleRow(
            os.urandom(12).hex(), handler, *identity, name, rule.text, rule.time_zone, lane,
            rule.next_tick(now, now), now, "", b"",
        )  # fmt: skip

        def work(run: Run) -> ScheduleRow:
            new, key = row, database.active_key
            for found in run(statements.FIND_SCHEDULE, row._asdict()):
                old = ScheduleRow._make(found)
                run(statements.DELETE_SCHEDULE, {"id": old.id})
                if (old.rule, old.time_zone) == (new.rule, new.time_zone):
                    new = new._replace(next_at=old.next_at, created_at=old.created_at)
                new = new._replace(id=old.id)
            sealed = _identity(new).seal(key, "payload", text)
            new = new._replace(key_id=key.id, payload=sealed)
            run(statements.PUT_SCHEDULE, new._asdict())
            return new

        return database.write(work).view()

    def all(self) -> list[Schedule]:
        """All schedules."""
        rows = self._store.database.read(statements.ALL_SCHEDULES, {})
        return [ScheduleRow._make(row).view() for row in rows]

    def remove(self, schedule_id: str) -> bool:
        """Delete a schedule; its jobs stay. False if it does not exist."""
        parameters = {"id": schedule_id}
        return bool(self._store.database.write(lambda run: run(statements.DELETE_SCHEDULE, parameters)))

    def tick(self, runner: Runner) -> int:
        """Create the jobs of the ticks that are due; returns how many.

        Of ticks that were missed, one creates a job. A tick whose last job still waits creates none.
        """
        now = self._store.now()
        rows = self._store.database.read(statements.DUE_SCHEDULES, {"now": now})
        return sum(self._tick_one(ScheduleRow._make(row), now, runner) for row in rows)

    def correct(self) -> None:
        """Let schedules tick again whose next tick was chosen while the clock was ahead."""
        now = self._store.now()
        for found in self._store.database.read(statements.FAR_SCHEDULES, {"after": now + DAY}):
            row = ScheduleRow._make(found)
            with suppress(ArithmeticError, LookupError, OSError, TypeError, ValueError):
                next_at = Rule(row.rule, row.time_zone).next_tick(now, row.created_at)
                if next_at < row.next_at:
                    self._move(row, next_at)

    def _move(self, row: ScheduleRow, next_at: int) -> None:
        """Set the next tick of a schedule, unless it has changed since it was read."""
        changes = {"id": row.id, "next_at": next_at, "seen": row.next_at}
        self._store.database.write(lambda run: run(statements.TAKE_TICK, changes))

    def _tick_one(self, row: ScheduleRow, now: int, runner: Runner) -> bool:
        rule = Rule(row.rule, row.time_zone)

        def work(run: Run, enqueue: Enqueue) -> bool:
            next_at = rule.next_tick(now, row.created_at)
            if not run(statements.TAKE_TICK, {"id": row.id, "next_at": next_at, "seen": row.next_at}):
                return False  # another scheduler was first
            job = self._job(row)
            connection = self._store.connection_of(row.integration, row.user_id, run)
            if connection == "" or job.connection not in {None, connection}:
                run(statements.DELETE_SCHEDULE, {"id": row.id})
                LOGGER.info("%s %s: its connection was deleted, and so was its schedule", *row[1:3])
                return False
            if run(statements.HAS_WAITING, {"id": row.id}):
                return False
            stored, is_new = self._store.insert(job, run)
            if is_new:
                enqueue(stored)
            return is_new

        try:
            return runner.write(work)
        except TamperError as error:
            what = str(error)
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            # Not only altered rows: a time zone may be unknown on this machine.
            what = f"the stored schedule {printable(row.id)} cannot be used: {type(error).__name__}"
        LOGGER.error("%s", what)
        # It is tried again later, so that it neither fills the log nor takes the place of others.
        self._move(row, now + PAUSE)
        return False

    def _job(self, row: ScheduleRow) -> NewJob:
        key = self._store.database.keyring.find_or_reload(row.key_id)
        text = None if key is None else _identity(row).open(key, "payload", row.payload)
        if text is None:
            raise TamperError(f"the stored schedule {row.id} was altered; it was not used")
        content = json.loads(text)
        return NewJob(
            row.handler, content["payload"], row.integration, row.user_id,
            f"tick {row.id} {row.next_at}", None, row.lane, max_attempts=self._max_attempts,
            schedule_id=row.id, connection=content.get("connection"),
        )  # fmt: skip


def _identity(row: ScheduleRow) -> Sealed:
    return Sealed(row.id, row.handler, row.integration, row.user_id)
