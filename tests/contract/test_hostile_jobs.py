"""Jobs with broken handlers, impossible numbers, wrong clocks and lost connections."""

from __future__ import annotations

import asyncio
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConnectionNotFound, TransportFailed
from nango_py.errors import JobNotFound, NangoError, StorageError
from nango_py.jobs import local
from nango_py.jobs.context import HandlerContext, RetryAt
from nango_py.secret import Secret
from tests.support.job_product import SECRET, open_product, register_users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py import Nango
    from nango_py.jobs.job import Job
    from nango_py.jobs.jobs import Jobs
    from tests.support.fake_clock import ManualClock

ALL = ("interactive", "default", "background")


@pytest.fixture
def nango(database_url: str, clock: ManualClock) -> Iterator[Nango]:
    """A product with two users."""
    with open_product(database_url, clock) as opened:
        register_users(opened, "ann", "bob")
        opened.jobs.register("echo", lambda context: context.payload)
        yield opened


@pytest.fixture
def jobs(nango: Nango) -> Jobs:
    """Its jobs."""
    return nango.jobs


def put(jobs: Jobs, handler: str = "echo", payload: Any = None, user: str = "ann", **options: Any) -> Job:
    """A new job of a user."""
    return jobs.enqueue(handler, payload, integration="shop", user_id=user, **options)


