"""Blueprints that commands name by `name:version` or by file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.cli.project import Project
    from nango_py.config.catalogue import Catalogue

SUFFIXES = (".yaml", ".yml")


class Found(NamedTuple):
    """A blueprint to load: the catalogue that finds it, its `name:version`, and the place for errors."""

    catalogue: Catalogue
    ref: str
    at: Position


def is_file_name(name: str) -> bool:
    """Whether an argument names a file, and not a blueprint."""
    return name.endswith(SUFFIXES) or "/" in name


def blueprints_of_file(file: Path) -> list[Found]:
    """The blueprints of a file, which may extend blueprints of the same folder and built-in ones.

    Raises:
        ConfigError: the name of the file is not that of a blueprint, or the file cannot be read.
    """
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.yaml.folders import Folder

    at = Position(str(file))
    name = file.name.partition(".")[0]
    versions = Folder("local", file.parent).versions(name)
    matching = [version for version, path in versions.items() if path.name == file.name]
    if not matching:
        what = "a blueprint file is called name.version.yaml"
        raise ConfigError([Problem(at, "E109", what, "such as acme.v1.yaml")])
    catalogue = Catalogue([("local", file.parent)], installed=True)
    return [Found(catalogue, f"{name}:{version}", at) for version in matching]


def all_blueprints(project: Project) -> Iterator[Found]:
    """Every blueprint that can be found."""
    catalogue = project.catalogue()
    for ref in catalogue.refs():
        yield Found(catalogue, f"{ref.name}:{ref.version}", Position(str(ref.path)))


def named_blueprints(project: Project, names: tuple[str, ...]) -> Iterator[Found]:
    """The blueprints with these names or files.

    Raises:
        ConfigError: as `blueprints_of_file`.
    """
    from nango_py.cli.project import COMMAND_LINE

    catalogue = project.catalogue()
    for name in names:
        if is_file_name(name):
            yield from blueprints_of_file(Path(name))
        else:
            yield Found(catalogue, name, Position(COMMAND_LINE))
