"""What stands inside `${...}`, read with Python's own parser: names, filters, `or`, `a if b else c`.

The client reads templates with Jinja; this second reading of the same small language is what lets the
sandbox notice when the first one is wrong.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nango_py.config.model import EnvironmentText

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PIECE = re.compile(r"""\$\{((?:[^}"']|"[^"]*"|'[^']*')*)\}""")


class UnknownNameError(LookupError):
    """An expression needs a value that the sandbox cannot know, such as a user's additional_config."""


@functools.cache
def pieces(template: str) -> tuple[str, ...]:
    """Text and expressions in turn: `a ${b} c` is ("a ", "b", " c"); the odd ones are expressions."""
    return tuple(_PIECE.split(template))


def is_template(value: object) -> bool:
    """Whether the value is text with an expression in it; text from the environment never is."""
    return isinstance(value, str) and not isinstance(value, EnvironmentText) and len(pieces(value)) > 1


@functools.cache
def _parsed(expression: str) -> ast.expr | None:
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        return None


@functools.cache
def names_of(expression: str) -> frozenset[str]:
    """The first parts of the names that an expression reads: {"api_key"}, {"additional_config"}."""
    tree = _parsed(expression)
    if tree is None:
        return frozenset({"?"})
    filters = {
        id(name) for node in ast.walk(tree) if isinstance(node, ast.BinOp) for name in _filter_names(node)
    }
    return frozenset(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in filters and node.id not in _NO_NAMES
    )


def _filter_names(node: ast.BinOp) -> tuple[ast.expr, ...]:
    return (node.right, node.right.func) if isinstance(node.right, ast.Call) else (node.right,)


def evaluate(expression: str, variables: Mapping[str, Any]) -> str:
    """The text that an expression stands for.

    A name whose value in `variables` is None counts as missing, for `default` and `or`.

    Raises:
        UnknownNameError: it needs a name that is not in `variables`, or is not of this language.
    """
    tree = _parsed(expression)
    if tree is None:
        raise UnknownNameError(expression)
    value = _value(tree, variables)
    if value is None:
        raise UnknownNameError(expression)
    return _text(value)


def render(template: str, variables: Mapping[str, Any]) -> str:
    """The template with every expression replaced by its text; raises as `evaluate` does."""
    if not is_template(template):
        return unwrap(template)
    parts = pieces(template)
    return "".join(evaluate(part, variables) if index % 2 else part for index, part in enumerate(parts))


def unwrap(value: Any) -> str:
    """The text of a constant, be it wrapped as a secret or as environment text, or not."""
    return str(value.reveal()) if hasattr(value, "reveal") else str(value)


_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "none": None}
_NO_NAMES = frozenset({*_CONSTANTS, "defined"})


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else unwrap(value)


def _value(node: ast.expr, variables: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _named(name, variables)
        case ast.Attribute(value=owner, attr=attribute):
            held = _value(owner, variables)
            return held.get(attribute) if hasattr(held, "get") else None
        case ast.BoolOp(op=ast.Or(), values=choices):
            return next((found for choice in choices if (found := _value(choice, variables))), None)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return _value(body if _is_true(test, variables) else otherwise, variables)
        case ast.BinOp(op=ast.BitOr(), left=left, right=filtered):
            return _filtered(_value(left, variables), filtered, variables)
    raise UnknownNameError(ast.dump(node))


def _is_true(test: ast.expr, variables: Mapping[str, Any]) -> bool:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _is_true(inner, variables)
        case ast.Compare(
            left=left, ops=[ast.Is() | ast.IsNot() as kind], comparators=[ast.Name(id="defined")]
        ):
            return (_value(left, variables) is not None) is isinstance(kind, ast.Is)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as kind], comparators=[right]):
            sides = [
                None if (side := _value(node, variables)) is None else _text(side) for node in (left, right)
            ]
            return (sides[0] == sides[1]) is isinstance(kind, ast.Eq)
    return bool(_value(test, variables))


def _named(name: str, variables: Mapping[str, Any]) -> Any:
    if name in variables:
        return variables[name]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    raise UnknownNameError(name)


def _filtered(value: Any, node: ast.expr, variables: Mapping[str, Any]) -> Any:
    arguments: list[Any] = []
    if isinstance(node, ast.Call):
        arguments = [_value(argument, variables) for argument in node.args]
        node = node.func
    name = node.id if isinstance(node, ast.Name) else "?"
    if name == "default":
        return arguments[0] if value is None else value
    if name not in _FILTERS:
        raise UnknownNameError(name)
    return None if value is None else _FILTERS[name](value, *arguments)


def _keyed(algorithm: str) -> Callable[[Any, Any], str]:
    def sign(value: Any, key: Any) -> str:
        return hmac.new(_text(key).encode(), _text(value).encode(), algorithm).hexdigest()

    return sign


_FILTERS: dict[str, Callable[..., Any]] = {
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "trim": lambda value: _text(value).strip(),
    "string": _text,
    "urlencode": lambda value: quote(_text(value), safe=""),
    "base64": lambda value: base64.b64encode(_text(value).encode()).decode(),
    "join": lambda items, between="": _text(between).join(map(_text, items)),
    "tojson": lambda value: json.dumps(value, separators=(",", ":"), default=dict),
    "sha256": lambda value: hashlib.sha256(_text(value).encode()).hexdigest(),
    "hmac_sha1": _keyed("sha1"),
    "hmac_sha256": _keyed("sha256"),
}
