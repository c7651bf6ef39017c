"""Finds blueprints by what they are for: names, categories, descriptions, scopes and actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.catalogue import MAX_EXTENDS
from nango_py.config.summaries import is_texts, read_keys
from nango_py.config.values import mapping_at
from nango_py.errors import ConfigError, Position
from nango_py.word_search import WordIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.catalogue import BlueprintRef, Catalogue
    from nango_py.json_types import Settings

_SEARCHED = frozenset({"name", "title", "extends", "categories", "comment", "scopes", "actions"})
_INHERITED = ("title", "categories", "comment", "scopes", "actions")
_PLACE = Position("blueprints")


def index_blueprints(catalogue: Catalogue) -> WordIndex:
    """An index of all blueprints by their `name:version`. Files with errors are indexed by their names."""
    return WordIndex(
        (f"{ref.name}:{ref.version}", {text: weight for weight, text in _texts(catalogue, ref)})
        for ref in catalogue.refs()
    )


def _texts(catalogue: Catalogue, ref: BlueprintRef) -> Iterator[tuple[float, str]]:
    """The texts of a blueprint with their weights, lighter texts first."""
    try:
        settings = _read(catalogue, ref)
    except ConfigError:
        settings = {}
    for text in mapping_at(settings, "scopes").values():
        yield 1, str(text)
    for name, action in mapping_at(settings, "actions").items():
        words = mapping_at(action)
        yield 1, " ".join(str(words.get(key) or "") for key in ("title", "description")) or name
    yield 1, str(settings.get("comment") or "")
    if is_texts(categories := settings.get("categories") or ()):
        yield 4, " ".join(categories)
    yield 4, ref.name
    yield 4, str(settings.get("title") or "")


def _read(catalogue: Catalogue, ref: BlueprintRef, depth: int = 0) -> Settings:
    own = read_keys(ref.path, _SEARCHED)
    if own is None or own.get("name") != ref.name or depth == MAX_EXTENDS:
        return catalogue.find(f"{ref.name}:{ref.version}", _PLACE).settings
    parent = own.get("extends")
    if not isinstance(parent, str):
        return own
    base = _read(catalogue, catalogue.locate(parent, _PLACE), depth + 1)
    return {**{key: base[key] for key in _INHERITED if key in base}, **own}
