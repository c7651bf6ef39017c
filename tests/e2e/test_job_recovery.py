"""What Procrastinate's rescue mends: workers without a heartbeat, and places in the queue that are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import procrastinate
import psycopg_pool
import pytest
from procrastinate import worker
from procrastinate.jobs import Status

from nango_py.errors import StorageError
from nango_py.jobs import procrastinate_runner
from nango_py.jobs.job import NewJob
from tests.support.databases import fresh_postgres
from tests.support.job_product import open_product, register_users
from tests.support.nango_at_server import wait_until
from tests.support.stoppable_servers import own_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Job, Nango
    from nango_py.database.base import Run
    from nango_py.jobs.context import HandlerContext
    from nango_py.jobs.runner import Enqueue

DOING = "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL WHERE task_name = :task"
PLACES = "SELECT status, args->>'turn' FROM procrastinate_jobs WHERE task_name = 'nango_job'"
AGES = {"now": 0, "old": -120_000_000}


@pytest.fixture
def nango() -> Iterator[Nango]:
    """A product with Procrastinate, whose workers are not started."""
    with fresh_postgres() as url, open_product(url, runner="procrastinate") as opened:
        register_users(opened, "ann")
        opened.jobs.register("echo", lambda context: context.payload)
        yield opened


def put(nango: Nango) -> Job:
    """A job that waits."""
    return nango.jobs.enqueue("echo", 1, integration="shop", user_id="ann")


def change(nango: Nango, sql: str, **values: Any) -> None:
    """Run one statement."""
    nango.store.write(lambda run: run(sql, values))


def set_job(nango: Nango, status: str, age: str) -> None:
    """Give the job of the table a status, and let it be this old."""
    sql = (
        "UPDATE nango_jobs SET status = :status, owner = 'procrastinate', changed_at = changed_at + :age, "
        "run_at = run_at + :age"
    )
    change(nango, sql, status=status, age=AGES[age])


def rescue(nango: Nango) -> list[tuple[Any, ...]]:
    """Rescue once; the places in the queue afterwards."""
    runner: Any = nango.jobs.runner

    async def work() -> None:
        async with runner._app.open_async():
            await runner._rescue(0)

    asyncio.run(work())
    return nango.store.read(PLACES, {})


def test_the_job_of_a_dead_worker_runs_again(nango: Nango) -> None:
    """Its worker has no heartbeat any more; the attempt that was interrupted counts."""
    job = put(nango)
    started = nango.jobs.work.store.start(job.id, 0, "procrastinate", 90)
    assert started is not None
    change(nango, DOING, task="nango_job")
    assert rescue(nango) == [("todo", "0")]
    nango.jobs.run_due()
    assert (nango.jobs.get(job.id).status, nango.jobs.get(job.id).attempts) == ("done", 2)


def test_a_job_lets_the_one_of_a_dead_worker_go_first(nango: Nango) -> None:
    """A job that overtakes it in the queue cannot start yet: it keeps a place, and runs later."""
    order: list[Any] = []
    nango.jobs.register("note", lambda context: order.append(context.payload))
    options = {"integration": "shop", "user_id": "ann"}
    killed = nango.jobs.enqueue("note", "killed", **options)
    assert nango.jobs.work.store.start(killed.id, 0, "procrastinate", 90) is not None
    nango.jobs.enqueue("note", "other", lane="interactive", **options)
    for _ in range(6):
        nango.jobs.run_due()
        change(nango, "UPDATE procrastinate_jobs SET scheduled_at = now()")
    assert order == ["killed", "other"]


def test_a_connection_lost_while_a_job_is_enqueued_repeats_the_transaction(nango: Nango) -> None:
    """As with every other transaction: the job is stored once, with its place, and no error is raised."""
    new, tries = NewJob("echo", 1, "shop", "ann"), []

    def work(run: Run, enqueue: Enqueue) -> str:
        row, _ = nango.jobs.work.store.insert(new, run)
        tries.append(run("SELECT pg_backend_pid()")[0][0])
        if len(tries) == 1:
            nango.store.read("SELECT pg_terminate_backend(:pid)", {"pid": tries[0]})
        enqueue(row)
        return row.id

    job_id = nango.jobs.runner.write(work)
    assert (len(tries), nango.store.read(PLACES, {})) == (2, [("todo", "0")])
    nango.jobs.run_due()
    assert [(job.id, job.status) for job in nango.jobs.find()] == [(job_id, "done")]


def test_a_worker_goes_on_after_its_database_was_away(caplog: pytest.LogCaptureFixture) -> None:
    """A server that accepts no connections for a while stops no worker."""
    with own_database() as database, open_product(database.url, runner="procrastinate") as nango:
        register_users(nango, "ann")
        nango.jobs.register("echo", lambda context: context.payload)
        runner: Any = nango.jobs.runner
        runner.heartbeat_seconds, runner.dead_seconds = 0.5, 2.0
        before = put(nango)
        nango.jobs.start()
        wait_until(lambda: nango.jobs.get(before.id).is_ended)
        database.refuse()
        wait_until(lambda: "the worker lost its database" in caplog.text)
        database.accept()
        after = put(nango)
        wait_until(lambda: nango.jobs.get(after.id).is_ended)
        assert nango.jobs.stop()


def test_a_worker_that_procrastinate_ends_is_started_again(
    nango: Nango, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so without an error if a part of it failed; only `stop` ends the worker for us."""
    starts: list[int] = []
    run = worker.Worker.run

    async def end_at_once(one: worker.Worker) -> None:
        starts.append(1)
        if len(starts) > 3:
            await run(one)

    monkeypatch.setattr(worker.Worker, "run", end_at_once)
    monkeypatch.setattr(procrastinate_runner, "POLL_SECONDS", 0.01)
    job = put(nango)
    nango.jobs.start()
    wait_until(lambda: nango.jobs.get(job.id).is_ended)
    assert (nango.jobs.stop(), nango.jobs.get(job.id).status) == (True, "done")


