"""Exports connections from a store to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.connections.bulk import iter_rows
from nango_py.connections.keys import parse_one_key
from nango_py.connections.rows import from_microseconds
from nango_py.database.private_files import replacing_file
from nango_py.errors import StorageError
from nango_py.secret import Secret
from nango_py.transfer.export_file import ExportWriter, is_export

if TYPE_CHECKING:
    from typing import BinaryIO

    from nango_py.connections.cipher import Key
    from nango_py.connections.store import ConnectionStore

START_BYTES = 64  # enough to recognize an export


def write_export(
    store: ConnectionStore,
    target: str | os.PathLike[str] | BinaryIO,
    key: str | Secret,
    integration: str,
    user_id: str,
) -> int:
    """Export connections ("" for all) and return their number; see `Nango.export_connections`."""
    parsed_key = parse_key(key)
    del key
    if not isinstance(target, str | os.PathLike):
        return _write(store, target, parsed_key, integration, user_id)
    path = Path(target)
    _check_replaceable(path)
    with replacing_file(path) as file:
        return _write(store, file, parsed_key, integration, user_id)


def parse_key(key: str | Secret) -> Key:
    """The key that a caller passed.

    Raises:
        StorageError: it is malformed.
    """
    return parse_one_key(key if isinstance(key, Secret) else Secret(str(key)), "the given key")


def _write(store: ConnectionStore, file: BinaryIO, key: Key, integration: str, user_id: str) -> int:
    writer = ExportWriter(file, key, from_microseconds(store.microseconds()))
    for row, credentials, settings in iter_rows(store, integration, user_id):
        writer.add(row, credentials, settings)
    return writer.finish()


def _check_replaceable(path: Path) -> None:
    """Raise a StorageError if the path exists and is not an older export."""
    try:
        if not path.exists():
            return
        start = b""
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(START_BYTES)
            if not start or is_export(start):
                return
    except OSError as error:
        reason = error.strerror or type(error).__name__
    else:
        reason = "it already exists and is not an export of connections; choose another name"
    raise StorageError(f"cannot write {path}: {reason}")
