"""Stored schedules: each tick creates one job, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.job_product import open_product, register_users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango
    from nango_py.jobs.jobs import Jobs
    from tests.support.fake_clock import ManualClock


DAY = 86_400


@pytest.fixture
def nango(database_url: str, clock: ManualClock) -> Iterator[Nango]:
    """A product with one user."""
    with open_product(database_url, clock) as opened:
        register_users(opened, "ann")
        opened.jobs.register("pull", lambda context: context.payload)
        yield opened


def results(jobs: Jobs) -> list[object]:
    """The results of all jobs, the newest first."""
    return [job.result for job in jobs.find()]


def test_an_interval_creates_a_job_at_each_tick(nango: Nango, clock: ManualClock) -> None:
    """The first tick is one interval away; after three missed ones there is one job."""
    jobs = nango.jobs
    made = jobs.every(60, "pull", "a", integration="shop", user_id="ann")
    assert made.next_at.timestamp() == clock.now() + 60
    assert jobs.run_due() == 0
    clock.advance(60)
    assert jobs.run_due() == 1
    clock.advance(185)
    assert jobs.run_due() == 1
    (left,) = jobs.schedules()
    assert left.next_at.timestamp() == clock.now() + 55
    assert results(jobs) == ["a", "a"]


def test_a_schedule_creates_no_job_for_the_next_connection(nango: Nango, clock: ManualClock) -> None:
    """It ends if there is another connection of that name; the control goes on."""
    jobs = nango.jobs
    register_users(nango, "bob")
    for user in ("ann", "bob"):
        jobs.every(60, "pull", user, integration="shop", user_id=user)
    sql = "UPDATE nango_connections SET uuid = 'another' WHERE user_id = 'ann'"
    nango.store.write(lambda run: run(sql))
    clock.advance(60)
    assert jobs.run_due() == 1
    assert [each.user_id for each in jobs.schedules()] == ["bob"]


def test_a_cron_expression_creates_jobs_in_its_time_zone(nango: Nango, clock: ManualClock) -> None:
    """At seven in Berlin, which is six in UTC in winter."""
    jobs = nango.jobs
    clock.set_now(1_800_057_600)  # 2027-01-16 00:00 UTC
    made = jobs.cron("0 7 * * *", "pull", integration="shop", user_id="ann", time_zone="Europe/Berlin")
    assert made.next_at.isoformat() == "2027-01-16T06:00:00+00:00"
    clock.advance(6 * 3600)
    assert jobs.run_due() == 1


@pytest.mark.parametrize("rule", ["every", "cron"])
def test_a_clock_that_was_ahead_stops_no_schedule(nango: Nango, clock: ManualClock, rule: str) -> None:
    """Whether the schedule was made or has ticked while the clock was wrong, it ticks within two hours."""
    jobs, now = nango.jobs, clock.now()

    def add(name: str) -> None:
        if rule == "every":
            jobs.every(600, "pull", name, name=name)
        else:
            jobs.cron("*/10 * * * *", "pull", name, name=name)

    add("ticked")
    clock.set_now(now + 300 * DAY)
    add("made")
    jobs.run_due()
    clock.set_now(now)
    assert [each.next_at.timestamp() > now + 299 * DAY for each in jobs.schedules()] == [True, True]
    for _ in range(2):
        clock.advance(3600)
        jobs.run_due()
    later = [job.result for job in jobs.find() if job.created_at.timestamp() < now + DAY]
    assert {"made", "ticked"} <= {*later}


def test_a_yearly_schedule_is_not_moved(nango: Nango, clock: ManualClock) -> None:
    """The control: a tick that is far away because of its rule stays where it is."""
    jobs = nango.jobs
    made = jobs.cron("0 0 29 2 *", "pull")
    for _ in range(3):
        clock.advance(3600)
        jobs.run_due()
    assert jobs.schedules() == [made]


def test_a_schedule_is_replaced_by_its_name(nango: Nango, clock: ManualClock) -> None:
    """The same rule keeps its next tick; another rule begins again; other names are other schedules."""
    jobs = nango.jobs
    first = jobs.every(60, "pull", "a", integration="shop", user_id="ann")
    clock.advance(30)
    again = jobs.every(60, "pull", "b", integration="shop", user_id="ann")
    assert (again.id, again.next_at) == (first.id, first.next_at)
    slower = jobs.every(90, "pull", "c", integration="shop", user_id="ann")
    assert (slower.id, slower.next_at.timestamp()) == (first.id, clock.now() + 90)
    jobs.every(60, "pull", "d", integration="shop", user_id="ann", name="other")
    assert len(jobs.schedules()) == 2
    clock.advance(90)
    jobs.run_due()
    assert sorted(map(str, results(jobs))) == ["c", "d"]
    assert jobs.remove_schedule(first.id)
    assert not jobs.remove_schedule(first.id)


def test_a_tick_waits_for_the_last_one(nango: Nango, clock: ManualClock) -> None:
    """While its last job waits, a schedule creates no second one."""
    jobs = nango.jobs
    jobs.every(60, "pull", integration="shop", user_id="ann")
    for _ in range(3):
        clock.advance(60)
        jobs._schedules.tick(jobs.runner)
    assert jobs.count() == {"waiting": 1}
    jobs.run_due()
    clock.advance(60)
    assert jobs.run_due() == 1


def test_a_schedule_ends_with_its_connection(nango: Nango, clock: ManualClock) -> None:
    """The tick after the connection was deleted creates no job and deletes the schedule."""
    jobs = nango.jobs
    jobs.every(60, "pull", integration="shop", user_id="ann")
    jobs.every(60, "pull", name="of the product")
    nango.delete_connection("shop", "ann")
    clock.advance(60)
    assert jobs.run_due() == 1
    assert [each.name for each in jobs.schedules()] == ["of the product"]


def test_many_schedulers_run_each_tick_once(database_url: str, clock: ManualClock) -> None:
    """Of eight schedulers at once, each with its own connection to the database, one creates the job."""
    with open_product(database_url, clock) as first, open_product(database_url, clock) as second:
        for number in range(3):
            first.jobs.every(60, "pull", name=str(number))
        for tick in range(1, 6):
            clock.advance(60)
            gate = threading.Barrier(8)

            def see(number: int, gate: threading.Barrier = gate) -> int:
                jobs = (first, second)[number % 2].jobs
                gate.wait()
                return jobs._schedules.tick(jobs.runner)

            with ThreadPoolExecutor(8) as threads:
                assert sum(threads.map(see, range(8))) == 3
            assert sum(first.jobs.count().values()) == 3 * tick
            first.jobs.register("pull", lambda _: None)
            first.jobs.run_due()


def test_two_schedulers_without_the_lock_would_run_it_twice(nango: Nango, clock: ManualClock) -> None:
    """The control: the same tick, read before the other took it, is refused only by its stored time."""
    jobs = nango.jobs
    jobs.every(60, "pull")
    clock.advance(60)
    store = jobs.work.store
    rows = store.database.read("SELECT id, next_at FROM nango_schedules", {})
    assert jobs._schedules.tick(jobs.runner) == 1
    sql = "UPDATE nango_schedules SET next_at = :next_at WHERE id = :id"
    store.database.write(lambda run: run(sql, {"id": rows[0][0], "next_at": rows[0][1]}))
    jobs.run_due()
    assert len(list(jobs.find())) == 1  # the key of the tick refuses it once more


def test_wrong_rules_are_refused(nango: Nango) -> None:
    """Each message says what is wrong."""
    with pytest.raises(ValueError, match=r"0\.5 s is too short"):
        nango.jobs.every(0.5, "pull")
    for expression, zone, part in (
        ("0 7 * *", "UTC", "Wrong number of fields"),
        ("*/5 0 7 * * *", "UTC", "expected five fields"),
        ("0 25 * * *", "UTC", "Bad hour"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("0 7 * * *", "Europe/Berln", "unknown time zone"),
        ("0 7 * * *", "../etc/passwd", "unknown time zone"),
    ):
        with pytest.raises(ValueError, match=part):
            nango.jobs.cron(expression, "pull", time_zone=zone)
    with pytest.raises(ValueError, match="unknown lane"):
        nango.jobs.cron("0 7 * * *", "pull", lane="night")
    for wrong, zone in ((None, "UTC"), (5, "UTC"), ("0 7 * * *", None)):
        with pytest.raises(TypeError, match="expected text"):
            nango.jobs.cron(wrong, "pull", time_zone=zone)  # type: ignore[arg-type]
