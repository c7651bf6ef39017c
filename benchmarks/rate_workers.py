"""A process that calls as fast as it is let, by threads or by tasks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from benchmarks.subject import USER
from nango_py import Nango
from nango_py.errors import NangoError, RateLimited

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PATH = "v1/metrics"


def work(pipe: Connection, path: str, callers: int, *, is_async: bool) -> None:
    """Report ready, receive the end on the monotonic clock, call until then, report the results."""
    logging.getLogger("nango_py").setLevel(logging.ERROR)
    with Nango(path) as nango:
        tally = Tally()
        if is_async:
            asyncio.run(_tasks(nango, pipe, callers, tally))
        else:
            _threads(nango, pipe, callers, tally)
        pipe.send((tally.responses, tally.failed))


class Tally:
    """The responses and failures of a process."""

    def __init__(self) -> None:
        self.responses = 0
        self.failed = 0
        self._lock = threading.Lock()

    def response(self, status: int) -> None:
        """One call ended with a response."""
        with self._lock:
            self.responses += status == 200  # noqa: PLR2004 - OK

    def error(self, error: NangoError, left: float) -> bool:
        """One call ended without a response; True if that is because the time is over."""
        is_over = isinstance(error, RateLimited) or left <= 0
        with self._lock:
            self.failed += not is_over
        return is_over


def _threads(nango: Nango, pipe: Connection, callers: int, tally: Tally) -> None:
    executor = nango.executor("bench", USER)
    executor.plan("GET", PATH)
    pipe.send("ready")
    end: float = pipe.recv()

    def call() -> None:
        while (left := end - time.monotonic()) > 0:
            try:
                tally.response(executor.get(PATH, deadline_seconds=left).status_code)
            except NangoError as error:
                if tally.error(error, end - time.monotonic()):
                    return

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def _tasks(nango: Nango, pipe: Connection, callers: int, tally: Tally) -> None:
    executor = nango.async_executor("bench", USER)
    pipe.send("ready")
    end: float = await asyncio.to_thread(pipe.recv)

    async def call() -> None:
        while (left := end - time.monotonic()) > 0:
            try:
                response = await executor.get(PATH, deadline_seconds=left)
            except NangoError as error:
                if tally.error(error, end - time.monotonic()):
                    return
            else:
                tally.response(response.status_code)

    await asyncio.gather(*(call() for _ in range(callers)))
