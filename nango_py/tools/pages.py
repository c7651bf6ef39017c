"""Results that are too long for a language model, in parts that it reads one by one."""

from __future__ import annotations

import json
import re
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from nango_py.forks import new_short_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import JsonObject, JsonValue

MAX_KEPT = 64_000_000
"""The most characters of unread parts that one process keeps; the oldest results are dropped first."""

MIN_CHARACTERS = 500
"""The smallest part that may be asked for."""

_ENVELOPE = 120
"""The characters of a part besides its value: the cursor, and which part it is."""

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def dump(value: JsonValue) -> str:
    """Compact JSON that can be encoded as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text if text.isascii() else _LONE_SURROGATES.sub("\ufffd", text)


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

    They are kept in the memory of this process, each for the user and the action that it belongs to.
    """

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._kept = 0
        self._parts: OrderedDict[tuple[str, str], tuple[str, list[str]]] = OrderedDict()
        self._lock = new_short_lock()

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
        size = sum(map(len, texts))
        with self._lock:
            self._parts[user_id, key] = action, texts
            self._kept += size
            while self._kept > self._max_kept and len(self._parts) > 1:
                _, (_, dropped) = self._parts.popitem(last=False)
                self._kept -= sum(map(len, dropped))
        return texts[0]

    def find(self, user_id: str, cursor: str) -> tuple[str, str] | None:
        """The action and the part that a cursor names; None if there is no such part of this user's."""
        key, _, number = cursor.rpartition(".")
        if not number.isascii() or not number.isdigit() or len(number) > 9:  # noqa: PLR2004 - digits
            return None
        with self._lock:
            action, parts = self._parts.get((user_id, key), ("", []))
        index = int(number)
        return (action, parts[index]) if 0 < index < len(parts) else None