class Unprintable(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError(SECRET)


class Undecided(Exception):
    """An exception that cannot say whether it is retryable."""

    @property
    def is_retryable(self) -> bool:
        """As an attribute of exceptions of a product."""
        raise RuntimeError(SECRET)


class OwnError(NangoError):
    """An error of a product that extends one of this package."""


RAISED: list[tuple[BaseException, str]] = [
    (Unprintable(), "waiting"),
    (Undecided(), "waiting"),
    (RetryAt("tomorrow"), "waiting"),  # type: ignore[arg-type]
    (RetryAt(10**400), "waiting"),
    (RetryAt(float("nan")), "waiting"),
    (RetryAt(0, f"because of {SECRET}"), "waiting"),
    (OwnError(f"because of {SECRET}"), "waiting"),
    (SystemExit(3), "waiting"),
    (asyncio.CancelledError(), "waiting"),
    (GeneratorExit(), "waiting"),
]


@pytest.mark.parametrize(("error", "status"), RAISED, ids=[type(error).__name__ for error, _ in RAISED])
def test_whatever_a_handler_raises_ends_its_attempt(
    jobs: Jobs, error: BaseException, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt ends without a secret in its log, and the next job runs."""

    def handler(_: HandlerContext) -> None:
        raise error

    jobs.register("hostile", handler)
    job, other = put(jobs, "hostile"), put(jobs, user="bob")
    assert jobs.run_due() == 2
    found = jobs.get(job.id)
    assert (found.status, jobs.get(other.id).status) == (status, "done")
    assert SECRET not in f"{found.log} {found.error} {found!r} {caplog.text}"


def test_ctrl_c_ends_run_due_and_not_the_job(jobs: Jobs) -> None:
    """In the main thread KeyboardInterrupt is the user's: the job waits again, and nothing else starts."""
    interrupts = [KeyboardInterrupt()]

    def handler(_: HandlerContext) -> None:
        if interrupts:
            raise interrupts.pop()

    jobs.register("long", handler)
    job, other = put(jobs, "long"), put(jobs, user="bob")
    with pytest.raises(KeyboardInterrupt):
        jobs.run_due()
    assert [(each.status, each.attempts) for each in map(jobs.get, (job.id, other.id))] == [
        ("waiting", 0)
    ] * 2
    assert jobs.run_due() == 2


def test_what_a_handler_changes_is_not_stored(jobs: Jobs, clock: ManualClock) -> None:
    """Each attempt gets the payload that was enqueued, and the checkpoint as it was saved."""
    seen: list[tuple[Any, Any]] = []

    def handler(context: HandlerContext) -> None:
        seen.append((context.payload["items"][:], context.saved and dict(context.saved)))
        if context.saved is None:
            context.checkpoint({"page": 1})
        context.payload["items"].append(object())
        context.saved["page"] = object()  # type: ignore[index, call-overload, assignment]
        raise TransportFailed("the host is unreachable")

    jobs.register("careless", handler)
    job = put(jobs, "careless", {"items": [1]}, max_attempts=3)
    for _ in range(3):
        jobs.run_due()
        clock.advance(60)
    assert seen == [([1], None), ([1], {"page": 1}), ([1], {"page": 1})]
    assert jobs.get(job.id).payload == {"items": [1]}


def test_a_job_that_always_gives_its_place_up_lets_others_run(jobs: Jobs, clock: ManualClock) -> None:
    """It runs once a second; without the wait `run_due` would run it for ever, and no other job."""
    runs: list[float] = []

    def handler(_: HandlerContext) -> None:
        runs.append(clock.now())
        raise RetryAt(0)

    jobs.register("endless", handler)
    put(jobs, "endless")
    other = put(jobs, user="bob")
    assert jobs.run_due() == 2
    assert jobs.get(other.id).status == "done"
    clock.advance(1)
    assert (jobs.run_due(), len(runs)) == (1, 2)


@pytest.mark.parametrize("result", ["x" * 2_000_000, float("nan"), 10**5000, object(), "\ud800"], ids=type)
def test_a_result_that_cannot_be_stored_is_final(jobs: Jobs, result: Any) -> None:
    """Its side effects are not repeated, since another attempt would return the same."""
    jobs.register("odd", lambda _: result)
    job = put(jobs, "odd")
    jobs.run_due()
    assert (jobs.get(job.id).status, jobs.get(job.id).attempts) == ("failed", 1)


WRONG: list[Callable[[Jobs], object]] = [
    lambda jobs: put(jobs, at=float("nan")),
    lambda jobs: put(jobs, at=1e300),
    lambda jobs: put(jobs, max_attempts=0),
    lambda jobs: put(jobs, max_attempts=10**30),
    lambda jobs: put(jobs, ""),
    lambda jobs: put(jobs, "a\0b"),
    lambda jobs: put(jobs, "\x1b[31m"),
    lambda jobs: put(jobs, "\ud800"),
    lambda jobs: jobs.every(float("inf"), "echo"),
    lambda jobs: jobs.every(1e300, "echo"),
    lambda jobs: jobs.every(60, "a\0b"),
    lambda jobs: jobs.every(60, "echo", name="a\0b"),
    lambda jobs: jobs.every(60, "echo", name="x" * 256),
    lambda jobs: jobs.cron("* * * * *", "echo", name="\ud800"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_numbers_and_names_that_no_row_can_hold_are_refused(jobs: Jobs, number: int) -> None:
    """Nothing is stored, and the error is the caller's."""
    with pytest.raises(ValueError, match=r"expected|is the|has|from"):
        WRONG[number](jobs)
    assert (jobs.count(), jobs.schedules()) == ({}, [])


@pytest.mark.parametrize(
    "call",
    [
        lambda jobs: put(jobs, "echo", 10**5000),
        lambda jobs: put(jobs, idempotency_key="\ud800"),
        lambda jobs: put(jobs, user="\ud800"),
        lambda jobs: jobs.every(60, "echo", user_id="ann"),
        lambda jobs: jobs.cron("* * * * *", "echo", integration="shop", user_id="a\0b"),
        lambda jobs: list(jobs.find(user_id="\ud800")),
        lambda jobs: list(jobs.find(integration="a\0b")),
    ],
)
def test_what_cannot_be_stored_is_a_storage_error(jobs: Jobs, call: Callable[[Jobs], object]) -> None:
    """Both databases refuse it in the same way, before anything is stored."""
    with pytest.raises(StorageError):
        call(jobs)
    assert (jobs.count(), jobs.schedules()) == ({}, [])


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({"x": object()}, "payload.x"),
        ({"payload": [object()]}, "payload.payload[0]"),
        ({1: 2}, "payload"),
        ([float("nan")], "payload[0]"),
        ("\ud800", "payload"),
        (object(), "payload"),
    ],
)
def test_error_names_the_place_in_the_payload(jobs: Jobs, payload: Any, place: str) -> None:
    """Once, for jobs and schedules, results and checkpoints alike."""
    for call in (lambda: put(jobs, payload=payload), lambda: jobs.every(60, "echo", payload)):
        with pytest.raises(StorageError) as caught:
            call()
        assert str(caught.value).startswith(f"{place} cannot be stored: ")
    jobs.register("returns", lambda _: payload)
    job = put(jobs, "returns")
    jobs.run_due()
    assert place.replace("payload", "the result", 1) in jobs.get(job.id).error


def test_payload_is_stored_as_json(jobs: Jobs) -> None:
    """Tuples are lists, other mappings are objects, and Secrets are texts, for jobs and schedules."""
    payload = {"a": (1, Secret("s")), "b": MappingProxyType({"c": None})}
    job = put(jobs, payload=payload)
    jobs.every(60, "echo", payload)
    jobs.run_due()
    assert jobs.get(job.id).result == {"a": [1, "s"], "b": {"c": None}}


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "' OR 1=1 --", "x" * 100_000])
def test_an_id_that_no_job_has_finds_none(jobs: Jobs, name: str) -> None:
    """Whatever characters it has, on both databases."""
    kept = put(jobs)
    for call in (jobs.get, jobs.cancel, jobs.retry):
        with pytest.raises(JobNotFound):
            call(name)
    assert jobs.remove_schedule(name) is False
    assert jobs.get(kept.id).status == "waiting"


