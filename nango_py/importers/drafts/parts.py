"""Parts of an OpenAPI document, of which each may be missing or of another type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_COMMENT = 300
_OWN_USER = re.compile(r"(?:^|/)(?:me|self|whoami|ping|user|account|profile|status)/?$")


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


def choose_verification(paths: Iterable[str]) -> str:
    """The path that returns the owner of a credential, by its name; else the first one, or ""."""
    known = list(paths)
    return next(filter(_OWN_USER.search, known), known[0] if known else "")


def sentence(value: object, longest: int) -> str:
    """A text on one line, cut at a word."""
    text = " ".join(str(value or "").split())
    text = "".join(char for char in text if char.isprintable())
    return text if len(text) <= longest else text[:longest].rpartition(" ")[0]


def first_paragraph(value: object) -> str:
    """The first paragraph of a text in Markdown, as plain text."""
    text = re.sub(r"[#*`_>]|\[([^\]]*)\]\([^)]*\)", r"\1", str(value or "")).strip()
    return sentence(text.partition("\n\n")[0], LONGEST_COMMENT)
