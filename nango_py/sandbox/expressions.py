"""Evaluates `${...}` with Python's parser: names, filters, `or` and `a if b else c`.

The client has its own evaluator. A second, independent one lets the sandbox detect its bugs.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from nango_py.config.values import EnvironmentText

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = re.compile(r"""\$\{((?:[^}"']|"[^"]*"|'[^']*')*)\}""")


class UnknownNameError(LookupError):
    """An expression has unknown syntax, or a value that the sandbox does not know."""


@functools.cache
def pieces(template: str) -> tuple[str, ...]:
    """Text and expressions in turn: `a ${b} c` is ("a ", "b", " c"); odd indexes are expressions."""
    return tuple(_PIECE.split(template))


def is_template(value: object) -> bool:
    """Whether the value is text with an expression. Text from the environment is never a template."""
    return isinstance(value, str) and not isinstance(value, EnvironmentText) and len(pieces(value)) > 1


@functools.cache
def _parse(expression: str) -> ast.expr | None:
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except SyntaxError:
        return None


@functools.cache
def names_of(expression: str) -> frozenset[str]:
    """The variables in an expression: {"api_key"}, {"additional_config"}; {"?"} if it is invalid."""
    tree = _parse(expression)
    if tree is None:
        return frozenset({"?"})
    filters = {
        id(name) for node in ast.walk(tree) if isinstance(node, ast.BinOp) for name in _filter_names(node)
    }
    return frozenset(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and id(node) not in filters and node.id not in _KEYWORDS
    )


def _filter_names(node: ast.BinOp) -> tuple[ast.expr, ...]:
    return (node.right, node.right.func) if isinstance(node.right, ast.Call) else (node.right,)


def evaluate(expression: str, variables: Mapping[str, object]) -> str:
    """The text of an expression. Variables that are None count as undefined for `default` and `or`.

    Raises:
        UnknownNameError: a name is not in `variables`, or the syntax is unknown.
    """
    tree = _parse(expression)
    value = None if tree is None else _value(tree, variables)
    if value is None:
        raise UnknownNameError(expression)
    return _to_text(value)


def render(template: str, variables: Mapping[str, object]) -> str:
    """The template with every expression evaluated; raises as `evaluate`."""
    if not is_template(template):
        return unwrap(template)
    parts = pieces(template)
    return "".join(evaluate(part, variables) if index % 2 else part for index, part in enumerate(parts))


def as_wildcards(template: object) -> str:
    """A path with `*` for each expression."""
    return "".join("*" if index % 2 else part for index, part in enumerate(pieces(unwrap(template))))


def unwrap(value: object) -> str:
    """The value as text; a Secret or EnvironmentText is revealed."""
    return str(value.reveal()) if hasattr(value, "reveal") else str(value)


_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "none": None}
_KEYWORDS = frozenset({*_CONSTANTS, "defined"})


def _to_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else unwrap(value)


def _value(node: ast.expr, variables: Mapping[str, object]) -> object:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id=name):
            return _variable(name, variables)
        case ast.Attribute(value=owner, attr=attribute):
            values = _value(owner, variables)
            return values.get(attribute) if isinstance(values, Mapping) else None
        case ast.BoolOp(op=ast.Or(), values=choices):
            return next((value for choice in choices if (value := _value(choice, variables))), None)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return _value(body if _is_true(test, variables) else otherwise, variables)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)):
            return -number
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _apply_filter(_value(left, variables), right, variables)
    raise UnknownNameError(ast.dump(node))


def _is_true(test: ast.expr, variables: Mapping[str, object]) -> bool:
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _is_true(inner, variables)
        case ast.Compare(
            left=left, ops=[ast.Is() | ast.IsNot() as kind], comparators=[ast.Name(id="defined")]
        ):
            return (_value(left, variables) is not None) is isinstance(kind, ast.Is)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() as kind], comparators=[right]):
            values = [_value(node, variables) for node in (left, right)]
            texts = [None if value is None else _to_text(value) for value in values]
            return (texts[0] == texts[1]) is isinstance(kind, ast.Eq)
    return bool(_value(test, variables))


def _variable(name: str, variables: Mapping[str, object]) -> object:
    if name in variables:
        return variables[name]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    raise UnknownNameError(name)


def _apply_filter(value: object, node: ast.expr, variables: Mapping[str, object]) -> object:
    arguments: list[object] = []
    if isinstance(node, ast.Call):
        arguments = [_value(argument, variables) for argument in node.args]
        node = node.func
    name = node.id if isinstance(node, ast.Name) else "?"
    if name == "default":
        return arguments[0] if value is None else value
    if name not in _FILTERS:
        raise UnknownNameError(name)
    return None if value is None else _FILTERS[name](value, *arguments)


def _join(items: object, separator: object = "") -> str:
    return _to_text(separator).join(map(_to_text, items if isinstance(items, Iterable) else ()))


def _hmac(algorithm: str) -> Callable[[object, object], str]:
    def sign(value: object, key: object) -> str:
        return hmac.new(_to_text(key).encode(), _to_text(value).encode(), algorithm).hexdigest()

    return sign


def _part(value: object, separator: object, number: object) -> str | None:
    parts = _to_text(value).split(_to_text(separator))
    index = int(_to_text(number))
    return parts[index] if -len(parts) <= index < len(parts) else None


_FILTERS: dict[str, Callable[..., str | None]] = {
    "lower": lambda value: _to_text(value).lower(),
    "upper": lambda value: _to_text(value).upper(),
    "trim": lambda value: _to_text(value).strip(),
    "string": _to_text,
    "urlencode": lambda value: quote(_to_text(value), safe=""),
    "base64": lambda value: base64.b64encode(_to_text(value).encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(_to_text(value).encode()).decode().rstrip("="),
    "split": _part,
    "replace": lambda value, old, new: _to_text(value).replace(_to_text(old), _to_text(new)),
    "md5": lambda value: hashlib.md5(_to_text(value).encode(), usedforsecurity=False).hexdigest(),
    "join": _join,
    "tojson": lambda value: json.dumps(value, separators=(",", ":"), default=dict),
    "sha256": lambda value: hashlib.sha256(_to_text(value).encode()).hexdigest(),
    "hmac_sha1": _hmac("sha1"),
    "hmac_sha256": _hmac("sha256"),
}
