"""Merges an entry of integrations.yaml over its blueprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.pagination_merge import replaceable_keys
from nango_py.config.schema.facts import FACTS
from nango_py.config.values import mapping_at
from nango_py.config.yaml.merge import Origins, Sourced, merge
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Document


def inherited_settings(blueprint: Blueprint | None, document: Document, path: Path) -> Sourced:
    """The settings that the entry at `path` of integrations.yaml inherits from its blueprint, if any."""
    if blueprint is None:
        return Sourced({}, Origins(document.find_node(path) or document.root))
    settings = {key: value for key, value in blueprint.settings.items() if key not in FACTS}
    return Sourced(settings, blueprint.origins)


def overlay(base: Sourced, over: Sourced, layers: str = "") -> Sourced:
    """`over` merged over `base`.

    A header replaces one whose name differs only in case. Another kind of pagination inherits only `records`,
    and another auth mode only the keys that it has, so that no key of the replaced kind stays. A pointer is
    replaced as a whole, since it has one key; so is an action. `layers` is as in `merge`.
    """
    settings = dict(base.settings)
    for block in ("requests", "verification"):
        lower, upper = mapping_at(settings, block, "headers"), mapping_at(over.settings, block, "headers")
        replaced = {name.lower(): name for name in upper}
        kept = {key: value for key, value in lower.items() if replaced.get(key.lower(), key) == key}
        if len(kept) < len(lower):
            settings[block] = {**settings[block], "headers": kept}
    lower, upper = mapping_at(settings, "actions"), mapping_at(over.settings, "actions")
    if lower and upper:
        settings["actions"] = {name: action for name, action in lower.items() if name not in upper}
    lower, upper = mapping_at(settings, "auth"), mapping_at(over.settings, "auth")
    chosen = upper.get("auth_mode")
    if isinstance(chosen, str) and lower.get("auth_mode", chosen) != chosen:
        kept_keys = _keys_of_mode(chosen)
        settings["auth"] = {key: value for key, value in lower.items() if key in kept_keys}
    lower, upper = mapping_at(settings, "pagination"), mapping_at(over.settings, "pagination")
    if lower and upper:
        settings["pagination"] = replaceable_keys(lower, upper)
    return merge(Sourced(settings, base.origins), over, layers)


def _keys_of_mode(auth_mode: str) -> set[str]:
    name = str.__str__(auth_mode)
    return set(AUTH_MODES.get(name).settings_schema) if name in AUTH_MODES.names() else set()
