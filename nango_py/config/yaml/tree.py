"""A document: plain values, and the place in the file of every value and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nango_py.errors import Position, printable

if TYPE_CHECKING:
    from nango_py.config.model import Path
    from nango_py.config.yaml.merge import Place
    from nango_py.errors import Problem


class Node:
    """One value of a YAML file: where it stands, and its children's nodes.

    Attributes:
        line, column: counted from 1.
        text: an unquoted scalar as it was written, else "".
        entries: of a mapping: the key's line, column and whether it was unquoted, and the value's node.
        items: of a list.
    """

    __slots__ = ("column", "entries", "items", "line", "text", "value")

    def __init__(self, line: int, column: int, value: Any, text: str = "") -> None:
        self.line = line
        self.column = column
        self.value = value
        self.text = text
        self.entries: dict[str | int, tuple[int, int, bool, Node]] = {}
        self.items: list[Node] = []


@dataclass(frozen=True, slots=True)
class Document:
    """A file's values as plain Python data (dict, list, str, int, float, bool, None).

    Attributes:
        data: the values; None for an empty file.
        file: the name that messages show.
        warnings: what is suspicious about the file and yet no error.
        root: the tree of places; None for an empty file and for settings given from Python.
        from_python: whether places are key paths and not lines.
        digest: SHA-256 of the bytes that were read, as hex; "" for what was not read from bytes.
    """

    data: Any
    file: str
    warnings: tuple[Problem, ...] = ()
    root: Node | None = None
    from_python: bool = False
    digest: str = ""

    def position(self, path: Path = ()) -> Position:
        """Where the value stands; for a path that does not exist, where its nearest parent does."""
        file, line, column, _, _ = self.place(path)
        return Position(file, line, column)

    def key_position(self, path: Path = ()) -> Position:
        """Where the key of the value stands; an item of a list has no key and gives its own place."""
        file, _, _, line, column = self.place(path)
        return Position(file, line, column)

    def place(self, path: Path = ()) -> Place:
        """The file, line and column of the value, and line and column of its key."""
        if self.from_python:
            return (self._key_path(path), 0, 0, 0, 0)
        node = self.root
        if node is None:
            return (self.file, 1, 1, 1, 1)
        key_line, key_column = 1, 1
        for part in path:
            if part in node.entries:
                key_line, key_column, _, node = node.entries[part]
            elif isinstance(part, int) and part < len(node.items):
                node = node.items[part]
                key_line, key_column = node.line, node.column
            else:
                break
        return (self.file, node.line, node.column, key_line, key_column)

    def source_text(self, path: Path) -> str:
        """A scalar as it was written, before YAML made a number of it; "" where that is not known.

        Not for fields that hold secrets.
        """
        node = self._node(path)
        return node.text if node is not None else ""

    def has_plain_key(self, path: Path) -> bool:
        """Whether the last key of the path was written without quotes."""
        parent = self._node(path[:-1])
        entry = parent.entries.get(path[-1]) if parent is not None else None
        return entry is not None and entry[2]

    def _node(self, path: Path) -> Node | None:
        node = self.root
        for part in path:
            if node is None:
                return None
            if part in node.entries:
                node = node.entries[part][3]
            elif isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return None
        return node

    def _key_path(self, path: Path) -> str:
        shown = path[1:] if path and f"{path[0]}=" in self.file else path
        return self.file + "".join(
            f"[{part}]" if isinstance(part, int) else f'["{printable(part)}"]' for part in shown
        )


def kind_of(value: Any) -> str:
    """The word that messages use for a value's type."""
    if isinstance(value, bool):
        return "true or false"
    for kinds, word in (
        ((str,), "text"),
        ((int, float), "a number"),
        ((dict, Mapping), "a mapping"),
        ((list, tuple), "a list"),
    ):
        if isinstance(value, kinds):
            return word
    return "nothing" if value is None else f"a {type(value).__name__}"
