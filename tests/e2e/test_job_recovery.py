"""What Procrastinate's rescue mends: workers without a heartbeat, and places in the queue that are wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.jobs import Status

from tests.support.databases import fresh_postgres
from tests.support.job_product import open_product, register_users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Job, Nango

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
