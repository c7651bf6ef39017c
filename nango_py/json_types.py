"""JSON values in annotations, and how deep they are nested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""Any JSON value, as `json.loads` returns it."""

JsonObject: TypeAlias = dict[str, JsonValue]
"""A JSON object."""

Settings: TypeAlias = Mapping[str, Any]
"""Settings that passed the file schema, which guarantees the types of the values; mypy does not know them."""

Schema: TypeAlias = Mapping[str, Any]
"""A JSON Schema (draft 2020-12), or a part of one."""

Credentials: TypeAlias = Mapping[str, Any]
"""A user's credentials: named fields of the auth mode's `credentials_schema`; stored texts are `Secret`s."""


def as_object(value: object) -> JsonObject:
    """A copy of a JSON object; an empty one for anything else."""
    return dict(value) if isinstance(value, _OBJECTS) else {}


_OBJECTS = (dict, MappingProxyType)


def is_deeper_than(value: JsonValue, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this number of levels."""
    items = [value]
    for _ in range(levels):
        parents = [item for item in items if isinstance(item, dict | list)]
        items = [child for item in parents for child in (item.values() if isinstance(item, dict) else item)]
    return bool(items)


_STRINGS_AND_BRACKETS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)


def is_text_deeper_than(text: bytes, levels: int) -> bool:
    """Whether lists and objects in a JSON text are nested deeper than this number of levels.

    The text is not parsed. A parser that comes close to Python's recursion limit may start the garbage
    collector there, and what that calls fails. A text in UTF-16 or UTF-32, whose strings are not found here,
    counts as deeper if it has more brackets than levels.
    """
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    if b"\0" in text:
        return True
    depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        start = found[0][:1]
        if start in b"[{":
            depth += 1
            if depth > levels:
                return True
        elif start in b"]}":
            depth -= 1
    return False
