"""Checks values against the JSON Schema of a file, such as the input of an action.

`compile_check` makes a function that says only whether a value certainly fits: it costs a few calls, and
valid inputs never import jsonschema. What it does not accept goes to `validation.check_value`, which finds
and words the problems.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sized
from typing import TYPE_CHECKING, Any

from nango_py.config.schema.fast_check import is_integer, is_number

if TYPE_CHECKING:
    from nango_py.json_types import Schema

Check = Callable[[Any], bool]
"""Whether a value certainly fits."""

_TYPES: dict[str, Check] = {
    "string": lambda value: isinstance(value, str),
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "number": is_number,
    "integer": is_integer,
    "null": lambda value: value is None,
}
_CLASSES = {"string": str, "object": dict, "array": list, "boolean": bool}
_NO_CHECK = frozenset(
    {"title", "description", "default", "examples", "format", "deprecated", "readOnly", "writeOnly"}
    | {"$comment", "$defs", "$schema", "$id"}
)


def compile_check(schema: Schema | bool) -> Check:  # noqa: FBT001 - a schema may be true or false
    """A function that says whether a value certainly fits a valid schema."""
    if isinstance(schema, bool):
        return lambda _: schema
    checks: list[Check] = []
    is_object = schema.get("type") == "object" and "properties" in schema
    for keyword, wanted in schema.items():
        if is_object and keyword == "type":
            continue  # `properties` checks it too
        if keyword in _NO_CHECK or keyword.startswith("x-") or keyword in _BESIDE:
            continue
        compile_keyword = _KEYWORDS.get(keyword)
        if compile_keyword is None:
            return _never
        checks.append(compile_keyword(wanted, schema))
    if len(checks) == 1:
        return checks[0]
    return _all(checks)


def _all(checks: list[Check]) -> Check:
    def check(value: Any) -> bool:
        for one in checks:  # noqa: SIM110 - a generator costs more
            if not one(value):
                return False
        return True

    return check


def _never(_: object) -> bool:
    return False


def _type(wanted: str | list[str], _: Schema) -> Check:
    if isinstance(wanted, str):
        kind = _CLASSES.get(wanted)
        return _TYPES[wanted] if kind is None else lambda value: value.__class__ is kind
    kinds = [_TYPES[name] for name in wanted]
    return lambda value: any(kind(value) for kind in kinds)


_BESIDE = frozenset({"required", "additionalProperties"})
"""Keywords that are compiled with `properties`, so that an object is walked once."""


def _properties(_: object, schema: Schema) -> Check:
    known = {name: compile_check(below) for name, below in schema.get("properties", {}).items()}
    required = tuple(schema.get("required", ()))
    others = compile_check(schema.get("additionalProperties", True))

    is_object = schema.get("type") == "object"

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return not is_object and not isinstance(value, Mapping)
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            one = known.get(name, others)
            if not (name.__class__ is str and one(item)):
                return False
        return True

    return check


def _items(wanted: Schema, _: Schema) -> Check:
    one = compile_check(wanted)
    return lambda value: not isinstance(value, list) or all(map(one, value))


def _enum(wanted: list[Any], _: Schema) -> Check:
    texts = frozenset(item for item in wanted if isinstance(item, str))
    return lambda value: isinstance(value, str) and value in texts


def _const(wanted: Any, _: Schema) -> Check:
    return lambda value: isinstance(value, str) and value == wanted


def _pattern(wanted: str, _: Schema) -> Check:
    search = re.compile(wanted).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _any_of(wanted: list[Schema], _: Schema) -> Check:
    checks = [compile_check(one) for one in wanted]
    return lambda value: any(check(value) for check in checks)


def _all_of(wanted: list[Schema], _: Schema) -> Check:
    return _all([compile_check(one) for one in wanted])


def _dependent(wanted: Mapping[str, list[str]], _: Schema) -> Check:
    def check(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return True
        return all(name in value for key, names in wanted.items() if key in value for name in names)

    return check


def _size(kind: type[Sized], least: float, most: float) -> Check:
    return lambda value: not isinstance(value, kind) or least <= len(value) <= most


def _bound(fits: Callable[[float], bool]) -> Check:
    return lambda value: not is_number(value) or fits(value)


_KEYWORDS: dict[str, Callable[[Any, Schema], Check]] = {
    "type": _type,
    "properties": _properties,
    "items": _items,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "anyOf": _any_of,
    "allOf": _all_of,
    "dependentRequired": _dependent,
    "minLength": lambda wanted, _: _size(str, wanted, math.inf),
    "maxLength": lambda wanted, _: _size(str, 0, wanted),
    "minItems": lambda wanted, _: _size(list, wanted, math.inf),
    "maxItems": lambda wanted, _: _size(list, 0, wanted),
    "minProperties": lambda wanted, _: _size(dict, wanted, math.inf),
    "maxProperties": lambda wanted, _: _size(dict, 0, wanted),
    "minimum": lambda wanted, _: _bound(lambda value: value >= wanted),
    "maximum": lambda wanted, _: _bound(lambda value: value <= wanted),
    "exclusiveMinimum": lambda wanted, _: _bound(lambda value: value > wanted),
    "exclusiveMaximum": lambda wanted, _: _bound(lambda value: value < wanted),
}
