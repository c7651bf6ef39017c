"""The table of jobs: what waits, what runs and how jobs ended. Payloads, results and logs are sealed."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.connections.rows import from_microseconds
from nango_py.connections.sealed_columns import Sealed
from nango_py.connections.validation import value_to_json
from nango_py.database.base import DuplicateRowError
from nango_py.errors import StorageError, TamperError, printable
from nango_py.jobs import statements
from nango_py.jobs.job import CANCELLED, DEAD, FAILED, WAITING, Job
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nango_py.connections.store import ConnectionStore
    from nango_py.database.base import Parameters, Rows, Run
    from nango_py.jobs.job import NewJob
    from nango_py.json_types import JsonObject, JsonValue

ATTEMPTS = 10
"""How often a claim is repeated if other workers start a job of the same connection at the same moment."""

CLOCKS_DIFFER = 60 * 1_000_000
"""Microseconds by which the clocks of machines may differ."""

LOGGER = logging.getLogger("nango_py.jobs")

_numbers = itertools.count()


class JobRow(NamedTuple):
    """A row of nango_jobs, with the columns in the order of the SQL statements."""

    id: str
    handler: str
    integration: str
    user_id: str
    lane: str
    lock_name: str
    key_hash: str
    schedule_id: str
    status: str
    attempts: int
    max_attempts: int
    run_at: int
    created_at: int
    changed_at: int
    owner: str
    ends_at: int
    is_held: int
    is_cancelled: int
    turn: int
    key_id: str
    payload: bytes
    state: bytes

    @property
    def identity(self) -> Sealed:
        """What its sealed columns are bound to."""
        return Sealed(self.id, self.handler, self.integration, self.user_id)


class JobLease(NamedTuple):
    """The lease of a running job, as it was read. Extending it changes `ends_at`."""

    id: str
    owner: str
    ends_at: int


@record
class Claimed:
    """A job that this process runs now.

    Attributes:
        content: the decrypted payload and idempotency key.
        state: the decrypted checkpoint, log, result and error.
    """

    row: JobRow
    content: JsonObject = field(repr=False)
    state: JsonObject = field(repr=False)

    @property
    def key(self) -> str:
        """The idempotency key of its calls."""
        return str(self.content["key"] or self.row.id)


@record
class Finished:
    """How an attempt ended.

    Attributes:
        run_at: for a job that waits again, when it may start, in microseconds.
        is_counted: whether the attempt counts.
        is_held: whether later jobs of its connection wait behind it.
        state: the new checkpoint, log, result and error.
    """

    claimed: Claimed
    status: str
    state: JsonObject = field(repr=False)
    run_at: int = 0
    is_counted: bool = True
    is_held: bool = False


class JobStore:
    """The jobs of a connection store. Safe to share between threads.

    Args:
        get_store: returns the store; another one after it was closed.
    """

    def __init__(self, get_store: Callable[[], ConnectionStore]) -> None:
        self._get_store = get_store

    @property
    def database(self) -> ConnectionStore:
        """The store whose database holds the jobs."""
        return self._get_store()

    def now(self) -> int:
        """The current time in microseconds."""
        return self.database.microseconds()

    def connection_of(
        self, integration: str, user_id: str, read: Callable[[str, Parameters], Rows] | None = None
    ) -> str | None:
        """The id of a connection, "" if it does not exist; None without a user.

        Args:
            integration: of the connection.
            user_id: of the connection.
            read: runs the statement; by default outside of a transaction.
        """
        if not user_id:
            return None
        parameters = {"integration": integration, "user_id": user_id}
        rows = (read or self.database.read)(statements.CONNECTION, parameters)
        return str(rows[0][0]) if rows else ""

    def insert(self, job: NewJob, run: Run) -> tuple[JobRow, bool]:
        """Store a job within a transaction; the existing one if there is one with its key.

        Returns:
            The row, and whether it is new.
        """
        row, content = self._new_row(job)
        sealed = self._seal_row(row, content, {})
        if run(statements.INSERT, sealed):
            return JobRow(**sealed), True
        rows = run(statements.BY_KEY, row._asdict())
        if not rows:
            raise StorageError("a job could not be stored; nothing was enqueued")
        return JobRow._make(rows[0]), False

    def _new_row(self, job: NewJob) -> tuple[JobRow, JsonObject]:
        value_to_json(job.key, "idempotency_key")
        payload = result_of(job.payload, "payload")
        content: JsonObject = {"payload": payload, "key": job.key, "connection": job.connection}
        now = self.now()
        run_at = now if job.at is None else max(now, int(job.at * 1_000_000))
        scoped = f"{job.scope}\0{job.key}" if job.scope else job.key
        key_hash = hashlib.sha256(scoped.encode("utf-8", "surrogatepass")).hexdigest() if job.key else ""
        row = JobRow(
            _new_id(now), job.handler, job.integration, job.user_id, job.lane, job.lock, key_hash,
            job.schedule_id, WAITING, 0, job.max_attempts, run_at, now, now, "", 0, 0, 0, 0, "", b"", b"",
        )  # fmt: skip
        return row, content

    def _seal_row(self, row: JobRow, content: JsonObject, state: JsonObject) -> dict[str, Any]:
        key = self.database.active_key
        return {
            **row._asdict(),
            "key_id": key.id,
            "payload": row.identity.seal(key, "payload", json.dumps(content)),
            "state": row.identity.seal(key, "state", json.dumps(state)),
        }

    def exchange(
        self, finished: Finished | None, owner: str, lanes: Iterable[str], lease_seconds: float
    ) -> tuple[bool, Claimed | None]:
        """Store how an attempt ended and start the next job, in one transaction.

        Returns:
            Whether the end was stored (False if the job had been given to another worker), and the next job
            of the lanes that is due, if there is one.
        """
        lanes, is_stored = tuple(lanes), finished is None

        def work(run: Run) -> tuple[bool, JobRow | None]:
            is_stored = finished is not None and self._finish(run, finished)
            return is_stored, self._claim(run, owner, lanes, lease_seconds)

        for _ in range(ATTEMPTS):
            try:
                was_stored, row = self.database.write(work)
            except DuplicateRowError:
                continue  # another worker started a job with the same lock
            is_stored, finished = is_stored or was_stored, None
            claimed = None if row is None else self._open_started(row)
            if row is None or claimed is not None:
                return is_stored, claimed
        return is_stored if finished is None else self.finish(finished), None

    def _claim(self, run: Run, owner: str, lanes: tuple[str, ...], seconds: float) -> JobRow | None:
        parameters = {"owner": owner, "now": self.now(), **self._lease(seconds)}
        for lane in lanes:
            in_lane = {**parameters, "lane": lane}
            rows = run(statements.CLAIM, in_lane)
            if not rows and run(statements.HAS_MORE_DUE, in_lane):
                rows = run(statements.CLAIM_OF_LOCKS, in_lane)
            if rows:
                return JobRow._make(rows[0])
        return None

    def start(self, job_id: str, turn: int, owner: str, lease_seconds: float) -> Claimed | None:
        """Start a job that Procrastinate has chosen; None if it has ended, or was enqueued again since."""
        parameters = {
            "id": job_id, "turn": turn, "owner": owner, "now": self.now(), **self._lease(lease_seconds),
        }  # fmt: skip

        def work(run: Run) -> Rows:
            run(statements.WITHOUT_FSYNC)
            return run(statements.START, parameters)

        rows = self.database.write(work)
        return self._open_started(JobRow._make(rows[0])) if rows else None

    def _open_started(self, row: JobRow) -> Claimed | None:
        """The content of a job that was started; one that was altered fails instead."""
        try:
            return self.open(row)
        except TamperError as error:
            LOGGER.error("%s", error)  # noqa: TRY400 - the frames hold keys
        changes = {"id": row.id, "owner": row.owner, "new_status": FAILED, "now": self.now()}
        self.database.write(lambda run: run(statements.PUT_BACK, changes))
        return None

    def finish(self, finished: Finished) -> bool:
        """Store how an attempt ended; False if the job had been given to another worker."""
        return self.database.write(lambda run: self._finish(run, finished))

    def _finish(self, run: Run, finished: Finished) -> bool:
        row, now = finished.claimed.row, self.now()
        sealed = self._seal_row(row, finished.claimed.content, finished.state)
        changes = {
            "new_status": finished.status,
            "new_attempts": row.attempts if finished.is_counted else row.attempts - 1,
            "run_at": finished.run_at or row.run_at,
            "is_held": int(finished.is_held),
            "now": now,
        }
        return bool(run(statements.FINISH, {**sealed, **changes}))

    def save(self, claimed: Claimed, state: JsonObject) -> bool:
        """Store a checkpoint; False if the job had been given to another worker."""
        result_of(state, "checkpoint")

        def work(run: Run) -> bool:
            return bool(run(statements.SAVE, self._seal_row(claimed.row, claimed.content, state)))

        return self.database.write(work)

    def is_cancelled(self, claimed: Claimed) -> bool:
        """Whether a running job should end: it was cancelled, or given to another worker."""
        rows = self.database.read(statements.IS_CANCELLED, claimed.row._asdict())
        return not rows or bool(rows[0][0])

    def open(self, row: JobRow) -> Claimed:
        """The decrypted content of a row.

        Raises:
            TamperError: the row was altered, or sealed with a key that this process does not have.
        """
        key = self.database.keyring.find_or_reload(row.key_id)
        texts = [
            None if key is None else row.identity.open(key, column, value)
            for column, value in (("payload", row.payload), ("state", row.state))
        ]
        numbers = (*row[9:14], *row[15:19])
        if texts[0] is None or texts[1] is None or not all(isinstance(number, int) for number in numbers):
            raise TamperError(
                f'the stored job {printable(str(row.id))} of user "{printable(str(row.user_id))}" was '
                "altered, or sealed with a key that this process does not have; it was not used"
            )
        return Claimed(row, json.loads(texts[0]), json.loads(texts[1]))

    def row(self, job_id: str) -> JobRow | None:
        """The row of a job, with its content sealed; None if it does not exist."""
        rows = self.database.read(statements.BY_ID, {"id": job_id})
        return JobRow._make(rows[0]) if rows else None

    def take_back(self, job_id: str, run: Run) -> JobRow | None:
        """Let a job that has not ended wait in a new place of its queue, within a transaction."""
        rows = run(statements.TAKE_BACK, {"id": job_id, "now": self.now()})
        return JobRow._make(rows[0]) if rows else None

    def get(self, job_id: str) -> Job | None:
        """A job; None if it does not exist, or ended long ago."""
        row = self.row(job_id)
        return None if row is None else to_job(self.open(row))

    def page(
        self,
        status: str = "",
        integration: str = "",
        user_id: str = "",
        before: str = "",
        limit: int = 100,
    ) -> list[Job]:
        """Jobs, the newest first.

        Args:
            status: only jobs of this status.
            integration: only its jobs.
            user_id: only this user's jobs.
            before: only jobs that are older than the one of this id.
            limit: how many at most.
        """
        parameters: dict[str, object] = {"status": status, "integration": integration, "user_id": user_id}
        parameters |= {"before": before, "limit": limit}
        rows = self.database.read(statements.PAGE, parameters)
        return [self._open_for_list(JobRow._make(row)) for row in rows]

    def _open_for_list(self, row: JobRow) -> Job:
        """A job for a list, which one altered row must not end."""
        try:
            return to_job(self.open(row))
        except TamperError as error:
            LOGGER.error("%s", error)  # noqa: TRY400 - the frames hold keys
            return _altered_job(row, str(error))

    def count(self) -> dict[str, int]:
        """The number of jobs of each status that has any."""
        return {status: int(number) for status, number in self.database.read(statements.COUNT, {})}

    def warn_of_lanes(self, known: Iterable[str]) -> None:
        """Log in which lanes jobs wait that the configuration does not declare."""
        lanes = {str(lane) for (lane,) in self.database.read(statements.LANES, {})} - {*known}
        if lanes:
            names = ", ".join(map(printable, sorted(lanes)))
            LOGGER.warning("jobs wait in lanes that config.jobs.lanes does not declare: %s", names)

    def next_due(self, lanes: Iterable[str], after: int = -1) -> int | None:
        """When the next waiting job of the lanes may start, in microseconds; None if none waits.

        Args:
            lanes: the lanes.
            after: leaves out jobs that were due by this time.
        """
        parameters = [{"lane": lane, "after": after} for lane in lanes]
        times = [row[0] for each in parameters for row in self.database.read(statements.NEXT_DUE, each)]
        return min((time for time in times if time is not None), default=None)

    def _lease(self, seconds: float) -> dict[str, int]:
        return {"server_now": self.database.lease_time(), "length": int(seconds * 1_000_000)}

    def extend(self, owners: Iterable[str], seconds: float) -> None:
        """Let the leases of the owners' running jobs end after `seconds` from now."""
        owners, lease = tuple(owners), self._lease(seconds)

        def work(run: Run) -> None:
            for owner in owners:
                run(statements.EXTEND, {"owner": owner, **lease})

        if owners:
            self.database.write(work)

    def leases(self, longest: float) -> dict[JobLease, bool]:
        """The leases of running jobs, and whether each has ended by the clock that all workers share.

        Args:
            longest: seconds; a lease that seems longer was given before the machine was started.
        """
        rows = self.database.read(statements.RUNNING, self._lease(longest))
        return {JobLease(*row[:3]): bool(row[3]) for row in rows}

    def put_back(self, lost: JobLease) -> bool:
        """Put back a job whose worker died, or mark it dead after its last attempt.

        Returns False if its lease was extended.
        """

        def work(run: Run) -> bool:
            rows = run(statements.BY_ID_FOR_UPDATE, {"id": lost.id})
            row = JobRow._make(rows[0]) if rows else None
            if row is None or row.ends_at != lost.ends_at:
                return False
            status = status_after_loss(row)
            changes = {"id": lost.id, "owner": lost.owner, "new_status": status, "now": self.now()}
            return bool(run(statements.PUT_BACK, changes))

        return self.database.write(work)

    def cancel(self, job_id: str) -> str:
        """Cancel a job that waits, or ask the handler of one that runs to end; its status then, or ""."""
        parameters = {"id": job_id, "now": self.now()}
        rows = self.database.write(lambda run: run(statements.CANCEL, parameters))
        return str(rows[0][0]) if rows else ""

    def retry(self, job_id: str, run: Run) -> JobRow | None:
        """Let a failed, dead or cancelled job wait again, within a transaction; None for other jobs."""
        rows = run(statements.RETRY, {"id": job_id, "now": self.now()})
        return JobRow._make(rows[0]) if rows else None

    def correct(self) -> None:
        """Let jobs start that were stored, or put back, while the clock was ahead."""
        parameters = {"now": self.now(), "latest": self.now() + CLOCKS_DIFFER}
        self.database.write(lambda run: run(statements.CORRECT, parameters))

    def delete_ended(self, before: int) -> None:
        """Delete jobs that ended before this time in microseconds."""
        self.database.write(lambda run: run(statements.DELETE_ENDED, {"before": before}))


