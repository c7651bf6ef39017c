"""Checks the additional_config of a connection against `connection_config`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nango_py.config.schema.field_patterns import matches_pattern
from nango_py.config.urls.hosts import ARTICLES, FORMATS, normalize_host
from nango_py.errors import ConfigError, Position, Problem, nearest, printable
from nango_py.pasted_text import find_unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.json_types import Settings

KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def check_additional_config(schema: Settings | None, values: Settings, where: str) -> dict[str, Any]:
    """The values to store, with hosts normalized, and the defaults of required fields that were not given.

    Messages do not show values.

    Args:
        schema: the `connection_config`, a flat JSON Schema; None accepts everything that can be stored.
        values: the values of the caller.
        where: "integration/user", for the messages.

    Raises:
        ConfigError: values are missing, unknown or not as declared.
    """
    unusable = [
        Problem(Position(where), "E317", f"additional_config.{printable(name)} contains {found}")
        for name, found in _unusable_texts(schema or {}, values)
    ]
    if unusable:
        raise ConfigError(unusable)
    if schema is None:
        return dict(values)
    values = {**required_defaults(schema), **values}
    problems = [
        Problem(Position(where), "E317", f"additional_config.{printable(name)} {what}", expected)
        for name, what, expected in _faults(schema, values)
    ]
    if problems:
        raise ConfigError(problems)
    fields = schema.get("properties", {})
    return {
        name: normalize_host(value, fields[name]["format"]) if "format" in fields.get(name, {}) else value
        for name, value in values.items()
    }


def numbers_as_text(schema: Settings | None, values: Settings) -> dict[str, Any]:
    """Values of a response, in which whole numbers are text if the `connection_config` declares text."""
    fields = (schema or {}).get("properties", {})
    return {
        name: str(value)
        if type(value) is int and name in fields and fields[name].get("type", "string") == "string"
        else value
        for name, value in values.items()
    }


def required_defaults(schema: Settings) -> dict[str, Any]:
    """The defaults of the fields that every connection needs."""
    fields = schema.get("properties", {})
    return {
        name: fields[name]["default"]
        for name in schema.get("required", ())
        if "default" in fields.get(name, {})
    }


def _unusable_texts(schema: Settings, values: Settings) -> Iterator[tuple[str, str]]:
    """Texts that no template can send, by name; those that are not declared may have lines."""
    fields = schema.get("properties", {})
    for name, value in values.items():
        if not isinstance(value, str):
            continue
        if found := find_unusable(value, is_multiline=name not in fields, is_name=True):
            yield str(name), found


def _faults(schema: Settings, values: Settings) -> Iterator[tuple[str, str, str]]:
    fields = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in values:
            yield name, "is missing", str(fields.get(name, {}).get("title", ""))
    for name, value in values.items():
        if name in fields:
            yield from ((name, what, expected) for what, expected in _field_faults(fields[name], value))
        elif schema.get("additionalProperties") is False:
            near = nearest(str(name), fields)
            yield (
                str(name),
                "is unknown",
                f'did you mean "{near}"?' if near else f"known: {', '.join(fields)}",
            )


def _field_faults(field: Settings, value: object) -> Iterator[tuple[str, str]]:
    kind = field.get("type", "string")
    if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield "has the wrong type", f"expected {kind}"
        return
    if isinstance(value, float) and not math.isfinite(value):
        yield "is not a finite number", f"expected {kind}"
        return
    if "enum" in field and value not in field["enum"]:
        yield "is not an allowed value", f"expected {', '.join(map(str, field['enum']))}"
    if "format" in field and not normalize_host(value, field["format"]):
        yield f"is not {ARTICLES[field['format']]}", f"expected {FORMATS[field['format']]}"
        return
    if isinstance(value, str) and "pattern" in field and not matches_pattern(field["pattern"], value):
        yield "does not match the pattern", f"expected {field.get('title', 'text')} like {field['pattern']}"
    size = len(value) if isinstance(value, str) else value
    low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minimum", "maximum")
    unit = " characters" if isinstance(value, str) else ""
    if low in field and size < field[low]:
        yield "is too small", f"expected at least {field[low]}{unit}"
    if high in field and size > field[high]:
        yield "is too large", f"expected at most {field[high]}{unit}"
