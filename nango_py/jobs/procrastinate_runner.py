"""Jobs on many machines, by Procrastinate on PostgreSQL; the only owner of `procrastinate`. Extra `worker`.

Procrastinate decides which job runs where and when: by its locks, priorities, heartbeats and periodic tasks.
Its rows hold only the id of a job, whose sealed content is in the table of jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import procrastinate
from procrastinate import retry
from procrastinate.worker import Worker

from nango_py.database.base import DuplicateRowError
from nango_py.errors import NangoError, StorageError
from nango_py.forks import forget_in_children
from nango_py.jobs.job import RUNNING, WAITING, slot_lanes
from nango_py.jobs.local import DAY, LEASE_SECONDS, POLL_SECONDS
from nango_py.jobs.store import LOGGER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from procrastinate.jobs import Job as QueuedJob

    from nango_py.database.base import Run
    from nango_py.jobs.runner import Enqueue, Result
    from nango_py.jobs.schedules import Schedules
    from nango_py.jobs.store import Finished, JobRow, JobStore
    from nango_py.jobs.work import Work
    from nango_py.secret import Secret

QUEUE = "nango_"
"""The beginning of the name of each lane's queue."""

UPKEEP_QUEUE, UPKEEP_PRIORITY = "nango_upkeep", 1000
TASK, TICKS, RESCUE = "nango_job", "nango_ticks", "nango_rescue"

HEARTBEAT_SECONDS, DEAD_SECONDS = 5.0, 20.0
"""Seconds between two heartbeats of a worker, and without one until its jobs are given to others."""

EVERY_5_SECONDS = "* * * * * */5"
"""How often ticks of schedules, and jobs of dead workers, are looked for; the last field is seconds."""

OWNER = "procrastinate"
"""The owner of running jobs in the table: Procrastinate knows which worker it is."""


LOST_SECONDS = 60.0
WITHOUT_PLACE = """
SELECT id FROM nango_jobs
WHERE status IN ('running', 'waiting') AND changed_at < :before AND run_at < :before
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE args->>'job_id' = nango_jobs.id)
"""
HAS_PLACE = """
SELECT 1 FROM procrastinate_jobs
WHERE id = %(job_id)s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %(worker_id)s
"""


class _AgainError(Exception):
    """Ends an attempt whose job is to run again, with the time and the lock."""

    def __init__(self, when: datetime, lock: str | None) -> None:
        super().__init__("the job runs again later")
        self.decision = retry.RetryDecision(retry_at=when, lock=lock)


class _OwnPlaces(procrastinate.manager.JobManager):
    """Changes the place of a job only for the worker that has it.

    A worker that was suspended, or that a busy machine kept from its heartbeats, may finish after its job was
    given to another one, and would remove the place of that one.
    """

    async def finish_job(self, job: QueuedJob, status: Any, delete_job: bool) -> None:  # noqa: FBT001
        """End a job."""
        if await self._has(job):
            await super().finish_job(job, status, delete_job)

    async def retry_job(self, job: QueuedJob, *arguments: Any, **options: Any) -> None:
        """Let a job run again."""
        if await self._has(job):
            await super().retry_job(job, *arguments, **options)

    async def _has(self, job: QueuedJob) -> bool:
        rows = await self.connector.execute_query_all_async(HAS_PLACE, job_id=job.id, worker_id=job.worker_id)
        return bool(rows)


class _Again(retry.BaseRetryStrategy):
    """Retries jobs when the table of jobs says so, and no others."""

    def get_retry_decision(self, *, exception: BaseException, job: QueuedJob) -> retry.RetryDecision | None:
        return exception.decision if isinstance(exception, _AgainError) else None