def status_after_loss(row: JobRow) -> str:
    """The status of a job whose worker died while it ran."""
    if row.is_cancelled:
        return CANCELLED
    return DEAD if row.attempts >= row.max_attempts else WAITING


def to_job(claimed: Claimed) -> Job:
    """The job of a row."""
    row, state = claimed.row, claimed.state
    error = state.get("error") or ""
    if row.status == DEAD and not error:
        error = f"its worker died in each of {row.attempts} attempts"
    log = state.get("log")
    return Job(
        row.id, row.handler, row.integration, row.user_id, claimed.content["payload"], claimed.key, row.lane,
        row.status, row.attempts, row.max_attempts, from_microseconds(row.created_at),
        from_microseconds(row.run_at), from_microseconds(row.changed_at), state.get("result"), str(error),
        tuple(map(str, log)) if isinstance(log, list) else (),
    )  # fmt: skip


def _altered_job(row: JobRow, error: str) -> Job:
    """What can be said of a job that was altered: nothing that is sealed."""
    handler, integration, user_id, lane, status = map(str, (*row[1:5], row.status))
    never = from_microseconds(0)
    return Job(
        str(row.id), handler, integration, user_id, None, "", lane, status, 0, 0, never, never, never,
        None, error,
    )  # fmt: skip


def _new_id(now: int) -> str:
    """A unique id. Ids of one process are in order of creation."""
    return f"{now:014x}{next(_numbers) & 0xFFFF:04x}{os.urandom(5).hex()}"


class UnstorableError(StorageError):
    """A result or a checkpoint is not JSON, or too large. Another attempt would meet it again."""

    is_retryable = False


def result_of(value: object, name: str = "the result") -> JsonValue:
    """A copy of a JSON value, as it is read back.

    Raises:
        UnstorableError: it is not one, or too large.
    """
    problem = ""
    try:
        copied: JsonValue = json.loads(value_to_json(value, name).reveal())
    except (StorageError, ValueError, RecursionError) as error:  # an integer with thousands of digits
        problem = str(error) if isinstance(error, StorageError) else f"{name} cannot be stored"
    else:
        return copied
    raise UnstorableError(problem)


def copy_json(value: JsonValue) -> JsonValue:
    """A copy of a JSON value."""
    copied: JsonValue = json.loads(json.dumps(value))
    return copied
