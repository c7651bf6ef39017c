"""Ten thousand connections of one integration: what a call costs, and what an idle one holds in memory."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from typing import TYPE_CHECKING

from benchmarks import server
from benchmarks.measure import cpu_rounds, medians, ratios
from benchmarks.report import Goal, Table
from benchmarks.subject import KEY, prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py import Nango
    from nango_py.engine.executor import Executor

THREADS = 8


def run(*, quick: bool) -> list[Table]:
    """The same calls over one connection and over all of them in turn."""
    count, rounds, calls = (200, 2, 400) if quick else (10_000, 7, 10_000)
    users = [f"user-{number:05}" for number in range(count)]
    with server.running() as base, prepared(base, users=()) as nango:
        for user in users:
            nango.register_connection("bench", user, {"api_key": KEY})
        held, executors = _held(nango, users)
        clients = {"one connection": _calls(executors[:1]), f"{count} connections": _calls(executors)}
        found = cpu_rounds(clients, rounds, calls, THREADS, warm_up=count)
    times, by_one = medians(found), ratios(found, "one connection")
    table = Table(
        f"{count} connections of one integration, {THREADS} threads", ("round robin over", "us", "by one")
    )
    for name in clients:
        table.add(name, times[name] * 1e6, by_one[name])
    table.notes = [f"An idle connection (its executor and its cached credentials) holds {held:.0f} bytes."]
    table.goals = [
        Goal("CPU by one connection", by_one[f"{count} connections"], 1.3),
        Goal("bytes per idle connection", held, 2048),
    ]
    return [table]


def _held(nango: Nango, users: list[str]) -> tuple[float, list[Executor]]:
    """Bytes per connection that is ready to be called, and the executors."""
    nango.executor("bench", users[0]).plan("GET", "v1/metrics")
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    executors = [nango.executor("bench", user) for user in users]
    gc.collect()
    held = (tracemalloc.get_traced_memory()[0] - before) / len(users)
    tracemalloc.stop()
    return held, executors


def _calls(executors: list[Executor]) -> Callable[[], object]:
    turns = itertools.cycle(executors)
    return lambda: next(turns).get("v1/metrics").json()