def test_an_interval_keeps_all_its_seconds(jobs: Jobs) -> None:
    """1,234,567 seconds are not rounded to six digits."""
    assert jobs.every(1_234_567, "echo").rule == "every 1234567"


def test_the_end_of_a_connection_ends_its_jobs_and_schedules(nango: Nango, clock: ManualClock) -> None:
    """A user who connects again, perhaps another account, gets none of them; other users keep theirs."""
    jobs = nango.jobs
    mine, other = put(jobs), put(jobs, user="bob")
    jobs.every(60, "echo", integration="shop", user_id="ann")
    jobs.every(60, "echo", integration="shop", user_id="bob")
    nango.delete_connection("shop", "ann", revoke=False)
    register_users(nango, "ann")
    clock.advance(61)
    jobs.run_due()
    assert (jobs.get(mine.id).status, jobs.get(other.id).status) == ("cancelled", "done")
    assert [each.user_id for each in jobs.schedules()] == ["bob"]
    assert {each.user_id for each in jobs.find(status="done")} == {"bob"}


def test_a_job_may_delete_its_own_connection(nango: Nango) -> None:
    """It runs to its end, and one that fails afterwards is cancelled instead of tried again."""

    def handler(context: HandlerContext) -> str:
        nango.delete_connection(context.integration, context.user_id, revoke=False)
        return "deleted"

    nango.jobs.register("leave", handler)
    job = put(nango.jobs, "leave")
    nango.jobs.run_due()
    assert (nango.jobs.get(job.id).status, nango.jobs.get(job.id).result) == ("done", "deleted")
    with pytest.raises(ConnectionNotFound):
        nango.executor("shop", "ann")


@pytest.mark.parametrize("jump", [86_400, -86_400])
def test_a_clock_that_jumps_takes_no_job_from_a_worker(jobs: Jobs, clock: ManualClock, jump: float) -> None:
    """Nor does a machine that was suspended; a worker that is silent for the length of a lease is lost."""
    store, lost_jobs = jobs.work.store, local.LostJobs(jobs.work.store, clock)
    put(jobs)
    assert lost_jobs.put_back(()) == 0
    assert store.exchange(None, "worker", ALL, local.LEASE_SECONDS)[1] is not None
    assert lost_jobs.put_back(()) == 0
    clock.set_now(clock.now() + jump)
    clock.advance(local.LEASE_SECONDS - 1)
    assert lost_jobs.put_back(()) == 0
    clock.advance(1)
    assert [lost_jobs.put_back(own) for own in (("worker",), ())] == [0, 1]


