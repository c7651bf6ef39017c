"""The JSON Schemas of an action: whether they are valid, and whether its examples fit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.schema.field_patterns import pattern_fault
from nango_py.config.schema.validation import find_schema_fault
from nango_py.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import JsonValue

_NAMES_OF_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_VALUES = frozenset({"enum", "const", "default", "examples", "dependentRequired"})
_KNOWN = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "pattern", "format"}
    | {"title", "description", "default", "examples", "minimum", "maximum", "exclusiveMinimum"}
    | {"exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems"}
    | {"minProperties", "maxProperties", "propertyNames", "patternProperties", "prefixItems", "contains"}
    | {"anyOf", "oneOf", "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"}
    | {"deprecated", "readOnly", "writeOnly", "$ref", "$defs", "$comment", "$schema", "$id", "minContains"}
    | {"maxContains", "unevaluatedProperties", "unevaluatedItems", "contentEncoding", "contentMediaType"}
)


def check_schema(schema: JsonValue, path: Path, locator: Located) -> Iterator[Problem]:
    """What is wrong with a schema: its keywords (E702), and patterns that cannot be used (E319)."""
    below, what = find_schema_fault(schema)
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
