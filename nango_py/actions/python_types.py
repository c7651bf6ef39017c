"""The types of a Python action: their JSON Schema, values of them from JSON, and JSON from values.

Dataclasses, TypedDicts and the usual annotations are read here. A pydantic model brings its own schema and
validation (`model_json_schema`, `model_validate`, `model_dump`), so pydantic is never imported.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Required, Union, get_args, get_origin

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue

MAX_VALUES = 200_000
MAX_CHARACTERS = 16 * 1024 * 1024
MAX_DEPTH = 100
MAX_BITS = 13_000
"""Of whole numbers: Python neither writes nor reads more than 4,300 digits."""

_PLAIN: dict[object, JsonObject] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
}


class UnsupportedTypeError(Exception):
    """An annotation that has no JSON Schema."""


def schema_of(annotation: Any) -> JsonObject:
    """The JSON Schema of an annotation.

    Raises:
        UnsupportedTypeError: it has none.
    """
    if annotation is Any or annotation is object:
        return {}
    if annotation in _PLAIN:
        return dict(_PLAIN[annotation])
    if _is_pydantic(annotation):
        schema: JsonObject = annotation.model_json_schema()
        return schema
    if dataclasses.is_dataclass(annotation) or typing.is_typeddict(annotation):
        return _object_schema(annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"enum": [member.value for member in annotation]}
    return _generic_schema(annotation)


def _generic_schema(annotation: Any) -> JsonObject:
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in {dict, Mapping} or origin in {dict, Mapping}:
        others = schema_of(args[1]) if args else {}
        return {"type": "object", **({"additionalProperties": others} if others else {})}
    if annotation in {list, tuple, Sequence} or origin in {list, tuple, Sequence}:
        items = schema_of(args[0]) if args else {}
        return {"type": "array", **({"items": items} if items else {})}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in {Union, types.UnionType}:
        return {"anyOf": [schema_of(one) for one in args]}
    if origin in {Required, NotRequired, typing.Annotated}:
        return schema_of(args[0])
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return schema_of(annotation.__value__)
    raise UnsupportedTypeError(f"{annotation!r} has no JSON Schema")


def _object_schema(annotation: Any) -> JsonObject:
    hints = typing.get_type_hints(annotation, include_extras=True)
    defaults = _defaults_of(annotation)
    required = [name for name, hint in hints.items() if _is_required(annotation, name, hint)]
    properties: JsonObject = {}
    for name, hint in hints.items():
        below = schema_of(hint)
        if name in defaults and _is_json(defaults[name]):
            below["default"] = defaults[name]
        properties[name] = below
    schema: JsonObject = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _is_required(annotation: Any, name: str, hint: Any) -> bool:
    if typing.is_typeddict(annotation):
        # With `from __future__ import annotations`, __required_keys__ does not know NotRequired.
        origin = get_origin(hint)
        return origin is Required or (origin is not NotRequired and name in annotation.__required_keys__)
    field = next(one for one in dataclasses.fields(annotation) if one.name == name)
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _defaults_of(annotation: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(annotation):
        return {}
    return {
        field.name: field.default
        for field in dataclasses.fields(annotation)
        if field.default is not dataclasses.MISSING
    }


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def from_json(annotation: Any, value: Any) -> Any:
    """A value of the annotation's type from JSON that fits its schema; what has no type stays as it is."""
    if _is_pydantic(annotation):
        return annotation.model_validate(value)
    if dataclasses.is_dataclass(annotation) and isinstance(value, dict):
        hints = typing.get_type_hints(annotation)
        made = {name: from_json(hints[name], item) for name, item in value.items()}
        return annotation(**made)  # type: ignore[operator] # a class, not an instance
    if typing.is_typeddict(annotation) and isinstance(value, dict):
        hints = typing.get_type_hints(annotation)
        return {name: from_json(hints.get(name, Any), item) for name, item in value.items()}
    if annotation in {date, datetime} and isinstance(value, str):
        return annotation.fromisoformat(value)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return annotation(value)
    return _generic_from_json(annotation, value)


def _generic_from_json(annotation: Any, value: Any) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return _from_union(args, value)
    if origin in {list, Sequence} and isinstance(value, list):
        return [from_json(args[0], item) for item in value]
    if origin is tuple and isinstance(value, list):
        return tuple(from_json(args[0], item) for item in value)
    if origin in {dict, Mapping} and isinstance(value, dict):
        return {name: from_json(args[1], item) for name, item in value.items()}
    if origin in {Required, NotRequired, typing.Annotated}:
        return from_json(args[0], value)
    return value


def _from_union(choices: tuple[Any, ...], value: Any) -> Any:
    from nango_py.config.schema.value_check import compile_check

    for choice in choices:
        if compile_check(schema_of(choice))(value):
            return from_json(choice, value)
    return value


def _is_pydantic(annotation: Any) -> bool:
    return isinstance(annotation, type) and all(
        hasattr(annotation, name) for name in ("model_json_schema", "model_validate", "model_dump")
    )


class UnusableResultError(Exception):
    """The result of an action is not JSON, or too large."""


def to_json(value: object, what: str = "the result") -> JsonValue:
    """The result of an action, or another value of it, as JSON.

    Args:
        value: the value.
        what: it is called in errors.

    Raises:
        UnusableResultError: it is not JSON, or larger than MAX_VALUES values or MAX_CHARACTERS characters.
    """
    return _Writer(what).write(value, 0)


class _Writer:
    def __init__(self, what: str) -> None:
        self._what = what
        self._values = 0
        self._characters = 0

    def write(self, value: object, depth: int) -> JsonValue:
        self._values += 1
        if self._values > MAX_VALUES or self._characters > MAX_CHARACTERS:
            raise UnusableResultError(f"{self._what} is too large; return less, or write it to a file")
        if depth > MAX_DEPTH:
            raise UnusableResultError(f"{self._what} is nested too deeply, or contains itself")
        if isinstance(value, enum.Enum):
            return self.write(value.value, depth)
        if isinstance(value, str):
            self._characters += len(value)
            return str.__str__(value)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise UnusableResultError(f"{self._what} contains a number with more than 4,000 digits")
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise UnusableResultError(f"{self._what} contains a number that JSON does not have")
            return value
        if isinstance(value, date):
            return value.isoformat()
        return self._write_container(value, depth)

    def _write_container(self, value: Any, depth: int) -> JsonValue:
        if isinstance(value, Mapping):
            return {self._key(key): self.write(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.write(item, depth + 1) for item in value]
        if _is_pydantic(type(value)):
            return self.write(value.model_dump(mode="json"), depth + 1)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            named = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self.write(named, depth + 1)
        kind = type(value).__name__
        raise UnusableResultError(f"{self._what} contains a {kind}, which is not JSON")

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise UnusableResultError(f"{self._what} has a key that is a {type(key).__name__}, not text")
        self._characters += len(key)
        return str.__str__(key)
