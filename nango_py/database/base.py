"""What the stores need of a database, how long callers wait for it, and the hooks for processes that fork."""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

# First, so that its hooks run after those of the gate at a fork: a holder of the gate may need a short lock.
from nango_py import forks  # noqa: F401
from nango_py.errors import StorageError

if TYPE_CHECKING:
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
    """Held during every SQLite operation, closing included: a process forks only between them.

    SQLite counts the locks of a process in its memory, and has mutexes. A child that was forked
    within an operation would wait forever for one that no thread of it holds.
    """

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[object] = weakref.WeakSet()
        self._inherited: list[object] = []
        self._late: list[Closable] = []
        self.reset()

    def keep_in_children(self, connection: object) -> None:
        """Never close this connection in a child. The caller holds the gate.

        A child loses the data of all threads but one before any hook runs, and with it their connections.
        """
        self._connections.add(connection)

    def reset(self) -> None:
        """Forget all holders: those of the parent do not exist in a child."""
        never_collect(*self._inherited, *self._late)
        self._inherited, self._late = [], []
        self._connections = weakref.WeakSet()
        # With a reentrant lock: a connection may be closed by the garbage collector, at any line of these.
        self._condition = threading.Condition(threading.RLock())
        # By thread; a threading.local would be gone when a thread that ends closes its connection.
        self._holders: dict[int, int] = {}
        self._forking = self._forks = 0  # the thread that forks, and how many forks it is in

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._condition:
            if self._forking and self._must_wait(thread):
                # The garbage collector may have come here within `__exit__`, before it notifies the others.
                self._condition.notify_all()
                while self._must_wait(thread):
                    self._condition.wait()
            self._holders[thread] = self._holders.get(thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        with self._condition:
            count = self._holders.pop(thread, 1) - 1  # none: this is a child that was forked within
            if count:
                self._holders[thread] = count
            self._condition.notify_all()

    def _must_wait(self, thread: int) -> bool:
        return self._forking not in {0, thread} and thread not in self._holders

    def close(self) -> None:
        """Wait until no other thread holds the gate, and keep it closed.

        A signal handler may fork while its thread forks.
        """
        thread = threading.get_ident()
        with self._condition:
            while self._forking not in {0, thread}:
                self._condition.wait()
            self._forking, self._forks = thread, self._forks + 1
            while self._holders.keys() - {thread}:
                self._condition.wait()
            self._inherited = list(self._connections)

    def open(self) -> None:
        """Let others in again."""
        with self._condition:
            self._forks = max(0, self._forks - 1)
            if self._forks:
                return
            kept, self._inherited = self._inherited, []
            late, self._late = self._late, []
            self._forking = 0
            self._condition.notify_all()
        del kept  # closes what nothing else uses, with the gate open
        for connection in late:
            self.close_collected(connection)

    def close_collected(self, connection: Closable) -> None:
        """Close a connection that the garbage collector has found: now, or after the fork that is under way.

        The collector runs at any line of any thread, which may hold a lock that the fork waits for.
        """
        thread = threading.get_ident()
        with self._condition:
            if self._must_wait(thread):
                self._late.append(connection)
                return
            self._holders[thread] = self._holders.get(thread, 0) + 1
        try:
            connection.close()
        finally:
            self.__exit__()


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
