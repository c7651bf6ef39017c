"""The syntax tree of the expressions that blueprints are made of, read without importing Jinja.

Names, texts in quotes, filters with at most one text, and `or` between them:
`additional_config.revision | default("2026-10-15")`. The tree is the one that Jinja's parser gives;
for anything else the response is None, and Jinja reads it.
"""

from __future__ import annotations

import re
from typing import Any

# Where Jinja's lexer has rules of its own (escapes, line ends, words of its language), we leave it the text.
_RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "if", "else", "or", "and", "not", "in", "is"}
)


class Name:
    """A name; `node.name`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Getattr:
    """A part of a value: `node.node` and `node.attr`."""

    __slots__ = ("attr", "node")

    def __init__(self, node: Any, attr: str) -> None:
        self.node = node
        self.attr = attr


class Const:
    """A text; `node.value`."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value


class Filter:
    """A filter applied to `node.node`, with its arguments."""

    __slots__ = ("args", "dyn_args", "dyn_kwargs", "kwargs", "name", "node")

    def __init__(self, node: Any, name: str, args: list[Any]) -> None:
        self.node = node
        self.name = name
        self.args = args
        self.kwargs: list[Any] = []
        self.dyn_args = None
        self.dyn_kwargs = None


class Or:
    """`node.left or node.right`."""

    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left = left
        self.right = right


_WORD = r"[A-Za-z][A-Za-z0-9_]*"
_TEXT = r"\"[^\"\\\r\n]*\"|'[^'\\\r\n]*'"
_TOKEN = re.compile(rf" *(?:(?P<text>{_TEXT})|(?P<name>{_WORD}(?:\.{_WORD})*)|(?P<sign>[|()])) *")


def scan(expression: str) -> Any:
    """The syntax tree, or None for what only Jinja can read."""
    tokens: list[tuple[str, str]] = []
    index = 0
    while index < len(expression):
        match = _TOKEN.match(expression, index)
        if match is None:
            return None
        tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
        index = match.end()
    return _Scan(tokens).tree()


class _Scan:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = [*tokens, ("end", "")]
        self._index = 0

    def tree(self) -> Any:
        node = self._operand()
        while node is not None and self._took("name", "or"):
            right = self._operand()
            node = None if right is None else Or(node, right)
        return node if self._tokens[self._index][0] == "end" else None

    def _operand(self) -> Any:
        kind, text = self._tokens[self._index]
        self._index += kind != "end"
        node: Any = None
        if kind == "text":
            node = Const(text[1:-1])
        elif kind == "name" and _RESERVED.isdisjoint(parts := text.split(".")):
            node = Name(parts[0])
            for part in parts[1:]:
                node = Getattr(node, part)
        while node is not None and self._took("sign", "|"):
            node = self._filtered(node)
        return node

    def _filtered(self, node: Any) -> Any:
        kind, name = self._tokens[self._index]
        if kind != "name" or "." in name or name in _RESERVED:
            return None
        self._index += 1
        if not self._took("sign", "("):
            return Filter(node, name, [])
        kind, text = self._tokens[self._index]
        self._index += kind == "text"
        arguments = [Const(text[1:-1])] if kind == "text" else []
        return Filter(node, name, arguments) if self._took("sign", ")") else None

    def _took(self, kind: str, text: str) -> bool:
        is_next = self._tokens[self._index] == (kind, text)
        self._index += is_next
        return is_next
