"""Results that are too long for a language model, in parts that it reads one by one."""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import zlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from nango_py.errors import NangoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.connections.pending import Pending
    from nango_py.json_types import JsonObject, JsonValue

LOGGER = logging.getLogger("nango_py.tools")

KEPT_SECONDS = 3600.0
"""For how long the parts of a result can be read."""

KIND, SESSION = "result", "results of tools"
PIECE, MAX_PIECES = 700_000, 128
"""The characters of a row, and how many rows the results of all users take at most. They are compressed."""

MIN_CHARACTERS = 500
"""The smallest part that may be asked for."""

_ENVELOPE = 120
"""The characters of a part besides its value: the cursor, and which part it is."""

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def dump(value: JsonValue) -> str:
    """Compact JSON that can be encoded as UTF-8. NaN and infinity, which JSON does not have, are null."""
    try:
        text = _WRITER.encode(value)
    except ValueError:
        text = _WRITER.encode(_without_infinity(value))
    return text if text.isascii() else _LONE_SURROGATES.sub("\ufffd", text)


_WRITER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)


def _without_infinity(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def split(value: JsonValue, limit: int) -> list[JsonObject]:
    """A result in parts whose JSON has at most `limit` characters: whole items of a list where possible."""
    if len(dump({"result": value})) <= limit:
        return [{"result": value}]
    room = limit - _ENVELOPE
    if isinstance(value, list):
        return _by_items(value, room) or _by_characters(value, room)
    if isinstance(value, dict):
        lists = {key: item for key, item in value.items() if isinstance(item, list)}
        if lists:
            longest = max(lists, key=lambda key: len(lists[key]))
            items = lists[longest]
            others = {key: item for key, item in value.items() if key != longest}
            left = room - len(dump({**others, longest: []}))
            parts = _by_items(items, left) if left >= room // 2 else []
            if parts:
                return [{**part, "result": {**others, longest: part["result"]}} for part in parts]
    return _by_characters(value, room)


def _by_items(items: list[JsonValue], room: int) -> list[JsonObject]:
    """The items in groups; [] if one of them is longer than a group."""
    groups: list[list[JsonValue]] = [[]]
    used = 2
    for item in items:
        length = len(dump(item)) + 1
        if length + 2 > room:
            return []
        if used + length > room:
            groups.append([])
            used = 2
        groups[-1].append(item)
        used += length
    parts: list[JsonObject] = []
    first = 1
    for group in groups:
        last = first + len(group) - 1
        parts.append({"result": [*group], "shown": f"items {first} to {last} of {len(items)}"})
        first = last + 1
    return parts


def _by_characters(value: JsonValue, room: int) -> list[JsonObject]:
    text = value if isinstance(value, str) else dump(value)
    return [
        {"result": text[start:end], "shown": f"characters {start + 1} to {end} of {len(text)}"}
        for start, end in _slices(text, room)
    ]


def _slices(text: str, room: int) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        size = room
        while len(dump(text[start : start + size])) > room:
            size //= 2
        yield start, min(start + size, len(text))
        start += size


class ResultPages:
    """The parts of results that users' models have yet to read. Thread-safe.

    They are in the database of the connections, sealed, so that any process reads on where another one has
    begun. A cursor is a random name and the number of a part.

    Args:
        get_pending: returns the short-lived values of the database.
        max_pieces: how many pieces the results of all users may take; the oldest are dropped first.
    """

    def __init__(self, get_pending: Callable[[], Pending], max_pieces: int = MAX_PIECES) -> None:
        self._get_pending = get_pending
        self._max_pieces = max_pieces

    def first(self, user_id: str, action: str, value: JsonValue, limit: int) -> str:
        """A result as JSON, or its first part, with a cursor to the next one."""
        parts = split(value, limit)
        if len(parts) == 1:
            return dump(parts[0])
        key = secrets.token_urlsafe(12)
        texts = [
            dump({**part, "cursor": f"{key}.{number}"} if number < len(parts) else part)
            for number, part in enumerate(parts, 1)
        ]
        try:
            self._keep(f"{user_id}\0{key}", [action, *texts[1:]])
        except NangoError as error:  # the action has run, so that its result is worth more than its rest
            LOGGER.error("the rest of a result could not be stored: %s", error)  # noqa: TRY400 - no frames
            return dump({**parts[0], "rest": "could not be stored"})
        return texts[0]

    def _keep(self, name: str, texts: list[str]) -> None:
        packed = b64encode(zlib.compress(json.dumps(texts).encode(), 1)).decode()
        pieces = [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]
        for number, piece in enumerate(pieces):
            values = {"piece": piece, "pieces": len(pieces)}
            self._get_pending().put(
                KIND, f"{name}\0{number}", SESSION, values, KEPT_SECONDS, self._max_pieces
            )

    def find(self, user_id: str, cursor: str) -> tuple[str, str] | None:
        """The action and the part that a cursor names; None if there is no such part of this user's."""
        key, _, number = cursor.rpartition(".")
        if not number.isascii() or not number.isdigit() or len(number) > 9:  # noqa: PLR2004 - digits
            return None
        action, *parts = self._read(f"{user_id}\0{key}") or [""]
        index = int(number) - 1
        return (action, parts[index]) if 0 <= index < len(parts) else None

    def _read(self, name: str) -> list[str] | None:
        pending, count = self._get_pending(), 1
        pieces: list[str] = []
        while len(pieces) < count:
            values = pending.peek(KIND, f"{name}\0{len(pieces)}")
            if values is None:
                return None
            pieces.append(str(values["piece"]))
            count = int(values["pieces"])
        texts: list[str] = json.loads(zlib.decompress(b64decode("".join(pieces))))
        return texts
