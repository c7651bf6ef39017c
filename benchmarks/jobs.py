"""Jobs: how many a second, what an idle worker costs, and what interactive calls wait during a backfill."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks.report import Goal, Table
from benchmarks.services import postgres_schema
from nango_py import Nango, RateLimited, Sandbox
from nango_py.engine.patience import Patience, with_patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Event

    from nango_py import HandlerContext

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
USERS = 50
JOB_SECONDS = 0.001
WORKERS, CONCURRENCY = 2, 4
PER_WINDOW = 5
"""The limit of the API during the backfill."""


def run(*, quick: bool) -> list[Table]:
    """Measure what this machine has."""
    return [
        _throughput(20 if quick else 1000, quick=quick),
        _long_wait(0.5 if quick else 20.0),
        _overtaking(quick=quick),
    ]


def _entry(base_url: str = "https://api.example.test/", **more: Any) -> dict[str, Any]:
    headers = {"X-Key": "${api_key}"}
    requests = {"base_url": base_url, "headers": headers, "allow_http": True}
    return {"auth": {"auth_mode": "API_KEY"}, "requests": requests, **more}


def _open(url: str, runner: str, concurrency: int, entry: dict[str, Any] | None = None) -> Nango:
    settings = {"runner": runner, "concurrency": concurrency}
    files = {"integrations": {"shop": entry or _entry()}, "config": {"jobs": settings}}
    nango = Nango(files, database_url=url, environ={}, encryption_keys=KEY)
    nango.jobs.register("short", lambda _: time.sleep(JOB_SECONDS))
    return nango


@contextlib.contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/nango.db"


def _throughput(count: int, *, quick: bool) -> Table:
    title = f"{count} jobs of {JOB_SECONDS * 1000:g} ms, of {USERS} connections"
    table = Table(title, ("runner", "workers", "enqueued a second", "run a second"))
    with _sqlite() as url:
        enqueued, ran = _measure(url, "threads", count, processes=0)
    table.add("threads, SQLite", f"1 process of {WORKERS} threads", enqueued, ran)
    table.goals.append(Goal("jobs a second with threads", ran, 400, at_least=True))
    with postgres_schema() as url:
        if url is None:
            table.notes.append("Left out without PostgreSQL: Procrastinate.")
            return table
        words = f"{WORKERS} processes of {CONCURRENCY} jobs"
        bare = None if quick else _measure_bare(url, count)
        enqueued, ran = _measure(url, "procrastinate", count, processes=WORKERS)
    table.add("Procrastinate, PostgreSQL", words, enqueued, ran)
    if bare is not None:
        table.add("Procrastinate alone", words, *bare)
    table.goals.append(Goal("jobs a second with Procrastinate", ran, 250, at_least=True))
    return table


def _measure(url: str, runner: str, count: int, processes: int) -> tuple[float, float]:
    """Jobs a second: enqueued, and run from the first end to the last one."""
    with _open(url, runner, CONCURRENCY if processes else WORKERS) as nango:
        began = time.monotonic()
        for number in range(count):
            nango.jobs.enqueue("short", number, integration="shop", user_id=f"user-{number % USERS}")
        enqueued = count / (time.monotonic() - began)
        context = multiprocessing.get_context("spawn")
        end = context.Event()
        workers = [context.Process(target=_work, args=(url, runner, end)) for _ in range(processes)]
        for worker in workers:
            worker.start()
        if not processes:
            nango.jobs.start()
        first = _wait(nango, 1)
        last = _wait(nango, count)
        end.set()
        nango.jobs.stop(10)
        for worker in workers:
            worker.join()
    return enqueued, (last[1] - first[1]) / (last[0] - first[0])


def _bare_app(url: str) -> Any:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    app.task(name="short")(lambda **_: time.sleep(JOB_SECONDS))
    return app


def _measure_bare(url: str, count: int) -> tuple[float, float]:
    """The same as `_measure` for tasks of Procrastinate, without anything of nango_py."""
    import psycopg

    app = _bare_app(url)
    with app.open(), psycopg.connect(url, autocommit=True) as server:
        app.schema_manager.apply_schema()
        began = time.monotonic()
        for number in range(count):
            app.configure_task("short", lock=f"user-{number % USERS}").defer(number=number)
        enqueued = count / (time.monotonic() - began)
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=_work_bare, args=(url,)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        moments: list[tuple[float, int]] = []
        for least in (1, count):
            while (done := count - _left(server)) < least:
                time.sleep(0.005)
            moments.append((time.monotonic(), done))
        for worker in workers:
            worker.terminate()
            worker.join()
    (first, some), (last, done) = moments
    return enqueued, (done - some) / (last - first)


def _left(server: Any) -> int:
    return int(server.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()[0])


def _work_bare(url: str) -> None:
    _bare_app(url).run_worker(concurrency=CONCURRENCY, delete_jobs="always")


def _work(url: str, runner: str, end: Event) -> None:
    nango = _open(url, runner, CONCURRENCY)
    nango.jobs.start()
    end.wait()
    nango.jobs.stop(10)


def _wait(nango: Nango, least: int) -> tuple[float, int]:
    """The moment at which at least this number of jobs was done, and how many were."""
    while (done := nango.jobs.count().get("done", 0)) < least:
        time.sleep(0.005)
    return time.monotonic(), done


def _long_wait(seconds: float) -> Table:
    """Jobs whose quota is closed: what their worker does until it opens."""
    table = Table(f"Ten jobs wait {seconds:g} s for their quota", ("", "share of the wait"))
    busy = [0.0]
    with _sqlite() as url, _open(url, "threads", CONCURRENCY) as nango:
        opens = time.time() + seconds

        def paced(_: HandlerContext) -> None:
            began = time.monotonic()
            try:
                if time.time() < opens:
                    raise RateLimited("closed", retry_at=opens)
            finally:
                busy[0] += time.monotonic() - began

        nango.jobs.register("paced", paced)
        for number in range(10):
            nango.jobs.enqueue("paced", integration="shop", user_id=f"user-{number}")
        nango.jobs.start()
        time.sleep(min(0.5, seconds / 2))
        cpu, began = time.process_time(), time.monotonic()
        time.sleep(max(0.1, opens - time.time() - 0.1))
        share = (time.process_time() - cpu) / (time.monotonic() - began)
        _wait(nango, 10)
        nango.jobs.stop(10)
    blocked = busy[0] / (seconds * CONCURRENCY)
    table.add("slots of the worker blocked by these jobs", f"{blocked:.4%}")
    table.add("CPU of the idle worker", f"{share:.2%}")
    table.goals = [Goal("share of the wait that slots are blocked", blocked, 0.01),
                   Goal("share of one CPU", share, 0.01)]  # fmt: skip
    return table


def _overtaking(*, quick: bool) -> Table:
    """What interactive calls wait while four threads of a backfill use the whole quota."""
    window = 0.5 if quick else 2.0
    limits = {"budgets": [{"key": "all", "otherwise": [{"requests": PER_WINDOW, "per_seconds": window}]}]}
    title = f"Interactive calls during a backfill, {PER_WINDOW} calls in {window:g} s allowed"
    table = Table(title, ("the backfill's calls", "median wait, s", "longest wait, s"))
    rows = (("lane background", True), ("wait in line", False))
    for words, is_behind in rows[:1] if quick else rows:
        waits = _waits(_entry(rate_limits=limits), 1 if quick else 10, window, is_behind=is_behind)
        table.add(words, statistics.median(waits), max(waits))
        if is_behind:
            table.goals.append(Goal("longest wait in windows", max(waits) / window, 1.1))
    return table


def _waits(entry: dict[str, Any], calls: int, window: float, *, is_behind: bool) -> list[float]:
    end = threading.Event()
    with Sandbox(entry, strict=False) as sandbox, _sqlite() as url:
        entry = {**entry, "requests": {**entry["requests"], "base_url": sandbox.base_url}}
        with _open(url, "threads", CONCURRENCY, entry) as nango:
            nango.register_connection("shop", "user-1", {"api_key": "key_test_123456"})

            def backfill() -> None:
                executor = nango.executor("shop", "user-1")
                while not end.is_set():
                    with contextlib.suppress(RateLimited), with_patience(Patience(30.0, is_behind=is_behind)):
                        executor.get("things")

            threads = [threading.Thread(target=backfill, daemon=True) for _ in range(4 * CONCURRENCY)]
            for thread in threads:
                thread.start()
            time.sleep(window)
            waits = []
            for _ in range(calls):
                began = time.monotonic()
                nango.executor("shop", "user-1").get("things")
                waits.append(time.monotonic() - began)
                time.sleep(0.1)
            end.set()
            for thread in threads:
                thread.join(window * 10)
    return waits
