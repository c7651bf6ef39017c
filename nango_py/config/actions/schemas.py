"""The JSON Schemas of an action: whether they are valid, and whether its examples fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.schema.fast_check import is_integer, is_number
from nango_py.config.schema.field_patterns import pattern_fault
from nango_py.config.schema.validation import find_schema_fault
from nango_py.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import JsonValue

_NAMES_OF_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_VALUES = frozenset({"enum", "const", "default", "examples", "dependentRequired"})


def is_surely_schema(schema: object) -> bool:
    """True only if jsonschema would accept a schema of draft 2020-12; it takes a fiftieth of the time."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    for keyword, value in schema.items():
        fits = _KEYWORDS.get(keyword)
        if fits is None or not fits(value):
            return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_size(value: object) -> bool:
    return is_integer(value) and value >= 0  # type: ignore[operator]


def _is_any(_: object) -> bool:
    return True


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_type(value: object) -> bool:
    names = [value] if isinstance(value, str) else value
    return _are_names(names) and bool(names) and _TYPES.issuperset(names)  # type: ignore[arg-type]


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_surely_schema, value))


def _are_named_schemas(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_surely_schema, value.values()))


_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_KEYWORDS: dict[str, Callable[[object], bool]] = {
    "type": _is_type,
    "required": _are_names,
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_are_names, value.values())),
    "multipleOf": lambda value: is_number(value) and value > 0,  # type: ignore[operator]
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_size),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _is_size),
    **dict.fromkeys(("title", "description", "$comment", "$ref", "pattern", "format"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("uniqueItems", "deprecated", "readOnly", "writeOnly"), _is_bool),
    **dict.fromkeys(("const", "default"), _is_any),
    **dict.fromkeys(("enum", "examples"), _is_list),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _are_schemas),
    **dict.fromkeys(_NAMES_OF_SCHEMAS, _are_named_schemas),
    **dict.fromkeys(("additionalProperties", "items", "contains", "propertyNames"), is_surely_schema),
    **dict.fromkeys(("not", "if", "then", "else"), is_surely_schema),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), is_surely_schema),
}
"""The keywords of schemas, and whether a value certainly fits one."""

_KNOWN = _KEYWORDS.keys() | {"$schema", "$id"}


def check_schema(schema: JsonValue, path: Path, locator: Located) -> Iterator[Problem]:
    """What is wrong with a schema: its keywords (E702), and patterns that cannot be used (E319)."""
    below, what = ((), "") if is_surely_schema(schema) else find_schema_fault(schema)
    if what:
        yield Problem(locator.position((*path, *below)), "E702", what, "", "see https://json-schema.org")
        return
    yield from _check_keywords(schema, path, locator)


def _check_keywords(schema: JsonValue, path: Path, locator: Located) -> Iterator[Problem]:
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        place = (*path, key)
        yield from _check_keyword(key, value, place, locator)
        if key in _VALUES:
            continue
        below = value if key in _NAMES_OF_SCHEMAS and isinstance(value, dict) else {}
        items = enumerate(value) if isinstance(value, list) else below.items()
        for part, schema_below in items:
            yield from _check_keywords(schema_below, (*place, part), locator)
        if not below:
            yield from _check_keywords(value, place, locator)


def _check_keyword(key: str, value: JsonValue, path: Path, locator: Located) -> Iterator[Problem]:
    if key not in _KNOWN and not key.startswith("x-"):
        what = f'JSON Schema has no keyword "{printable(key, 64)}"'
        yield Problem(locator.key_position(path), "E702", what, "", "is it meant to be below properties?")
    elif key == "pattern" and isinstance(value, str):
        fault = pattern_fault(value)
        if fault:
            yield Problem(locator.position(path), "E319", f"the pattern {fault}")
    elif key == "$ref" and not str(value).startswith("#"):
        what = "a schema may not refer to another document"
        yield Problem(locator.position(path), "E702", what, "expected #/$defs/name")