@pytest.mark.parametrize("jump", [86_400, -86_400])
def test_a_worker_that_starts_with_a_wrong_clock_takes_no_job(
    jobs: Jobs, clock: ManualClock, jump: float
) -> None:
    """Clocks of machines may differ, and this machine's clock may have been set just now."""
    put(jobs)
    assert jobs.work.store.exchange(None, "worker", ALL, local.LEASE_SECONDS)[1] is not None
    clock.set_now(clock.now() + jump)
    assert local.LostJobs(jobs.work.store, clock).put_back(()) == 0


def test_a_clock_that_was_ahead_delays_no_job(jobs: Jobs, clock: ManualClock) -> None:
    """Within an hour a job starts that would have waited for the wrong time; the caller's own time stays."""
    refusals = [TransportFailed("unreachable")]

    def fail_once(_: HandlerContext) -> None:
        if refusals:
            raise refusals.pop()

    jobs.register("fails once", fail_once)
    clock.set_now(clock.now() + 30 * 86_400)
    tried = put(jobs, "fails once")
    jobs.run_due()
    now, later = put(jobs), put(jobs, user="bob", at=clock.now() + 60)
    clock.set_now(clock.now() - 30 * 86_400)
    assert jobs.run_due() == 0
    clock.advance(3600)
    jobs.run_due()
    clock.advance(6)
    jobs.run_due()
    assert [jobs.get(job.id).status for job in (tried, now, later)] == ["done", "done", "waiting"]