class ProcrastinateRunner:
    """Runs jobs by Procrastinate.

    Args:
        work: runs attempts.
        schedules: whose ticks create jobs.
        database_url: of the database of connections, a PostgreSQL.
    """

    def __init__(self, work: Work, schedules: Schedules, database_url: Secret) -> None:
        self.work = work
        self.schedules = schedules
        self._url = database_url
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self.dead_seconds = DEAD_SECONDS
        names = work.settings.lane_names
        self._priorities = {name: 10 * (len(names) - number) for number, name in enumerate(names)}
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`."""
        self._lock = threading.Lock()
        self._has_schema = False
        self._next_search = 0.0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._app = self._make_app()
        # The one of the worker takes part in no transaction of a caller: its connections are asynchronous.
        connector = procrastinate.SyncPsycopgConnector(conninfo=self._url.reveal())
        self._queue = procrastinate.App(connector=connector)

    def write(self, work: Callable[[Run, Enqueue], Result]) -> Result:
        """See `Runner`."""
        self._ensure_schema()

        def enqueue_all(run: Run, server: Any) -> Result:
            return work(run, functools.partial(self._defer, server))

        return self.work.store.database.write_with_server(enqueue_all)

    def _defer(self, server: Any, row: JobRow) -> None:
        now = self.work.store.now()
        is_later = row.run_at > now
        # A later job waits without its lock: Procrastinate would let it block the jobs behind it until then.
        deferrer = self._queue.configure_task(
            TASK,
            queue=QUEUE + row.lane,
            priority=self._priorities.get(row.lane, 0),
            lock=None if is_later else row.lock_name or None,
            schedule_at=_datetime(row.run_at) if is_later else None,
            connection=server,
        )
        try:
            deferrer.defer(job_id=row.id, turn=row.turn, lock=row.lock_name)
        except procrastinate.exceptions.ConnectorException as error:
            cause = error.__cause__ or error
        else:
            return
        raise cause  # the driver's error, which says whether the transaction can be repeated

    def _ensure_schema(self) -> None:
        """Create Procrastinate's tables if they do not exist."""
        with self._lock:
            if self._has_schema:
                return
            database = self.work.store.database
            if not database.is_shared:
                raise StorageError(
                    "the runner procrastinate needs PostgreSQL; set config.database_url to postgresql://..."
                )
            if database.read("SELECT to_regclass('procrastinate_jobs')", {})[0][0] is None:
                database.write_with_server(self._create_schema)
            self._has_schema = True

    def _create_schema(self, run: Run, server: Any) -> None:
        run(self.work.store.database.schema_lock)
        if run("SELECT to_regclass('procrastinate_jobs')")[0][0] is None:
            server.execute(self._app.schema_manager.get_schema())

    def _make_app(self) -> procrastinate.App:
        connector = procrastinate.PsycopgConnector(
            pool_factory=_make_pool,
            conninfo=self._url.reveal(),
            configure=_configure,
            min_size=1,
            max_size=self.work.settings.concurrency + 4,
        )
        app = procrastinate.App(connector=connector)
        app.job_manager = _OwnPlaces(connector)
        app.task(name=TASK, pass_context=True, retry=_Again())(self._run_job)
        for name, function in ((TICKS, self._tick), (RESCUE, self._rescue)):
            # Without a lock: that of a worker that died in a rescue would keep all others from rescuing.
            task = app.task(name=name, queue=UPKEEP_QUEUE, priority=UPKEEP_PRIORITY, queueing_lock=name)
            app.periodic(cron=EVERY_5_SECONDS)(task(function))
        return app

    def _run_job(self, context: procrastinate.JobContext, *, job_id: str, turn: int, lock: str) -> None:
        """Run one attempt of a job, in a thread of the worker."""
        queued = context.job
        if self.work.is_stopping:  # it was fetched at the same moment
            raise _AgainError(datetime.now(UTC), None)
        if lock and queued.lock != lock:  # it was due later, and now joins its queue
            raise _AgainError(datetime.now(UTC), lock)
        store = self.work.store
        try:
            claimed = store.start(job_id, turn, OWNER, LEASE_SECONDS)
        except DuplicateRowError:  # another job of the connection has yet to run again, after its worker died
            later = datetime.now(UTC) + timedelta(seconds=POLL_SECONDS)
            raise _AgainError(later, f"later {queued.id}") from None
        if claimed is None:
            return
        finished = self.work.run(claimed)
        if not self._store_end(finished) or finished.status != WAITING:
            return
        # Failed attempts wait without the lock; a job that waits for its quota keeps it, and so its place.
        waits_alone = lock and not finished.is_held
        raise _AgainError(_datetime(finished.run_at), f"later {queued.id}" if waits_alone else None)

    def _store_end(self, finished: Finished) -> bool:
        """As `JobStore.finish`, as soon as the database is reachable: the handler should not run again."""
        while True:
            try:
                return self.work.store.finish(finished)
            except StorageError as error:
                if self.work.is_stopping:
                    raise
                LOGGER.warning("the end of a job could not be stored, and will be: %s", error)
            self.work.clock.sleep(POLL_SECONDS)

    def _tick(self, timestamp: int) -> None:
        """Create the jobs of schedules that are due."""
        self.schedules.tick(self)

    async def _rescue(self, timestamp: int) -> None:
        """Let jobs of workers that died run again, and delete jobs that ended long ago."""
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self.dead_seconds):
            with contextlib.suppress(procrastinate.exceptions.ConnectorException):  # another one was first
                if job.task_name == TASK:
                    await manager.retry_job(job)
                    LOGGER.warning("job %s of a worker that died runs again", job.task_kwargs.get("job_id"))
                elif job.task_name in {TICKS, RESCUE}:
                    await self._drop(job)
        for job in await manager.list_jobs_async(status="doing", task=TASK):
            await self._settle(job)
        await asyncio.to_thread(self._keep_up)

    async def _settle(self, job: QueuedJob) -> None:
        """Finish a place in the queue whose job has ended some time ago: its worker lost the connection."""
        store = self.work.store
        row = await asyncio.to_thread(store.row, str(job.task_kwargs.get("job_id")))
        if row is None or (row.status == RUNNING and row.turn == job.task_kwargs.get("turn")):
            return
        if row.changed_at > store.now() - int(self.dead_seconds * 1_000_000):
            return
        with contextlib.suppress(procrastinate.exceptions.ConnectorException):
            if row.status == WAITING:
                await self._app.job_manager.retry_job(job, retry_at=_datetime(row.run_at))
            else:
                await self._drop(job)

    async def _drop(self, job: QueuedJob) -> None:
        if job.id is not None:
            status = procrastinate.jobs.Status.FAILED
            await self._app.job_manager.finish_job_by_id_async(job.id, status=status, delete_job=True)

    def _keep_up(self) -> None:
        """Enqueue jobs again that have lost their place in the queue, and delete old ones."""
        store, now = self.work.store, self.work.store.now()
        if self.work.clock.monotonic() < self._next_search:
            return
        self._next_search = self.work.clock.monotonic() + LOST_SECONDS
        before = now - int(LOST_SECONDS * 1_000_000)
        for (job_id,) in store.database.read(WITHOUT_PLACE, {"before": before}):
            LOGGER.warning("job %s had lost its place in the queue, and runs again", job_id)
            self.write(functools.partial(_enqueue_again, store, job_id))
        self.schedules.correct()
        store.warn_of_lanes(self.work.settings.lane_names)
        store.delete_ended(now - int(self.work.settings.keep_days * DAY))

    def start(self) -> None:
        """See `Runner`."""
        with self._lock:
            if self._thread is not None:
                return
            self.work.is_stopping = False
            self._thread = threading.Thread(target=self._run, args=(None,), name="nango-worker", daemon=True)
            self._thread.start()

    def stop(self, seconds: float | None) -> bool:
        """See `Runner`."""
        self.request_stop()
        thread = self._thread
        if thread is None:
            return True
        thread.join(seconds)
        if not thread.is_alive():
            self._thread = None
        return not thread.is_alive()

    def run(self, seconds: float | None) -> bool:
        """See `Runner`."""
        self.work.is_stopping = False
        return self._run(seconds)

    def _run(self, seconds: float | None) -> bool:
        self._ensure_schema()
        return asyncio.run(self._run_workers(seconds))

    def request_stop(self) -> None:
        """See `Runner`."""
        self.work.is_stopping = True
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(stop.set)

    async def _run_workers(self, seconds: float | None) -> bool:
        """Run workers until `request_stop`, also if the database is unreachable at first."""
        loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        slots = slot_lanes(self.work.settings.lanes, self.work.settings.concurrency)
        loop.set_default_executor(_Threads(len(slots) + 4, "nango-job"))
        self._loop = loop
        try:
            while not self.work.is_stopping:
                try:
                    async with self._open():
                        return await self._run_slots(slots, self._stop, seconds)
                except StorageError as error:
                    LOGGER.warning("the worker cannot reach its database, and tries again: %s", error)
                    await asyncio.sleep(POLL_SECONDS)
            return True
        finally:
            self._loop = self._stop = None

    async def _run_slots(
        self, slots: list[tuple[str, ...]], stop: asyncio.Event, seconds: float | None
    ) -> bool:
        """One worker of Procrastinate for each set of lanes, so that each lane keeps its share."""
        workers = [
            asyncio.create_task(self._run_worker(lanes, len(list(group)), is_first=number == 0))
            for number, (lanes, group) in enumerate(groupby(slots))
        ]
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([*workers, stopped], return_when=asyncio.FIRST_COMPLETED)
        self.work.is_stopping = True
        for worker in workers:
            worker.cancel()  # it ends after its jobs
        _, running = await asyncio.wait(workers, timeout=seconds)
        stopped.cancel()
        for worker in set(workers) - running:
            if not worker.cancelled() and worker.exception() is not None:
                raise NangoError(f"the worker ended: {type(worker.exception()).__name__}")
        return not running

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        """Open the connections of the queue.

        Raises:
            StorageError: the database is unreachable.
        """
        await asyncio.to_thread(self.work.store.database.read, "SELECT 1", {})  # its error says why
        self._app = self._make_app()  # a pool that could not be opened stays closed
        try:
            async with self._app.open_async():
                yield
        except _connection_errors() as error:
            reason = type(error.__cause__ or error).__name__
        else:
            return
        raise StorageError(f"the queue of jobs in the database failed: {reason}")

    async def _run_worker(self, lanes: tuple[str, ...], concurrency: int, *, is_first: bool) -> None:
        """Run a worker, again if the database was unreachable: it ends then, with an error or without."""
        while not self.work.is_stopping:
            reason = "a connection was lost"
            try:
                await self._run_worker_once(lanes, concurrency, is_first=is_first)
            except (procrastinate.exceptions.ConnectorException, StorageError) as error:
                reason = type(error.__cause__ or error).__name__
            if not self.work.is_stopping:
                LOGGER.warning("the worker lost its database, and connects again: %s", reason)
                await asyncio.sleep(POLL_SECONDS)

    async def _run_worker_once(self, lanes: tuple[str, ...], concurrency: int, *, is_first: bool) -> None:
        queues = [QUEUE + lane for lane in lanes]
        worker = Worker(
            self._app,
            queues=[UPKEEP_QUEUE, *queues] if is_first else queues,
            name=f"nango-{'-'.join(lanes)}",
            concurrency=concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="always",
            update_heartbeat_interval=self.heartbeat_seconds,
            stalled_worker_timeout=self.dead_seconds,
        )
        running = asyncio.ensure_future(worker.run())  # type: ignore[no-untyped-call]
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            running.cancel()
            # asyncio may lose the cancellation of a worker that takes a connection from the pool.
            worker.stop()  # type: ignore[no-untyped-call]
            await running
            raise

    def run_due(self) -> int:
        """Run the jobs that are due, with as many workers as `run`, and return; 0 because others may help."""
        self._ensure_schema()
        asyncio.run(self._drain())
        return 0

    async def _drain(self) -> None:
        queues = [QUEUE + lane for lane in self.work.settings.lane_names]
        async with self._open():
            await self._app.run_worker_async(
                queues=queues, wait=False, install_signal_handlers=False, listen_notify=False,
                delete_jobs="always", concurrency=self.work.settings.concurrency,
            )  # fmt: skip


def _enqueue_again(store: JobStore, job_id: str, run: Run, enqueue: Enqueue) -> None:
    row = store.take_back(job_id, run)
    if row is not None:
        enqueue(row)


def _connection_errors() -> tuple[type[Exception], ...]:
    import psycopg_pool

    return procrastinate.exceptions.ConnectorException, psycopg_pool.PoolTimeout


def _make_pool(**options: Any) -> Any:
    """The pool of a worker. A statement notices a dead connection; nothing asks before each one."""
    import psycopg_pool

    return psycopg_pool.AsyncConnectionPool(**{**options, "check": None})


async def _configure(connection: Any) -> None:
    """Prepare a connection of the queue, whose last changes may be lost if the server crashes.

    A job then starts again, and ends at once if it had ended: that is in the table of jobs.
    """
    await connection.set_autocommit(True)
    await connection.execute("SET synchronous_commit TO off")


class _Threads(ThreadPoolExecutor):
    """Threads that the end of an event loop does not wait for: the worker has waited long enough."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Start nothing more."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def _datetime(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
