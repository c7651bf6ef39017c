"""Servers that drip, say nothing or break off: a call ends in time, and other connections stay fast."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import DeadlineExceeded, Nango, RequestFailed
from tests.support.fault_server import (
    HANG,
    READ,
    RESET,
    Drip,
    FaultServer,
    _read_request,
    black_hole,
    response,
)
from tests.support.sandbox_product import SHOP, a_nango

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 2.0
GRACE = 0.5
FAST = 1.0
"""Seconds in which nine of ten healthy calls are answered, on a machine that does other things too."""

WHOLE = response(b"x" * 1000)
SCRIPTS: dict[str, list[Any]] = {
    "body drip": [WHOLE[:-1000], Drip(WHOLE[-1000:], 1, 0.05)],
    "head drip": [Drip(WHOLE, 1, 0.05)],
    "silence": [HANG],
    "reset": [RESET],
    "reset in the body": [WHOLE[:-500], RESET],
}
DRILLS = [*SCRIPTS, "black hole"]
SETTINGS: dict[str, Any] = {
    **SHOP,
    "rate_limits": {"budgets": [{"key": "all", "otherwise": ["1000/second"]}]},
    # What one user's calls meet would close the way to all of them, which is another promise.
    "retries": {"circuit_breaker": False},
}


class Ward(FaultServer):
    """One server for two users: `ill` meets the script, everybody else is answered at once."""

    def __init__(self, script: list[Any]) -> None:
        super().__init__([READ])
        self._of_the_ill = script

    def _run(self, stream: socket.socket, step: Any) -> bool:
        if step is not READ:
            return super()._run(stream, step)
        while request := _read_request(stream):
            if b"key-of-ill" in request:
                return all(super(Ward, self)._run(stream, one) for one in self._of_the_ill)
            stream.sendall(response(b"{}"))
        return False


@contextlib.contextmanager
def drilled(name: str, folder: Path) -> Iterator[tuple[Nango, str]]:
    """Two users of one integration, and the integration in which the ill one meets the fault."""
    with contextlib.ExitStack() as stack:
        ward = stack.enter_context(Ward(SCRIPTS.get(name, [])))
        urls = {"shop": ward.url}
        if name == "black hole":
            urls["dark"] = f"http://127.0.0.1:{stack.enter_context(black_hole())}/"
        entries = {
            entry: {**SETTINGS, "requests": {**SETTINGS["requests"], "base_url": url}}
            for entry, url in urls.items()
        }
        nango = stack.enter_context(a_nango(folder, ward.url, SETTINGS, integrations=entries))
        of_the_ill = list(urls)[-1]
        nango.register_connection(of_the_ill, "ill", {"api_key": "key-of-ill"})
        nango.register_connection("shop", "well", {"api_key": "key-of-well"})
        # The first call imports what the others find imported.
        nango.executor("shop", "well").get("things")
        yield nango, of_the_ill


@pytest.mark.parametrize("name", DRILLS)
def test_a_faulty_server_costs_its_own_calls_their_deadline_and_nobody_else_anything(
    name: str, tmp_path: Path
) -> None:
    """Four threads that meet the fault end within the deadline and half a second; others never wait."""
    with drilled(name, tmp_path) as (nango, of_the_ill):
        took: list[float] = []
        healthy: list[float] = []
        over = threading.Event()

        def meet() -> None:
            started = time.monotonic()
            with pytest.raises((RequestFailed, DeadlineExceeded)):
                nango.executor(of_the_ill, "ill").get("things", deadline_seconds=DEADLINE)
            took.append(time.monotonic() - started)

        def call() -> None:
            while not over.is_set():
                started = time.monotonic()
                nango.executor("shop", "well").get("things", deadline_seconds=DEADLINE)
                healthy.append(time.monotonic() - started)

        callers = [threading.Thread(target=call) for _ in range(2)]
        patients = [threading.Thread(target=meet) for _ in range(4)]
        for thread in (*callers, *patients):
            thread.start()
        for thread in patients:
            thread.join()
        over.set()
        for thread in callers:
            thread.join()
    assert len(took) == 4
    assert max(took) <= DEADLINE + GRACE
    assert len(healthy) >= 10
    assert statistics.quantiles(healthy, n=10)[-1] <= FAST


@pytest.mark.parametrize("name", DRILLS)
def test_tasks_are_kept_apart_as_well(name: str, tmp_path: Path) -> None:
    """The same with asyncio: twenty calls that meet the fault hold up nothing in the loop."""

    async def drill(nango: Nango, of_the_ill: str) -> tuple[list[float], list[float]]:
        ill, well = nango.async_executor(of_the_ill, "ill"), nango.async_executor("shop", "well")
        took: list[float] = []
        healthy: list[float] = []
        over = asyncio.Event()

        async def meet() -> None:
            started = time.monotonic()
            with pytest.raises((RequestFailed, DeadlineExceeded)):
                await ill.get("things", deadline_seconds=DEADLINE)
            took.append(time.monotonic() - started)

        async def call() -> None:
            while not over.is_set():
                started = time.monotonic()
                await well.get("things", deadline_seconds=DEADLINE)
                healthy.append(time.monotonic() - started)

        await well.get("things")
        caller = asyncio.create_task(call())
        await asyncio.gather(*(meet() for _ in range(20)))
        over.set()
        await caller
        return took, healthy

    with drilled(name, tmp_path) as told:
        took, healthy = asyncio.run(drill(*told))
    assert len(took) == 20
    assert max(took) <= DEADLINE + GRACE
    assert len(healthy) >= 10
    assert statistics.quantiles(healthy, n=10)[-1] <= FAST


def test_a_caller_who_waits_for_another_would_be_seen(tmp_path: Path) -> None:
    """The control: one lock around all calls makes the healthy ones slow."""
    lock = threading.Lock()
    with drilled("silence", tmp_path) as (nango, of_the_ill):
        inside = threading.Event()

        def meet() -> None:
            with lock, contextlib.suppress(RequestFailed, DeadlineExceeded):
                inside.set()
                nango.executor(of_the_ill, "ill").get("things", deadline_seconds=DEADLINE)

        patient = threading.Thread(target=meet)
        patient.start()
        inside.wait()
        started = time.monotonic()
        with lock:
            nango.executor("shop", "well").get("things")
        patient.join()
        assert time.monotonic() - started > FAST
