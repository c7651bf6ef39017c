"""A blueprint as the engine sees it: merged, with defaults, and the origin of each key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.schema.defaults import with_defaults
from nango_py.config.schema.format import definitions
from nango_py.config.values import MAPPINGS
from nango_py.config.yaml.flow import format_flow, format_scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.config.model import Blueprint
    from nango_py.config.values import Path
    from nango_py.config.yaml.merge import Origins

DEFAULT = "default"
COLUMN = 70
LONGEST_FLOW = 140


def resolved_lines(blueprint: Blueprint) -> Iterator[str]:
    """The lines of a YAML document, each with the file and line that its value is from, or `default`."""
    whole, added = with_defaults(blueprint.settings, "blueprint")
    order = {key: number for number, key in enumerate(definitions()["blueprint"]["properties"])}
    settings = {key: whole[key] for key in sorted(whole, key=lambda key: order.get(key, len(order)))}
    writer = _Writer(blueprint.origins, added)
    yield from writer.entries(settings, (), 0)


class _Writer:
    """Writes YAML with origins."""

    def __init__(self, origins: Origins, added: frozenset[Path]) -> None:
        self._origins = origins
        self._added = added

    def entries(self, mapping: Mapping[str, object], path: Path, indent: int) -> Iterator[str]:
        """The lines of the keys of a mapping."""
        for key, value in mapping.items():
            yield from self._lines(f"{' ' * indent}{format_scalar(key)}:", value, (*path, key), indent + 2)

    def _lines(self, start: str, value: object, path: Path, indent: int) -> Iterator[str]:
        text = self._flow(value, path)
        if text is not None:
            yield self._with_origin(f"{start} {text}", path)
        elif isinstance(value, MAPPINGS):
            yield self._with_origin(start, path)
            yield from self.entries(value, path, indent)
        elif isinstance(value, list | tuple):
            yield self._with_origin(start, path)
            for index, item in enumerate(value):
                yield from self._lines(f"{' ' * indent}-", item, (*path, index), indent + 2)

    def _flow(self, value: object, path: Path) -> str | None:
        """The value on one line, if it is a scalar, or was written on one line; None otherwise."""
        if not value or not isinstance(value, (*MAPPINGS, list, tuple)):
            return format_flow(value)
        text = format_flow(value)
        if len(text) > LONGEST_FLOW or len(set(self._places(value, path))) > 1:
            return None
        return text

    def _places(self, value: object, path: Path) -> Iterator[str]:
        yield self._origin(path)
        if isinstance(value, MAPPINGS):
            for key, item in value.items():
                yield from self._places(item, (*path, key))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from self._places(item, (*path, index))

    def _origin(self, path: Path) -> str:
        if any(path[:length] in self._added for length in range(1, len(path) + 1)):
            return DEFAULT
        position = self._origins.key_position(path)
        return f"{position.file}:{position.line}"

    def _with_origin(self, line: str, path: Path) -> str:
        return f"{line:<{COLUMN}}  # {self._origin(path)}"
