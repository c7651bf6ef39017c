"""Reads from an OpenAPI document how its lists go on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nango_py.importers.drafts.parts import deref, json_content, mapping, properties

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL_SIZE = 100
_NAME = re.compile(r"[A-Za-z_]\w*")
_RECORDS = ("data", "items", "results", "records", "entries", "values")
_CURSOR_PARAMS = re.compile(r"cursor|after|(?:next|page|continuation)_?token|next_?cursor", re.IGNORECASE)
_CURSORS = re.compile(r"(?:next|end)_?(?:cursor|token)|next_?page_?token|cursor|after", re.IGNORECASE)
_OFFSETS = re.compile(r"(?:next_?)?offset", re.IGNORECASE)
_NEXT_URLS = re.compile(r"next(?:_?(?:url|link|page))?", re.IGNORECASE)
_SIZES = re.compile(r"limit|count|(?:per_?page|page_?size|max_?results)(?:_?count)?", re.IGNORECASE)


def read_pagination(data: dict[str, Any], operations: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The pagination of the first list whose parameters and response say how it goes on."""
    for path, operation in operations:
        records = _records(data, operation)
        if records is None or "{" in path:
            continue
        params = {str(one.get("name")): one for one in operation["parameters"] if one.get("in") == "query"}
        size = next((_size(data, name, params[name]) for name in params if _SIZES.fullmatch(name)), {})
        found = _cursor(data, operation, params) or _number(params, size) or _next_url(data, operation)
        if found:
            settings = {**found, **({"size": size} if size else {})}
            return {
                "pagination": {**settings, **({"records": records} if records else {})},
                "list_path": path,
            }
    return {}


def _cursor(
    data: dict[str, Any], operation: dict[str, Any], params: dict[str, dict[str, Any]]
) -> dict[str, object]:
    """A parameter for a cursor, and the text in the response that it repeats."""
    param = next((name for name in params if _CURSOR_PARAMS.fullmatch(name)), "")
    names = _CURSORS
    if not param and _is_text(mapping(deref(data, params.get("offset", {}).get("schema")))):
        param, names = "offset", _OFFSETS  # a token that is called offset
    texts = _texts(data, operation) if param else ()
    cursor = next((path for path in texts if names.fullmatch(path.rpartition(".")[2])), "")
    return {"kind": "cursor", "cursor": cursor, "param": param} if cursor else {}


def _number(params: dict[str, dict[str, Any]], size: dict[str, object]) -> dict[str, object]:
    """A parameter for an offset or for the number of a page."""
    if "offset" in params and size:
        return {"kind": "offset", "param": "offset"}
    return {"kind": "page", "param": "page", "start": 1} if "page" in params else {}


def _next_url(data: dict[str, Any], operation: dict[str, Any]) -> dict[str, object]:
    """A URL in the response, or a `Link` header."""
    for path in _texts(data, operation):
        if _NEXT_URLS.fullmatch(path.rpartition(".")[2]):
            return {"kind": "next_url", "next": path}
    for status, response in mapping(operation.get("responses")).items():
        headers = mapping(mapping(deref(data, response)).get("headers"))
        if str(status).startswith("2") and any(str(name).lower() == "link" for name in headers):
            return {"kind": "link_header", "rel": "next"}
    return {}


def _size(data: dict[str, Any], name: str, declared: dict[str, Any]) -> dict[str, object]:
    """The parameter for the page size, with the largest size that the document states."""
    schema = mapping(deref(data, declared.get("schema"))) or declared
    largest = schema.get("maximum")
    if isinstance(largest, int) and not isinstance(largest, bool) and 1 <= largest <= 100_000:  # noqa: PLR2004
        return {"param": name, "value": min(USUAL_SIZE, largest), "max": largest}
    return {"param": name, "value": USUAL_SIZE}


def _texts(data: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    """Paths of the texts of a response, at the top and one level below."""
    top = properties(data, json_content(data, operation).get("schema"))
    for name, schema in top.items():
        if _is_text(schema) and _NAME.fullmatch(name):
            yield name
    for name, schema in top.items():
        for below, inner in properties(data, schema).items():
            if _is_text(inner) and _NAME.fullmatch(name) and _NAME.fullmatch(below):
                yield f"{name}.{below}"


def _is_text(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "string" or (isinstance(kind, list) and "string" in kind)


def _records(data: dict[str, Any], operation: dict[str, Any]) -> str | None:
    """The key of the list in a response; "" if the body is the list, None if there is none."""
    schema = json_content(data, operation).get("schema")
    if mapping(deref(data, schema)).get("type") == "array":
        return ""
    lists = [name for name, below in properties(data, schema).items() if below.get("type") == "array"]
    named = next((name for name in _RECORDS if name in lists), lists[0] if len(lists) == 1 else None)
    return named if named is None or _NAME.fullmatch(named) else None
