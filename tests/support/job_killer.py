"""A program that starts four workers and kills them while they run jobs.

    job_killer.py RUNNER MODE JOBS KILLS SEED URL REDIS SANDBOX FOLDER

Each job makes one POST with its idempotency key (in the mode `careless`, with another key in each attempt).
Workers are forked before anything is opened. As many as KILLS die by SIGKILL, at a counted point of their
writes or after a counted POST, and are replaced; the last ones live until every job has ended. The last line
of output is JSON: the kills, the statuses of the jobs, the highest number of attempts, and the seconds.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py import Nango
from nango_py.jobs import local, procrastinate_runner
from tests.support.job_product import KEY, shop_entry
from tests.support.kill_points import die_at_point

if TYPE_CHECKING:
    from nango_py import HandlerContext
    from nango_py.jobs.jobs import Jobs

WORKERS, USERS, CONCURRENCY = 4, 24, 3
LAST_POINT, LAST_POST = 60, 6
PER_SECOND = 20
ENDED = {"done", "failed", "dead", "cancelled"}


def entry(base_url: str) -> dict[str, Any]:
    """The API: it takes idempotency keys, and refuses more calls a second of all users than this."""
    budgets = [{"key": "all", "otherwise": [f"{PER_SECOND}/second"]}]
    return shop_entry(
        base_url,
        retries={"max_attempts": 1, "idempotency_header": "Idempotency-Key"},
        rate_limits={"counted_per": "integration", "budgets": budgets},
    )


def credentials() -> dict[str, dict[str, str]]:
    """The credentials of all users."""
    return {f"u{number}": {"api_key": f"key_for_u{number:04}"} for number in range(USERS)}


class JobKiller:
    """Starts workers, kills them, and waits until every job has ended."""

    def __init__(self, runner: str, mode: str, seed: int, urls: list[str], folder: Path) -> None:
        self.runner, self.mode, self.folder = runner, mode, folder
        self.url, self.limits_url, self.base_url = urls
        self.chance = random.Random(seed)

    def open(self, **jobs: Any) -> Nango:
        """The product; `jobs` are settings of its jobs."""
        settings = {"runner": self.runner, "concurrency": CONCURRENCY, "max_attempts": 30, **jobs}
        files = {
            "integrations": {"shop": entry(self.base_url)},
            "config": {"jobs": settings, "rate_limit_store": self.limits_url},
        }
        return Nango(files, database_url=self.url, encryption_keys=KEY, environ={})

    def prepare(self, count: int) -> None:
        """Store the jobs, in another process, which leaves no connection in this one.

        Each connection makes a call first, or else it would count apart until the API has accepted one.
        """
        child = os.fork()
        if child == 0:
            runner = "threads" if self.runner == "inline" else self.runner
            with self.open(runner=runner) as nango:
                for user, fields in credentials().items():
                    nango.register_connection("shop", user, fields)
                    nango.executor("shop", user).get("orders", raise_for_error=True)
                for number in range(count):
                    lane = "background" if number % 3 == 0 else "default"
                    user = f"u{number % USERS}"
                    nango.jobs.enqueue("order", number, integration="shop", user_id=user, lane=lane)
            os._exit(0)
        os.waitpid(child, 0)

    def fork(self, *, dies: bool) -> int:
        """Start a worker that dies, or one that lives until all jobs have ended."""
        point, post = self.chance.randint(1, LAST_POINT), self.chance.randint(1, LAST_POST)
        by_post = self.mode == "careless" or self.chance.random() < 0.5
        child = os.fork()
        if child:
            return child
        code = 3
        try:
            if dies and not by_post:
                die_at_point(point, self.folder)
            self.work(post if dies and by_post else 0)
            code = 0
        finally:
            os._exit(code)

    def work(self, last_post: int) -> None:
        """Run jobs until all have ended."""
        local.RESCUE_SECONDS = 0.3  # as soon as a worker died
        procrastinate_runner.EVERY_5_SECONDS = "* * * * * *"
        nango = self.open()
        posts = itertools.count(1)

        def order(context: HandlerContext) -> None:
            key = uuid.uuid4().hex if self.mode == "careless" else context.idempotency_key
            executor = nango.executor(context.integration, context.user_id)
            executor.post("orders", json={"n": context.payload}, idempotency_key=key, raise_for_error=True)
            if next(posts) == last_post:
                os.kill(os.getpid(), signal.SIGKILL)

        jobs = nango.jobs
        jobs.register("order", order)
        if self.runner == "inline":
            while not has_ended(jobs):
                jobs.run_due()
                time.sleep(0.02)
            return
        runner: Any = jobs.runner
        if self.runner == "procrastinate":
            runner.heartbeat_seconds, runner.dead_seconds = 0.3, 1.5
        threading.Thread(target=stop_at_end, args=(jobs,), daemon=True).start()
        runner.run(10)

    def run(self, kills: int) -> int:
        """Kill this number of workers, and wait for the others; the number that died."""
        alive = {self.fork(dies=number < kills) for number in range(WORKERS)}
        started, died = WORKERS, 0
        while alive:
            child, status = os.wait()
            alive.discard(child)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                died += 1
                alive.add(self.fork(dies=started < kills))
                started += 1
        return died

    def report(self) -> dict[str, Any]:
        """How the jobs ended."""
        with self.open() as nango:
            highest = max(job.attempts for job in nango.jobs.find())
            return {"statuses": nango.jobs.count(), "highest": highest}


def has_ended(jobs: Jobs) -> bool:
    """Whether no job waits or runs."""
    return not set(jobs.count()) - ENDED


def stop_at_end(jobs: Jobs) -> None:
    """Stop the worker when every job has ended."""
    while not has_ended(jobs):
        time.sleep(0.1)
    jobs.runner.request_stop()


def main(*arguments: str) -> None:
    """Run the drill and report."""
    runner, mode, jobs, kills, seed, *urls, folder = arguments
    killer = JobKiller(runner, mode, int(seed), urls, Path(folder))
    killer.prepare(int(jobs))
    began = time.monotonic()
    died = killer.run(int(kills))
    seconds = time.monotonic() - began
    sys.stdout.write(json.dumps({"kills": died, "seconds": seconds, **killer.report()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
