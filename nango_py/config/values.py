"""Frozen trees of settings, and text that came from the environment. Imports nothing else of config."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nango_py.json_types import Settings

Path: TypeAlias = tuple["str | int", ...]
"""The path of a value in a file: ("requests", "headers", "Accept")."""

MAPPINGS = (dict, MappingProxyType)
"""The mappings of settings trees. Checking for `collections.abc.Mapping` costs a Python call each time."""

_MUTABLE = (dict, list)

NOTHING: MappingProxyType[str, Any] = MappingProxyType({})


def mapping_at(value: object, *path: str) -> Settings:
    """The mapping at a path of settings that may be wrong; an empty one if there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, MAPPINGS) else None
    return value if isinstance(value, MAPPINGS) else NOTHING


def list_at(value: object, *path: str) -> Sequence[Any]:
    """The list at a path of settings that may be wrong; an empty one if there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, MAPPINGS) else None
    return value if isinstance(value, list | tuple) else ()


def as_tuple(value: object) -> tuple[Any, ...]:
    """The entries of a value that may be a list or one entry; () for None."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class EnvironmentText(str):
    """Text that came from the environment. It is never parsed as a template and never shown.

    `str(x)` and `repr(x)` are masked; `x.reveal()` is the value. It compares and validates like any other
    str, so schemas work on it.
    """

    __slots__ = ()

    def reveal(self) -> str:
        """The value."""
        return str.__str__(self)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"


def plain(value: Any) -> Any:
    """A copy of settings in plain dicts and lists, with values of the environment as plain text."""
    if isinstance(value, MAPPINGS):
        return {str.__str__(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str.__str__(value) if isinstance(value, str) else value


def freeze(value: Any) -> Any:
    """The value with every mapping read-only and every list a tuple, at every level.

    Mappings and tuples that are read-only already are shared, not copied.
    """
    if isinstance(value, dict):
        copy = value.copy()
        for key, item in value.items():
            if isinstance(item, _MUTABLE):
                copy[key] = freeze(item)
        return MappingProxyType(copy) if copy else NOTHING
    if isinstance(value, list):
        items = value.copy()
        for index, item in enumerate(value):
            if isinstance(item, _MUTABLE):
                items[index] = freeze(item)
        return tuple(items)
    return value
