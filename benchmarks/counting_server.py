"""A loopback API that counts by itself and refuses what is too much. It shares nothing with nango_py.

It runs in a separate process and counts each request at one moment between its arrival and its response, as
APIs do. Its counts are read over a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import multiprocessing
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

BODY = b'{"data": [{"id": "1"}]}'


class Limit(Protocol):
    """One way in which APIs count."""

    def wait(self, now: float) -> float:
        """Seconds until one more is allowed; 0.0 where it is now."""

    def count(self, now: float) -> None:
        """One more was allowed."""

    def report(self, now: float) -> tuple[int, int, int]:
        """What the response's headers say: limit, remaining, and seconds to the reset."""


@dataclass
class Fixed:
    """At most this many in each window of the server's clock."""

    most: int
    seconds: float
    window: int = -1
    used: int = 0

    def wait(self, now: float) -> float:
        """Until the next window."""
        window = int(now // self.seconds)
        if window != self.window:
            self.window, self.used = window, 0
        return 0.0 if self.used < self.most else (window + 1) * self.seconds - now

    def count(self, now: float) -> None:
        """In this window."""
        self.used += 1

    def report(self, now: float) -> tuple[int, int, int]:
        """Of this window."""
        return self.most, self.most - self.used, math.ceil((self.window + 1) * self.seconds - now)


@dataclass
class Sliding:
    """At most this many in the last seconds, at any moment."""

    most: int
    seconds: float
    times: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Until the oldest is out of sight."""
        while self.times and self.times[0] <= now - self.seconds:
            self.times.popleft()
        return 0.0 if len(self.times) < self.most else self.times[0] + self.seconds - now

    def count(self, now: float) -> None:
        """At this moment."""
        self.times.append(now)

    def report(self, now: float) -> tuple[int, int, int]:
        """Until the oldest is out of sight."""
        oldest = self.times[0] if self.times else now
        return self.most, self.most - len(self.times), math.ceil(oldest + self.seconds - now)


@dataclass
class Tokens:
    """A bucket that starts full."""

    most: float
    per_second: float
    level: float = -1.0
    since: float = 0.0

    def wait(self, now: float) -> float:
        """Until there is a token."""
        if self.level < 0:
            self.level, self.since = self.most, now
        self.level = min(self.most, self.level + (now - self.since) * self.per_second)
        self.since = now
        return 0.0 if self.level >= 1 else (1 - self.level) / self.per_second

    def count(self, now: float) -> None:
        """Take one."""
        self.level -= 1

    def report(self, now: float) -> tuple[int, int, int]:
        """Until the bucket is full."""
        return int(self.most), int(self.level), math.ceil((self.most - self.level) / self.per_second)


@dataclass
class Counter:
    """The limits of one run and its results.

    Attributes:
        delay: the least and the most seconds that the network adds to a request, there and back together.
        sends_headers: whether responses have X-RateLimit headers.
        seconds: how long to count, from the first request on.
    """

    limits: list[Limit]
    delay: tuple[float, float]
    sends_headers: bool
    seconds: float
    admitted: int = 0
    refused: int = 0
    first: float = math.inf

    def response(self) -> bytes:
        """Count one request and return its response."""
        now = time.monotonic()
        self.first = min(self.first, now)
        wait = max(limit.wait(now) for limit in self.limits)
        counted = now < self.first + self.seconds
        lines = [b"Content-Type: application/json"]
        if wait > 0:
            self.refused += counted
            status, body = b"429 Too Many Requests", b"{}"
            lines.append(b"Retry-After: %d" % math.ceil(wait))
        else:
            for limit in self.limits:
                limit.count(now)
            self.admitted += counted
            status, body = b"200 OK", BODY
        if self.sends_headers:
            strictest = min((limit.report(now) for limit in self.limits), key=lambda report: report[1])
            for name, value in zip((b"Limit", b"Remaining", b"Reset"), strictest, strict=True):
                lines.append(b"X-RateLimit-%b: %d" % (name, value))
        lines.append(b"Content-Length: %d" % len(body))
        return b"HTTP/1.1 %b\r\n%b\r\n\r\n%b" % (status, b"\r\n".join(lines), body)


class Api(asyncio.Protocol):
    """One connection: a request, its delay, its response."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport to respond on."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take each complete request; a GET has no body."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            self._buffer = self._buffer[end + 4 :]
            delay = random.uniform(*self._counter.delay)
            there = delay * random.random()
            self._later(there, lambda back=delay - there: self._count(back))

    def _count(self, back: float) -> None:
        response = self._counter.response()
        self._later(back, lambda: self._transport.write(response))

    @staticmethod
    def _later(seconds: float, act: Any) -> None:
        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, act)
        else:
            act()


def _serve(pipe: Connection, counter: Counter) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Api(counter), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, pipe.recv)
        pipe.send((counter.admitted, counter.refused))
        server.close()

    asyncio.run(main())


class Running:
    """A server that counts."""

    def __init__(self, base: str, pipe: Connection) -> None:
        self.base = base
        self._pipe = pipe
        self._found: tuple[int, int] | None = None

    def counted(self) -> tuple[int, int]:
        """How many were admitted and how many refused; ends the server."""
        if self._found is None:
            self._pipe.send("stop")
            self._found = self._pipe.recv()
        return self._found


@contextlib.contextmanager
def counting(counter: Counter) -> Iterator[Running]:
    """A server with these limits, for as long as the block runs."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, counter), daemon=True)
    process.start()
    running = Running(f"http://127.0.0.1:{ours.recv()}", ours)
    try:
        yield running
    finally:
        running.counted()
        process.join(5)
        if process.is_alive():
            process.kill()
