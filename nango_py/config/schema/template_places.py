"""Which texts of a settings tree are templates or JMESPath, as the file format marks them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from nango_py.config.schema.format import resolve_references
from nango_py.config.values import MAPPINGS

if TYPE_CHECKING:
    from nango_py.config.values import Path
    from nango_py.json_types import Schema

JMESPATH = "jmespath"
_BRANCHES = ("allOf", "anyOf", "oneOf", "then", "else")
_WITH_PLACES = frozenset({"format", "template", "properties", "additionalProperties", "items", *_BRANCHES})


class _Outline:
    """The part of a schema below which a text may be a template.

    Attributes:
        kind: the kind of the text at this place, or "".
        named: outlines by key; None for a key below which there is no template.
        others: the outline of all other keys.
        items: the outline of the items of a list.
        branches: more outlines of the same value.
        may_be_text: whether a text at this place may be a template.
    """

    __slots__ = ("branches", "has_templates", "items", "kind", "may_be_text", "named", "others")

    def __init__(self, schema: Schema) -> None:
        self.kind: str = JMESPATH if schema.get("format") == JMESPATH else schema.get("template", "")
        self.named: dict[str, _Outline | None] = {}
        for key, below in schema.get("properties", {}).items():
            self.named[key] = None if _WITH_PLACES.isdisjoint(below) else _outline(below)
        others = schema.get("additionalProperties")
        self.others = _outline(others) if others else None
        self.items = _outline(schema["items"]) if "items" in schema else None
        self.branches: list[_Outline] = []
        for keyword in _BRANCHES:
            if keyword in schema:
                branches = schema[keyword]
                for branch in branches if isinstance(branches, list) else (branches,):
                    outline = _outline(branch)
                    if outline is not None:
                        self.branches.append(outline)
        has_named = list(filter(None, self.named.values()))
        self.may_be_text = bool(self.kind or self.branches)
        self.has_templates = bool(self.kind or self.others or self.items or self.branches or has_named)


_outlines: dict[int, _Outline | None] = {}


def _outline(schema: object) -> _Outline | None:
    """The outline of a schema, made once for each; None if no template can stand below it."""
    if not isinstance(schema, dict):
        return None
    key = id(schema)  # resolved schemas are shared and never freed
    if key not in _outlines:
        outline = _Outline(schema)
        _outlines[key] = outline if outline.has_templates else None
    return _outlines[key]


def template_places(definition: str, value: object) -> dict[Path, str]:
    """The path of each text that may contain `${...}` or is a JMESPath, and of what kind it is.

    Args:
        definition: the name of a definition of the file format. There, the keyword `template` marks such
            texts as "url", "path", "query", "header", "key" or "text"; the format is "jmespath" for JMESPath.
        value: the settings that the definition describes.
    """
    places: dict[Path, str] = {}
    outline = _root_outline(definition)
    if outline is not None:
        _collect(outline, value, (), places)
    return places


@functools.cache
def _root_outline(definition: str) -> _Outline | None:
    return _outline(resolve_references(definition))


def _collect(outline: _Outline, value: object, path: Path, places: dict[Path, str]) -> None:  # noqa: C901
    if isinstance(value, str):
        if outline.kind:
            places[path] = outline.kind
    elif isinstance(value, MAPPINGS):
        for key, item in value.items():
            below = outline.named.get(key)
            if below is None and key not in outline.named:
                below = outline.others
            if below is not None and (below.may_be_text or not isinstance(item, str)):
                _collect(below, item, (*path, key), places)
    elif isinstance(value, list | tuple) and outline.items is not None:
        below = outline.items
        for index, item in enumerate(value):
            if below.may_be_text or not isinstance(item, str):
                _collect(below, item, (*path, index), places)
    for branch in outline.branches:
        _collect(branch, value, path, places)
