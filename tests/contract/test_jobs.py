"""Jobs: attempts, retries, quotas, locks, lanes and leases, on SQLite and on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import CredentialsError, JobNotFound, RateLimited, TamperError, TransportFailed, UnknownAction
from nango_py.connections.keys import generate_key
from nango_py.database.opening import open_database
from nango_py.jobs.context import HandlerContext, JobCancelled, RetryAt
from nango_py.jobs.local import LEASE_SECONDS, LostJobs
from nango_py.secret import Secret
from tests.support.job_product import KEY, SECRET, open_product, register_users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango
    from nango_py.jobs.job import Job
    from nango_py.jobs.jobs import Jobs
    from nango_py.jobs.store import Claimed, JobStore
    from tests.support.fake_clock import ManualClock

ALL = ("interactive", "default", "background")


@pytest.fixture
def nango(database_url: str, clock: ManualClock) -> Iterator[Nango]:
    """A product with two users."""
    with open_product(database_url, clock) as opened:
        register_users(opened, "ann", "bob")
        yield opened


@pytest.fixture
def jobs(nango: Nango) -> Jobs:
    """Its jobs, whose threads are not started: tests run what is due."""
    nango.jobs.register("echo", lambda context: context.payload)
    return nango.jobs


def put(jobs: Jobs, handler: str = "echo", payload: Any = None, user: str = "ann", **options: Any) -> Job:
    """A new job of a user."""
    return jobs.enqueue(handler, payload, integration="shop", user_id=user, **options)


def claim(jobs: Jobs, owner: str = "worker", lanes: tuple[str, ...] = ALL) -> Claimed | None:
    """The next job, started by a worker of this name."""
    return store_of(jobs).exchange(None, owner, lanes, LEASE_SECONDS)[1]


def store_of(jobs: Jobs) -> JobStore:
    """The table."""
    return jobs.work.store


def test_a_job_runs_and_keeps_its_result(jobs: Jobs) -> None:
    """The job that is returned waits; after it ran, it has a result, one attempt and its log."""

    def handler(context: HandlerContext) -> Any:
        context.log("one line")
        return {"sum": sum(context.payload["numbers"]), "attempt": context.attempt}

    jobs.register("add", handler)
    job = put(jobs, "add", {"numbers": [1, 2]})
    assert (job.status, job.attempts, job.result) == ("waiting", 0, None)
    assert jobs.run_due() == 1
    done = jobs.get(job.id)
    assert (done.status, done.attempts, done.result) == ("done", 1, {"sum": 3, "attempt": 1})
    assert done.log[0].endswith("Z one line")
    assert done.is_ended
    assert jobs.count() == {"done": 1}


def test_a_coroutine_function_is_a_handler(jobs: Jobs) -> None:
    """Its result is that of the coroutine."""

    async def handler(context: HandlerContext) -> Any:
        return [context.integration, context.user_id]

    jobs.register("async", handler)
    job = put(jobs, "async")
    jobs.run_due()
    assert jobs.get(job.id).result == ["shop", "ann"]


def test_nothing_readable_is_stored(jobs: Jobs, database_url: str) -> None:
    """Payload, key, result and log are sealed; the control finds the name of the handler."""

    def handler(context: HandlerContext) -> Any:
        context.log("planted_in_log")
        return "planted_in_result"

    jobs.register("readable_name", handler)
    put(jobs, "readable_name", "planted_in_payload", idempotency_key="planted_in_key")
    jobs.run_due()
    database = open_database(Secret(database_url))
    try:
        text = repr(database.read("SELECT * FROM nango_jobs", {}))
    finally:
        database.close()
    assert "planted_in" not in text
    assert "readable_name" in text


def test_an_idempotency_key_creates_one_job(jobs: Jobs) -> None:
    """The same key of the same connection returns the first job; the handler gets the key."""
    seen: list[str] = []
    jobs.register("keyed", lambda context: seen.append(context.idempotency_key))
    first, second = (put(jobs, "keyed", number, idempotency_key="order-1") for number in (1, 2))
    assert first.id == second.id
    assert second.payload == 1
    other = put(jobs, "keyed", user="bob", idempotency_key="order-1")
    without = put(jobs, "keyed")
    jobs.run_due()
    assert seen == ["order-1", "order-1", without.id]
    assert len({first.id, other.id, without.id}) == 3


def test_a_failing_job_is_retried_later_and_then_dead(jobs: Jobs, clock: ManualClock) -> None:
    """Each attempt waits longer than the one before; after the last one the job is dead, with its error."""
    jobs.work.chance = lambda: 1.0
    jobs.register("fails", lambda _: 1 / 0)
    job = put(jobs, "fails", max_attempts=3)
    waits = []
    while not jobs.get(job.id).is_ended:
        clock.advance(max(0.0, jobs.get(job.id).run_at.timestamp() - clock.now()))
        assert jobs.run_due() == 1
        waits.append(jobs.get(job.id).run_at.timestamp() - clock.now())
        assert jobs.run_due() == 0
    dead = jobs.get(job.id)
    assert (dead.status, dead.attempts) == ("dead", 3)
    assert dead.error == "ZeroDivisionError: division by zero"
    assert waits[:2] == [5.0, 10.0]
    assert len(dead.log) == 3
    retried = jobs.retry(job.id)
    assert (retried.status, retried.attempts) == ("waiting", 0)
    assert jobs.run_due() == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CredentialsError("refused"), "failed"),
        (UnknownAction("order", ["refund"]), "waiting"),  # a worker that started later may know it
        (TransportFailed("lost"), "waiting"),
        (RateLimited("never", retry_at=float("inf")), "failed"),
        (JobCancelled("stopped"), "cancelled"),
    ],
)
def test_an_error_decides_what_becomes_of_a_job(jobs: Jobs, error: Exception, status: str) -> None:
    """Errors that another attempt would meet again are final; others are retried."""

    def handler(_: HandlerContext) -> Any:
        raise error

    jobs.register("raises", handler)
    job = put(jobs, "raises")
    jobs.run_due()
    assert jobs.get(job.id).status == status
    assert jobs.get(job.id).attempts == 1


def test_a_job_of_an_unknown_handler_waits_for_a_worker_that_has_it(jobs: Jobs, clock: ManualClock) -> None:
    """The error names the handlers that are known; a later attempt may succeed."""
    job = put(jobs, "ecko")
    jobs.run_due()
    assert 'unknown handler "ecko"; did you mean "echo"?' in jobs.get(job.id).error
    jobs.register("ecko", lambda _: "found")
    clock.advance(60)
    jobs.run_due()
    assert jobs.get(job.id).result == "found"


def test_a_quota_puts_a_job_back_without_counting(jobs: Jobs, clock: ManualClock) -> None:
    """The next attempt begins at retry_at, with the checkpoint; put back a hundred times, it is not dead."""
    starts: list[float] = []

    def handler(context: HandlerContext) -> Any:
        starts.append(clock.now())
        done = (context.saved or 0) + 1
        context.checkpoint(done)
        if done < 100:
            raise RateLimited("full", retry_at=clock.now() + 60)
        return context.attempt

    jobs.register("paced", handler)
    job = put(jobs, "paced")
    began = clock.now()
    while not jobs.get(job.id).is_ended:
        jobs.run_due()
        clock.advance(60)
    assert jobs.get(job.id).result == 1
    assert starts == [began + 60 * number for number in range(100)]
    assert clock.slept == []


def test_jobs_of_one_connection_wait_behind_one_that_was_put_back(jobs: Jobs, clock: ManualClock) -> None:
    """They would wait for the same quota; those of other connections, and of other lanes, run."""
    is_full = [True]

    def paced(_: HandlerContext) -> None:
        if is_full[0]:
            raise RetryAt(clock.now() + 60)

    jobs.register("paced", paced)
    put(jobs, "paced")
    assert jobs.run_due() == 1
    behind, other, urgent = put(jobs), put(jobs, user="bob"), put(jobs, lane="interactive")
    assert jobs.run_due() == 2
    assert [jobs.get(job.id).status for job in (behind, other, urgent)] == ["waiting", "done", "done"]
    is_full[0] = False
    clock.advance(60)
    assert jobs.run_due() == 2


def test_one_job_of_a_connection_runs_at_a_time(jobs: Jobs) -> None:
    """A second one starts when the first has ended, unless it is declared otherwise."""
    first, second = put(jobs, payload=1), put(jobs, payload=2)
    beside, other = put(jobs, is_alone=False), put(jobs, user="bob")
    claimed = [claim(jobs) for _ in range(4)]
    assert [one and one.row.id for one in claimed] == [first.id, beside.id, other.id, None]
    assert claimed[0] is not None
    finished = jobs.work.run(claimed[0])
    stored, following = store_of(jobs).exchange(finished, "worker", ALL, LEASE_SECONDS)
    assert stored
    assert following is not None
    assert following.row.id == second.id


def test_a_lane_overtakes_those_behind_it(jobs: Jobs) -> None:
    """Interactive jobs start before default ones, and these before the background."""
    order = [put(jobs, payload=lane, lane=lane, is_alone=False).lane for lane in reversed(ALL)]
    started = [claim(jobs) for _ in range(3)]
    assert [one.row.lane for one in started if one] == list(reversed(order)) == list(ALL)


def test_a_job_starts_not_before_its_time(jobs: Jobs, clock: ManualClock) -> None:
    """A job with `at` waits, and does not hold back the jobs behind it."""
    later = put(jobs, at=clock.now() + 3600)
    put(jobs)
    assert jobs.run_due() == 1
    assert jobs.get(later.id).status == "waiting"
    clock.advance(3600)
    assert jobs.run_due() == 1


def test_a_waiting_job_can_be_cancelled(jobs: Jobs) -> None:
    """It never runs, unless it is retried."""
    job = put(jobs)
    assert jobs.cancel(job.id).status == "cancelled"
    assert jobs.run_due() == 0
    assert jobs.cancel(job.id).status == "cancelled"
    assert jobs.retry(job.id).status == "waiting"
    assert jobs.run_due() == 1


def test_a_running_job_ends_when_it_looks(jobs: Jobs, clock: ManualClock) -> None:
    """`context.cancelled` is True within a second after the request."""
    looks: list[bool] = []

    def handler(context: HandlerContext) -> None:
        looks.append(context.cancelled)
        jobs.cancel(context.job_id)
        looks.append(context.cancelled)
        clock.advance(1)
        looks.append(context.cancelled)
        raise JobCancelled("as requested")

    jobs.register("long", handler)
    job = put(jobs, "long")
    jobs.run_due()
    assert looks == [False, False, True]
    assert jobs.get(job.id).status == "cancelled"


@pytest.mark.parametrize("error", [RetryAt(9e9), ZeroDivisionError()], ids=["quota", "failure"])
def test_a_job_that_was_cancelled_while_it_ran_does_not_wait(jobs: Jobs, error: Exception) -> None:
    """Its attempt ends without looking; the job is not tried again, and holds no other back."""

    def handler(context: HandlerContext) -> Any:
        jobs.cancel(context.job_id)
        raise error

    jobs.register("raises", handler)
    job, other = put(jobs, "raises"), put(jobs)
    assert jobs.run_due() == 2
    assert [jobs.get(one.id).status for one in (job, other)] == ["cancelled", "done"]


def expire(nango: Nango) -> None:
    """Let all leases have ended a second ago, by the clock that workers share."""
    nango.store.write(lambda run: run("UPDATE nango_jobs SET ends_at = ends_at - 91000000"))


def test_the_jobs_of_a_dead_worker_run_again(nango: Nango, jobs: Jobs, clock: ManualClock) -> None:
    """After its lease; what it reports late is refused, and a job that kills each worker is dead."""
    job = put(jobs, max_attempts=2)
    lost = claim(jobs, "first")
    assert lost is not None
    store = store_of(jobs)
    lost_jobs = LostJobs(store, clock)
    assert lost_jobs.put_back(()) == 0
    clock.advance(LEASE_SECONDS - 1)
    store.extend(["first"], LEASE_SECONDS)
    assert lost_jobs.put_back(()) == 0
    clock.advance(LEASE_SECONDS - 1)
    assert lost_jobs.put_back(()) == 0
    clock.advance(1)
    assert lost_jobs.put_back(()) == 1
    assert claim(jobs, "second") is not None
    late = jobs.work.run(lost)
    assert not store.finish(late)
    with pytest.raises(JobCancelled):
        jobs.work._context(lost).checkpoint(1)
    expire(nango)
    assert LostJobs(store, clock).put_back(()) == 1
    dead = jobs.get(job.id)
    assert (dead.status, dead.attempts) == ("dead", 2)
    assert "died in each of 2 attempts" in dead.error


def test_a_job_cannot_be_moved_to_another_user(nango: Nango, jobs: Jobs) -> None:
    """A row that was altered fails without running; the control runs one that was not."""
    ran: list[str] = []
    jobs.register("spy", lambda context: ran.append(context.user_id))
    moved, kept = put(jobs, "spy"), put(jobs, "spy", user="bob")
    sql = "UPDATE nango_jobs SET user_id = 'eve' WHERE id = :id"
    nango.store.write(lambda run: run(sql, {"id": moved.id}))
    jobs.run_due()
    assert ran == ["bob"]
    assert jobs.count() == {"failed": 1, "done": 1}
    assert jobs.get(kept.id).status == "done"


def test_a_list_contains_the_others_beside_an_altered_job(nango: Nango, jobs: Jobs) -> None:
    """The altered one is named by its id, without payload, and its error says what happened."""
    first, altered, last = (put(jobs, payload=number) for number in range(3))
    sql = "UPDATE nango_jobs SET user_id = 'eve', run_at = -9 WHERE id = :id"
    nango.store.write(lambda run: run(sql, {"id": altered.id}))
    found = {job.id: job for job in jobs.find()}
    assert [found[job.id].payload for job in (first, altered, last)] == [0, None, 2]
    assert altered.id in found[altered.id].error
    assert [bool(found[job.id].error) for job in (first, altered, last)] == [False, True, False]
    with pytest.raises(TamperError, match=altered.id):
        jobs.get(altered.id)


def test_a_job_does_not_run_for_the_next_connection_of_its_name(nango: Nango, jobs: Jobs) -> None:
    """It fails with a reason if its connection was registered again; the control ran before."""
    ran: list[str] = []
    jobs.register("spy", lambda context: ran.append(context.payload))
    put(jobs, "spy", "before")
    jobs.run_due()
    old = put(jobs, "spy", "old")
    nango.delete_connection("shop", "ann")
    assert jobs.get(old.id).status == "cancelled"
    absent = put(jobs, "spy", "absent")
    register_users(nango, "ann")
    put(jobs, "spy", "new")
    jobs.retry(old.id)
    jobs.run_due()
    assert ran == ["before", "new"]
    for job in (old, absent):
        ended = jobs.get(job.id)
        assert ended.status == "failed"
        assert "registered again" in ended.error


def test_a_job_runs_with_new_credentials_of_its_connection(nango: Nango, jobs: Jobs) -> None:
    """Negative control: a connection whose credentials are replaced stays the same one."""
    job = put(jobs, payload=1)
    register_users(nango, "ann")
    jobs.run_due()
    assert jobs.get(job.id).status == "done"


def test_a_rotation_seals_jobs_and_schedules_again(
    nango: Nango, jobs: Jobs, database_url: str, clock: ManualClock
) -> None:
    """After it the old key is not needed, and a key that seals jobs is not dropped."""
    job = put(jobs, payload="kept")
    jobs.every(60, "echo", "ticked", integration="shop", user_id="ann")
    old = nango.store.active_key.id
    assert nango.store.rows_by_key()[old] == 4
    new = generate_key().reveal()
    with open_product(database_url, clock, key=f"{new},{KEY}") as rotated:
        assert rotated.store.rotate() == 4
        assert old not in rotated.store.rows_by_key()
    with open_product(database_url, clock, key=new) as reopened:
        reopened.jobs.register("echo", lambda context: context.payload)
        reopened.jobs.run_due()
        assert reopened.jobs.get(job.id).result == "kept"
        clock.advance(60)
        assert reopened.jobs.run_due() == 1


def test_credentials_in_errors_and_logs_are_masked(jobs: Jobs) -> None:
    """What a handler logs or raises shows no credential of its connection."""

    def handler(context: HandlerContext) -> None:
        context.log(f"sent {SECRET}")
        raise ValueError(f"refused {SECRET}")

    jobs.register("leaks", handler)
    job = put(jobs, "leaks", max_attempts=1)
    jobs.run_due()
    found = jobs.get(job.id)
    assert found.error == "ValueError: refused ***"
    assert found.log[0].endswith("sent ***")
    assert SECRET not in repr(found)


def test_secrets_of_the_app_and_of_a_login_are_masked(database_url: str, clock: ManualClock) -> None:
    """Those of the app also after the connection was deleted."""
    step = {
        "url": "https://id.example.test/me", "choose": {"from": "data", "label": "name"},
        "keep": {"page_id": "id"}, "keep_secret": {"page_token": "access_token"},
    }  # fmt: skip
    auth = {"auth_mode": "OAUTH2", "token_url": "https://id.example.test/t", "after_login": [step]}
    auth["authorization_url"] = "https://id.example.test/a"
    planted = {"access_token": "planted_token_1", "page_token": "planted_page_1"}
    app = {"oauth_client_id": "app", "oauth_client_secret": "planted_app_1"}
    requests = {"base_url": "https://api.example.test/", "headers": {"X-Key": "${access_token}"}}
    entry = {"auth": auth, "requests": requests, **app}
    texts = [*planted.values(), app["oauth_client_secret"]]
    with open_product(database_url, clock, entry=entry) as nango:
        nango.store.put("shop", "ann", planted)

        def handler(context: HandlerContext) -> None:
            context.log(f"sent {texts}")
            nango.store.delete("shop", "ann")
            context.log(f"sent {texts[2]}")

        nango.jobs.register("leaks", handler)
        job = put(nango.jobs, "leaks")
        nango.jobs.run_due()
        lines = nango.jobs.get(job.id).log
    assert [text for text in texts if text in lines[0]] == []
    assert texts[2] not in lines[1]


def test_a_lane_that_nobody_runs_is_logged(
    database_url: str, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker whose configuration does not declare the lane of a job says so; the job waits."""
    with open_product(database_url, clock, lanes={"bulk": 1}) as first:
        job = first.jobs.enqueue("echo", lane="bulk")
    with open_product(database_url, clock) as second:
        second.jobs.run_due()
        assert second.jobs.get(job.id).status == "waiting"
    assert [record.args for record in caplog.records if "lanes" in record.msg] == [("bulk",)]


