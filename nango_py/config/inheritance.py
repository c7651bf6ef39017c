"""Merges an entry of integrations.yaml over its blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import MAPPINGS
from nango_py.config.yaml.merge import Origins, Sourced, merge, origins_of_places

if TYPE_CHECKING:
    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Document
    from nango_py.json_types import Settings


def inherited_settings(blueprint: Blueprint | None, document: Document, path: Path) -> Sourced:
    """The settings that the entry at `path` of integrations.yaml inherits from its blueprint, if any."""
    if blueprint is None:
        return Sourced({}, Origins(document.find_node(path) or document.root))
    return Sourced(blueprint.settings, origins_of(blueprint))


def origins_of(blueprint: Blueprint) -> Origins:
    """Where the parts of a blueprint were written."""
    origins = blueprint.origins
    if isinstance(origins, Origins):
        return origins
    return origins_of_places(
        (path, (place.file, place.line, place.column, place.line, place.column))
        for path, place in origins.items()
    )


def overlay(base: Sourced, over: Sourced) -> Sourced:
    """`over` merged over `base`; a header replaces one whose name differs only in case."""
    settings = dict(base.settings)
    for block in ("requests", "verification"):
        lower, upper = _headers(settings, block), _headers(over.settings, block)
        replaced = {name.lower(): name for name in upper}
        kept = {key: value for key, value in lower.items() if replaced.get(key.lower(), key) == key}
        if len(kept) < len(lower):
            settings[block] = {**settings[block], "headers": kept}
    return merge(Sourced(settings, base.origins), over)


def _headers(settings: Settings, block: str) -> Settings:
    within = settings.get(block)
    headers = within.get("headers") if isinstance(within, MAPPINGS) else None
    return headers if isinstance(headers, MAPPINGS) else {}
