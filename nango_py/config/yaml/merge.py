"""Settings laid over settings, with the place that every part was written at kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.errors import Position
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.config.model import Path
    from nango_py.config.yaml.document import Document

Place = tuple[str, int, int, int, int]
"""file, line and column of the value, line and column of its key. Becomes a Position when asked for."""


class Origins(Mapping["Path", Position]):
    """Where each key and leaf of a settings tree was written; `origins[path]` is the value's place."""

    __slots__ = ("_places",)

    def __init__(self, places: dict[Path, Place]) -> None:
        self._places = places

    def __getitem__(self, path: Path) -> Position:
        file, line, column, _, _ = self._places[path]
        return Position(file, line, column)

    def __iter__(self) -> Iterator[Path]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def place(self, path: Path) -> Place:
        """The raw place of a path, or of the nearest thing around it that was written."""
        while path and path not in self._places:
            path = path[:-1]
        return self._places.get(path, ("", 0, 0, 0, 0))

    def position(self, path: Path) -> Position:
        """The place of the value, or of the nearest thing around it that was written."""
        file, line, column, _, _ = self.place(path)
        return Position(file, line, column)

    def key_position(self, path: Path) -> Position:
        """The place of the key, or of the nearest thing around it that was written."""
        file, _, _, line, column = self.place(path)
        return Position(file, line, column)


@record
class Sourced:
    """A settings tree, plain or frozen, and where each part of it was written."""

    settings: Mapping[str, Any]
    origins: Origins


def sourced(document: Document, path: Path = ()) -> Sourced:
    """The mapping at `path` of a document, ready to be merged; paths in it start there."""
    tree: Any = document.data
    for part in path:
        tree = tree[part]
    places: dict[Path, Place] = {(): document.place(path)}
    settings = _adopted(tree, (), lambda below: document.place(path + below), places)
    return Sourced(settings if isinstance(settings, dict) else {}, Origins(places))


def merge(base: Sourced, over: Sourced) -> Sourced:
    """`over` laid over `base`; neither is changed.

    Mappings merge all the way down, anything else is replaced, and an explicit null in `over` removes
    the key. A mapping that both have keeps the place where `over` wrote it.
    """
    places: dict[Path, Place] = {(): over.origins.place(())}
    return Sourced(_laid(base, over, base.settings, over.settings, (), places), Origins(places))


def with_nulls(document: Document, path: Path = ()) -> Sourced:
    """Like `sourced`, with nulls kept: the upper side of a merge, where a null removes a key."""
    tree: Any = document.data
    for part in path:
        tree = tree[part]
    places: dict[Path, Place] = {(): document.place(path)}
    _note(tree, (), lambda below: document.place(path + below), places)
    return Sourced(tree if isinstance(tree, dict) else {}, Origins(places))


def _laid(
    base: Sourced,
    over: Sourced,
    lower: Mapping[str, Any],
    upper: Mapping[str, Any],
    path: Path,
    places: dict[Path, Place],
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in lower.items():
        if key not in upper:
            result[key] = _adopted(value, (*path, key), base.origins.place, places)
        elif isinstance(value, Mapping) and isinstance(upper[key], Mapping):
            places[(*path, key)] = over.origins.place((*path, key))
            result[key] = _laid(base, over, value, upper[key], (*path, key), places)
        elif upper[key] is not None:
            result[key] = _adopted(upper[key], (*path, key), over.origins.place, places)
    for key, value in upper.items():
        if key not in lower and value is not None:
            result[key] = _adopted(value, (*path, key), over.origins.place, places)
    return result


def _adopted(value: Any, path: Path, place_of: Callable[[Path], Place], places: dict[Path, Place]) -> Any:
    """A copy of the value without nulls in its mappings; its places are noted."""
    places[path] = place_of(path)
    if isinstance(value, Mapping):
        return {
            key: _adopted(item, (*path, key), place_of, places)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list | tuple):
        # A null inside a list is a value: lists are replaced whole, so it has nothing to remove.
        _note(value, path, place_of, places)
    return value


def _note(value: Any, path: Path, place_of: Callable[[Path], Place], places: dict[Path, Place]) -> None:
    places[path] = place_of(path)
    pairs = (
        value.items()
        if isinstance(value, Mapping)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    for key, item in pairs:
        _note(item, (*path, key), place_of, places)
