"""The file format as JSON Schema 2020-12: `format.json` and the schemas of auth modes and paginators.

Each plugin has the schema of its own keys, so a new one needs no other change.
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nango_py.registry import AUTH_MODES, PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

_EXTENSION: Schema = {"^x-": {}}
LOCAL = "#/$defs/"
_CONTAINERS = (dict, list)


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
    modes = {
        name: (mode.settings_schema, list(mode.required_settings)) for name, mode in AUTH_MODES.all().items()
    }
    all_definitions["auth_mode"] = {"enum": list(modes)}
    all_definitions["auth"] = _choose_by("auth_mode", {"$ref": LOCAL + "auth_mode"}, modes)
    all_definitions["auth_complete"] = _require_by("auth_mode", modes)
    kinds = {
        name: (kind.config_schema.get("properties", {}), list(kind.config_schema.get("required", ())))
        for name, kind in PAGINATORS.all().items()
    }
    all_definitions["pagination"] = (
        _choose_by("kind", {"enum": list(kinds)}, kinds)
        if kinds
        else {"type": "object", "properties": {"kind": {"type": "string"}}}
    )
    all_definitions["pagination_complete"] = _require_by("kind", kinds)
    return all_definitions


def _choose_by(selector: str, choice: Schema, parts: Mapping[str, tuple[Schema, list[str]]]) -> Schema:
    """A mapping whose other keys depend on the value of `selector`; none is required.

    Without the selector, as in an override of one key, the keys of all plugins are allowed.
    """
    union = {key: value for properties, _ in parts.values() for key, value in properties.items()}
    known = {"properties": {selector: {"enum": list(parts)}}, "required": [selector]}
    branches: list[Schema] = [
        {"if": _is(selector, name), "then": {"properties": properties}}
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


def _require_by(selector: str, parts: Mapping[str, tuple[Schema, list[str]]]) -> Schema:
    branches = [
        {"if": _is(selector, name), "then": {"required": required}}
        for name, (_, required) in parts.items()
        if required
    ]
    return {"type": "object", "required": [selector], **({"allOf": branches} if branches else {})}


def _is(selector: str, name: str) -> Schema:
    return {"properties": {selector: {"const": name}}, "required": [selector]}


@functools.cache
def resolve_references(name: str) -> Schema:
    """A definition with references replaced by what they name, so that validators look nothing up.

    `x-` keys are allowed by the keyword that closes a mapping, which is faster than a pattern for each key.
    """
    schema: Schema = _resolve(definitions()[name])
    return schema


def _resolve(schema: dict[str, Any] | list[Any]) -> Any:
    if isinstance(schema, list):
        return [_resolve(item) if isinstance(item, _CONTAINERS) else item for item in schema]
    if "$ref" in schema:
        return resolve_references(schema["$ref"].removeprefix(LOCAL))
    resolved = {}
    for key, item in schema.items():
        if not (key == "patternProperties" and item == _EXTENSION):
            resolved[key] = _resolve(item) if isinstance(item, _CONTAINERS) else item
    return resolved
