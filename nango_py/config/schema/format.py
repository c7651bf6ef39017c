"""The file format as JSON Schema 2020-12: `format.json` and the schemas of auth modes and paginators.

Each plugin has the schema of its own keys, so a new one needs no other change.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nango_py.registry import AUTH_MODES, GENERAL_KIND, PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Schema = dict[str, Any]

_EXTENSION: Schema = {"^x-": {}}
LOCAL = "#/$defs/"
_CONTAINERS = (dict, list)
_ANNOTATIONS = frozenset({"default", "description", "examples", "title"})


@functools.cache
def definitions() -> dict[str, Schema]:
    """Every definition by name, including those of plugins. Do not change them: they are shared."""
    text = files("nango_py.config.schema").joinpath("format.json").read_text("utf-8")
    all_definitions: dict[str, Schema] = json.loads(text)["$defs"]
    settings = all_definitions.pop("settings")["properties"]
    facts = all_definitions.pop("facts")["properties"]
    for name in ("blueprint", "version_body", "integration"):
        all_definitions[name]["properties"] |= settings
    for name in ("blueprint", "version_body"):
        all_definitions[name]["properties"] |= facts
    all_definitions["login"]["properties"] = {key: settings[key] for key in settings if key != "logins"}
    modes = {
        name: (mode.settings_schema, list(mode.required_settings)) for name, mode in AUTH_MODES.all().items()
    }
    all_definitions["auth_mode"] = {"enum": list(modes)}
    all_definitions["auth"] = _choose_by("auth_mode", {"$ref": LOCAL + "auth_mode"}, modes)
    all_definitions["auth_complete"] = _require_by("auth_mode", modes)
    schemas = {name: kind.config_schema for name, kind in PAGINATORS.all().items()}
    kinds = {
        name: (schema.get("properties", {}), list(schema.get("required", ())))
        for name, schema in schemas.items()
    }
    all_definitions["pagination"] = _choose_by("kind", {"enum": list(kinds)}, kinds, _IS_GENERAL)
    all_definitions["pagination_complete"] = {
        "type": "object",
        "if": _IS_GENERAL,
        "else": {"required": ["kind"]},
        "allOf": [
            *_requirements("kind", kinds, _IS_GENERAL),
            {"if": _IS_GENERAL, "then": {"properties": {"next": {"required": ["from", "to"]}}}},
            *(choice for name, schema in schemas.items() for choice in _choices(name, schema)),
        ],
    }
    return all_definitions


# Without `kind`, a block with a mapping at `next` is of the general kind.
_IS_GENERAL: Schema = {"required": ["next"], "properties": {"next": {"type": "object"}}}


def _choices(kind: str, schema: Mapping[str, Any]) -> Iterator[Schema]:
    """The first of two keys is required if the other is missing, as `anyOf` of a paginator's schema says."""
    if "anyOf" in schema:
        first, second = (part["required"] for part in schema["anyOf"])
        yield {"if": {**_is("kind", kind), "not": {"required": second}}, "then": {"required": first}}


def _choose_by(
    selector: str,
    choice: Schema,
    parts: Mapping[str, tuple[Schema, list[str]]],
    is_implied: Schema | None = None,
) -> Schema:
    """A mapping whose other keys depend on the value of `selector`; none is required.

    Without the selector, as in an override of one key, the keys of all plugins are allowed. `is_implied` says
    when the selector may be left out because the other keys say that it is the general kind.
    """
    union: Schema = {}
    for properties, _ in parts.values():
        for key, value in properties.items():
            union[key] = _either(union[key], value) if key in union else value
    known: Schema = {"properties": {selector: {"enum": list(parts)}}, "required": [selector]}
    if is_implied is not None:
        known = {"if": {"required": [selector]}, "then": known, "else": is_implied}
    branches: list[Schema] = [
        {"if": _is(selector, name, is_implied), "then": {"properties": properties}}
        for name, (properties, _) in parts.items()
        if properties
    ]
    return {
        "type": "object",
        "properties": {selector: choice},
        "patternProperties": _EXTENSION,
        "allOf": [*branches, {"if": {"not": known}, "then": {"properties": union}}],
        "unevaluatedProperties": False,
    }


def _either(first: Schema, second: Schema) -> Schema:
    """A value with other words or another default in another plugin, or a mapping here and a text there."""
    if first == second:
        return first
    plain = {key: value for key, value in first.items() if key not in _ANNOTATIONS}
    if plain == {key: value for key, value in second.items() if key not in _ANNOTATIONS}:
        return {key: value for key, value in first.items() if key != "default"}
    mapping, text = (first, second) if first.get("type") == "object" else (second, first)
    return {
        "type": ["string", "object"],
        "description": mapping["description"],
        "if": {"type": "object"},
        "then": mapping,
        "else": text,
    }


def _require_by(selector: str, parts: Mapping[str, tuple[Schema, list[str]]]) -> Schema:
    branches = _requirements(selector, parts)
    return {"type": "object", "required": [selector], **({"allOf": branches} if branches else {})}


def _requirements(
    selector: str, parts: Mapping[str, tuple[Schema, list[str]]], is_implied: Schema | None = None
) -> list[Schema]:
    return [
        {"if": _is(selector, name, is_implied), "then": {"required": required}}
        for name, (_, required) in parts.items()
        if required
    ]


def _is(selector: str, name: str, is_implied: Schema | None = None) -> Schema:
    is_named = {"properties": {selector: {"const": name}}, "required": [selector]}
    if is_implied is None or name != GENERAL_KIND:
        return is_named
    return {"if": {"required": [selector]}, "then": is_named, "else": is_implied}


@functools.cache
def resolve_references(name: str) -> Schema:
    """A definition with references replaced by what they name, so that validators look nothing up.

    `x-` keys are allowed by the keyword that closes a mapping, which is faster than a pattern for each key.
    """
    return _resolve(definitions()[name])


def _resolve(schema: Schema) -> Schema:
    if "$ref" in schema:
        return resolve_references(schema["$ref"].removeprefix(LOCAL))
    resolved: Schema = {}
    for key, item in schema.items():
        if item == _EXTENSION:
            continue
        if key in _MAPS_OF_SCHEMAS:
            resolved[key] = {}
            for name, below in item.items():
                resolved[key][name] = below if _NESTED.isdisjoint(below) else _resolve(below)
        elif key in _LISTS_OF_SCHEMAS:
            resolved[key] = [_resolve(below) for below in item]
        elif key in _SCHEMAS and isinstance(item, dict) and not _NESTED.isdisjoint(item):
            resolved[key] = _resolve(item)
        else:
            resolved[key] = item
    return resolved


# The keywords of the file format below which there are schemas; all others have plain values.
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties"})
_LISTS_OF_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf"})
_SCHEMAS = frozenset(
    {"additionalProperties", "unevaluatedProperties", "items", "propertyNames", "if", "then", "else", "not"}
)
_NESTED = _MAPS_OF_SCHEMAS | _LISTS_OF_SCHEMAS | _SCHEMAS | {"$ref"}
