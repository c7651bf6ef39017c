"""What the stores need of a database, how long callers wait for it, and the hooks for processes that fork."""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

# First, so that its hooks run after those of the gate at a fork: a holder of the gate may need a short lock.
from nango_py import forks  # noqa: F401
from nango_py.errors import StorageError

if TYPE_CHECKING:
    from _thread import RLock
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

Result = TypeVar("Result")

Rows: TypeAlias = list[tuple[Any, ...]]
"""Rows as the driver returns them. The schema fixes the types of the columns; mypy does not know them."""

Parameters: TypeAlias = Mapping[str, object]


class Run(Protocol):
    """Runs one statement inside a transaction and returns its rows."""

    def __call__(self, sql: str, parameters: Parameters | None = None, /) -> Rows:
        """Named parameters are written `:name`.

        A server replaces `:server_now` by its own time in microseconds, so that the clocks of the machines
        need not agree; in SQLite it is a parameter.
        """


class Database(Protocol):
    """A database behind one URL, shared by the threads of a process and usable again after fork."""

    schema_lock: str
    """The statement that keeps other processes from changing the schema until the transaction ends, or ""."""

    is_persistent: bool
    """Whether the data outlives the process."""

    is_server: bool
    """Whether other machines may use the database, so that its clock is the authoritative one."""

    def opening_lock(self) -> AbstractContextManager[None]:
        """Held while a store is opened; keeps other processes from creating the same database."""

    def read_existing(self, sql: str) -> Rows:
        """Rows of a table that may not exist yet. Does not change a byte of the database."""

    def read(self, sql: str, parameters: Parameters) -> Rows:
        """Rows of one SELECT."""

    def version(self) -> int | None:
        """A number that changes with every change made elsewhere; None if the database has no such number."""

    def write(self, work: Callable[[Run], Result]) -> Result:
        """Run `work` in one durable transaction and return its result.

        Holds the write lock of the database (SQLite) or of the selected rows (PostgreSQL, `FOR UPDATE`).
        `work` may run twice, so it must have no other side effects.

        Raises:
            DuplicateRowError: a row with that identity exists; nothing was changed.
            MissingReferenceError: a referenced row does not exist; nothing was changed.
            StorageError: anything else; nothing was changed unless the message says otherwise.
        """

    def close(self) -> None:
        """Close every connection of this process."""


LEAST_SECONDS = 0.25
"""The time for a database operation at the end of a caller's time."""

_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "nango_database_deadline", default=None
)


@contextlib.contextmanager
def database_time(seconds: float) -> Iterator[None]:
    """Limit how long each operation inside waits for locks and for the server."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left(most: float | None) -> float | None:
    """The seconds that an operation may take: what is left of `database_time`, and never more than `most`."""
    deadline = _deadline.get()
    if deadline is None:
        return most
    left = max(deadline - time.monotonic(), LEAST_SECONDS)
    return left if most is None else min(left, most)


def never_collect(*inherited: object) -> None:
    """Never let these objects be garbage collected in this process, not even when it ends.

    For connections inherited through a fork: whatever their destructors do, they do it to the parent.
    """
    if not inherited:
        return
    import ctypes

    for item in inherited:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(item))


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """Close it."""


class ForkGate:
    """Lets a process fork only between SQLite operations, closing a connection included.

    SQLite counts the locks of a process in its memory, and has mutexes. A child that was forked
    within an operation would wait forever for one that no thread of it holds.

    Each thread has a lock that it holds during an operation, and a fork takes those of all other threads.
    `with` takes such a lock in one step, so no exception of a signal handler leaves one locked.
    """

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[object] = weakref.WeakSet()
        self._inherited: list[object] = []
        self._late: deque[Closable] = deque()
        self.reset()

    def keep_in_children(self, connection: object) -> None:
        """Never close this connection in a child. The caller holds its lock.

        A child loses the data of all threads but one before any hook runs, and with it their connections.
        """
        self._connections.add(connection)

    def reset(self) -> None:
        """Forget all locks: the threads of the parent do not exist in a child."""
        never_collect(*self._inherited, *self._late)
        self._inherited, self._late = [], deque()
        self._connections = weakref.WeakSet()
        # By thread; a threading.local would be gone when a thread that ends closes its connection.
        self._locks: dict[int, RLock] = {}
        self._changing = threading.RLock()  # held while there is a new lock, and during a fork
        self._forks = 0  # how many forks the thread that forks is in

    def lock(self) -> RLock:
        """The lock of this thread. While it is held, no other thread forks."""
        found = self._locks.get(threading.get_ident())
        return self._new_lock() if found is None else found

    def _new_lock(self) -> RLock:
        with self._changing:
            return self._locks.setdefault(threading.get_ident(), threading.RLock())

    def close(self) -> None:
        """Wait until no other thread is in an operation, and let none begin one.

        A signal handler may fork while its thread forks.
        """
        self._changing.acquire()
        self._forks += 1
        for lock in self._others():
            lock.acquire()
        self._inherited = list(self._connections)

    def open(self) -> None:
        """Let others in again."""
        kept = self._inherited
        self._forks = max(0, self._forks - 1)
        if not self._forks:
            self._inherited = []
        for lock in (*self._others(), self._changing):
            with contextlib.suppress(RuntimeError):  # it is free: `close` was ended by a signal handler
                lock.release()
        del kept  # closes what nothing else uses, with the gate open
        self._close_late()

    def _others(self) -> list[RLock]:
        thread = threading.get_ident()
        return [lock for owner, lock in list(self._locks.items()) if owner != thread]

    def close_collected(self, connection: Closable) -> None:
        """Close a connection that the garbage collector has found: now, or after the fork that is under way.

        The collector runs at any line of any thread, which may hold a lock that the fork waits for.
        """
        self._late.append(connection)
        self._close_late()

    def _close_late(self) -> None:
        lock = self._lock_at_once()
        if lock is None:
            return
        try:  # around `acquire` too: a signal handler may raise an exception as soon as it returns
            if lock.acquire(blocking=False):
                while self._late:
                    with contextlib.suppress(IndexError):  # another thread was first
                        self._late.popleft().close()
        finally:
            with contextlib.suppress(RuntimeError):  # a fork has it
                lock.release()

    def _lock_at_once(self) -> RLock | None:
        """The lock of this thread, or None if it has none yet and a fork is under way."""
        found = self._locks.get(threading.get_ident())
        while found is None and not self._forks:
            try:
                if self._changing.acquire(blocking=False):
                    found = self._new_lock()
            finally:
                with contextlib.suppress(RuntimeError):
                    self._changing.release()
        return found


FORK_GATE = ForkGate()


class DuplicateRowError(StorageError):
    """A row with that identity already exists."""


class MissingReferenceError(StorageError):
    """A row references another one that does not exist, or is still referenced itself."""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=FORK_GATE.close, after_in_parent=FORK_GATE.open, after_in_child=FORK_GATE.reset
    )


def closed_error(name: str) -> StorageError:
    """The error of what uses a database while another thread closes it."""
    return StorageError(
        f"Nango is closed: another thread called close() while this one used the connection store {name}"
    )