def test_a_result_that_is_not_json_fails(jobs: Jobs) -> None:
    """The error names its place."""
    jobs.register("odd", lambda _: {"when": object()})  # type: ignore[arg-type, return-value]
    job = put(jobs, "odd")
    jobs.run_due()
    assert (jobs.get(job.id).status, jobs.get(job.id).attempts) == ("failed", 1)
    assert "the result.when" in jobs.get(job.id).error


def test_ended_jobs_are_deleted_after_some_days(jobs: Jobs, clock: ManualClock) -> None:
    """Those that wait stay, however old they are."""
    ended, waiting = put(jobs), put(jobs, at=clock.now() + 1e8)
    jobs.run_due()
    clock.advance(14 * 86_400 + 3600)
    jobs.run_due()
    with pytest.raises(JobNotFound):
        jobs.get(ended.id)
    assert jobs.get(waiting.id).status == "waiting"


def test_jobs_are_listed_from_the_newest(jobs: Jobs, clock: ManualClock) -> None:
    """By status, integration and user, beyond one page."""
    made = []
    for number in range(120):
        clock.advance(0.001)
        made.append(put(jobs, user="ann" if number % 2 else "bob", is_alone=False).id)
    assert [job.id for job in jobs.find()] == made[::-1]
    assert [job.id for job in jobs.find(user_id="ann", limit=3)] == made[:-7:-2]
    assert list(jobs.find(status="done")) == []
    with pytest.raises(ValueError, match='unknown status "don"; did you mean "done"'):
        list(jobs.find(status="don"))


def test_wrong_arguments_enqueue_nothing(jobs: Jobs) -> None:
    """An unknown lane, a key that is too long and a payload that is not JSON are refused."""
    with pytest.raises(ValueError, match='unknown lane "backgrund"; did you mean "background"'):
        put(jobs, lane="backgrund")
    with pytest.raises(ValueError, match="255 bytes"):
        put(jobs, idempotency_key="k" * 256)
    with pytest.raises(Exception, match=r"^payload\.a "):
        put(jobs, payload={"a": {1, 2}})
    assert jobs.count() == {}
