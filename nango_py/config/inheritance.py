"""Merges an entry of integrations.yaml over its blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.pagination_merge import replaceable_keys
from nango_py.config.schema.facts import FACTS
from nango_py.config.values import MAPPINGS
from nango_py.config.yaml.merge import Origins, Sourced, merge, origins_of_places
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Document
    from nango_py.errors import Position
    from nango_py.json_types import Settings


def inherited_settings(blueprint: Blueprint | None, document: Document, path: Path) -> Sourced:
    """The settings that the entry at `path` of integrations.yaml inherits from its blueprint, if any."""
    if blueprint is None:
        return Sourced({}, Origins(document.find_node(path) or document.root))
    settings = {key: value for key, value in blueprint.settings.items() if key not in FACTS}
    return Sourced(settings, origins_of(blueprint))


def origins_of(blueprint: Blueprint) -> Origins:
    """Where the parts of a blueprint were written."""
    return locate(blueprint.origins)


def locate(origins: Mapping[Path, Position]) -> Origins:
    """Where the parts of a blueprint or an integration were written, for messages."""
    if isinstance(origins, Origins):
        return origins
    return origins_of_places(
        (path, (place.file, place.line, place.column, place.line, place.column))
        for path, place in origins.items()
    )


def overlay(base: Sourced, over: Sourced, layers: str = "") -> Sourced:
    """`over` merged over `base`.

    A header replaces one whose name differs only in case. Another kind of pagination inherits only `records`,
    and another auth mode only the keys that it has, so that no key of the replaced kind stays. A pointer is
    replaced as a whole, since it has one key; so is an action. `layers` is as in `merge`.
    """
    settings = dict(base.settings)
    for block in ("requests", "verification"):
        lower, upper = _mapping(settings, block, "headers"), _mapping(over.settings, block, "headers")
        replaced = {name.lower(): name for name in upper}
        kept = {key: value for key, value in lower.items() if replaced.get(key.lower(), key) == key}
        if len(kept) < len(lower):
            settings[block] = {**settings[block], "headers": kept}
    lower, upper = _mapping(settings, "actions"), _mapping(over.settings, "actions")
    if lower and upper:
        settings["actions"] = {name: action for name, action in lower.items() if name not in upper}
    lower, upper = _mapping(settings, "auth"), _mapping(over.settings, "auth")
    chosen = upper.get("auth_mode")
    if isinstance(chosen, str) and lower.get("auth_mode", chosen) != chosen:
        kept_keys = _keys_of_mode(chosen)
        settings["auth"] = {key: value for key, value in lower.items() if key in kept_keys}
    lower, upper = _mapping(settings, "pagination"), _mapping(over.settings, "pagination")
    if lower and upper:
        settings["pagination"] = replaceable_keys(lower, upper)
    return merge(Sourced(settings, base.origins), over, layers)


def _keys_of_mode(auth_mode: str) -> set[str]:
    name = str.__str__(auth_mode)
    return set(AUTH_MODES.get(name).settings_schema) if name in AUTH_MODES.names() else set()


def _mapping(settings: Settings, *path: str) -> Settings:
    found: object = settings
    for key in path:
        found = found.get(key) if isinstance(found, MAPPINGS) else None
    return found if isinstance(found, MAPPINGS) else {}
