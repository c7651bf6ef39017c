"""What a saved state may change in the request for a page: only what the kind of pagination changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nango_py.config.pointers import place_of
from nango_py.errors import InvalidRequest, printable
from nango_py.json_types import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.engine.call_arguments import Call
    from nango_py.json_types import JsonObject, Settings
    from nango_py.pagination.base import Paginator

OWN_PLACES = {"param": "params", "header": "header", "body": "body"}
WITH_URLS = frozenset({"next_url", "link_header"})


def check_changes(changes: JsonObject, paginator: Paginator, call: Call) -> None:
    """Check what a state changes, so that it leads to no other endpoint and sets no other value.

    Kinds of other packages may change parameters and the URL. A URL stays within the API in any case.

    Raises:
        InvalidRequest: it changes something else.
    """
    known = {(place, name) for place, name in _places(paginator)}
    is_own = type(paginator).__module__.startswith("nango_py.")
    rule = _rule_of(paginator)
    for place, value in changes.items():
        if place == "method":
            is_allowed = value == rule.get("method")
        elif place == "path":
            is_allowed = _path_fits(str(rule.get("path", "")), str(value), call)
        elif place == "url":
            is_allowed = not is_own or paginator.name in WITH_URLS or "url" in rule.get("to", {})
        elif not is_own and place == "params":
            is_allowed = True
        else:
            is_allowed = all((place, name) in known for name in as_object(value))
        if not is_allowed:
            raise InvalidRequest(f"state changes {printable(place, 40)} in a way that this list does not")


def _rule_of(paginator: Paginator) -> Settings:
    found: object = getattr(paginator, "next_path", {})
    return {} if isinstance(found, str) else as_object(found)


def _places(paginator: Paginator) -> Iterator[tuple[str, str]]:
    """Where the kind puts its values, as the keys of changes and the names there."""
    for name in (paginator.param, paginator.limit_param):
        for place in ("params", "body", "phrases"):
            yield place, name
    for pointer in (paginator.to, paginator.size, _rule_of(paginator).get("to") or {}):
        if not OWN_PLACES.keys().isdisjoint(pointer):
            place, name = place_of(pointer)
            yield OWN_PLACES[place], name
            yield "phrases" if place == "param" else "body", name
            if place == "param":
                yield "body", name


def _path_fits(pattern: str, path: str, call: Call) -> bool:
    """Whether a path is one that the pattern of the next request gives."""
    own = call.path.partition("?")[0].strip("/")
    parts = re.split(r"(\{[^{}]*\})", pattern)
    texts = [
        re.escape(own) if part == "{path}" else "[^/?#]+" if part.startswith("{") else re.escape(part)
        for part in parts
    ]
    return bool(pattern) and re.fullmatch("".join(texts), path) is not None
