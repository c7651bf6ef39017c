"""The jobs of a Nango: enqueue, list, cancel and retry them, and run them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nango_py.argument_types import check_type
from nango_py.connections.validation import check_identity
from nango_py.errors import JobNotFound, NangoError, unknown_name
from nango_py.jobs.job import DEFAULT_LANE, STATUSES, JobSettings, NewJob
from nango_py.jobs.schedule import check_cron, check_interval
from nango_py.jobs.schedules import Schedules
from nango_py.jobs.store import JobStore
from nango_py.jobs.work import Registered, Work
from nango_py.secret import mask_rare, reveal, secret_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.database.base import Run
    from nango_py.jobs.context import Handler
    from nango_py.jobs.job import Job
    from nango_py.jobs.runner import Enqueue, Runner
    from nango_py.jobs.schedules import Schedule
    from nango_py.json_types import JsonValue
    from nango_py.services import Services

MAX_KEY_BYTES = 255
MOST_ATTEMPTS = 1000
LATEST = 253_402_300_799.0
"""The end of the year 9999 in unix seconds."""

STOP_SECONDS = 30.0
"""How long `stop` waits for the jobs that run."""


class Jobs:
    """Work that runs later, on a schedule or on other machines. Safe to share between threads.

    A handler is a function of a `HandlerContext` that returns a JSON value. Jobs are stored with the
    connections, and run by the runner of `config.jobs`.

    Attributes:
        settings: those of `config.jobs`.
        work: runs single attempts.
        runner: runs the jobs.
    """

    settings: JobSettings
    work: Work
    runner: Runner

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers: dict[str, Registered] = {}
        self._store = JobStore(lambda: services.store)
        self.use_settings(JobSettings.from_settings(services.configuration.config.jobs))

    def use_settings(self, settings: JobSettings) -> None:
        """Run jobs by other settings than those of `config.jobs`; nothing may run yet."""
        self.settings = settings
        self._schedules = Schedules(self._store, settings.max_attempts)
        self.work = Work(self._store, self._handlers, settings, self._services.clock, self._masker)
        self.runner = self._make_runner()

    def _make_runner(self) -> Runner:
        if self.settings.runner == "procrastinate":
            from nango_py.jobs.procrastinate_runner import ProcrastinateRunner

            return ProcrastinateRunner(self.work, self._schedules, self._services.database_url)
        from nango_py.jobs.local import InlineRunner, ThreadRunner

        kind = InlineRunner if self.settings.runner == "inline" else ThreadRunner
        return kind(self.work, self._schedules)

    def register(self, handler: str, function: Handler, *, timeout_seconds: float | None = None) -> None:
        """Run jobs of a handler by this function, in this process.

        Args:
            handler: its name.
            function: of a `HandlerContext`; it returns a JSON value, or is a coroutine function. It may run
                twice for one job, if its worker dies in between.
            timeout_seconds: when an attempt should have ended: `context.deadline`.
        """
        self._handlers[handler] = Registered(function, timeout_seconds)

    def enqueue(
        self,
        handler: str,
        payload: JsonValue = None,
        *,
        integration: str = "",
        user_id: str = "",
        idempotency_key: str | None = None,
        at: float | None = None,
        lane: str = DEFAULT_LANE,
        is_alone: bool = True,
        max_attempts: int | None = None,
        scope: str = "",
    ) -> Job:
        """Store a job, and return it. It runs as soon as a worker is free.

        Args:
            handler: the name of its handler, which the workers know.
            payload: what the handler gets: a JSON value of at most 1 MiB.
            integration: of the connection that it works for.
            user_id: of that connection.
            idempotency_key: the same key never creates a second job of this handler and connection; the
                existing one is returned. By default every call creates one. The handler's calls send the key.
            at: unix seconds before which it does not start.
            lane: of `config.jobs.lanes`.
            is_alone: whether no other job of its connection runs at the same time.
            max_attempts: by default that of `config.jobs`.
            scope: the same idempotency key in another scope is another key.

        Raises:
            ValueError: the lane is unknown, the key is too long, or a number is out of range.
            StorageError: the payload cannot be stored, or the database failed; nothing was enqueued.
        """
        self._check_lane(lane)
        _check_handler(handler)
        if at is not None:
            check_type("at", at, (int, float), "the unix time in seconds")
            if not abs(at) <= LATEST:
                raise ValueError("at= is the unix time in seconds at which the job may start")
        key = idempotency_key or ""
        check_type("idempotency_key", key, str, "text")
        if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
            raise ValueError(f"an idempotency key has at most {MAX_KEY_BYTES} bytes")
        if integration or user_id:
            check_identity(integration, user_id)
        connection = self._store.connection_of(integration, user_id)
        attempts = self.settings.max_attempts if max_attempts is None else max_attempts
        if not (isinstance(attempts, int) and 1 <= attempts <= MOST_ATTEMPTS):
            raise ValueError(f"max_attempts is a number from 1 to {MOST_ATTEMPTS}")
        new = NewJob(
            handler, payload, integration, user_id, key, at, lane, is_alone, attempts, scope=scope,
            connection=connection,
        )  # fmt: skip

        def work(run: Run, enqueue: Enqueue) -> str:
            row, is_new = self._store.insert(new, run)
            if is_new:
                enqueue(row)
            return row.id

        return self.get(self.runner.write(work))

    def get(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            JobNotFound: no job has that id.
        """
        job = self._store.get(_check_id(job_id))
        if job is None:
            raise JobNotFound(job_id)
        return job

    def find(
        self, *, status: str = "", integration: str = "", user_id: str = "", limit: int | None = None
    ) -> Iterator[Job]:
        """Jobs, the newest first, read 100 at a time.

        A job that was altered in the database has no payload and no times, and its `error` says so.

        Args:
            status: only jobs of this status.
            integration: only jobs of its connections.
            user_id: only jobs of this user's connections.
            limit: how many at most.

        Raises:
            ValueError: the status does not exist.
            StorageError: no connection can have these names.
        """
        if status and status not in STATUSES:
            raise ValueError(unknown_name("status", status, STATUSES))
        check_identity(integration or "any", user_id or "any")
        before, left = "", limit
        while left is None or left > 0:
            size = 100 if left is None else min(left, 100)
            found = self._store.page(
                status=status, integration=integration, user_id=user_id, before=before, limit=size
            )
            yield from found
            if len(found) < size:
                return
            before, left = found[-1].id, None if left is None else left - size

    def count(self) -> dict[str, int]:
        """The number of jobs of each status that has any."""
        return self._store.count()

    def cancel(self, job_id: str) -> Job:
        """Cancel a job. One that runs ends when its handler looks at `context.cancelled`.

        Raises:
            JobNotFound: no job has that id.
        """
        self._store.cancel(_check_id(job_id))
        return self.get(job_id)

    def retry(self, job_id: str) -> Job:
        """Run a failed, dead or cancelled job again, with all its attempts; others are left alone.

        Raises:
            JobNotFound: no job has that id.
        """

        def work(run: Run, enqueue: Enqueue) -> None:
            row = self._store.retry(_check_id(job_id), run)
            if row is not None:
                enqueue(row)

        self.runner.write(work)
        return self.get(job_id)

    def every(
        self, seconds: float, handler: str, payload: JsonValue = None, *, integration: str = "",
        user_id: str = "", name: str = "", lane: str = DEFAULT_LANE,
    ) -> Schedule:  # fmt: skip
        """Enqueue a job at an interval, first after one interval; see `cron`.

        Raises:
            ValueError: the interval is shorter than a second, or the lane is unknown.
        """
        self._check_schedule(handler, integration, user_id, name, lane)
        rule = check_interval(seconds)
        return self._schedules.put(handler, (integration, user_id), name, rule, payload, lane)

    def cron(
        self, expression: str, handler: str, payload: JsonValue = None, *, time_zone: str = "UTC",
        integration: str = "", user_id: str = "", name: str = "", lane: str = DEFAULT_LANE,
    ) -> Schedule:  # fmt: skip
        """Enqueue a job by a cron expression. The schedule is stored, and ends with its connection.

        Args:
            expression: five fields, such as `0 7 * * MON-FRI`.
            handler: the name of the handler.
            payload: what it gets.
            time_zone: an IANA name.
            integration: of the connection.
            user_id: of the connection.
            name: distinguishes schedules of one handler and connection; the same name replaces one.
            lane: of the jobs.

        Raises:
            ValueError: the expression, the time zone or the lane is wrong.
        """
        self._check_schedule(handler, integration, user_id, name, lane)
        rule = check_cron(expression, time_zone)
        return self._schedules.put(handler, (integration, user_id), name, rule, payload, lane)

    def _check_schedule(self, handler: str, integration: str, user_id: str, name: str, lane: str) -> None:
        self._check_lane(lane)
        _check_handler(handler)
        _check_label("schedule", name)
        if integration or user_id:
            check_identity(integration, user_id)

    def schedules(self) -> list[Schedule]:
        """All schedules."""
        return self._schedules.all()

    def remove_schedule(self, schedule_id: str) -> bool:
        """Delete a schedule; its jobs stay. False if it does not exist."""
        return is_id(schedule_id) and self._schedules.remove(schedule_id)

    def start(self) -> None:
        """Run jobs in threads of this process until `stop`."""
        self.runner.start()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Start no more jobs, and wait for those that run; whether all of them ended in time.

        The jobs of a process that ends earlier are given to other workers.
        """
        return self.runner.stop(seconds)

    def run_due(self) -> int:
        """Run the jobs that are due now in this thread, one after the other, and return how many."""
        return self.runner.run_due()

    def _check_lane(self, lane: str) -> None:
        check_type("lane", lane, str, "text")
        if lane not in self.settings.lane_names:
            raise ValueError(unknown_name("lane", lane, self.settings.lane_names))

    def _masker(self, integration: str, user_id: str) -> Callable[[str], str]:
        """A function that masks the credentials of a connection, and of the app, in what handlers write."""
        secrets: list[str] = []
        if integration and user_id:
            with contextlib.suppress(NangoError):
                declared = self._services.integration(integration)
                names, app = declared.secret_names, reveal(declared.app_variables)
                secrets += [str(value) for name, value in app.items() if name in names]
                credentials = self._services.store.get(integration, user_id).credentials
                secrets += secret_leaves(reveal(credentials), names)
        return lambda text: mask_rare(text, secrets)


def is_id(text: str) -> bool:
    """Whether a text can be the id of a job or a schedule."""
    check_type("the id", text, str, "text")
    return text.isascii() and text.isalnum()


def _check_id(job_id: str) -> str:
    if not is_id(job_id):
        raise JobNotFound(job_id)
    return job_id


def _check_handler(name: str) -> None:
    _check_label("handler", name)
    if not name:
        raise ValueError(f"the name of a handler has 1 to {MAX_KEY_BYTES} printable characters")


def _check_label(what: str, name: str) -> None:
    check_type(what, name, str, "text")
    if len(name) > MAX_KEY_BYTES or not name.isprintable():
        raise ValueError(f"the name of a {what} has at most {MAX_KEY_BYTES} printable characters")
