"""Servers that drip, say nothing or break off: a call ends in time, and other connections stay fast."""

from __future__ import annotations

import asyncio
import contextlib
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
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE = 2.0
HEALTHY_CALLS = 20

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
    """One server for two users: `ill` gets the script, all others a response at once."""

    def __init__(self, script: list[Any]) -> None:
        super().__init__([READ])
        self._of_the_ill = script

    def _run(self, stream: socket.socket, step: Any) -> bool:
        if step is not READ:
            return super()._run(stream, step)
        while request := _read_request(stream, has_body=True):
            if b"key-of-ill" in request:
                return all(super(Ward, self)._run(stream, one) for one in self._of_the_ill)
            stream.sendall(response(b"{}"))
        return False


@contextlib.contextmanager
def drilled(name: str, folder: Path) -> Iterator[tuple[Nango, str]]:
    """Two users of one integration, and the integration in which `ill` gets the fault."""
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


HANGING = [name for name in DRILLS if not name.startswith("reset")]
"""The faults under which a call stays in flight until its deadline."""


@pytest.mark.parametrize("name", DRILLS)
def test_a_fault_affects_only_the_calls_that_get_it(name: str, tmp_path: Path) -> None:
    """Four threads with the fault end by their deadline; the calls of others end before."""
    with drilled(name, tmp_path) as (nango, of_the_ill):
        ended: list[float] = []

        def meet() -> None:
            started = time.monotonic()
            with pytest.raises((RequestFailed, DeadlineExceeded)):
                nango.executor(of_the_ill, "ill").get("things", deadline_seconds=DEADLINE)
            ended.append(time.monotonic() - started)

        patients = [threading.Thread(target=meet) for _ in range(4)]
        for thread in patients:
            thread.start()
        for _ in range(HEALTHY_CALLS):
            nango.executor("shop", "well").get("things")
        has_overtaken = not ended
        for thread in patients:
            thread.join()
    assert len(ended) == 4
    assert max(ended) < HANG_SECONDS
    if name in HANGING:
        assert has_overtaken


@pytest.mark.parametrize("name", DRILLS)
def test_a_fault_affects_only_the_tasks_that_get_it(name: str, tmp_path: Path) -> None:
    """The same with asyncio: twenty calls with the fault block nothing in the loop."""

    async def drill(nango: Nango, of_the_ill: str) -> tuple[list[float], bool]:
        ill, well = nango.async_executor(of_the_ill, "ill"), nango.async_executor("shop", "well")
        ended: list[float] = []

        async def meet() -> None:
            started = time.monotonic()
            with pytest.raises((RequestFailed, DeadlineExceeded)):
                await ill.get("things", deadline_seconds=DEADLINE)
            ended.append(time.monotonic() - started)

        await well.get("things")
        patients = [asyncio.create_task(meet()) for _ in range(20)]
        for _ in range(HEALTHY_CALLS):
            await well.get("things")
        has_overtaken = not ended
        await asyncio.gather(*patients)
        return ended, has_overtaken

    with drilled(name, tmp_path) as (nango, of_the_ill):
        ended, has_overtaken = asyncio.run(drill(nango, of_the_ill))
    assert len(ended) == 20
    assert max(ended) < HANG_SECONDS
    if name in HANGING:
        assert has_overtaken


def test_a_call_that_waits_for_another_is_noticed(tmp_path: Path) -> None:
    """Control: with one lock around all calls, no healthy call ends before the one that hangs."""
    lock = threading.Lock()
    with drilled("silence", tmp_path) as (nango, of_the_ill):
        inside = threading.Event()
        ended: list[str] = []

        def meet() -> None:
            with lock, contextlib.suppress(RequestFailed, DeadlineExceeded):
                inside.set()
                try:
                    nango.executor(of_the_ill, "ill").get("things", deadline_seconds=DEADLINE)
                finally:
                    ended.append("ill")

        patient = threading.Thread(target=meet)
        patient.start()
        inside.wait()
        with lock:
            nango.executor("shop", "well").get("things")
            has_overtaken = not ended
        patient.join()
    assert not has_overtaken
