"""Runs the demo: two sandboxes, two users, an encrypted database, and calls through faults."""

from __future__ import annotations

import logging
import random
import secrets
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from nango_py.cli.demo.result import CallOutcome, LogCapture, Result, SandboxCounts
from nango_py.cli.logs import attach
from nango_py.cli.project import find_integration
from nango_py.client import Nango
from nango_py.errors import RequestFailed
from nango_py.record import field, record
from nango_py.sandbox import FaultPlan, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.engine.executor import Executor
    from nango_py.sandbox.limit_headers import RetryAfter

INTEGRATIONS: dict[str, RetryAfter] = {"klaviyo": "body", "klaviyo-today": "seconds"}
"""Entries of the shipped integrations.yaml, and where the API's 429 holds the time to wait."""

USERS = ("user-1", "user-2")
THREADS = 16
RATES = {
    "429": 0.04,
    "timeout": 0.03,
    "reset_before": 0.02,
    "reset_after": 0.02,
    "503": 0.04,
    "truncate": 0.01,
}
SHORT_WAITS: dict[str, Any] = {
    # Short timeouts and backoff keep the demo short. The rate limits are those of the blueprints.
    "requests": {"timeout_seconds": {"connect": 2, "read": 0.5}},
    "retries": {"max_attempts": 8, "backoff": {"base_seconds": 0.1, "max_seconds": 1}},
}
LOG_LEVELS = {
    "nango_py.integrations": logging.DEBUG,
    "urllib3": logging.DEBUG,
    "nango_py.config": logging.ERROR,  # without the warning that the first Klaviyo API is retired
}
SLOW_CALLS = 5
"""Calls per user to an endpoint that is limited to one request per second."""


@record
class Task:
    """One call to make."""

    integration: str
    user: str
    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)


def shipped_integrations() -> Path:
    """The integrations.yaml of the package: inside a wheel, or next to the package in a checkout."""
    from nango_py.config.catalogue import shipped_folder

    return shipped_folder().parent / "integrations.yaml"


def run_demo(calls: int, seed: int, folder: Path, progress: Callable[[CallOutcome], None]) -> Result:
    """Make the calls.

    Args:
        calls: the number of calls.
        seed: seed of the calls and faults.
        folder: the folder for the encrypted database and its key.
        progress: called with each outcome, in this thread.
    """
    keys = {user: f"pk_{secrets.token_hex(16)}" for user in USERS}
    capture = LogCapture()
    with ExitStack() as stack:
        stack.enter_context(attach(capture, LOG_LEVELS, propagate=False))
        sandboxes = stack.enter_context(_sandboxes(seed, keys))
        nango = stack.enter_context(_open_nango(folder, sandboxes))
        executors = {}
        for name in INTEGRATIONS:
            for user, key in keys.items():
                nango.register_connection(name, user, {"api_key": key})
                executors[name, user] = nango.executor(name, user)
        started = time.monotonic()
        outcomes = _run_tasks(executors, make_tasks(calls, seed), progress)
        seconds = time.monotonic() - started
        counts = {name: SandboxCounts.of(sandbox) for name, sandbox in sandboxes.items()}
        blueprints = {name: find_integration(nango, name).blueprint for name in INTEGRATIONS}
    stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    keys_found = sum(stored.count(key.encode()) + capture.count(key) for key in keys.values())
    return Result(blueprints, tuple(outcomes), counts, tuple(capture.records), seconds, keys_found)


def make_tasks(calls: int, seed: int) -> list[Task]:
    """The calls in random order: both APIs, both users, five GETs per POST."""
    generator = random.Random(seed)  # noqa: S311 - the demo is repeatable
    tasks = []
    slow = dict.fromkeys(USERS, SLOW_CALLS)
    for number in range(calls):
        user = USERS[number % len(USERS)]
        if number // len(USERS) % len(INTEGRATIONS):
            tasks.append(_old_api_task(user, number, generator))
        elif slow[user] and number % 3 == 0:
            slow[user] -= 1
            tasks.append(Task("klaviyo-today", user, "GET", "accounts"))
        else:
            tasks.append(_new_api_task(user, number, generator))
    generator.shuffle(tasks)
    return tasks


def _old_api_task(user: str, number: int, generator: random.Random) -> Task:
    match generator.randrange(6):
        case 0:
            body = {"profiles": [{"email": f"person-{number}@example.com"}]}
            return Task("klaviyo", user, "POST", "v2/list/Y6nRLr/members", {"json": body})
        case 1 | 2:
            return Task("klaviyo", user, "GET", "v2/lists")
        case _:
            return Task("klaviyo", user, "GET", "v1/metrics", {"params": {"count": 50, "page": number}})


def _new_api_task(user: str, number: int, generator: random.Random) -> Task:
    match generator.randrange(6):
        case 0:
            body = {"data": {"type": "event", "attributes": {"unique_id": f"demo-{number}"}}}
            return Task("klaviyo-today", user, "POST", "events", {"json": body})
        case 1 | 2:
            return Task("klaviyo-today", user, "GET", "profiles", {"params": {"page[size]": 20}})
        case _:
            return Task("klaviyo-today", user, "GET", "metrics")


@contextmanager
def _sandboxes(seed: int, keys: dict[str, str]) -> Iterator[dict[str, Sandbox]]:
    """A sandbox of each API, which accepts the users' keys only."""
    credentials = {user: {"api_key": key} for user, key in keys.items()}
    with ExitStack() as stack:
        nango = stack.enter_context(Nango(shipped_integrations(), environ={}))
        yield {
            name: stack.enter_context(
                Sandbox(
                    find_integration(nango, name).settings,
                    credentials=credentials,
                    faults=FaultPlan(seed + number, RATES, retry_after=1.0),
                    retry_after=retry_after,
                )
            )
            for number, (name, retry_after) in enumerate(INTEGRATIONS.items())
        }


def _open_nango(folder: Path, sandboxes: dict[str, Sandbox]) -> Nango:
    """A Nango for the shipped integrations.yaml, with the base URLs of the sandboxes."""
    overrides = {
        name: {**SHORT_WAITS, "requests": {**SHORT_WAITS["requests"], "base_url": sandbox.base_url}}
        for name, sandbox in sandboxes.items()
    }
    database = f"sqlite:///{(folder / 'nango.db').absolute()}"
    return Nango(shipped_integrations(), overrides=overrides, database_url=database, environ={})


def _run_tasks(
    executors: dict[tuple[str, str], Executor], tasks: list[Task], progress: Callable[[CallOutcome], None]
) -> list[CallOutcome]:
    outcomes = []
    pool = ThreadPoolExecutor(THREADS)
    try:
        for future in as_completed(
            [pool.submit(_call, executors[task.integration, task.user], task) for task in tasks]
        ):
            outcomes.append(future.result())
            progress(outcomes[-1])
    finally:
        pool.shutdown(cancel_futures=True)
    return outcomes


def _call(executor: Executor, task: Task) -> CallOutcome:
    status, reason = 0, ""
    try:
        status = executor.request(task.method, task.path, **task.options).status_code
    except RequestFailed as error:
        reason = getattr(error, "reason", "") or type(error).__name__
    return CallOutcome(task.integration, task.method, status, reason, executor.attempts)
