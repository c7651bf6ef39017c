"""SQLite, the store that comes with Python; the only owner of `sqlite3`."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sqlite3
import threading
import time
import weakref
from typing import TYPE_CHECKING

from nango_py.database.base import (
    FORK_GATE,
    DuplicateRowError,
    MissingReferenceError,
    Result,
    closed_error,
    seconds_left,
)
from nango_py.database.private_files import (
    check_is_file,
    close_to_others,
    lock_folder,
    make_private_file,
    make_private_folder,
)
from nango_py.errors import StorageError, TamperError
from nango_py.forks import forget_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from nango_py.database.base import Parameters, Rows, Run

BUSY_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.0005, 0.05
OLDEST_VERSION = (3, 35)  # has RETURNING
MEMORY = ":memory:"

# Settings of a connection, none of which writes to the file. FULL makes a commit survive a power cut;
# secure_delete overwrites deleted content, and is off in some builds.
_SETTINGS = ("synchronous = FULL", "secure_delete = ON", "foreign_keys = ON", "trusted_schema = OFF")

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing was stored, existing connections can still be read",
    sqlite3.SQLITE_READONLY: "the file is read-only; existing connections can still be read",
    sqlite3.SQLITE_BUSY: "locked by another process for as long as this call may wait; nothing was stored",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or created",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_IOERR: "disk I/O error, or the disk is full; nothing was stored",
    sqlite3.SQLITE_PERM: "permission denied",
}
_DUPLICATE_CODES = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}


class _Connection(sqlite3.Connection):
    """A connection that may be collected before it is closed, as a `Nango` without `close()` is."""

    def __del__(self) -> None:
        """Do without the ResourceWarning of Python 3.13; deallocation closes the connection."""


class _Holder:
    """Closes a connection as soon as its thread or database is gone.

    A connection forms a reference cycle with its statements, so it would stay open until the garbage
    collector runs.

    Attributes:
        in_use: held while the connection is used. To close it in the middle of a statement of another thread
            ends the process by a segmentation fault.
    """

    __slots__ = ("__weakref__", "connection", "file_id", "in_use")

    def __init__(self, connection: sqlite3.Connection, file_id: FileId | None = None) -> None:
        self.connection = connection
        self.file_id = file_id
        self.in_use = threading.RLock()
        FORK_GATE.keep_in_children(self)

    def close(self) -> None:
        """Close the connection. SQLite locks and may write the file then, so no other thread may fork."""
        with FORK_GATE.lock(), self.in_use:
            self.connection.close()

    def __del__(self) -> None:
        FORK_GATE.close_collected(self.connection)


FileId = tuple[int, int]
"""Device and inode: which file is at a path."""


def _file_id(path: Path) -> FileId | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - for each transaction
    except OSError:
        return None
    return found.st_dev, found.st_ino


_VERSION_CONNECTIONS = itertools.count(1)


class SqliteDatabase:
    """Base of the file and the in-memory database."""

    is_persistent = True
    is_server = False
    schema_lock = ""  # BEGIN IMMEDIATE locks the schema too

    def __init__(self, name: str, busy_seconds: float = BUSY_SECONDS) -> None:
        self.name = name
        self._busy_seconds = busy_seconds
        self._closed = False

    def _connection(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def read(self, sql: str, parameters: Parameters) -> Rows:
        """See `Database.read`."""
        return self._use(
            self._connection, lambda connection: connection.execute(_to_sqlite(sql), parameters).fetchall()
        )

    def write(self, work: Callable[[Run], Result]) -> Result:
        """See `Database.write`."""
        return self._use(self._connection, lambda connection: self._run_transaction(connection, work))

    def _use(
        self,
        connect: Callable[[], AbstractContextManager[sqlite3.Connection]],
        work: Callable[[sqlite3.Connection], Result],
    ) -> Result:
        """The result of work that is repeated while other processes lock the database.

        SQLite's own waiting would know neither the caller's deadline nor that a thread wants to fork.
        """
        ends = time.monotonic() + (seconds_left(self._busy_seconds) or 0.0)
        pause = FIRST_PAUSE
        while True:
            try:
                with FORK_GATE.lock(), connect() as connection:
                    return work(connection)
            except sqlite3.Error as error:
                is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                failure = self._failure(error)
            if not is_busy or time.monotonic() + pause >= ends:
                raise failure
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _run_transaction(self, connection: sqlite3.Connection, work: Callable[[Run], Result]) -> Result:
        def run(sql: str, parameters: Parameters | None = None, /) -> Rows:
            return connection.execute(_to_sqlite(sql), parameters or {}).fetchall()

        _roll_back(connection)  # if the end of the last one was interrupted by a signal handler
        try:
            # A transaction that reads before it locks fails with BUSY at once, whatever the timeout.
            connection.execute("BEGIN IMMEDIATE")
            result = work(run)
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        return result

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error(self.name)

    def _failure(self, error: sqlite3.Error) -> StorageError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _DUPLICATE_CODES:
            return DuplicateRowError("the row already exists")
        if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return MissingReferenceError("the referenced row does not exist")
        if "decode to UTF-8" in str(error):
            return TamperError(
                f"the connection store {self.name} was altered: it contains text that is not UTF-8"
            )
        reason = _REASONS.get(code & 0xFF) or getattr(error, "sqlite_errorname", None) or type(error).__name__
        return StorageError(f"the connection store {self.name} failed: {reason}")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


@functools.cache
def _to_sqlite(sql: str) -> str:
    return sql.replace("FOR UPDATE SKIP LOCKED", "").replace("FOR UPDATE", "")


def _configure(connection: sqlite3.Connection) -> sqlite3.Connection:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}")
    return connection


class FileDatabase(SqliteDatabase):
    """An SQLite file in WAL mode, with one connection for each thread."""

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        # Absolute, so that threads that start after a chdir open the same file.
        self._path = path.absolute()
        super().__init__(str(path), busy_seconds)
        if sqlite3.sqlite_version_info < OLDEST_VERSION:
            raise StorageError(f"SQLite {sqlite3.sqlite_version} is too old; install 3.35 or newer")
        self._ready = False
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """Start with no connection. SQLite forbids even closing one that was opened before a fork."""
        self._threads = threading.local()
        self._opened: weakref.WeakSet[_Holder] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._version_holder: _Holder | None = None
        self._version_connection = 0
        self._version_lock = threading.Lock()
        self._file_id: FileId | None = None

    def version(self) -> int | None:
        """Changes with every change made through another connection, in this or another process.

        Source: https://www.sqlite.org/pragma.html#pragma_data_version
        """
        return self._use(self._version_of, self._read_version)

    @contextlib.contextmanager
    def _version_of(self) -> Iterator[sqlite3.Connection]:
        with self._version_lock:
            self._check_open()
            self._check_file()
            holder = self._version_holder
            if holder is None or holder.file_id != self._file_id:
                # This connection never writes, so its number changes with every write of the others.
                holder = self._version_holder = _Holder(self._connect("rw"), self._file_id)
                self._version_connection = next(_VERSION_CONNECTIONS)
                with self._lock:
                    self._opened.add(holder)
            with holder.in_use:
                if self._closed:
                    self._check_open()
                yield holder.connection

    def _read_version(self, connection: sqlite3.Connection) -> int:
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        # The numbers of two connections cannot be compared.
        return (self._version_connection << 32) + int(version)

    @contextlib.contextmanager
    def opening_lock(self) -> Iterator[None]:
        """Held while the store is opened: switching to WAL fails at once if another process is doing it."""
        make_private_folder(self._path.parent)
        with lock_folder(self._path.parent):
            for suffix in ("", "-wal", "-shm"):
                close_to_others(self._path.with_name(self._path.name + suffix))
            yield

    def read_existing(self, sql: str) -> Rows:
        """Rows of a table that may not exist yet, read through a read-only connection."""
        if not self._path.exists() or self._path.stat().st_size == 0:
            return []

        def read(connection: sqlite3.Connection) -> Rows:
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise
            return []

        return self._use(lambda: contextlib.closing(self._connect("ro")), read)

    def close(self) -> None:
        """Close the connections of all threads, each when its thread does not use it.

        Closing the last one checkpoints the WAL.
        """
        self._closed = True
        with self._lock:
            opened = list(self._opened)
            self._opened.clear()
        for holder in opened:
            holder.close()
        self._threads = threading.local()
        self._version_holder = None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        holder = self._threads.__dict__.get("holder")
        if holder is not None:
            self._check_file()
        if holder is None or holder.file_id != self._file_id:
            holder = self._open_for_thread()
        with holder.in_use:
            if self._closed:  # by another thread just now
                self._check_open()
            yield holder.connection

    def _check_file(self) -> None:
        """Notice that another file is at the path now; connections to the old one are not used again.

        Raises:
            StorageError: there is none. What is written to a deleted file is lost.
        """
        if self._file_id is None:
            return
        found = _file_id(self._path)
        if found is None:
            raise StorageError(
                f"the connection store {self.name} was deleted or moved while in use; nothing was stored. "
                "Put the file back, or restart this process to start with an empty store"
            )
        if found != self._file_id:
            self._file_id, self._ready = found, False

    def _run_transaction(self, connection: sqlite3.Connection, work: Callable[[Run], Result]) -> Result:
        before = self._file_id
        result = super()._run_transaction(connection, work)
        if before is not None and _file_id(self._path) != before:
            raise StorageError(
                f"the connection store {self.name} was deleted or replaced during the transaction; "
                "the change may be lost. Read the connection before you try again"
            )
        return result

    def _open_for_thread(self) -> _Holder:
        self._check_open()
        if self._file_id is not None:
            self._check_file()
        if not self._ready:
            # SQLite would create a file that others can read; -wal and -shm inherit its mode.
            make_private_file(self._path)
        connection = _configure(self._connect("rw"))
        if not self._ready:
            mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
            self._ready = True
        if self._file_id is None:
            self._file_id = _file_id(self._path)
        holder = self._threads.holder = _Holder(connection, self._file_id)
        with self._lock:
            self._opened.add(holder)
        return holder

    def _connect(self, mode: str) -> sqlite3.Connection:
        check_is_file(self._path)
        return sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=0,  # see `_use`
            isolation_level=None,
            check_same_thread=False,  # close() closes those of other threads
            factory=_Connection,
        )


class MemoryDatabase(SqliteDatabase):
    """A database that lives as long as this object; threads take turns on one connection."""

    is_persistent = False

    def __init__(self) -> None:
        super().__init__(MEMORY)
        with FORK_GATE.lock():
            connection = sqlite3.connect(
                MEMORY, isolation_level=None, check_same_thread=False, factory=_Connection
            )
            self._shared = _Holder(_configure(connection))
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """A forked child has its copy of the data; only the lock may be held by a thread that is gone."""
        self._turn = threading.RLock()

    def version(self) -> int | None:
        """Always 0: no other connection can change it."""
        return 0

    @contextlib.contextmanager
    def opening_lock(self) -> Iterator[None]:
        """Nothing to lock: no other process can open it."""
        yield

    def read_existing(self, sql: str) -> Rows:
        """No rows: the database is new."""
        return []

    def close(self) -> None:
        """Discard the data."""
        self._closed = True
        with FORK_GATE.lock(), self._turn:  # in the order of `_use`
            self._shared.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._check_open()
            yield self._shared.connection
