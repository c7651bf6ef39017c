"""Settings merged over settings. Each part keeps the place where it was written.

Values and nodes are shared with the trees that they come from: only mappings that both sides have, and
mappings that hold a null, are copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.values import MAPPINGS
from nango_py.config.yaml.tree import Located, Node, find_place
from nango_py.errors import Position
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Document, Entry, Place
    from nango_py.json_types import Settings


class Origins(Located, Mapping["Path", Position]):
    """Where each key and leaf of a settings tree was written; `origins[path]` is the value's position."""

    __slots__ = ("_key_place", "_root")

    def __init__(self, root: Node, key_place: tuple[int, int] = (1, 1)) -> None:
        self._root = root
        self._key_place = key_place

    @property
    def root(self) -> Node:
        """The tree of places."""
        return self._root

    @property
    def key_place(self) -> tuple[int, int]:
        """Line and column of the key that holds the whole tree."""
        return self._key_place

    def __getitem__(self, path: Path) -> Position:
        (file, line, column, _, _), is_own = find_place(self.root, path, self.key_place)
        if not is_own:
            raise KeyError(path)
        return Position(file, line, column)

    def __iter__(self) -> Iterator[Path]:
        return iter([path for path, _ in self.places()])

    def __len__(self) -> int:
        return len(self.places())

    def places(self) -> list[tuple[Path, Place]]:
        """Every path with its place, parents first."""
        found: list[tuple[Path, Place]] = []
        pending: list[tuple[Path, Node, int, int]] = [((), self.root, *self.key_place)]
        while pending:
            path, node, key_line, key_column = pending.pop()
            found.append((path, (node.file, node.line, node.column, key_line, key_column)))
            for key, (line, column, _, below) in reversed(node.entries.items()):
                pending.append(((*path, key), below, line, column))
            for index in range(len(node.items) - 1, -1, -1):
                item = node.items[index]
                pending.append(((*path, index), item, item.line, item.column))
        return found

    def place(self, path: Path) -> Place:
        """The place of a value and its key, or of the nearest parent that was written."""
        return find_place(self.root, path, self.key_place)[0]


def origins_of_places(places: Iterable[tuple[Path, Place]]) -> Origins:
    """Origins with these places, parents first, as `Origins.places` gives them."""
    nodes: dict[Path, Node] = {}
    key_place = (1, 1)
    for path, (file, line, column, key_line, key_column) in places:
        nodes[path] = node = Node(file, line, column, None)
        if not path:
            key_place = (key_line, key_column)
            continue
        parent = nodes.setdefault(path[:-1], Node(file, line, column, None))
        if isinstance(path[-1], int):
            parent.items.append(node)
        else:
            parent.entries[path[-1]] = (key_line, key_column, False, node)
    return Origins(nodes.get((), Node("", 0, 0, None)), key_place)


@record
class Sourced:
    """A settings tree, plain or frozen, and where each part of it was written."""

    settings: Settings
    origins: Origins


def with_nulls(document: Document, path: Path = ()) -> Sourced:
    """The mapping at `path` of a document as the upper side of a merge, where a null removes a key."""
    tree = document.data
    for part in path:
        tree = tree[part]
    _, _, _, *key_place = document.place(path)
    origins = Origins(document.find_node(path) or document.root, (key_place[0], key_place[1]))
    return Sourced(tree if isinstance(tree, MAPPINGS) else {}, origins)


def settings_at(document: Document, path: Path = ()) -> Sourced:
    """The mapping at `path` of a document without the keys that are null."""
    return without_nulls(with_nulls(document, path))


def without_nulls(tree: Sourced) -> Sourced:
    """The tree without the keys that are null."""
    settings, node = _remove_nulls(tree.settings, tree.origins.root)
    return Sourced(settings, Origins(node, tree.origins.key_place))


def merge(base: Sourced, over: Sourced, layers: str = "") -> Sourced:
    """`over` merged over `base`; neither is changed.

    Mappings merge at every level, anything else is replaced, and an explicit null in `over` removes
    the key. A mapping that both have keeps the place where `over` wrote it.

    Args:
        base: the lower side.
        over: the upper side.
        layers: a key whose entries keep their nulls, which remove keys of the rest later.
    """
    settings, node = _merge(base.settings, base.origins.root, over.settings, over.origins.root, layers)
    return Sourced(settings, Origins(node, over.origins.key_place))


def _merge(
    lower: Settings, below: Node, upper: Settings, above: Node, layers: str = "", depth: int = 0
) -> tuple[dict[str, object], Node]:
    """The merged mapping; `depth` is that below the key of the layers, 0 outside."""
    settings: dict[str, object] = {}
    node = Node(above.file, above.line, above.column, None)
    keys = [*lower, *(key for key in upper if key not in lower)]
    for key in keys:
        is_over = key in upper
        line, column, is_plain, child = _entry(above if is_over else below, key)
        value = upper[key] if is_over else lower[key]
        if is_over and value is None and depth < IN_A_LAYER:
            continue
        inside = depth + 1 if depth else int(key == layers)
        if is_over and isinstance(value, MAPPINGS) and isinstance(lower.get(key), MAPPINGS):
            settings[key], child = _merge(lower[key], _entry(below, key)[3], value, child, depth=inside)
        elif inside:
            settings[key] = value
        else:
            settings[key], child = _remove_nulls(value, child)
        node.entries[key] = (line, column, is_plain, child)
        node.has_nulls |= value is None or child.has_nulls
    return settings, node


IN_A_LAYER = 2
"""The depth of the keys of a layer, such as those of a login below `logins`."""


def _entry(node: Node, key: str) -> Entry:
    """The entry of a key; one at the place of the mapping for a key that no file wrote."""
    entry = node.entries.get(key)
    return entry or (node.line, node.column, False, Node(node.file, node.line, node.column, None))


def _remove_nulls(value: Any, node: Node) -> tuple[Any, Node]:
    """A tree without the nulls of its mappings. Lists are replaced as a whole, so their nulls stay."""
    if not node.has_nulls or not isinstance(value, MAPPINGS):
        return value, node
    copy = Node(node.file, node.line, node.column, None)
    kept: dict[str, Any] = {}
    for key, item in value.items():
        if item is not None:
            line, column, is_plain, below = _entry(node, key)
            kept[key], child = _remove_nulls(item, below)
            copy.entries[key] = (line, column, is_plain, child)
    return kept, copy
