"""Runners at work: in threads, and by Procrastinate on PostgreSQL."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import NangoError, StorageError
from nango_py.jobs.context import HandlerContext, RetryAt
from nango_py.jobs.job import NewJob
from tests.support.databases import fresh_postgres
from tests.support.job_product import open_product, register_users
from tests.support.nango_at_server import wait_until
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py import Nango
    from nango_py.jobs.jobs import Jobs

USERS = ("ann", "bob", "cid")


@pytest.fixture(params=["threads", "procrastinate"])
def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Jobs]:
    """Jobs that run in the background, four at a time."""
    if request.param == "threads":
        with open_product(f"sqlite:///{tmp_path}/nango.db") as nango:
            yield from running(nango)
        return
    with fresh_postgres() as url, open_product(url, runner="procrastinate") as nango:
        yield from running(nango)


def running(nango: Nango) -> Iterator[Jobs]:
    """Start the jobs of a product, and stop them."""
    register_users(nango, *USERS)
    nango.jobs.register("echo", lambda context: context.payload)
    nango.jobs.start()
    yield nango.jobs
    assert nango.jobs.stop(HANG_SECONDS)


def wait_for(jobs: Jobs, *ids: str) -> list[Any]:
    """The jobs, when all of them have ended."""
    ends = time.monotonic() + HANG_SECONDS
    pause = threading.Event()
    while True:
        found = [jobs.get(each) for each in ids]
        if all(job.is_ended for job in found):
            return found
        assert time.monotonic() < ends, found
        pause.wait(0.02)


def put(jobs: Jobs, handler: str = "echo", payload: Any = None, user: str = "ann", **options: Any) -> str:
    """The id of a new job of a user."""
    return jobs.enqueue(handler, payload, integration="shop", user_id=user, **options).id


def test_jobs_run_in_the_background(jobs: Jobs) -> None:
    """Each has its result and one attempt; the same key is one job."""
    ids = [
        put(jobs, payload=number, user=USERS[number % 3], idempotency_key=str(number)) for number in range(9)
    ]
    assert put(jobs, payload=-1, idempotency_key="0") == ids[0]
    assert [(job.status, job.result, job.attempts) for job in wait_for(jobs, *ids)] == [
        ("done", number, 1) for number in range(9)
    ]


def test_no_job_runs_for_another_connection_of_the_same_name(jobs: Jobs) -> None:
    """If there is another connection when it is due, the job fails, and its handler is not called."""
    job, other = put(jobs, at=time.time() + 0.5), put(jobs, at=time.time() + 0.5, user="bob")
    sql = "UPDATE nango_connections SET uuid = 'another' WHERE user_id = 'ann'"
    jobs.work.store.database.write(lambda run: run(sql))
    failed, done = wait_for(jobs, job, other)
    assert (failed.status, done.status) == ("failed", "done")
    assert "registered again" in failed.error


def test_one_job_of_each_connection_runs_at_a_time(jobs: Jobs) -> None:
    """Connections run beside each other, and the jobs of each one after the other, in order."""
    seen: list[tuple[str, str, Any]] = []
    both = threading.Barrier(2)

    def handler(context: HandlerContext) -> None:
        seen.append(("begin", context.user_id, context.payload))
        if context.payload == 0:
            both.wait(HANG_SECONDS)  # passes only if two connections run at once
        seen.append(("end", context.user_id, context.payload))

    jobs.register("watch", handler)
    wait_for(jobs, *(put(jobs, "watch", number, user) for number in range(4) for user in USERS[:2]))
    for user in USERS[:2]:
        own = [(what, number) for what, name, number in seen if name == user]
        assert own == [(what, number) for number in range(4) for what in ("begin", "end")]


def test_a_later_job_holds_nothing_back(jobs: Jobs) -> None:
    """Jobs behind one that is due in an hour run now; it runs when its time comes."""
    later, soon = put(jobs, at=time.time() + 3600), put(jobs, payload="soon", at=time.time() + 0.3)
    assert wait_for(jobs, put(jobs), soon)[1].result == "soon"
    assert jobs.get(later).status == "waiting"
    assert jobs.cancel(later).status == "cancelled"


def test_a_failed_attempt_is_repeated_and_does_not_block(jobs: Jobs) -> None:
    """While it waits for its next attempt, other jobs of its connection run."""
    jobs.work.chance = lambda: -1.0  # no wait
    attempts: list[int] = []

    def handler(context: HandlerContext) -> Any:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise OSError("once more")
        return context.saved

    jobs.register("flaky", handler)
    flaky, dead = put(jobs, "flaky"), put(jobs, "flaky", max_attempts=1)
    found = wait_for(jobs, flaky, dead, put(jobs))
    assert [(job.status, job.attempts) for job in found] == [("done", 3), ("dead", 1), ("done", 1)]
    assert sorted(attempts) == [1, 1, 2, 3]
    jobs.retry(dead)
    (again,) = wait_for(jobs, dead)
    assert (again.status, again.attempts, len(again.log)) == ("dead", 1, 2)


def test_a_job_that_was_put_back_keeps_its_place(jobs: Jobs) -> None:
    """A later job of its connection runs after it; the checkpoint is there, and no attempt was counted."""
    order: list[Any] = []

    def paced(context: HandlerContext) -> Any:
        if context.saved is None:
            context.checkpoint({"page": 7})
            raise RetryAt(time.time() + 0.2)
        order.append("paced")
        return [context.saved, context.attempt]

    def following(_: HandlerContext) -> None:
        order.append("following")

    jobs.register("paced", paced)
    jobs.register("following", following)
    found = wait_for(jobs, put(jobs, "paced"), put(jobs, "following"))
    assert found[0].result == [{"page": 7}, 1]
    assert order == ["paced", "following"]


def test_an_interactive_job_finds_a_slot_beside_a_backfill(jobs: Jobs) -> None:
    """A backfill may use half of the slots, so that a job of another lane starts at once."""
    release, filled = threading.Event(), threading.Semaphore(0)

    def fill(_: HandlerContext) -> None:
        filled.release()
        release.wait(HANG_SECONDS)

    jobs.register("fill", fill)
    backfill = [put(jobs, "fill", lane="background", is_alone=False) for _ in range(10)]
    for _ in range(2):
        assert filled.acquire(timeout=HANG_SECONDS)
    assert wait_for(jobs, put(jobs, lane="interactive"), put(jobs, user="bob"))
    assert not filled.acquire(blocking=False)
    release.set()
    wait_for(jobs, *backfill)


def test_stop_waits_for_the_job_that_runs(jobs: Jobs) -> None:
    """It ends and is stored; a job behind it waits; `is_stopping` asks long jobs to give up their place."""
    started, ended = threading.Event(), threading.Event()

    def long(context: HandlerContext) -> str:
        started.set()
        while not context.is_stopping:
            ended.wait(0.01)
        return "ended early"

    jobs.register("long", long)
    job, behind = put(jobs, "long"), put(jobs)
    assert started.wait(HANG_SECONDS)
    assert jobs.stop(HANG_SECONDS)
    assert jobs.get(job).result == "ended early"
    assert jobs.get(behind).status == "waiting"
    jobs.start()
    assert wait_for(jobs, behind)


def test_threads_that_stop_left_behind_do_not_go_on_after_a_start(tmp_path: Path) -> None:
    """They end with their jobs, or else each stop and start would add to the jobs that run at once."""
    with open_product(f"sqlite:///{tmp_path}/n.db", concurrency=1) as nango:
        jobs, may_end = nango.jobs, threading.Event()
        jobs.register("long", lambda _: may_end.wait(HANG_SECONDS))
        for _ in range(3):
            job = jobs.enqueue("long")
            jobs.start()
            wait_until(lambda: jobs.get(job.id).status == "running")  # noqa: B023 - waited for at once
            assert jobs.stop(0) is False
        jobs.start()
        may_end.set()
        wait_until(lambda: jobs.count() == {"done": 3})
        wait_until(lambda: sum(each.name == "nango-jobs-1" for each in threading.enumerate()) == 1)
        assert jobs.stop()


def test_a_schedule_ticks_in_the_background(jobs: Jobs) -> None:
    """A due schedule creates its job without anybody's help."""
    made = jobs.every(1, "echo", "tick", integration="shop", user_id="ann")
    ends = time.monotonic() + HANG_SECONDS
    while not any(job.result == "tick" for job in jobs.find()):
        assert time.monotonic() < ends
        threading.Event().wait(0.05)
    assert jobs.remove_schedule(made.id)


