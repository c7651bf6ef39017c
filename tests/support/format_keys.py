"""Every key of the blueprint format, with its place in a file and its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.config.schema.format import LOCAL, definitions

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]


class Key(NamedTuple):
    """A key. In `path`, `name` stands for a name that a file chooses, and 0 for an item of a list.

    `choice` is the auth mode or the kind of pagination that has the key, or "".
    """

    path: tuple[str | int, ...]
    schema: Schema
    choice: str

    @property
    def text(self) -> str:
        """The path as the reference writes it: `endpoints[].match.path`."""
        return "".join("[]" if part == 0 else f".{part}" for part in self.path).lstrip(".")


def every_key() -> dict[str, Key]:
    """The keys by their text. Those of a definition that several places name are at the first one."""
    found: dict[str, Key] = {}
    for key in _walk(definitions()["blueprint"], (), "", set()):
        found.setdefault(key.text, key)
    return found


def resolve(schema: Schema) -> Schema:
    """A schema with the definition that it refers to."""
    while "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**definitions()[schema["$ref"].removeprefix(LOCAL)], **rest}
    return schema


def _walk(schema: Schema, path: tuple[str | int, ...], choice: str, seen: set[str]) -> Iterator[Key]:
    name = str(schema.get("$ref", "")).removeprefix(LOCAL)
    if name in seen:
        return
    seen = {*seen, name} if name else seen
    whole = resolve(schema)
    for key, below in whole.get("properties", {}).items():
        yield Key((*path, key), below, choice)
        yield from _walk(below, (*path, key), choice, seen)
    for place, below in ((0, whole.get("items")), ("name", whole.get("additionalProperties"))):
        if isinstance(below, dict):
            yield from _walk(below, (*path, place), choice, seen)
    for branch in whole.get("allOf", ()):
        chosen = _choice_of(branch.get("if", {}))
        if isinstance(branch.get("then"), dict):
            yield from _walk(branch["then"], path, chosen or choice, seen)


def _choice_of(condition: Any) -> str:
    if isinstance(condition, dict):
        if isinstance(condition.get("const"), str):
            return str(condition["const"])
        return next(filter(None, map(_choice_of, condition.values())), "")
    return ""