def test_a_worker_that_looks_while_a_lease_is_extended_takes_no_job(
    jobs: Jobs, nango: Nango, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the clock before it reads the lease, which may end later than any that began by then."""
    put(jobs)
    looked_at = nango.store.lease_time()
    clock.advance(local.EXTEND_SECONDS)
    assert jobs.work.store.exchange(None, "worker", ALL, local.LEASE_SECONDS)[1] is not None
    monkeypatch.setattr(nango.store, "lease_time", lambda: looked_at)
    assert local.LostJobs(jobs.work.store, clock).put_back(()) == 0


def test_a_job_from_before_the_machine_was_started_runs_again(
    jobs: Jobs, clock: ManualClock, nango: Nango
) -> None:
    """Its lease seems longer than any is."""
    if nango.store.is_shared:
        return  # the server's clock is not ours to set
    clock.advance(3600)
    put(jobs)
    assert jobs.work.store.exchange(None, "worker", ALL, local.LEASE_SECONDS)[1] is not None
    clock.start_machine_again()
    assert local.LostJobs(jobs.work.store, clock).put_back(()) == 1


def test_a_job_whose_start_was_not_reported_runs_after_its_lease(
    jobs: Jobs, nango: Nango, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply to a COMMIT may be lost: no thread knows of the job, and its worker does not keep it."""
    write: Any = nango.store.write

    def lose_reply(work: Any) -> Any:
        result = write(work)
        if isinstance(result, tuple) and result[1] is not None:
            monkeypatch.undo()
            raise StorageError("the connection was lost during COMMIT")
        return result

    job = put(jobs)
    monkeypatch.setattr(nango.store, "write", lose_reply)
    with pytest.raises(StorageError):
        jobs.run_due()
    assert (jobs.run_due(), jobs.get(job.id).status) == (0, "running")
    for _ in range(2):
        clock.advance(local.LEASE_SECONDS)
        jobs.run_due()
    assert (jobs.get(job.id).status, jobs.get(job.id).attempts) == ("done", 2)


def test_a_job_that_is_stored_but_cannot_run_at_once_is_returned(
    database_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error would say that nothing was enqueued, and its caller would enqueue a second one."""
    with open_product(database_url, clock, runner="inline") as nango:
        nango.jobs.register("echo", lambda context: context.payload)
        write: Any = nango.store.write

        def fail_after_first(work: Any) -> Any:
            monkeypatch.setattr(nango.store, "write", fail)
            return write(work)

        monkeypatch.setattr(nango.store, "write", fail_after_first)
        job = nango.jobs.enqueue("echo", 1)
        monkeypatch.undo()
        assert (nango.jobs.run_due(), nango.jobs.get(job.id).result) == (1, 1)


def fail(_: object) -> None:
    """As a database that is locked."""
    raise StorageError("locked")


def test_an_end_that_could_not_be_stored_is_stored_later(jobs: Jobs, nango: Nango) -> None:
    """The handler does not run again, and its job does not count as running for ever."""
    runs: list[str] = []

    def rename(old: str, new: str) -> None:
        nango.store.write(lambda run: run(f"ALTER TABLE {old} RENAME TO {new}"))

    def handler(context: HandlerContext) -> str:
        runs.append(context.job_id)
        rename("nango_jobs", "nango_jobs_away")
        return "result"

    jobs.register("breaks", handler)
    first, second = put(jobs, "breaks"), put(jobs, user="bob")
    for _ in range(2):
        with pytest.raises(StorageError):
            jobs.run_due()
    rename("nango_jobs_away", "nango_jobs")
    assert [jobs.get(job.id).status for job in (first, second)] == ["running", "waiting"]
    jobs.run_due()
    assert [jobs.get(job.id).status for job in (first, second)] == ["done", "done"]
    assert runs == [first.id]


def test_run_due_keeps_the_lease_of_a_long_job(
    jobs: Jobs, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that looks for dead workers leaves the job alone, as long as its lease is extended."""
    monkeypatch.setattr(local, "EXTEND_SECONDS", 0.001)
    store, extended = jobs.work.store, threading.Event()
    extend = store.extend

    def note(owners: Any, seconds: float) -> None:
        is_later = clock.now() > began + local.LEASE_SECONDS
        extend(owners, seconds)
        if is_later:
            extended.set()

    monkeypatch.setattr(store, "extend", note)
    rescued: list[int] = []

    another = local.LostJobs(store, clock)

    def handler(_: HandlerContext) -> None:
        another.put_back(())
        clock.advance(10 * local.LEASE_SECONDS)
        extended.wait(20)
        rescued.append(another.put_back(()))

    began = clock.now()
    jobs.register("long", handler)
    job = put(jobs, "long")
    jobs.run_due()
    assert (rescued, jobs.get(job.id).status) == ([0], "done")


def test_a_row_with_odd_numbers_stops_no_other_job(jobs: Jobs, nango: Nango, database_url: str) -> None:
    """SQLite stores text in a column of numbers; such a job fails, and the next one runs."""
    odd, other = put(jobs), put(jobs, user="bob")
    value = "'many'" if database_url.startswith("sqlite") else "0"
    sql = f"UPDATE nango_jobs SET max_attempts = {value} WHERE id = :id"  # noqa: S608
    nango.services.store.write(lambda run: run(sql, {"id": odd.id}))
    jobs.run_due()
    assert jobs.get(other.id).status == "done"
    assert jobs.count() == {"done": 1, "failed" if database_url.startswith("sqlite") else "dead": 1}


@pytest.mark.parametrize(
    "change", ["time_zone = 'Mars/Base'", "rule = 'cron x'", "rule = 'every 0'", "user_id = 'bob'"]
)
def test_a_schedule_that_cannot_be_used_stops_no_other(
    nango: Nango, clock: ManualClock, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported once an hour and not at each tick, and the schedules behind it create their jobs."""
    jobs = nango.jobs
    odd = jobs.cron("* * * * *", "echo", integration="shop", user_id="ann")
    jobs.every(60, "echo", integration="shop", user_id="ann", name="good")
    sql = f"UPDATE nango_schedules SET {change} WHERE id = :id"  # noqa: S608
    nango.services.store.write(lambda run: run(sql, {"id": odd.id}))
    for _ in range(3):
        clock.advance(61)
        jobs.run_due()
    assert jobs.count() == {"done": 3}
    assert sum(record.levelname == "ERROR" for record in caplog.records) == 1