def test_a_worker_stops_that_lost_its_cancellation(nango: Nango, monkeypatch: pytest.MonkeyPatch) -> None:
    """As asyncio may lose one that arrives while a worker registers itself, on a connection of a pool."""
    register, registering = procrastinate.manager.JobManager.register_worker, threading.Event()

    async def lose(manager: procrastinate.manager.JobManager) -> int:
        registering.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return await register(manager)

    monkeypatch.setattr(procrastinate.manager.JobManager, "register_worker", lose)
    nango.jobs.start()
    assert registering.wait(60)
    assert nango.jobs.stop(20)


def test_an_end_that_could_not_be_stored_is_stored_later(
    nango: Nango, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler does not run again because the database was unreachable when it returned."""
    runs: list[str] = []

    def handler(context: HandlerContext) -> str:
        runs.append(context.job_id)
        change(nango, "ALTER TABLE nango_jobs RENAME TO nango_jobs_away")
        return "result"

    nango.jobs.register("breaks", handler)
    job = nango.jobs.enqueue("breaks")
    nango.jobs.start()
    wait_until(lambda: "the end of a job could not be stored" in caplog.text)
    change(nango, "ALTER TABLE nango_jobs_away RENAME TO nango_jobs")
    wait_until(lambda: nango.jobs.get(job.id).is_ended)
    assert nango.jobs.stop()
    assert (nango.jobs.get(job.id).result, runs) == ("result", [job.id])


def test_a_queue_that_cannot_be_opened_is_opened_later(nango: Nango, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is a StorageError, and the next attempt does not meet a closed pool."""
    job = put(nango)
    with monkeypatch.context() as patched:
        patched.setattr(psycopg_pool.AsyncConnectionPool, "open", fail_to_open)
        with pytest.raises(StorageError, match="PoolTimeout"):
            nango.jobs.run_due()
    nango.jobs.run_due()
    assert nango.jobs.get(job.id).status == "done"


async def fail_to_open(*_: Any, **__: Any) -> None:
    """As a pool whose server is unreachable."""
    raise psycopg_pool.PoolTimeout


def test_a_stop_right_after_the_start_is_not_lost(nango: Nango) -> None:
    """A signal may arrive before the worker has connected."""
    for _ in range(3):
        nango.jobs.start()
        assert nango.jobs.stop()


def test_a_rescue_that_died_does_not_stop_the_next_one(nango: Nango) -> None:
    """It has no lock that could outlive it, and its own place is removed."""
    nango.jobs.runner.run_due()
    runner: Any = nango.jobs.runner
    change(nango, "DELETE FROM procrastinate_periodic_defers")
    change(nango, "DELETE FROM procrastinate_jobs")
    with runner._queue.open():
        for name in ("nango_rescue", "nango_ticks"):
            runner._queue.configure_task(name, queue="nango_upkeep").defer(timestamp=0)
            change(nango, DOING, task=name)
    rescue(nango)
    sql = "SELECT task_name FROM procrastinate_jobs WHERE status = 'doing'"
    assert nango.store.read(sql, {}) == []


@pytest.mark.parametrize(
    ("status", "age", "places"),
    [
        ("done", "old", []),  # its worker lost the connection before it could say so
        ("waiting", "old", [("todo", "0")]),
        ("done", "now", [("doing", "0")]),  # its worker is about to say so
        ("running", "old", [("doing", "0")]),  # a long job
    ],
)
def test_a_place_without_an_end_is_settled(
    nango: Nango, status: str, age: str, places: list[tuple[str, str]]
) -> None:
    """A place of a worker that lives is changed only if its job ended, or waits, for some time."""
    put(nango)
    worker = "INSERT INTO procrastinate_workers DEFAULT VALUES"
    change(nango, worker)
    change(nango, DOING.replace("NULL", "(SELECT max(id) FROM procrastinate_workers)"), task="nango_job")
    set_job(nango, status, age)
    assert rescue(nango) == places


def test_a_late_worker_does_not_touch_the_place_of_another(nango: Nango) -> None:
    """A worker that was suspended ends after its job was given away; the other one keeps its place."""
    job = put(nango)
    runner: Any = nango.jobs.runner

    async def work() -> None:
        async with runner._app.open_async():
            manager = runner._app.job_manager
            suspended, other = [await manager.register_worker() for _ in range(2)]
            early = await manager.fetch_job(["nango_default"], suspended)
            await manager.retry_job(early)
            late = await manager.fetch_job(["nango_default"], other)
            assert (early.id, early.worker_id) == (late.id, suspended)
            await manager.finish_job(early, Status.SUCCEEDED, delete_job=True)
            await manager.retry_job(early)
            assert nango.store.read(PLACES, {}) == [("doing", "0")]
            await manager.finish_job(late, Status.SUCCEEDED, delete_job=True)
            assert nango.store.read(PLACES, {}) == []

    asyncio.run(work())
    assert nango.jobs.get(job.id).status == "waiting"


@pytest.mark.parametrize(
    ("status", "age", "turns"),
    [("running", "old", ["1"]), ("running", "now", []), ("waiting", "old", ["1"]), ("done", "old", [])],
)
def test_a_job_without_a_place_gets_one(nango: Nango, status: str, age: str, turns: list[str]) -> None:
    """After a minute; the old place, should it appear again, is not used."""
    job = put(nango)
    set_job(nango, status, age)
    change(nango, "DELETE FROM procrastinate_jobs WHERE task_name = 'nango_job'")
    assert [turn for _, turn in rescue(nango)] == turns
    if turns:
        assert nango.jobs.work.store.start(job.id, 0, "procrastinate", 90) is None
        nango.jobs.run_due()
        assert nango.jobs.get(job.id).status == "done"
