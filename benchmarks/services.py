"""A Redis and a PostgreSQL for the benchmarks: those that are named, or found on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL_POSTGRES = tuple(f"postgresql://{user}@127.0.0.1:5432/test" for user in ("postgres", "root"))


@contextlib.contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of an empty database: NANGO_TEST_REDIS_URL, or a server started here; None without either."""
    named = os.environ.get("NANGO_TEST_REDIS_URL")
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if named or program is None:
        yield named
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _await(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(10)


@contextlib.contextmanager
def postgres_schema() -> Iterator[str | None]:
    """The URL of an empty schema of NANGO_TEST_PG_URL, or of a PostgreSQL on this machine; None without."""
    import psycopg

    candidates = [os.environ.get("NANGO_TEST_PG_URL"), *LOCAL_POSTGRES]
    for url in filter(None, candidates):
        with contextlib.suppress(psycopg.Error):
            server = psycopg.connect(url, autocommit=True, connect_timeout=3)
            break
    else:
        yield None
        return
    schema = f"nango_bench_{os.getpid()}"
    with server:
        server.execute(f'CREATE SCHEMA "{schema}"')  # type: ignore[call-overload]
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"
        finally:
            server.execute(f'DROP SCHEMA "{schema}" CASCADE')  # type: ignore[call-overload]


def _await(port: int) -> None:
    """Return once the port is open."""
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
