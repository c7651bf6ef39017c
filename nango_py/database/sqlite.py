"""SQLite, the store that comes with Python; the only owner of `sqlite3`."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING, Any

from nango_py.database.base import (
    MEMORY,
    DuplicateRowError,
    MissingReferenceError,
    Result,
    forget_in_children,
    never_collect,
)
from nango_py.database.private_files import (
    close_to_others,
    lock_folder,
    make_private_file,
    make_private_folder,
)
from nango_py.errors import StorageError, TamperError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nango_py.database.base import Run

BUSY_SECONDS = 15
OLDEST = (3, 35)  # RETURNING

# Settings of a connection, none of which writes to the file. FULL makes a commit survive a power cut;
# secure_delete overwrites what is deleted, and is off in some builds.
_SETTINGS = ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON", "trusted_schema = OFF")

_SENTENCES = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing was stored and what is stored can be read",
    sqlite3.SQLITE_READONLY: "it is read-only; what is stored can be read",
    sqlite3.SQLITE_BUSY: f"other processes kept it locked for {BUSY_SECONDS} seconds; nothing was stored",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened or made",
    sqlite3.SQLITE_NOTADB: "it is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_IOERR: "the disk failed or is full; nothing was stored",
    sqlite3.SQLITE_PERM: "the system denies access to it",
}
_DUPLICATE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


class _Holder:
    """Closes a connection when its thread or database is gone.

    A connection is part of a cycle with its statements, and would wait for the garbage collector.
    """

    __slots__ = ("__weakref__", "connection")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


_WATCHES = itertools.count(1)


class SqliteDatabase:
    """What the file and the memory database share."""

    lasting = True
    is_server = False
    schema_lock = ""  # BEGIN IMMEDIATE is one

    def __init__(self, name: str) -> None:
        self.name = name
        self._closed = False

    def _connection(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of one SELECT."""
        try:
            with self._connection() as connection:
                return connection.execute(_translated(sql), parameters).fetchall()
        except sqlite3.Error as error:
            failure = self._failure(error)
        raise failure

    def write(self, work: Callable[[Run], Result]) -> Result:
        """What `work` returns, once its statements are durable; see `Database.write`."""
        try:
            with self._connection() as connection:
                return _transact(connection, work)
        except sqlite3.Error as error:
            failure = self._failure(error)
        raise failure

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError(f"the connection store {self.name} is closed")

    def _failure(self, error: sqlite3.Error) -> StorageError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _DUPLICATE:
            return DuplicateRowError("the row exists already")
        if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return MissingReferenceError("the row points at one that does not exist")
        if "decode to UTF-8" in str(error):
            return TamperError(
                f"the connection store {self.name} was altered: it holds a text that is not UTF-8"
            )
        reason = (
            _SENTENCES.get(code & 0xFF) or getattr(error, "sqlite_errorname", None) or type(error).__name__
        )
        return StorageError(f"the connection store {self.name} failed: {reason}")


@functools.cache
def _translated(sql: str) -> str:
    return sql.replace("FOR UPDATE", "")


def _transact(connection: sqlite3.Connection, work: Callable[[Run], Result]) -> Result:
    def run(sql: str, parameters: Mapping[str, Any] | None = None, /) -> list[tuple[Any, ...]]:
        return connection.execute(_translated(sql), parameters or {}).fetchall()

    # A transaction that reads first and locks later fails with BUSY at once, whatever the timeout.
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(run)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return result


def _configured(connection: sqlite3.Connection) -> sqlite3.Connection:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    return connection


class FileDatabase(SqliteDatabase):
    """An SQLite file in WAL mode, with one connection for each thread."""

    def __init__(self, path: Path) -> None:
        # Absolute, so that a later chdir does not lead new threads to another file.
        self._path = path.absolute()
        super().__init__(str(path))
        if sqlite3.sqlite_version_info < OLDEST:
            raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old; 3.35 or newer is needed")
        self._ready = False
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """Start with no connection. SQLite forbids even to close one that was opened before a fork."""
        never_collect(*self.__dict__.get("_opened", ()))
        self._threads = threading.local()
        self._opened: weakref.WeakSet[_Holder] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._watching: _Holder | None = None
        self._watch = 0
        self._watch_lock = threading.Lock()

    def version(self) -> int | None:
        """Changes whenever any other connection to the file, in whatever process, has changed it.

        Source: https://www.sqlite.org/pragma.html#pragma_data_version
        """
        try:
            with self._watch_lock:
                self._check_open()
                if self._watching is None:
                    # It never writes, so every change is another's.
                    self._watching, self._watch = _Holder(self._connect("rw")), next(_WATCHES)
                    with self._lock:
                        self._opened.add(self._watching)
                seen = self._watching.connection.execute("PRAGMA data_version").fetchone()[0]
                # Two connections' numbers cannot be compared.
                return (self._watch << 32) + int(seen)
        except sqlite3.Error as error:
            failure = self._failure(error)
        raise failure

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Held while the store is opened: turning WAL on does not wait for others, it fails."""
        make_private_folder(self._path.parent)
        with lock_folder(self._path.parent):
            for suffix in ("", "-wal", "-shm"):
                close_to_others(self._path.with_name(self._path.name + suffix))
            yield

    def existing(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a table that may not exist yet, through a connection that cannot write."""
        if not self._path.exists() or self._path.stat().st_size == 0:
            return []
        failure = None
        try:
            with contextlib.closing(self._connect("ro")) as connection:
                return connection.execute(sql).fetchall()
        except sqlite3.Error as error:
            if "no such table" not in str(error):
                failure = self._failure(error)
        if failure is not None:
            raise failure
        return []

    def close(self) -> None:
        """Close the connections of all threads; the last one folds the WAL into the file."""
        self._closed = True
        with self._lock:
            opened = list(self._opened)
            self._opened.clear()
        for holder in opened:
            holder.connection.close()
        self._threads = threading.local()
        self._watching = None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        holder = self._threads.__dict__.get("holder")
        if holder is None:
            holder = self._open_for_thread()
        yield holder.connection

    def _open_for_thread(self) -> _Holder:
        self._check_open()
        if not self._ready:
            # SQLite would make it readable for all under a common umask; -wal and -shm take its mode.
            make_private_file(self._path)
        connection = _configured(self._connect("rw"))
        if not self._ready:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            self._ready = True
        holder = self._threads.holder = _Holder(connection)
        with self._lock:
            self._opened.add(holder)
        return holder

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # close() closes those of other threads
        )


class MemoryDatabase(SqliteDatabase):
    """A database that lives and dies with this object; its threads take turns."""

    lasting = False
    is_server = False

    def __init__(self) -> None:
        super().__init__(MEMORY)
        connection = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
        self._shared = _Holder(_configured(connection))
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """The copy of a forked child is its own; only the lock may be held by a thread that is gone."""
        self._turn = threading.RLock()

    def version(self) -> int | None:
        """Always the same: nobody else can change it."""
        return 0

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Nobody else can open it."""
        yield

    def existing(self, sql: str) -> list[tuple[Any, ...]]:
        """Nothing: it is new."""
        return []

    def close(self) -> None:
        """Forget everything."""
        self._closed = True
        with self._turn:
            self._shared.connection.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._check_open()
            yield self._shared.connection
