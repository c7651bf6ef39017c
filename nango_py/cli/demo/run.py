"""What the demo does: two sandboxes, two users, an encrypted store, and calls through faults."""

from __future__ import annotations

import random
import secrets
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nango_py.cli.demo.result import Capture, Outcome, Result, Witness
from nango_py.cli.project import declared
from nango_py.client import Nango
from nango_py.errors import RequestFailed
from nango_py.sandbox import FaultPlan, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.engine.executor import Executor

INTEGRATIONS = {"klaviyo": "body", "klaviyo-today": "seconds"}
"""Names in the shipped integrations.yaml, and how each API says in a 429 when to come back."""

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
IMPATIENCE: dict[str, Any] = {
    # Short waits, so that the demo is over soon; limits stay those of the blueprint.
    "requests": {"timeout_seconds": {"connect": 2, "read": 0.5}},
    "retries": {"max_attempts": 8, "backoff": {"base_seconds": 0.1, "max_seconds": 1}},
}
SLOW_CALLS = 5
"""For each user: calls of an endpoint that is limited to one a second."""


@dataclass(frozen=True, slots=True)
class Task:
    """One call to make."""

    integration: str
    user: str
    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)


def shipped_integrations() -> Path:
    """The integrations.yaml that comes with the package: inside a wheel, or beside it in a checkout."""
    from nango_py.config.catalogue import shipped_folder

    return shipped_folder().parent / "integrations.yaml"


def run_demo(calls: int, seed: int, folder: Path, progress: Callable[[Outcome], None]) -> Result:
    """Make the calls and say what happened.

    Args:
        calls: how many.
        seed: of the choice of calls and of the faults.
        folder: where the encrypted database and its key are put.
        progress: told of each call that has ended, in the caller's thread.
    """
    keys = {user: f"pk_{secrets.token_hex(16)}" for user in USERS}
    capture = Capture()
    with ExitStack() as stack:
        stack.enter_context(capture.listening())
        sandboxes = stack.enter_context(_sandboxes(seed, keys))
        nango = stack.enter_context(_product(folder, sandboxes))
        executors = {}
        for name in INTEGRATIONS:
            for user, key in keys.items():
                nango.register_connection(name, user, {"api_key": key})
                executors[name, user] = nango.executor(name, user)
        started = time.monotonic()
        outcomes = _all(executors, tasks(calls, seed), progress)
        seconds = time.monotonic() - started
        witnesses = {name: Witness.of(sandbox) for name, sandbox in sandboxes.items()}
        titles = {name: declared(nango, name).blueprint for name in INTEGRATIONS}
    stored = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    found = sum(stored.count(key.encode()) + capture.count(key) for key in keys.values())
    return Result(titles, tuple(outcomes), witnesses, tuple(capture.records), seconds, found)


def tasks(calls: int, seed: int) -> list[Task]:
    """The calls, in a random order: both APIs, both users, five GETs to each POST."""
    chance = random.Random(seed)  # noqa: S311 - a demo that can be repeated
    found = []
    slow = dict.fromkeys(USERS, SLOW_CALLS)
    for number in range(calls):
        user = USERS[number % len(USERS)]
        if number // len(USERS) % len(INTEGRATIONS):
            found.append(_old_call(user, number, chance))
        elif slow[user] and number % 3 == 0:
            slow[user] -= 1
            found.append(Task("klaviyo-today", user, "GET", "accounts"))
        else:
            found.append(_new_call(user, number, chance))
    chance.shuffle(found)
    return found


def _old_call(user: str, number: int, chance: random.Random) -> Task:
    match chance.randrange(6):
        case 0:
            body = {"profiles": [{"email": f"person-{number}@example.com"}]}
            return Task("klaviyo", user, "POST", "v2/list/Y6nRLr/members", {"json": body})
        case 1 | 2:
            return Task("klaviyo", user, "GET", "v2/lists")
        case _:
            return Task("klaviyo", user, "GET", "v1/metrics", {"params": {"count": 50, "page": number}})


def _new_call(user: str, number: int, chance: random.Random) -> Task:
    match chance.randrange(6):
        case 0:
            body = {"data": {"type": "event", "attributes": {"unique_id": f"demo-{number}"}}}
            return Task("klaviyo-today", user, "POST", "events", {"json": body})
        case 1 | 2:
            return Task("klaviyo-today", user, "GET", "profiles", {"params": {"page[size]": 20}})
        case _:
            return Task("klaviyo-today", user, "GET", "metrics")


@contextmanager
def _sandboxes(seed: int, keys: dict[str, str]) -> Iterator[dict[str, Sandbox]]:
    """A running stand-in for each API, which knows the users' keys."""
    credentials = {user: {"api_key": key} for user, key in keys.items()}
    with ExitStack() as stack:
        nango = stack.enter_context(Nango(shipped_integrations(), environ={}))
        yield {
            name: stack.enter_context(
                Sandbox(
                    declared(nango, name).settings,
                    credentials=credentials,
                    faults=FaultPlan(seed + number, RATES, retry_after=1.0),
                    retry_after=form,  # type: ignore[arg-type]  # the forms of INTEGRATIONS are such
                )
            )
            for number, (name, form) in enumerate(INTEGRATIONS.items())
        }


def _product(folder: Path, sandboxes: dict[str, Sandbox]) -> Nango:
    """The shipped integrations.yaml, with its APIs replaced by the sandboxes."""
    overrides = {
        name: {**IMPATIENCE, "requests": {**IMPATIENCE["requests"], "base_url": sandbox.base_url}}
        for name, sandbox in sandboxes.items()
    }
    database = f"sqlite:///{(folder / 'nango.db').absolute()}"
    return Nango(shipped_integrations(), overrides=overrides, database_url=database, environ={})


def _all(
    executors: dict[tuple[str, str], Executor], todo: list[Task], progress: Callable[[Outcome], None]
) -> list[Outcome]:
    outcomes = []
    pool = ThreadPoolExecutor(THREADS)
    try:
        for future in as_completed(
            [pool.submit(_one, executors[task.integration, task.user], task) for task in todo]
        ):
            outcomes.append(future.result())
            progress(outcomes[-1])
    finally:
        pool.shutdown(cancel_futures=True)
    return outcomes


def _one(executor: Executor, task: Task) -> Outcome:
    status, reason = 0, ""
    try:
        status = executor.request(task.method, task.path, **task.options).status_code
    except RequestFailed as error:
        reason = getattr(error, "reason", "") or type(error).__name__
    return Outcome(task.integration, task.method, status, reason, executor.attempts)
