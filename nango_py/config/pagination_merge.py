"""A `pagination:` block merged over another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import MAPPINGS, mapping_at
from nango_py.registry import GENERAL_KIND

if TYPE_CHECKING:
    from nango_py.json_types import Settings


def overlay_pagination(base: Settings, over: Settings) -> Settings:
    """The `pagination:` block `over` merged over `base`; null removes a key, and a pointer is replaced."""
    merged = dict(replaceable_keys(base, over))
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, MAPPINGS) and isinstance(below, MAPPINGS):
            value = {name: part for name, part in {**below, **value}.items() if part is not None}  # noqa: PLW2901
        merged[key] = value
    return {key: value for key, value in merged.items() if value is not None}


def replaceable_keys(lower: Settings, upper: Settings) -> Settings:
    """What stays of a `pagination:` block under another one."""
    kind = _kind(upper)
    if kind and _kind(lower) not in {"", kind}:
        return {key: value for key, value in lower.items() if key == "records"}
    kept = {key: value for key, value in lower.items() if not _replaces_pointer(value, upper.get(key))}
    following, changed = mapping_at(lower, "next"), mapping_at(upper, "next")
    if following and changed:
        kept["next"] = {
            key: value for key, value in following.items() if not _replaces_pointer(value, changed.get(key))
        }
    size, other = mapping_at(lower, "size"), mapping_at(upper, "size")
    replaced = set() if PLACES.isdisjoint(other) else set(PLACES)
    if other.get("max") is not None:
        replaced.add("value")  # without its own value, the new maximum is requested
    if size and replaced:
        kept["size"] = {key: value for key, value in size.items() if key not in replaced}
    return kept


PLACES = frozenset({"param", "header", "body"})


def _kind(pagination: Settings) -> str:
    kind = pagination.get("kind")
    if isinstance(kind, str):
        return str.__str__(kind)
    return GENERAL_KIND if isinstance(pagination.get("next"), MAPPINGS) else ""


def _replaces_pointer(lower: object, upper: object) -> bool:
    """Whether both are pointers with one key."""
    return isinstance(lower, MAPPINGS) and isinstance(upper, MAPPINGS) and len(lower) == len(upper) == 1
