"""The fields that users fill in: `credentials` and `connection_config` of a provider file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.schema.field_patterns import matches_pattern, pattern_fault
from nango_py.importers.nango_file.values import setting_name
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.json_types import JsonObject, JsonValue


def snake_case(name: str) -> str:
    """`clientSecret` as `client_secret`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"\W", "_", words).lower()


def read_credentials(fields: JsonValue, variables: Mapping[str, str], known: Iterable[str]) -> JsonObject:
    """The `credentials` of a blueprint.

    Args:
        fields: the `credentials` of the provider file.
        variables: our name of each of its fields.
        known: the fields that our auth mode has; others are declared as secret or not.
    """
    found: JsonObject = {}
    for name, declared in as_object(fields).items():
        field = as_object(declared)
        own = variables.get(name)
        if own is None or field.get("automated"):
            continue
        words: JsonObject = {}
        if field.get("hidden") and "default_value" in field:
            words["value"] = str(field["default_value"])
        else:
            words = _words(field)
        if own not in known:
            words["secret"] = field.get("secret") is True or _looks_secret(own)
            words.setdefault("title", own.replace("_", " ").capitalize())
        found[own] = words
    return found


def _words(field: JsonObject) -> JsonObject:
    words: JsonObject = {}
    if title := str(field.get("title") or "").strip():
        words["title"] = title
    if text := str(field.get("description") or "").strip():
        words["help"] = text
    pattern, example = str(field.get("pattern") or ""), str(field.get("example") or "")
    if pattern and not pattern_fault(pattern):
        words["pattern"] = pattern
    if example and "*" not in example and _fits(words.get("pattern"), example):
        words["example"] = example
    if field.get("optional"):
        words["required"] = False
    return words


def _looks_secret(name: str) -> bool:
    return any(word in name for word in ("secret", "password", "token", "key", "pat", "hmac", "jwt", "pin"))


def _fits(pattern: JsonValue, text: str) -> bool:
    return not isinstance(pattern, str) or matches_pattern(pattern, text)


def read_settings(
    fields: JsonValue,
    used: Iterable[str],
    defaults: Mapping[str, str],
    hosts: Mapping[str, str],
) -> JsonObject:
    """The `connection_config` of a blueprint; {} if there are no settings.

    Args:
        fields: the `connection_config` of the provider file.
        used: our names of the settings that templates name.
        defaults: values of settings, from fallbacks.
        hosts: `host` or `origin` for the settings that are a host.
    """
    declared = {setting_name(name): as_object(field) for name, field in as_object(fields).items()}
    properties: JsonObject = {}
    required: list[JsonValue] = []
    for name in dict.fromkeys((*declared, *used)):
        field = declared.get(name, {})
        schema = _schema(name, field)
        if name in hosts:
            schema = {key: value for key, value in schema.items() if key not in {"pattern", "enum", "suffix"}}
            schema["format"] = hosts[name]
            if not _is_host_example(schema):
                schema.pop("examples", None)
        if name in defaults:
            schema["default"] = defaults[name]
        if field.get("automated") or field.get("hidden"):
            schema["asked"] = False
        properties[name] = schema
        is_needed = name in used and not field.get("automated")
        if is_needed and not (field.get("optional") and name not in defaults):
            required.append(name)
    if not properties:
        return {}
    return {"type": "object", **({"required": required} if required else {}), "properties": properties}


def _is_host_example(schema: JsonObject) -> bool:
    examples = schema.get("examples")
    first = str(examples[0]) if isinstance(examples, list) else ""
    if schema.get("format") == "origin":
        return re.fullmatch(r"https://[a-z0-9.-]+", first) is not None
    return re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", first) is not None


def _schema(name: str, field: JsonObject) -> JsonObject:
    schema: JsonObject = {"type": "string", "title": str(field.get("title") or "").strip() or name}
    if text := str(field.get("description") or "").strip():
        schema["description"] = text
    choices = field.get("enum")
    if isinstance(choices, list):
        schema["enum"] = [str(choice) for choice in choices]
    pattern = str(field.get("pattern") or "")
    if pattern and not pattern_fault(pattern):
        schema["pattern"] = pattern
    example = str(field.get("example") or "")
    if example and "*" not in example and _fits(schema.get("pattern"), example) and not choices:
        schema["examples"] = [example]
    suffix = str(field.get("suffix") or "")
    if suffix.startswith("."):
        schema["suffix"] = suffix
    if "default_value" in field:
        schema["default"] = str(field["default_value"])
    return schema
