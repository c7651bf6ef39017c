"""What the store needs of a database, and which driver serves which URL."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nango_py.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from nango_py.secret import Secret

Result = TypeVar("Result")


class Run(Protocol):
    """Runs one statement inside a transaction and gives its rows."""

    def __call__(self, sql: str, parameters: Mapping[str, Any] | None = None, /) -> list[tuple[Any, ...]]:
        """Named parameters are written `:name`."""


class Database(Protocol):
    """A database behind one URL, shared by the threads of a process and usable again after fork."""

    schema_lock: str
    """The statement that keeps other processes from changing the schema until the transaction ends, or ""."""

    lasting: bool
    """Whether it outlives the process."""

    is_server: bool
    """Whether other machines may use it, so that its own time is the one to go by."""

    def opening(self) -> AbstractContextManager[None]:
        """Held while a store is opened; keeps other processes from making the same database."""

    def existing(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a table that may not exist yet. Does not change a byte of the database."""

    def read(self, sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Rows of one SELECT."""

    def version(self) -> int | None:
        """A number that changes whenever anybody else has changed anything; None if only rows tell."""

    def write(self, work: Callable[[Run], Result]) -> Result:
        """What `work` returns, after its statements were made durable together.

        The database's (SQLite) or the rows' (PostgreSQL, `FOR UPDATE`) write lock is held meanwhile.
        `work` may run twice, so it must have no effect of its own.

        Raises:
            DuplicateRowError: a row of that identity exists; nothing was changed.
            MissingReferenceError: a row that is pointed at does not exist; nothing was changed.
            StorageError: anything else; nothing was changed unless the message says otherwise.
        """

    def close(self) -> None:
        """Close every connection of this process."""


class DuplicateRowError(StorageError):
    """A row of that identity exists already."""


class MissingReferenceError(StorageError):
    """A row that another row points at does not exist, or is still pointed at."""


MEMORY = ":memory:"
URL_FORMS = "sqlite:///relative/path.db, sqlite:////absolute/path.db, sqlite:///:memory: or postgresql://..."


def open_database(url: Secret, patience: float | None = None) -> Database:
    """The database behind the URL. SQLite files and their folder are made when the store is opened.

    Args:
        url: `sqlite:///...` or `postgresql://...`.
        patience: the seconds for which it is tried to connect to a server; None leaves it to the driver.

    Raises:
        StorageError: the URL has another form, or its driver is not installed. No password is shown.
    """
    scheme = url.reveal().partition("://")[0].lower()
    if scheme in {"postgresql", "postgres"}:
        return _postgres(url, patience)
    if scheme != "sqlite":
        raise StorageError(f"a database of this kind is not known; expected {URL_FORMS}")
    from nango_py.database.sqlite import FileDatabase, MemoryDatabase

    path = sqlite_path(url.reveal())
    return MemoryDatabase() if path is None else FileDatabase(path)


def _postgres(url: Secret, patience: float | None) -> Database:
    try:
        from nango_py.database.postgres import PostgresDatabase
    except ImportError:
        pass
    else:
        return PostgresDatabase(url) if patience is None else PostgresDatabase(url, patience)
    raise StorageError("PostgreSQL needs psycopg; run: pip install 'nango-py[postgres]'")


def sqlite_path(url: str) -> Path | None:
    """The file that an `sqlite:///` URL names; None for the one in memory.

    Raises:
        StorageError: it names none.
    """
    slashes, name = url[len("sqlite:") :][:3], url[len("sqlite:///") :]
    if slashes != "///" or not name or "?" in name or "\0" in name:
        raise StorageError(f"database_url names no SQLite file; expected {URL_FORMS}")
    return None if name == MEMORY else Path(name)


def sqlite_folder(url: str) -> Path | None:
    """The folder of the SQLite file that the URL names, where the key file goes too; None for other URLs."""
    path = sqlite_path(url) if url.lower().startswith("sqlite:") else None
    return None if path is None else path.parent


class Forkable(Protocol):
    """Something with sockets or file locks that a forked child must not touch."""

    def forget_inherited(self) -> None:
        """Called in the child: leave the parent's connections alone and start with none."""


_OPEN: weakref.WeakSet[Forkable] = weakref.WeakSet()


def forget_in_children(database: Forkable) -> None:
    """Have `forget_inherited` called in every child that this process forks from now on."""
    _OPEN.add(database)


def never_collect(*inherited: object) -> None:
    """Never let these objects be collected in this process, not even when it ends.

    For connections that came with a fork: whatever their destructors do, they do it to the parent.
    """
    if not inherited:
        return
    import ctypes

    for one in inherited:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def _after_fork() -> None:
    for database in list(_OPEN):
        database.forget_inherited()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
