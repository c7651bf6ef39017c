"""Export files: connections as lines of text, each sealed and bound to its file and its position.

    first line   JSON: format, version, file (128 random bits), key (its id), created
    line n       base64 of `Key.seal` for the JSON of connection n, with `associated_data(header, n)`
    last line    the same for {"end": number of connections}

The first line is part of the associated data of every other line, so that it cannot be changed and no line
can come from another file. The last line shows that the file is complete.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import uuid
from typing import TYPE_CHECKING

from nango_py.connections.bulk import ExportedConnection
from nango_py.connections.connection import STATUSES
from nango_py.connections.rows import from_microseconds, parse_microseconds
from nango_py.connections.validation import MAX_JSON_BYTES
from nango_py.errors import Position, StorageError, TamperError, printable
from nango_py.secret import Secret, conceal, reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import BinaryIO

    from nango_py.connections.cipher import Key
    from nango_py.connections.rows import Row

FORMAT = "nango connections"
VERSION = 1
MAX_LINE_BYTES = 1 << 24

_TEXT_FIELDS = ("integration", "user_id", "uuid", "status", "date_created", "last_modified")


def associated_data(header: bytes, number: int) -> bytes:
    """What line `number`, counted from 1 after the header, is bound to. JSON contains no NUL."""
    return b"nango export 1\0" + header + b"\0%d" % number


class ExportWriter:
    """Writes an export line by line; only the current line is in memory."""

    def __init__(self, file: BinaryIO, key: Key, now: datetime) -> None:
        self._file = file
        self._key = key
        self._lines = 0
        header = {"format": FORMAT, "version": VERSION, "file": os.urandom(16).hex(), "key": key.id}
        self._header = json.dumps({**header, "created": now.isoformat(timespec="seconds")}).encode()
        file.write(self._header + b"\n")

    def add(self, row: Row, credentials: Secret, additional_config: Secret) -> None:
        """Write one connection; the two texts are JSON.

        Raises:
            StorageError: one is too large to be imported again. An earlier version stored it.
        """
        for name, value in (("credentials", credentials), ("additional_config", additional_config)):
            size = len(value.reveal().encode())
            if size > MAX_JSON_BYTES:
                place = f"{row.integration}/{printable(row.user_id)}"
                raise StorageError(
                    f"the {name} of {place} cannot be exported: {size} bytes; "
                    f"the maximum is {MAX_JSON_BYTES}. Delete the connection or make it smaller"
                )
        fields = {
            "integration": row.integration,
            "user_id": row.user_id,
            "uuid": row.uuid,
            "status": row.status,
            "date_created": from_microseconds(row.created_at).isoformat(),
            "last_modified": from_microseconds(row.modified_at).isoformat(),
        }
        text = (
            f'{json.dumps(fields)[:-1]}, "credentials": {credentials.reveal()}, '
            f'"additional_config": {additional_config.reveal()}}}'
        )
        self._write(Secret(text))

    def finish(self) -> int:
        """Write the last line, and return the number of connections."""
        count = self._lines
        self._write(Secret(json.dumps({"end": count})))
        return count

    def _write(self, text: Secret) -> None:
        self._lines += 1
        sealed = self._key.seal(text.reveal().encode(), associated_data(self._header, self._lines))
        self._file.write(base64.b64encode(sealed) + b"\n")


def read_export(file: BinaryIO, key: Key, name: str) -> Iterator[ExportedConnection]:
    """The connections of an export, one by one. Whether the file is complete is known after the last one.

    Args:
        file: positioned at the start.
        key: the key that sealed it.
        name: the file's name, for messages.

    Raises:
        StorageError: it is not an export, has a newer format, or is sealed with another key.
        TamperError: a line was altered, moved, added or removed.
    """
    header = _check_header(_read_line(file, name, 1), key, name)
    number, is_complete = 0, False
    while not is_complete:
        number += 1
        text = _decrypt(_read_line(file, name, number + 1), key, associated_data(header, number))
        if text is None:
            raise TamperError(f"{name}:{number + 1}: the line was altered, moved, or is from another file")
        values = conceal(json.loads(text.reveal()))
        if isinstance(values, dict) and "end" in values:
            is_complete = values["end"] == number - 1 and not file.read(1)
            if not is_complete:
                raise TamperError(f"{name}:{number + 1}: the file continues after its last line")
        else:
            yield _parse_connection(values, Position(name, number + 1, 1))


def is_export(start: bytes) -> bool:
    """Whether a file that starts like this is an export."""
    return start.startswith(json.dumps({"format": FORMAT})[:-1].encode())


def _read_line(file: BinaryIO, name: str, number: int) -> bytes:
    line = file.readline(MAX_LINE_BYTES)
    if line.endswith(b"\n"):
        return line[:-1]
    if number == 1:
        raise StorageError(f"{name} is not an export of connections")
    if len(line) == MAX_LINE_BYTES:
        raise StorageError(f"{name}:{number}: the line is longer than {MAX_LINE_BYTES} bytes")
    raise TamperError(f"{name}:{number}: the file is truncated; its last line is missing")


def _check_header(line: bytes, key: Key, name: str) -> bytes:
    try:
        header = json.loads(line) if is_export(line) else None
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise StorageError(f"{name} is not an export of connections")
    if header.get("version") != VERSION:
        raise StorageError(
            f"{name} has format version {printable(str(header.get('version')))}; this nango_py supports "
            f"{VERSION}. Install a newer nango_py"
        )
    if header.get("key") != key.id:
        raise StorageError(
            f"{name} is sealed with the key {printable(str(header.get('key')))}; the key given is {key.id}"
        )
    return line


def _decrypt(line: bytes, key: Key, associated_data: bytes) -> Secret | None:
    try:
        sealed = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        return None
    # The same bytes can be encoded in several ways in base64; only ours is accepted.
    text = key.open(sealed, associated_data) if base64.b64encode(sealed) == line else None
    return None if text is None else Secret(text.decode())


def _parse_connection(values: object, position: Position) -> ExportedConnection:
    """The connection of a line. The line was sealed with the key, so an error is a bug of its author."""
    if not isinstance(values, dict):
        raise StorageError(f"{position}: the line is not a JSON object")
    error = _find_error(values)
    if error:
        raise StorageError(f"{position}: {error}")
    texts = {name: values[name].reveal() for name in _TEXT_FIELDS}
    return ExportedConnection(
        texts["integration"],
        texts["user_id"],
        values["credentials"],
        reveal(values["additional_config"]),
        texts["status"],
        texts["uuid"],
        parse_microseconds(texts["date_created"]) or 0,
        parse_microseconds(texts["last_modified"]) or 0,
        position,
    )


def _find_error(values: Mapping[str, object]) -> str:
    texts: dict[str, str] = {}
    for name in _TEXT_FIELDS:
        value = values.get(name)
        if not isinstance(value, Secret):
            return f"{name} is missing or not text"
        texts[name] = value.reveal()
    for name in ("credentials", "additional_config"):
        if not isinstance(values.get(name), dict):
            return f"{name} is missing or not an object"
    if texts["status"] not in STATUSES:
        return f"status must be one of {', '.join(STATUSES)}"
    if not _is_uuid(texts["uuid"]):
        return "uuid is not a UUID"
    for name in ("date_created", "last_modified"):
        if parse_microseconds(texts[name]) is None:
            return f"{name} is not an ISO 8601 date"
    return ""


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
