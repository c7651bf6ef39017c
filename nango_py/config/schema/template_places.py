"""Which texts of a settings tree are templates, as the file format marks them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from nango_py.config.schema.format import resolve_references
from nango_py.config.values import MAPPINGS

if TYPE_CHECKING:
    from nango_py.config.values import Path
    from nango_py.json_types import Schema

_BRANCHES = ("allOf", "anyOf", "oneOf")
_CONSEQUENCES = ("then", "else")


class _Outline:
    """The part of a schema below which a text may be a template.

    Attributes:
        kind: the kind of the template at this place, or "".
        named: outlines by key; None for a key below which there is no template.
        patterns: outlines by pattern of the key.
        others: the outline of keys that `named` and `patterns` do not have.
        items: the outline of the items of a list.
        branches: outlines of the same value.
    """

    __slots__ = ("branches", "items", "kind", "named", "others", "patterns")

    def __init__(self, schema: Schema) -> None:
        self.kind: str = schema.get("template", "")
        self.named = {key: _outline(below) for key, below in schema.get("properties", {}).items()}
        self.patterns = {key: _outline(below) for key, below in schema.get("patternProperties", {}).items()}
        self.others = _outline(schema.get("additionalProperties"))
        self.items = _outline(schema.get("items"))
        branches = [branch for keyword in _BRANCHES for branch in schema.get(keyword, ())]
        branches += [schema[keyword] for keyword in _CONSEQUENCES if keyword in schema]
        self.branches = [outline for branch in branches if (outline := _outline(branch)) is not None]

    def has_templates(self) -> bool:
        named = (*self.named.values(), *self.patterns.values())
        return bool(self.kind or self.others or self.items or self.branches or any(named))

    def below(self, key: str) -> list[_Outline]:
        """The outlines that apply to one key (JSON Schema 2020-12, 10.3)."""
        found = [self.named.get(key)]
        found += [outline for pattern, outline in self.patterns.items() if re.search(pattern, key)]
        if key not in self.named and len(found) == 1:
            found.append(self.others)
        return [outline for outline in found if outline is not None]


_outlines: dict[int, _Outline | None] = {}


def _outline(schema: object) -> _Outline | None:
    """The outline of a schema, made once for each; None if no template can stand below it."""
    if not isinstance(schema, dict):
        return None
    key = id(schema)  # resolved schemas are shared and never freed
    if key not in _outlines:
        outline = _Outline(schema)
        _outlines[key] = outline if outline.has_templates() else None
    return _outlines[key]


def template_places(definition: str, value: object) -> dict[Path, str]:
    """The path of each text that may contain `${...}`, and the kind of template that it is.

    Args:
        definition: the name of a definition of the file format. There, the keyword `template` marks such
            texts as "url", "path", "query", "header", "key" or "text".
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


def _collect(outline: _Outline, value: object, path: Path, places: dict[Path, str]) -> None:
    if isinstance(value, str):
        if outline.kind:
            places[path] = outline.kind
    elif isinstance(value, MAPPINGS):
        for key, item in value.items():
            for below in outline.below(key):
                _collect(below, item, (*path, key), places)
    elif isinstance(value, list | tuple) and outline.items is not None:
        for index, item in enumerate(value):
            _collect(outline.items, item, (*path, index), places)
    for branch in outline.branches:
        _collect(branch, value, path, places)
