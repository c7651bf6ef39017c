"""A Redis that goes away, comes back and is emptied while callers are at work."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis

from nango_py.clock import SYSTEM_CLOCK
from nango_py.limits.limit_types import Granted
from nango_py.limits.stores.failover import FailoverLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.limit_storm import BACK, LIMIT, LOST, SPENDS, Storm
from tests.support.simulated_api import overfull
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class Relay:
    """Stands between clients and a server, and can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._is_cut = threading.Event()
        self._start(self._accept)

    def cut(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._is_cut.set()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let clients through again."""
        self._is_cut.clear()

    def close(self) -> None:
        """End every thread and socket."""
        self.cut()
        # A thread that waits in accept() is woken by a last caller.
        self._listener.settimeout(0.01)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._listener.close()
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut.is_set():
                client.close()
                continue
            server = socket.create_connection(self._server)
            self._ends += [client, server]
            self._start(self._pump, client, server)
            self._start(self._pump, server, client)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relayed(url: str) -> Iterator[tuple[Relay, str]]:
    """A relay before the server of a URL, and the URL that leads through it."""
    parts = urlsplit(url)
    relay = Relay(parts.hostname or "127.0.0.1", parts.port or 6379)
    try:
        yield relay, f"redis://127.0.0.1:{relay.port}{parts.path}"
    finally:
        relay.close()


def test_limits_hold_through_an_outage_and_a_flush(caplog: pytest.LogCaptureFixture) -> None:
    """Two users of one Redis keep to a limit while it is cut off, is back, and loses everything."""
    with fresh_redis() as url, relayed(url) as (relay, through):

        def flush() -> None:
            with contextlib.closing(redis.Redis.from_url(url)) as client:
                client.flushdb()

        storm = Storm("redis", through, caplog)
        with caplog.at_level(logging.INFO, "nango_py.limits"):
            storm.live_through([(relay.cut, LOST), (relay.mend, BACK), (flush, "has lost its data")])
    assert overfull(LIMIT, storm.sent) == ""
    assert storm.slowest < HANG_SECONDS


def test_a_password_is_in_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A store that cannot be reached says so without its URL."""
    limits = FailoverLimits(RedisLimits(Secret("redis://:planted-secret@127.0.0.1:1/0")), SYSTEM_CLOCK)
    with caplog.at_level(logging.DEBUG):
        assert isinstance(limits.acquire(SPENDS, (), 0.0), Granted)
    assert "planted-secret" not in caplog.text
    assert "the rate limit store in Redis failed" in caplog.text
