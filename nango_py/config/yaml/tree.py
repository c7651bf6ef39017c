"""A document: plain values, and the place in the file of every value and key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.values import MAPPINGS
from nango_py.errors import Position
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.config.values import Path
    from nango_py.errors import Problem

Place = tuple[str, int, int, int, int]
"""File, line and column of a value, and line and column of its key."""


class Node:
    """One value of a file: where it stands, and the nodes of its children.

    Nodes are shared by every tree that a value is merged into, and are not changed after reading.

    Attributes:
        file: the name that messages show.
        line, column: counted from 1; 0 in settings from Python, where `file` names the path.
        value: the plain value.
        text: an unquoted scalar as it was written, else "".
        entries: of a mapping: the key's line, column and whether it was unquoted, and the value's node.
        items: of a list.
        has_nulls: whether a mapping holds a null, directly or in a mapping below it.
    """

    __slots__ = ("column", "entries", "file", "has_nulls", "items", "line", "text", "value")

    def __init__(self, file: str, line: int, column: int, value: Any, text: str = "") -> None:
        self.file = file
        self.line = line
        self.column = column
        self.value = value
        self.text = text
        self.entries: dict[str | int, Entry] = {}
        self.items: list[Node] = []
        self.has_nulls = False

    def add_entry(self, key: str, line: int, column: int, node: Node, *, is_plain: bool = False) -> None:
        """Add a key and its value to a mapping."""
        self.entries[key] = (line, column, is_plain, node)
        self.value[key] = node.value
        if node.value is None or node.has_nulls:
            self.has_nulls = True


Entry = tuple[int, int, bool, Node]
"""Line and column of a key, whether it was unquoted, and the node of its value."""


def find_place(root: Node, path: Path, key_place: tuple[int, int] = (1, 1)) -> tuple[Place, bool]:
    """The place of a value, or of its nearest parent that was written, and whether it is the value's own.

    Args:
        root: the tree.
        path: the path of the value in it.
        key_place: the line and column of the root's own key.
    """
    node = root
    key_line, key_column = key_place
    for part in path:
        if part in node.entries:
            key_line, key_column, _, node = node.entries[part]
        elif isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            key_line, key_column = node.line, node.column
        else:
            return (node.file, node.line, node.column, key_line, key_column), False
    return (node.file, node.line, node.column, key_line, key_column), True


class Located:
    """Turns the `place` of a value into positions for messages."""

    __slots__ = ()

    def place(self, path: Path) -> Place:
        """The place of a value and its key, or of its nearest parent that was written."""
        raise NotImplementedError

    def position(self, path: Path = ()) -> Position:
        """The position of a value, or of its nearest parent that was written."""
        file, line, column, _, _ = self.place(path)
        return Position(file, line, column)

    def key_position(self, path: Path = ()) -> Position:
        """The position of a value's key; for an item of a list, which has no key, that of the item."""
        file, _, _, line, column = self.place(path)
        return Position(file, line, column)


@record
class Document(Located):
    """The values of a file as plain Python data (dict, list, str, int, float, bool, None).

    Attributes:
        data: the values; None for an empty file.
        file: the name that messages show.
        root: the tree of places; an empty file has one node.
        warnings: what is suspicious about the file without being an error.
        is_from_python: whether the settings were given from Python, so that places are key paths.
        has_infinity: whether a number is infinite or not a number.
        digest: SHA-256 of the bytes that were read, as hex; "" if no bytes were read.
    """

    data: Any
    file: str
    root: Node
    warnings: tuple[Problem, ...] = ()
    is_from_python: bool = False
    has_infinity: bool = False
    digest: str = ""

    def place(self, path: Path) -> Place:
        """The place of a value and its key, or of its nearest parent that was written."""
        return find_place(self.root, path, (0, 0) if self.is_from_python else (1, 1))[0]

    def source_text(self, path: Path) -> str:
        """A scalar as it was written, before YAML made it a number; "" if that is unknown.

        Not for fields that hold secrets.
        """
        node = self.find_node(path)
        return node.text if node is not None else ""

    def has_plain_key(self, path: Path) -> bool:
        """Whether the last key of the path was written without quotes."""
        parent = self.find_node(path[:-1])
        entry = parent.entries.get(path[-1]) if parent is not None else None
        return entry is not None and entry[2]

    def find_node(self, path: Path) -> Node | None:
        """The node of a value; None if there is no such value."""
        node = self.root
        for part in path:
            if part in node.entries:
                node = node.entries[part][3]
            elif isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return None
        return node


def kind_of(value: object) -> str:
    """The word that messages use for a value's type."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, MAPPINGS) or hasattr(value, "items"):
        return "a mapping"
    for kinds, word in ((str, "text"), ((int, float), "a number"), ((list, tuple), "a list")):
        if isinstance(value, kinds):
            return word
    return "nothing" if value is None else f"a {type(value).__name__}"
