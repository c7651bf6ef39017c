"""Entries of a provider file with those that they name in `alias`, merged at every level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.json_types import JsonObject, JsonValue

MAX_ALIASES = 8


class AliasError(Exception):
    """The entry that an alias names does not exist, or entries name each other."""


def flatten(entries: Mapping[str, JsonValue], name: str, depth: int = 0) -> JsonObject:
    """The entry with the keys of its alias, and of the alias of that.

    Raises:
        AliasError: see there.
    """
    own = as_object(entries[name])
    alias = own.pop("alias", None)
    if alias is None:
        return own
    if not isinstance(alias, str) or alias not in entries:
        raise AliasError(f"its alias {alias!r} is not in the file")
    if depth == MAX_ALIASES:
        raise AliasError(f"more than {MAX_ALIASES} aliases name each other")
    return _merge(flatten(entries, alias, depth + 1), own)


def _merge(base: JsonObject, own: JsonObject) -> JsonObject:
    merged = dict(base)
    for key, value in own.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged
