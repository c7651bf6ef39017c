"""PostgreSQL through psycopg 3 and its pool; the only owner of `psycopg`. Needs the extra `postgres`."""

from __future__ import annotations

import contextlib
import functools
import math
import re
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self

import psycopg
import psycopg_pool
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nango_py.database.base import (
    LEAST_SECONDS,
    DuplicateRowError,
    MissingReferenceError,
    Result,
    closed_error,
    never_collect,
    seconds_left,
)
from nango_py.errors import StorageError
from nango_py.forks import forget_in_children
from nango_py.secret import Secret, mask_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.database.base import Parameters, Rows, Run

    Server = psycopg.Connection[tuple[Any, ...]]
    Pool = psycopg_pool.ConnectionPool[Server]

POOL_SIZE = 8
CONNECT_SECONDS = 10
ATTEMPTS = 3
_STEPS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, math.inf)

_SERVER_NOW = "cast(extract(epoch from clock_timestamp()) * 1000000 AS bigint)"

# Held while the schema is changed, until the transaction ends. Any number that no other program uses will do.
_SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(7953749983105212537)"

_ENCODE = "has @ or / in its user, password or database; write them as %40 and %2F"

# The server rolled the transaction back because it conflicted with another one.
_CONFLICTS = (errors.SerializationFailure, errors.DeadlockDetected)


class PostgresDatabase:
    """A PostgreSQL database behind a small pool that is opened on first use.

    A statement or transaction whose connection turns out to be dead is retried on a new one, at most twice.
    If the connection is lost during COMMIT itself, the error says that the outcome is unknown.

    Args:
        url: `postgresql://...`.
        most_seconds: how long each operation may take; None for as long as the caller has.
    """

    is_persistent = True
    is_server = True
    schema_lock = _SCHEMA_LOCK

    def __init__(self, url: Secret, most_seconds: float | None = None) -> None:
        self._conninfo, self._password, self.name = _read_url(url)
        self._most_seconds = most_seconds
        self._connect_timeout = CONNECT_SECONDS if most_seconds is None else most_seconds
        self._timeouts: weakref.WeakKeyDictionary[Server, float] = weakref.WeakKeyDictionary()
        self._closed = False
        self._refusal = ""
        self._pools: list[Pool] = []  # none or one
        self._lock = threading.Lock()
        forget_in_children(self)
        # A pool that was not closed would delay the end of the process, waiting for its own threads.
        weakref.finalize(self, _close_all, self._pools)

    def forget_inherited(self) -> None:
        """Start with no pool: a forked child must not use its parent's sockets."""
        never_collect(*self._pools)
        self._pools.clear()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def opening_lock(self) -> Iterator[None]:
        """Nothing to lock: `schema_lock` is enough for a server."""
        yield

    def read_existing(self, sql: str) -> Rows:
        """Rows of a table that may not exist yet.

        Connects without the pool, which would keep retrying when the server refuses the login (wrong
        password, no such database) instead of reporting it.
        """
        try:
            with psycopg.connect(self._conninfo.reveal(), autocommit=True) as server:
                return server.execute(_to_postgres(sql)).fetchall()
        except errors.UndefinedTable:
            return []
        except psycopg.Error as error:
            failure = self._failure(error)
        raise failure

    def read(self, sql: str, parameters: Parameters) -> Rows:
        """See `Database.read`."""
        return self._with_server(lambda server: server.execute(_to_postgres(sql), parameters).fetchall())

    def write(self, work: Callable[[Run], Result]) -> Result:
        """See `Database.write`."""
        return self._with_server(lambda server: self._run_transaction(server, work))

    def write_with_server(self, work: Callable[[Run, Server], Result]) -> Result:
        """As `write`, for libraries that write through the same psycopg connection."""
        return self._with_server(
            lambda server: self._run_transaction(server, functools.partial(_with, server, work))
        )

    def version(self) -> int | None:
        """None: PostgreSQL has no such number that is cheaper than reading a row."""
        return None

    def close(self) -> None:
        """Close the pool of this process."""
        with self._lock:
            self._closed = True
            _close_all(self._pools)

    def _with_server(self, work: Callable[[Server], Result]) -> Result:
        seconds = seconds_left(self._most_seconds)
        ends = math.inf if seconds is None else time.monotonic() + seconds
        attempt = 0
        while True:
            pool, server = self._pool(), None
            left = ends - time.monotonic()
            try:
                with pool.connection(min(self._connect_timeout, max(left, LEAST_SECONDS))) as server:
                    self._limit(server, left)
                    return work(server)
            except errors.QueryCanceled as error:
                failure = self._failure(error)
                if time.monotonic() + LEAST_SECONDS < ends:
                    continue  # the limit is rounded down
                break
            except psycopg.Error as error:
                # psycopg marks a connection as closed when its server went away.
                is_retryable = isinstance(error, _CONFLICTS) or (server is not None and server.closed)
                failure = self._failure(error)
            attempt += 1
            if not is_retryable or attempt == ATTEMPTS or time.monotonic() >= ends:
                break
            pool.check()  # the other connections most likely died too
        raise failure

    def _limit(self, server: Server, seconds: float) -> None:
        """Let the server cancel statements that take longer, such as waits for locks.

        The limit is rounded down to one of a few, so that it is hardly ever sent.
        """
        limit = max((step for step in _STEPS if step <= seconds), default=LEAST_SECONDS)
        if self._timeouts.get(server, math.inf) != limit:
            milliseconds = 0 if limit == math.inf else int(limit * 1000)
            server.execute(f"SET statement_timeout = {milliseconds}")
            self._timeouts[server] = limit

    def _run_transaction(self, server: Server, work: Callable[[Run], Result]) -> Result:
        def run(sql: str, parameters: Parameters | None = None, /) -> Rows:
            cursor = server.execute(_to_postgres(sql), parameters)
            return cursor.fetchall() if cursor.description is not None else []

        is_committing = False
        try:
            with server.transaction():
                result = work(run)
                is_committing = True
        except psycopg.OperationalError:
            if not is_committing:
                raise
        else:
            return result
        raise StorageError(
            f"the connection to the store {self.name} was lost during COMMIT; the change may or may not be "
            "stored. Read the connection before you try again"
        )

    def _pool(self) -> Pool:
        with self._lock:
            if self._closed:
                raise closed_error(self.name)
            if not self._pools:
                pool: Pool = psycopg_pool.ConnectionPool(
                    self._conninfo.reveal(),
                    connection_class=_PooledServer,
                    kwargs={"autocommit": True, "note": self._note_refusal},
                    min_size=0,
                    max_size=POOL_SIZE,
                    timeout=self._connect_timeout,
                    # A later caller connects at once instead of waiting for a delayed attempt.
                    reconnect_timeout=self._connect_timeout,
                    num_workers=1,
                    name="nango_py",
                    open=True,
                )
                self._pools.append(pool)
            return self._pools[0]

    def _note_refusal(self, reason: str) -> None:
        self._refusal = reason

    def _failure(self, error: psycopg.Error) -> StorageError:
        if self._closed:  # by another thread just now
            return closed_error(self.name)
        if isinstance(error, errors.UniqueViolation):
            return DuplicateRowError("the row already exists")
        if isinstance(error, errors.ForeignKeyViolation):
            return MissingReferenceError("the referenced row does not exist")
        message = _describe(error)
        if isinstance(error, psycopg_pool.PoolTimeout):
            is_full = any(pool.get_stats()["pool_size"] >= POOL_SIZE for pool in self._pools)
            busy = f"all {POOL_SIZE} connections of this process are in use" if is_full else ""
            message = ": ".join(filter(None, (message, self._refusal or busy)))
        message = mask_secrets(message, [self._password.reveal()])
        return StorageError(f"the connection store {self.name} failed: {message}")


