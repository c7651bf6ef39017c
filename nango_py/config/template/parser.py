"""Parses the expressions of templates. The only import of Jinja.

Jinja gives a syntax tree; its code generator never runs. Importing Jinja takes half as long as importing
requests, so the configuration cache keeps the trees, and only a first start parses.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jinja2 import Environment, nodes

    from nango_py.json_types import JsonValue

Field: TypeAlias = "SyntaxNode | tuple[Field, ...] | str | int | float | bool | None"


@record
class SyntaxNode:
    """A node of a syntax tree.

    Attributes:
        kind: the class of Jinja's node, such as "Filter".
        fields: its fields by name, as Jinja names them.
    """

    kind: str
    fields: Mapping[str, Field]


MAX_PARENTHESES = 100
"""More of them in one expression would only use up the parser's stack."""

_trees: dict[str, SyntaxNode] = {}
"""Every expression that was parsed in this process or found in a cache."""


def parse_expression(text: str) -> SyntaxNode | None:
    """The syntax tree of an expression; None if it is not one. Nothing is compiled or evaluated."""
    tree = _trees.get(text)
    if tree is None:
        parsed = _parse(text)
        if parsed is not None:
            tree = _trees[text] = parsed
    return tree


def dump_trees(text: str) -> list[JsonValue]:
    """The trees of a text's parsed expressions as JSON values, for `load_trees` with the same text.

    Literals are dumped as places in the text, because they may be secrets of integrations.yaml.
    """
    dumped: list[JsonValue] = []
    for expression, tree in _trees.items():
        start = text.find(expression) if expression else -1
        if start >= 0:
            try:
                dumped.append([start, len(expression), _dump(tree, expression)])
            except ValueError:
                continue  # the literal is written with escapes: Jinja has to read it again
    return dumped


def load_trees(text: str, dumped: Iterable[Sequence[Any]]) -> None:
    """Use the trees that `dump_trees` returned, so that the text needs no parser."""
    for start, length, tree in dumped:
        expression = text[start : start + length]
        if expression not in _trees:
            _trees[expression] = _load(tree, expression)


def _dump(value: Field, expression: str) -> JsonValue:
    if isinstance(value, SyntaxNode):
        if value.kind == "Const":
            literal = value.fields["value"]
            written = literal if isinstance(literal, str) else str(literal)
            return {"at": [expression.index(written), len(written)], "is_text": isinstance(literal, str)}
        return {
            "kind": value.kind,
            "fields": {name: _dump(field, expression) for name, field in value.fields.items()},
        }
    return [_dump(item, expression) for item in value] if isinstance(value, tuple) else value


def _load(value: Any, expression: str) -> Any:
    if isinstance(value, list):
        return tuple([_load(item, expression) for item in value])
    if not isinstance(value, dict):
        return value
    if "at" in value:
        start, length = value["at"]
        written = expression[start : start + length]
        return SyntaxNode("Const", {"value": written if value["is_text"] else json.loads(written)})
    return SyntaxNode(
        value["kind"], {name: _load(field, expression) for name, field in value["fields"].items()}
    )


def _convert(value: object) -> Field:
    from jinja2.nodes import Node

    if isinstance(value, Node):
        return SyntaxNode(
            type(value).__name__, {name: _convert(getattr(value, name)) for name in value.fields}
        )
    if isinstance(value, list | tuple):
        return tuple([_convert(item) for item in value])
    return value if isinstance(value, str | int | float) else None


def _parse(text: str) -> SyntaxNode | None:
    from jinja2 import TemplateSyntaxError
    from jinja2.parser import Parser

    expression: nodes.Expr | None = None
    if text.count("(") > MAX_PARENTHESES:
        return None
    try:
        parser = Parser(_environment(), text, state="variable")
        expression = parser.parse_expression()
        is_complete = parser.stream.eos
        tree = _convert(expression)
    except (TemplateSyntaxError, RecursionError, ValueError):
        is_complete = False
    return tree if is_complete and isinstance(tree, SyntaxNode) else None


@functools.cache
def _environment() -> Environment:
    """Jinja's environment with our delimiters; a sandbox without names, should anyone compile with it."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        variable_start_string="${",
        variable_end_string="}",
        block_start_string="<%!",
        block_end_string="%!>",
        comment_start_string="<#!",
        comment_end_string="#!>",
        undefined=StrictUndefined,
        autoescape=False,
        cache_size=0,
        keep_trailing_newline=True,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.tests.clear()
    return environment