def test_procrastinate_needs_postgresql(tmp_path: Path) -> None:
    """With SQLite the error says what to set."""
    with (
        open_product(f"sqlite:///{tmp_path}/nango.db", runner="procrastinate") as nango,
        pytest.raises(StorageError, match="needs PostgreSQL"),
    ):
        nango.jobs.enqueue("echo")


def test_procrastinate_keeps_no_content() -> None:
    """Its table holds ids and locks only, and nothing after a job has ended."""
    with fresh_postgres() as url, open_product(url, runner="procrastinate") as nango:
        register_users(nango, "ann")
        nango.jobs.register("echo", lambda context: context.payload)
        put(nango.jobs, payload="planted_in_payload", idempotency_key="planted_in_key")
        rows = nango.store.read("SELECT * FROM procrastinate_jobs", {})
        assert len(rows) == 1
        assert "planted" not in repr(rows)
        assert "shop/ann" in repr(rows)
        nango.jobs.run_due()
        assert nango.jobs.count() == {"done": 1}
        assert nango.store.read("SELECT 1 FROM procrastinate_jobs WHERE task_name = 'nango_job'", {}) == []


def test_a_failed_transaction_enqueues_nothing() -> None:
    """The job and its place in the queue are stored together or not at all."""
    with fresh_postgres() as url, open_product(url, runner="procrastinate") as nango:
        nango.jobs.enqueue("echo")

        def work(run: Any, enqueue: Any) -> None:
            enqueue(nango.jobs.work.store.insert(NewJob("echo", None), run)[0])
            raise NangoError("after both writes")

        with pytest.raises(NangoError, match="after both writes"):
            nango.jobs.runner.write(work)
        assert nango.jobs.count() == {"waiting": 1}
        assert len(nango.store.read("SELECT 1 FROM procrastinate_jobs", {})) == 1
