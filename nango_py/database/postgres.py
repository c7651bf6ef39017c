"""PostgreSQL through psycopg 3 and its pool; the only owner of `psycopg`. Needs the extra `postgres`."""

from __future__ import annotations

import contextlib
import functools
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nango_py.database.base import (
    DuplicateRowError,
    MissingReferenceError,
    Result,
    forget_in_children,
    never_collect,
)
from nango_py.errors import StorageError
from nango_py.secret import Secret, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nango_py.database.base import Run

    Server = psycopg.Connection[tuple[Any, ...]]
    Pool = psycopg_pool.ConnectionPool[Server]

POOL_SIZE = 8
CONNECT_SECONDS = 10
ATTEMPTS = 3

# Held by whoever changes the schema, until its transaction ends. The number only has to be ours.
_SCHEMA_LOCK = "SELECT pg_advisory_xact_lock(7953749983105212537)"

# Transactions that the server itself undid, because two of them met.
_UNDONE = (errors.SerializationFailure, errors.DeadlockDetected)


class PostgresDatabase:
    """A PostgreSQL database behind a small pool that is opened when it is first used.

    A statement or transaction that finds its server connection dead is done again with a new one, twice at
    most. When the connection is lost during COMMIT itself, the error says that the outcome is not known.

    Args:
        url: `postgresql://...`.
        patience: the seconds for which it is tried to connect.
    """

    lasting = True
    is_server = True
    schema_lock = _SCHEMA_LOCK

    def __init__(self, url: Secret, patience: float = CONNECT_SECONDS) -> None:
        self._conninfo, self._password, self.name = _read_url(url)
        self._patience = patience
        self._closed = False
        self._pools: list[Pool] = []  # none or one
        self._lock = threading.Lock()
        forget_in_children(self)
        # A pool that nobody closed would hold up the end of the process, waiting for its own threads.
        weakref.finalize(self, _close_all, self._pools)

    def forget_inherited(self) -> None:
        """Start with no pool: a forked child may not speak on its parent's sockets."""
        never_collect(*self._pools)
        self._pools.clear()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Nothing to hold: the schema's lock is enough here."""
        yield

    def existing(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a table that may not exist yet.

        It uses a connection of its own, because a pool would go on trying where the server's refusal
        (a wrong password, no such database) is what the caller must see.
        """
        try:
            with psycopg.connect(self._conninfo.reveal(), autocommit=True) as server:
                return server.execute(_translated(sql)).fetchall()
        except errors.UndefinedTable:
            return []
        except psycopg.Error as error:
            failure = self._failure(error)
        raise failure

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of one SELECT."""
        return self._with_server(lambda server: server.execute(_translated(sql), parameters).fetchall())

    def write(self, work: Callable[[Run], Result]) -> Result:
        """What `work` returns, once its statements are durable; see `Database.write`."""
        return self._with_server(lambda server: self._transact(server, work))

    def version(self) -> int | None:
        """None: PostgreSQL keeps no such number that costs less than asking for a row."""
        return None

    def close(self) -> None:
        """Close the pool of this process."""
        with self._lock:
            self._closed = True
            _close_all(self._pools)

    def _with_server(self, work: Callable[[Server], Result]) -> Result:
        for attempt in range(1, ATTEMPTS + 1):
            pool = self._pool()
            server = None
            try:
                with pool.connection() as server:
                    return work(server)
            except psycopg.Error as error:
                # `closed` is what psycopg says of a connection whose server went away.
                again = isinstance(error, _UNDONE) or (server is not None and server.closed)
                failure = self._failure(error)
            if not again or attempt == ATTEMPTS:
                break
            pool.check()  # the others in the pool most likely died with this one
        raise failure

    def _transact(self, server: Server, work: Callable[[Run], Result]) -> Result:
        def run(sql: str, parameters: Mapping[str, Any] | None = None, /) -> list[tuple[Any, ...]]:
            cursor = server.execute(_translated(sql), parameters)
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
            f"the connection store {self.name} was lost while it stored a change; whether it is stored is "
            "not known. Read it before trying again"
        )

    def _pool(self) -> Pool:
        with self._lock:
            if self._closed:
                raise StorageError(f"the connection store {self.name} is closed")
            if not self._pools:
                pool: Pool = psycopg_pool.ConnectionPool(
                    self._conninfo.reveal(),
                    kwargs={"autocommit": True},
                    min_size=0,
                    max_size=POOL_SIZE,
                    timeout=self._patience,
                    # Who comes later makes a try of its own, instead of waiting for one that was put off.
                    reconnect_timeout=self._patience,
                    num_workers=1,
                    name="nango_py",
                    open=True,
                )
                self._pools.append(pool)
            return self._pools[0]

    def _failure(self, error: psycopg.Error) -> StorageError:
        if isinstance(error, errors.UniqueViolation):
            return DuplicateRowError("the row exists already")
        if isinstance(error, errors.ForeignKeyViolation):
            return MissingReferenceError("the row points at one that does not exist")
        # The server's own sentence; its details may repeat parameters.
        said = error.diag.message_primary or str(error) or type(error).__name__
        sentence = masked(" ".join(said.split()), [self._password.reveal()])
        return StorageError(f"the connection store {self.name} failed: {sentence}")


def _close_all(pools: list[Pool]) -> None:
    while pools:
        pools.pop().close()


@functools.cache
def _translated(sql: str) -> str:
    # Every text comes from sql.py or the schema's steps; values are always parameters.
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", sql.replace("%", "%%"))


def _read_url(url: Secret) -> tuple[Secret, Secret, str]:
    """What psycopg connects with, the password, and the name to show; nothing of a wrong URL is repeated."""
    with contextlib.suppress(psycopg.Error):
        settings = conninfo_to_dict(url.reveal())
        settings = {"connect_timeout": CONNECT_SECONDS, "application_name": "nango_py", **settings}
        name = f"postgresql://{settings.get('host') or ''}/{settings.get('dbname') or ''}"
        return Secret(make_conninfo("", **settings)), Secret(str(settings.get("password") or "")), name
    raise StorageError("database_url cannot be read; expected postgresql://user:password@host:5432/database")
