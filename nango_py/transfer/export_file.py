"""Exports: connections as lines of text, each sealed and bound to its file and its place in it.

    first line   JSON: format, version, file (128 random bits), key (its id), created
    line n       base64 of what `Key.seal` gives for the JSON of connection n, under `place(first line, n)`
    last line    the same of {"end": number of connections}

The first line is part of what every other line is bound to: it stands as it was written, and no line is of
another file. The last one tells a whole file from one that was cut.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nango_py.connections.bulk import ExportedConnection
from nango_py.connections.connection import ACTIVE, NEEDS_REAUTH
from nango_py.connections.rows import from_microseconds, to_microseconds
from nango_py.errors import Position, StorageError, TamperError, printable
from nango_py.secret import Secret, conceal, reveal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from nango_py.connections.cipher import Key
    from nango_py.connections.rows import Row

FORMAT = "nango connections"
VERSION = 1
LONGEST_LINE = 1 << 24
"""Bytes; nothing longer is read into memory."""


def place(head: bytes, number: int) -> bytes:
    """What line `number`, counted from 1 after the first line, is bound to. JSON has no NUL."""
    return b"nango export 1\0" + head + b"\0%d" % number


class ExportWriter:
    """Writes an export, one line after the other; nothing but the line at hand is in memory."""

    def __init__(self, file: BinaryIO, key: Key, now: datetime) -> None:
        self._file = file
        self._key = key
        self._lines = 0
        head = {"format": FORMAT, "version": VERSION, "file": os.urandom(16).hex(), "key": key.id}
        self._head = json.dumps({**head, "created": now.isoformat(timespec="seconds")}).encode()
        file.write(self._head + b"\n")

    def add(self, row: Row, credentials: Secret, additional_config: Secret) -> None:
        """Write one connection; the texts are the JSON of its two sealed fields."""
        self._write(_text_of(row, credentials, additional_config))

    def finish(self) -> int:
        """Write the last line, and say how many connections there are."""
        count = self._lines
        self._write(Secret(json.dumps({"end": count})))
        return count

    def _write(self, text: Secret) -> None:
        self._lines += 1
        sealed = self._key.seal(text.reveal().encode(), place(self._head, self._lines))
        self._file.write(base64.b64encode(sealed) + b"\n")


def _text_of(row: Row, credentials: Secret, additional_config: Secret) -> Secret:
    open_part = json.dumps(
        {
            "integration": row.integration,
            "user_id": row.user_id,
            "uuid": row.uuid,
            "status": row.status,
            "date_created": from_microseconds(row.created_at).isoformat(),
            "last_modified": from_microseconds(row.modified_at).isoformat(),
        }
    )
    return Secret(
        f'{open_part[:-1]}, "credentials": {credentials.reveal()}, '
        f'"additional_config": {additional_config.reveal()}}}'
    )


def read_export(file: BinaryIO, key: Key, name: str) -> Iterator[ExportedConnection]:
    """The connections of an export, as they are read. Only at the end is it known to be whole.

    Args:
        file: at its beginning.
        key: the one it was made with.
        name: the file's name, for messages.

    Raises:
        StorageError: it is no export, is of a newer format, or is sealed with another key.
        TamperError: a line was altered, moved, added or lost.
    """
    head = _checked_head(_line(file, name, 1), key, name)
    number, has_ended = 0, False
    while not has_ended:
        number += 1
        text = _opened(_line(file, name, number + 1), key, place(head, number))
        if text is None:
            raise TamperError(f"{name}:{number + 1}: the line was altered, moved, or is of another file")
        values = conceal(json.loads(text.reveal()))
        if isinstance(values, dict) and "end" in values:
            has_ended = values["end"] == number - 1 and not file.read(1)
            if not has_ended:
                raise TamperError(f"{name}:{number + 1}: the file goes on after its end")
        else:
            yield _moved(values, Position(name, number + 1, 1))


def is_export(start: bytes) -> bool:
    """Whether a file that begins like this is an export."""
    return start.startswith(json.dumps({"format": FORMAT})[:-1].encode())


def _line(file: BinaryIO, name: str, number: int) -> bytes:
    """A line without its end."""
    line = file.readline(LONGEST_LINE)
    if line.endswith(b"\n"):
        return line[:-1]
    if number == 1:
        raise StorageError(f"{name} is not an export of connections")
    raise TamperError(f"{name}:{number}: the file was cut off here; its last line is missing")


def _checked_head(line: bytes, key: Key, name: str) -> bytes:
    """The first line, if it is one that this program and this key can follow."""
    try:
        head = json.loads(line) if is_export(line) else None
    except ValueError:
        head = None
    if not isinstance(head, dict):
        raise StorageError(f"{name} is not an export of connections")
    if head.get("version") != VERSION:
        raise StorageError(
            f"{name} is of format version {printable(str(head.get('version')))}; this nango_py reads "
            f"{VERSION}. Install a newer nango_py"
        )
    if head.get("key") != key.id:
        raise StorageError(
            f"{name} is sealed with the key {printable(str(head.get('key')))}; the key given is {key.id}"
        )
    return line


def _opened(line: bytes, key: Key, where: bytes) -> Secret | None:
    try:
        sealed = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Base64 can be written in several ways; only ours is a line of ours.
    text = key.open(sealed, where) if base64.b64encode(sealed) == line else None
    return None if text is None else Secret(text.decode())


_TEXTS = ("integration", "user_id", "uuid", "status", "date_created", "last_modified")


def _moved(values: Any, position: Position) -> ExportedConnection:
    """The connection of a line. Whoever made it had the key, so what is wrong is a mistake of theirs."""
    fault = _fault(values)
    if fault:
        raise StorageError(f"{position}: {fault}")
    texts = {name: values[name].reveal() for name in _TEXTS}
    return ExportedConnection(
        texts["integration"],
        texts["user_id"],
        values["credentials"],
        reveal(values["additional_config"]),
        texts["status"],
        texts["uuid"],
        _microseconds(texts["date_created"]) or 0,
        _microseconds(texts["last_modified"]) or 0,
        position,
    )


def _fault(values: Any) -> str:
    if not isinstance(values, dict):
        return "it is not an object"
    for name in _TEXTS:
        if not isinstance(values.get(name), Secret):
            return f"{name} is missing or not text"
    for name in ("credentials", "additional_config"):
        if not isinstance(values.get(name), dict):
            return f"{name} is missing or not an object"
    if values["status"].reveal() not in {ACTIVE, NEEDS_REAUTH}:
        return f"status must be {ACTIVE} or {NEEDS_REAUTH}"
    if not _is_uuid(values["uuid"].reveal()):
        return "uuid is not a UUID"
    for name in ("date_created", "last_modified"):
        if _microseconds(values[name].reveal()) is None:
            return f"{name} is not a date of ISO 8601"
    return ""


def _is_uuid(text: str) -> bool:
    import uuid

    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _microseconds(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_microseconds(time if time.tzinfo else time.replace(tzinfo=UTC))
