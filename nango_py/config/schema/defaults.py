"""Adds the defaults of the file format to settings, as the keyword `default` states them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.schema.fast_check import is_surely_valid
from nango_py.config.schema.format import LOCAL, definitions
from nango_py.config.values import MAPPINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.values import Path
    from nango_py.json_types import Schema, Settings


def with_defaults(settings: Settings, definition: str) -> tuple[dict[str, Any], frozenset[Path]]:
    """The settings with the defaults of the keys that they lack, and the paths of these.

    A block that applies when it is absent has the default `{}`. Nothing is added to the items of lists.

    Args:
        settings: valid settings.
        definition: the definition of the format that they fit, such as `blueprint`.
    """
    added: set[Path] = set()
    whole = _complete({"$ref": LOCAL + definition}, settings, (), added)
    return whole, frozenset(added)


def expand(schema: Schema) -> Schema:
    """The schema with the definition that it names; its own keywords win."""
    name = schema.get("$ref")
    if name is None:
        return schema
    own = {key: value for key, value in schema.items() if key != "$ref"}
    return {**expand(definitions()[name.removeprefix(LOCAL)]), **own}


def properties_of(schema: Schema, value: object) -> Iterator[tuple[str, Schema]]:
    """The keys that a mapping may have, given the values that choose among parts."""
    yield from schema.get("properties", {}).items()
    for branch in schema.get("allOf", ()):
        if "if" in branch and is_surely_valid(branch["if"], value):
            yield from branch.get("then", {}).get("properties", {}).items()


def _complete(schema: Schema, value: Any, path: Path, added: set[Path]) -> Any:
    schema = expand(schema)
    if not isinstance(value, MAPPINGS):
        return value
    known = dict(properties_of(schema, value))
    others = schema.get("additionalProperties")
    whole: dict[str, Any] = {}
    for key, item in value.items():
        below = known.get(key, others if isinstance(others, dict) else {})
        whole[key] = _complete(below, item, (*path, key), added)
    for key, below in known.items():
        if key in value or "default" not in below:
            continue
        default = _complete(below, below["default"], (*path, key), added)
        if default != {}:
            whole[key] = default
            added.add((*path, key))
    return whole
