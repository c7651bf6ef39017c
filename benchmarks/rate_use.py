"""How much of an allowed rate is used and how often the API refuses, by an API that counts for itself."""

from __future__ import annotations

import importlib.util
import itertools
import multiprocessing
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.counting_server import Counter, Fixed, Limit, Sliding, Tokens, counting
from benchmarks.rate_workers import work
from benchmarks.report import Goal, Table
from benchmarks.services import redis_server
from benchmarks.subject import KEY, USER, write
from nango_py import Nango

if TYPE_CHECKING:
    from collections.abc import Callable

NEAR, FAR = (0.0, 0.0), (0.005, 0.050)
"""The least and the most seconds that the network adds."""

AT_ONCE = 6
"""Runs beside each other: they mostly wait."""

SECONDS = 60.0
"""How long a run counts; long enough that a window at its end does not flatter."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit as the API counts it and as the blueprint says it.

    Attributes:
        allowed: how many calls a client may make in this many seconds, whatever the alignment of the windows.
        written: the blueprint's `otherwise`; None for an API that says it in its headers only.
    """

    name: str
    limits: Callable[[], list[Limit]]
    written: list[Any] | None
    allowed: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many processes and threads call, and over which store."""

    name: str
    store: str
    processes: int
    threads: int
    is_async: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a run.

    Attributes:
        used: the share of the allowed rate that was used.
        refused: the share of responses that were 429.
        least: the responses of the process that got the fewest, by its even share.
        failed: calls that ended in an error before the time was over.
    """

    used: float
    refused: float
    least: float
    failed: int


@dataclass(frozen=True, slots=True)
class Setting:
    """One table: rates, a network, and the goals."""

    title: str
    rates: tuple[Rate, ...]
    network: tuple[float, float]
    used: float
    refused: float


SIX_SECONDS = {"requests": 15, "per_seconds": 6}
RATES = (
    Rate("10/s fixed", lambda: [Fixed(10, 1)], ["10/second"], lambda t: 10 * t),
    Rate("10/s sliding", lambda: [Sliding(10, 1)], ["10/second"], lambda t: 10 * t),
    Rate(
        "10/s and 15/6 s", lambda: [Sliding(10, 1), Sliding(15, 6)], ["10/second", SIX_SECONDS],
        lambda t: 2.5 * t,
    ),
    Rate(
        "bucket 10 + 2.5/s", lambda: [Tokens(10, 2.5)], [{"burst": 10, "per_second": 2.5}],
        lambda t: 10 + 2.5 * t,
    ),
)  # fmt: skip
REPORTED = Rate("10/s, reported in headers", lambda: [Fixed(10, 1)], None, lambda t: 10 * t)
SETTINGS: tuple[Setting, ...] = (
    Setting("Rate use, loopback", RATES, NEAR, used=0.98, refused=0.005),
    Setting("Rate use, 5 to 50 ms of network at random", RATES, FAR, used=0.95, refused=0.01),
    Setting(
        "Rate use where only response headers state the limit", (REPORTED,), NEAR, used=0.90, refused=0.03
    ),
)
COLUMNS = ("limit", "layout", "used", "refused", "least share of a process")
LAYOUTS = (
    Layout("1 process x 8 threads", "memory", 1, 8),
    Layout("4 x 2, SQLite", "sql", 4, 2),
    Layout("4 x 2, Redis", "redis", 4, 2),
    Layout("async, 8 tasks", "memory", 1, 8, is_async=True),
)


def run(*, quick: bool) -> list[Table]:
    """Every rate by every layout, over a fast network and over a slow one."""
    with redis_server() as redis, ThreadPoolExecutor(AT_ONCE) as pool:
        lacks = {layout: _lack(layout, redis) for layout in LAYOUTS}
        layouts = [layout for layout in LAYOUTS if not lacks[layout]]
        settings = SETTINGS
        if quick:
            layouts, settings = layouts[:1], SETTINGS[:1]
        number = itertools.count()

        def start(setting: Setting, rate: Rate, layout: Layout) -> Future[Found]:
            seconds = 6.0 if quick else SECONDS
            return pool.submit(_found, rate, layout, setting.network, seconds, redis, next(number))

        asked = [
            (
                setting,
                [
                    (rate, layout, start(setting, rate, layout))
                    for rate in setting.rates
                    for layout in layouts
                ],
            )
            for setting in settings
        ]
        tables = [_table(setting, rows) for setting, rows in asked]
    tables[0].notes += [
        f"Used: of what a client may send in {SECONDS:g} s that keeps to any alignment of the API's windows.",
        *(f"{layout.name}: {lack}, so it is left out." for layout, lack in lacks.items() if lack),
    ]
    return tables


def _table(setting: Setting, rows: list[tuple[Rate, Layout, Future[Found]]]) -> Table:
    table = Table(setting.title, COLUMNS)
    for rate, layout, run in rows:
        found = run.result()
        table.add(rate.name, layout.name, f"{found.used:.1%}", f"{found.refused:.1%}", f"{found.least:.0%}")
        if found.failed:
            table.notes.append(f"{rate.name}, {layout.name}: {found.failed} calls ended in an error.")
    every = [run.result() for _, _, run in rows]
    # The worst row is what counts.
    table.goals = [
        Goal("least share used", min(found.used for found in every), setting.used, at_least=True),
        Goal("largest share refused", max(found.refused for found in every), setting.refused),
    ]
    return table


def _lack(layout: Layout, redis: str | None) -> str:
    """What is missing for a layout, or ""."""
    if layout.store == "redis" and (redis is None or not importlib.util.find_spec("redis")):
        return "no Redis here"
    return ""


def _found(
    rate: Rate, layout: Layout, network: tuple[float, float], seconds: float, redis: str | None, number: int
) -> Found:
    """Run one rate by one layout."""
    counter = Counter(rate.limits(), network, sends_headers=rate.written is None, seconds=seconds)
    # Runs beside each other must not count together.
    store = f"{(redis or '').rpartition('/')[0]}/{number % 16}" if layout.store == "redis" else layout.store
    limits = None if rate.written is None else {"budgets": [{"key": "all", "otherwise": rate.written}]}
    with counting(counter) as server, tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), server.base, limits, store)
        with Nango(path) as nango:
            nango.register_connection("bench", USER, {"api_key": KEY})
        responses, failed = _calls(layout, path, seconds)
        admitted, refused = server.counted()
    return Found(
        admitted / rate.allowed(seconds),
        refused / max(1, admitted + refused),
        min(responses) * len(responses) / max(1, sum(responses)),
        failed,
    )


def _calls(layout: Layout, path: Path, seconds: float) -> tuple[list[int], int]:
    """Let the processes of a layout call; the responses of each, and how many calls failed."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(layout.processes):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=work, args=(theirs, str(path), layout.threads), kwargs={"is_async": layout.is_async}
        )
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    end = time.monotonic() + seconds + 0.3
    for pipe in pipes:
        pipe.send(end)
    found = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return [responses for responses, _ in found], sum(failed for _, failed in found)
