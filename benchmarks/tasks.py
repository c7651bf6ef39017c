"""One authenticated GET and its JSON by asyncio: the CPU it costs the client, with one task and with 50."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from benchmarks import server
from benchmarks.measure import medians, ratios
from benchmarks.peers import HEADERS, PARAMS, PATH
from benchmarks.report import Goal, Table
from benchmarks.subject import USER, prepared

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nango_py import Nango

    AsyncCall = Callable[[], Awaitable[Any]]

OURS = "nango_py async"
TASKS = 50


def run(*, quick: bool) -> list[Table]:
    """One task, then 50 at once."""
    rounds, calls = (3, 50) if quick else (25, 250)
    with server.running() as base, prepared(base) as nango:
        alone, crowd = asyncio.run(_measure(base, nango, rounds, calls))
    bases = [name for name in ("aiohttp", "httpx2") if name in alone]
    table = Table(
        "One authenticated GET and its JSON by asyncio: client CPU",
        (
            "client",
            "us (1 task)",
            *(f"by {name}" for name in bases),
            f"us ({TASKS} tasks)",
            *(f"by {name}, {TASKS} tasks" for name in bases),
        ),
    )
    by_alone = {name: ratios(alone, name) for name in bases}
    by_crowd = {name: ratios(crowd, name) for name in bases}
    times, crowd_times = medians(alone), medians(crowd)
    for name in sorted(alone, key=lambda name: times[name]):
        table.add(
            name,
            times[name] * 1e6,
            *(by_alone[base][name] for base in bases),
            crowd_times[name] * 1e6,
            *(by_crowd[base][name] for base in bases),
        )
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in alone if name != OURS)
    table.notes = [f"The peers are bare: no limits, no retries. {versions}."]
    if "aiohttp" in bases:
        table.goals = [
            Goal("CPU by aiohttp", by_alone["aiohttp"][OURS], 2.0),
            Goal(f"CPU by aiohttp, {TASKS} tasks", by_crowd["aiohttp"][OURS], 2.0),
        ]
    return [table]


async def _measure(
    base: str, nango: Nango, rounds: int, calls: int
) -> tuple[Mapping[str, list[float]], Mapping[str, list[float]]]:
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[str, AsyncCall] = {}
        for name, make in PEERS.items():
            with contextlib.suppress(ModuleNotFoundError):
                clients[name] = await make(base, stack)
        executor = nango.async_executor("bench", USER)

        async def ours() -> Any:
            return (await executor.get("v1/metrics", params=PARAMS)).json()

        clients[OURS] = ours
        found = await _rounds(clients, rounds, calls, 1), await _rounds(clients, rounds, calls, TASKS)
        await nango.aclose()
    return found


async def _rounds(
    clients: Mapping[str, AsyncCall], rounds: int, calls: int, tasks: int
) -> dict[str, list[float]]:
    for call in clients.values():
        await _run(call, 2 * TASKS, tasks)
    found: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(rounds):
        for name, call in clients.items():
            gc.collect()
            started = time.process_time()
            await _run(call, calls, tasks)
            found[name].append((time.process_time() - started) / calls)
    return found


async def _run(call: AsyncCall, calls: int, tasks: int) -> None:
    async def work() -> None:
        for _ in range(calls // tasks):
            await call()

    await asyncio.gather(*(work() for _ in range(tasks)))


async def _aiohttp(base: str, stack: contextlib.AsyncExitStack) -> AsyncCall:
    import aiohttp

    session = await stack.enter_async_context(aiohttp.ClientSession(headers=HEADERS))

    async def call() -> Any:
        async with session.get(base + PATH, params=PARAMS) as response:
            return await response.json()

    return call


async def _httpx(base: str, stack: contextlib.AsyncExitStack) -> AsyncCall:
    import httpx

    client = await stack.enter_async_context(httpx.AsyncClient(headers=HEADERS))

    async def call() -> Any:
        return (await client.get(base + PATH, params=PARAMS)).json()

    return call


async def _httpx2(base: str, stack: contextlib.AsyncExitStack) -> AsyncCall:
    import httpx2

    client = await stack.enter_async_context(httpx2.AsyncClient(headers=HEADERS))

    async def call() -> Any:
        return (await client.get(base + PATH, params=PARAMS)).json()

    return call


PEERS = {"aiohttp": _aiohttp, "httpx": _httpx, "httpx2": _httpx2}
