"""Reads a provider file, and writes the files of blueprints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.yaml.flow import block_lines
from nango_py.errors import ConfigError, Position, Problem
from nango_py.importers.reading import read_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.importers.nango_file.provider import Imported
    from nango_py.json_types import JsonObject

LONGEST_NOTE = 108


def read_provider_file(path: Path) -> JsonObject:
    """The entries of a provider file by name.

    Raises:
        ConfigError: as `read_mapping`, or no entry has an `auth_mode` or an `alias` (E201).
    """
    entries = read_mapping(path)
    where = Position(str(path), 1, 1)
    if isinstance(entries.get("name"), str):
        what = "this is a blueprint already"
        raise ConfigError([Problem(where, "E201", what, "", "copy it to your folder of blueprints")])
    if not any(
        isinstance(entry, dict) and entry.keys() & {"auth_mode", "alias"} for entry in entries.values()
    ):
        what = "not a provider file of Nango"
        expected = (
            "expected entries by name with auth_mode and proxy, as in providers.yaml of @nangohq/providers"
        )
        raise ConfigError([Problem(where, "E201", what, expected)])
    return entries


def write_blueprint(imported: Imported, source: str) -> str:
    """The text of a blueprint's file. It says that nothing is proven, and what was not carried over."""
    lines = [
        "# yaml-language-server: $schema=blueprint.schema.json",
        f"# Imported from the entry {imported.name} of {source}. Nothing here was compared with the API.",
        "# Read its manual, add sources, limits and examples, and run `nango blueprints test` with the file.",
    ]
    if imported.notes:
        lines.append("# Not carried over:")
        lines += [f"#   {_cut(note)}" for note in imported.notes]
    return "\n".join([*lines, *block_lines(imported.settings)]) + "\n"


def _cut(note: str) -> str:
    line = " ".join(note.split())
    return line if len(line) <= LONGEST_NOTE else f"{line[:LONGEST_NOTE]}..."