class _PooledServer(psycopg.Connection[tuple[Any, ...]]):
    """Passes on why the server refused a connection, which the pool's own error does not say."""

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """See `psycopg.Connection.connect`; `note` gets the reason, or "" if there is a connection."""
        note: Callable[[str], None] = options.pop("note")
        try:
            server = super().connect(conninfo, **options)
        except psycopg.Error as error:
            note(_describe(error))
            raise
        note("")
        return server


def _describe(error: psycopg.Error) -> str:
    # Only the server's primary message: its details may repeat parameters.
    return " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())


def _with(server: Server, work: Callable[[Run, Server], Result], run: Run) -> Result:
    return work(run, server)


def _close_all(pools: list[Pool]) -> None:
    while pools:
        pools.pop().close()


@functools.cache
def _to_postgres(sql: str) -> str:
    # Every statement is a constant of this package; values are always parameters.
    sql = sql.replace("%", "%%").replace(":server_now", _SERVER_NOW)
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", sql)


def _read_url(url: Secret) -> tuple[Secret, Secret, str]:
    """The connection string, the password, and a name to show. The error does not repeat a malformed URL."""
    if _is_ambiguous(url):
        raise StorageError(f"database_url {_ENCODE}")
    with contextlib.suppress(psycopg.Error, UnicodeEncodeError):
        settings = conninfo_to_dict(url.reveal())
        settings = {"connect_timeout": CONNECT_SECONDS, "application_name": "nango_py", **settings}
        name = f"postgresql://{settings.get('host') or ''}/{settings.get('dbname') or ''}"
        return Secret(make_conninfo("", **settings)), Secret(str(settings.get("password") or "")), name
    raise StorageError("database_url is malformed; expected postgresql://user:password@host:5432/database")


def _is_ambiguous(url: Secret) -> bool:
    """Whether the end of a password would be read as the host or the database, which errors show."""
    before = url.reveal().partition("://")[2].partition("?")[0]
    return before.count("@") > 1 or ("@" in before and "@" not in before.partition("/")[0])
