"""`nango check`: every problem of every file, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nango_py.cli.project import Project, pass_project
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint


@click.command()
@click.argument(
    "blueprint_files",
    nargs=-1,
    metavar="[FILE]...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@pass_project
def check(project: Project, blueprint_files: tuple[Path, ...]) -> None:
    """Check integrations.yaml and all blueprints of yours, or only the blueprint files that are named.

    Every problem of every file is printed as `file:line:column: error[CODE]: what; expected; help`.

    \b
    Example:
      nango check
      nango check blueprints/acme.v1.yaml
    """
    if blueprint_files:
        checked = check_files(blueprint_files)
        click.echo(f"{_counted(len(checked), 'blueprint')}: no problems")
        return
    integrations, blueprints = check_project(project)
    click.echo(f"{_counted(integrations, 'integration')}, {_counted(blueprints, 'blueprint')}: no problems")


def check_files(files: Iterable[Path]) -> list[Blueprint]:
    """The blueprints in the files, which may extend others of the same folder and shipped ones.

    Raises:
        ConfigError: with everything that is wrong in them.
    """
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.yaml.folders import Folder

    gathering = Gathering()
    for file in files:
        catalogue = Catalogue([("local", file.parent)], installed=True)
        with gathering:
            versions = Folder("local", file.parent).versions(file.name.partition(".")[0])
            named = [version for version, path in versions.items() if path.name == file.name]
            if not named:
                what = "a blueprint file is called name.version.yaml"
                raise ConfigError([Problem(Position(str(file)), "E109", what, "such as acme.v1.yaml")])
            for version in named:
                gathering.check(catalogue, f"{file.name.partition('.')[0]}:{version}", Position(str(file)))
    return gathering.result()


def check_project(project: Project) -> tuple[int, int]:
    """How many integrations and blueprints there are, all of them right.

    The blueprints are those that integrations extend, and all in the folders of the project.

    Raises:
        ConfigError: with everything that is wrong in any file.
    """
    gathering = Gathering()
    catalogue, used, integrations = project.catalogue(), set(), 0
    with gathering, project.open() as nango:
        configuration = nango.configuration
        gathering.warn(configuration.warnings)
        integrations = len(configuration.integrations)
        used = {integration.blueprint for integration in configuration} - {""}
        catalogue = catalogue.with_folders(configuration.config.blueprint_paths)
    with gathering:
        for ref in catalogue.refs():
            if ref.layer in {"local", "path"}:
                gathering.check(catalogue, f"{ref.name}:{ref.version}", Position(str(ref.path)))
    return integrations, len(used | {blueprint.ref for blueprint in gathering.result()})


class Gathering:
    """The blueprints that are right, and everything that is wrong, of many files; used as a context."""

    def __init__(self) -> None:
        self._warned: set[Problem] = set()
        self._problems: dict[Problem, None] = {}
        self._blueprints: list[Blueprint] = []

    def __enter__(self) -> None:
        """Errors in files are kept from here on."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Keep what is wrong in a file, and let other errors pass."""
        if isinstance(error, ConfigError):
            self._problems |= dict.fromkeys(error.problems)
            return True
        return False

    def check(self, catalogue: Catalogue, ref: str, at: Position) -> None:
        """Read one blueprint; its warnings are printed once."""
        from nango_py.config.template.checks import check_blueprint_templates

        warnings: list[Problem] = []
        with self:
            blueprint = catalogue.find(ref, at, warnings)
            self._blueprints.append(blueprint)
            self._problems |= dict.fromkeys(check_blueprint_templates(blueprint))
        self.warn(warnings)

    def warn(self, warnings: Iterable[Problem]) -> None:
        """Print warnings that were not printed yet."""
        for warning in warnings:
            if warning not in self._warned:
                click.echo(str(warning), err=True)
            self._warned.add(warning)

    def result(self) -> list[Blueprint]:
        """The blueprints.

        Raises:
            ConfigError: something was wrong.
        """
        if self._problems:
            raise ConfigError(self._problems)
        return self._blueprints


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
