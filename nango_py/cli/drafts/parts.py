"""Parts of an OpenAPI document, of which each may be missing or of another type."""

from __future__ import annotations

from typing import Any


def mapping(value: object) -> dict[str, Any]:
    """The value, or an empty mapping if it is not one."""
    return value if isinstance(value, dict) else {}


def deref(data: dict[str, Any], value: object) -> object:
    """The value, or what its `$ref` names inside the document."""
    for _ in range(10):
        reference = mapping(value).get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        value = data
        for part in reference[2:].split("/"):
            value = mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
    return value


def json_content(data: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The JSON content of the first successful response of an operation."""
    for status, declared in mapping(operation.get("responses")).items():
        if str(status).startswith("2"):
            response = mapping(deref(data, declared))
            if "schema" in response:  # OpenAPI 2
                examples = mapping(response.get("examples"))
                return {"schema": response["schema"], "example": examples.get("application/json")}
            for kind, content in mapping(response.get("content")).items():
                if "json" in kind:
                    return mapping(content)
    return {}


def properties(data: dict[str, Any], value: object) -> dict[str, dict[str, Any]]:
    """The schemas of the properties of an object's schema, also of those that it combines with `allOf`."""
    schema = mapping(deref(data, value))
    found: dict[str, dict[str, Any]] = {}
    combined = schema.get("allOf")
    for part in combined if isinstance(combined, list) else ():
        for name, below in mapping(mapping(deref(data, part)).get("properties")).items():
            found[str(name)] = mapping(deref(data, below))
    for name, below in mapping(schema.get("properties")).items():
        found[str(name)] = mapping(deref(data, below))
    return found
