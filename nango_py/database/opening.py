"""Database URLs, and the driver that serves each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.errors import StorageError

if TYPE_CHECKING:
    from nango_py.database.base import Database
    from nango_py.secret import Secret

MEMORY = ":memory:"
URL_FORMS = "sqlite:///relative/path.db, sqlite:////absolute/path.db, sqlite:///:memory: or postgresql://..."


def open_database(url: Secret, most_seconds: float | None = None) -> Database:
    """The database behind the URL. SQLite files and their folder are created when the store is opened.

    Args:
        url: `sqlite:///...` or `postgresql://...`.
        most_seconds: how long each operation may wait for a server or a lock; None for the defaults.

    Raises:
        StorageError: the URL has another form, or its driver is not installed. No password is shown.
    """
    scheme = url.reveal().partition("://")[0].lower()
    if scheme in {"postgresql", "postgres"}:
        return _open_postgres(url, most_seconds)
    if scheme != "sqlite":
        raise StorageError(f"unsupported database URL scheme; expected {URL_FORMS}")
    from nango_py.database.sqlite import FileDatabase, MemoryDatabase

    path = sqlite_path(url.reveal())
    if path is None:
        return MemoryDatabase()
    return FileDatabase(path) if most_seconds is None else FileDatabase(path, most_seconds)


def _open_postgres(url: Secret, most_seconds: float | None) -> Database:
    try:
        from nango_py.database.postgres import PostgresDatabase
    except ImportError:
        pass
    else:
        return PostgresDatabase(url, most_seconds)
    raise StorageError("PostgreSQL needs psycopg; run: pip install 'nango-py[postgres]'")


def sqlite_path(url: str) -> Path | None:
    """The file that an `sqlite:///` URL names; None for `sqlite:///:memory:`.

    Raises:
        StorageError: the URL names no file.
    """
    slashes, name = url[len("sqlite:") :][:3], url[len("sqlite:///") :]
    if slashes != "///" or not Path(name).name or "?" in name or "\0" in name:
        raise StorageError(f"database_url does not name an SQLite file; expected {URL_FORMS}")
    return None if name == MEMORY else Path(name)


def sqlite_file(url: str) -> Path | None:
    """The SQLite file that the URL names; None for other URLs."""
    return sqlite_path(url) if url.lower().startswith("sqlite:") else None


def sqlite_folder(url: str) -> Path | None:
    """The folder of the SQLite file that the URL names, where the key file is too; None for other URLs."""
    path = sqlite_file(url)
    return None if path is None else path.parent
