"""`nango check`: reports every problem of every file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nango_py.cli.blueprint_files import blueprints_of_file
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.facts import echo_facts, facts_of, is_due, warn_of_old_sources
from nango_py.cli.output import format_count, json_option
from nango_py.cli.project import COMMAND_LINE, Project, pass_project
from nango_py.config.lifecycle import WARNING_DAYS
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint


@click.command()
@click.argument(
    "blueprint_files",
    nargs=-1,
    metavar="[FILE]...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Make up missing environment variables, as for CI.",
)
@click.option(
    "--facts",
    "shows_facts",
    is_flag=True,
    help="List announced changes and ends of your APIs by date, and count sources.",
)
@click.option(
    "--strict",
    "is_strict",
    is_flag=True,
    help="Exit with 1 if there are warnings; with --facts, if a change is past or within --days.",
)
@click.option(
    "--days",
    type=click.IntRange(0),
    default=WARNING_DAYS,
    show_default=True,
    help="With --facts --strict: how many days ahead a change fails.",
)
@json_option
@pass_project
def check(
    project: Project,
    blueprint_files: tuple[Path, ...],
    without_secrets: bool,
    shows_facts: bool,
    is_strict: bool,
    days: int,
    as_json: bool,
) -> None:
    """Check integrations.yaml and all your blueprints, or only the given blueprint files.

    Prints every problem as `file:line:column: error[CODE]: what; expected; help`.

    \b
    Example:
      nango check
      nango check --without-secrets
      nango check blueprints/acme.v1.yaml
      nango check --facts --strict
      nango check --facts --strict --days 0
    """
    if as_json and not shows_facts:
        raise click.UsageError("--json needs --facts")
    collector = ProblemCollector()
    if blueprint_files:
        counts = format_count(len(check_files(blueprint_files, collector)), "blueprint")
    else:
        environ = _make_environment(project.integrations) if without_secrets else None
        integrations, blueprints = check_project(project, collector, environ)
        counts = f"{format_count(integrations, 'integration')}, {format_count(blueprints, 'blueprint')}"
    if shows_facts:
        facts = facts_of(collector.used)
        echo_facts(facts, collector.used, as_json=as_json)
        collector.warn(warn_of_old_sources(collector.used))
        has_failed = is_due(facts, days)
    else:
        warnings = (
            format_count(collector.warning_count, "warning") if collector.warning_count else "no problems"
        )
        click.echo(f"{counts}: {warnings}")
        has_failed = collector.warning_count > 0
    if is_strict and has_failed:
        raise click.exceptions.Exit(FAILED)


def check_files(files: Iterable[Path], collector: ProblemCollector) -> list[Blueprint]:
    """Load blueprint files, which may extend blueprints of the same folder and built-in ones."""
    for file in files:
        with collector:
            for catalogue, ref, at in blueprints_of_file(file):
                collector.check(catalogue, ref, at)
    return collector.result()


def _make_environment(file: Path) -> dict[str, str]:
    """The environment, with a value for each variable that the file names."""
    from nango_py.config.yaml.document import load_document
    from nango_py.sandbox.made_up import make_environment

    try:
        return {**make_environment(load_document(file).data), **os.environ}
    except ConfigError:  # reported when the file is loaded
        return dict(os.environ)


def check_project(
    project: Project, collector: ProblemCollector, environ: Mapping[str, str] | None = None
) -> tuple[int, int]:
    """Load integrations.yaml, the blueprints that it extends, and all blueprints of the project's folders.

    Args:
        project: the files.
        collector: receives the problems.
        environ: the environment variables; those of the process by default.

    Returns:
        the number of integrations and of blueprints.
    """
    catalogue, used, integrations = project.catalogue(), set(), 0
    with collector, project.open(environ=environ) as nango:
        configuration = nango.configuration
        collector.warn(configuration.warnings)
        integrations = len(configuration.integrations)
        for name in configuration.integrations:
            with collector:
                nango.actions.list(name)
        used = {integration.blueprint for integration in configuration} - {""}
        catalogue = catalogue.with_folders(configuration.config.blueprint_paths)
    with collector:
        found: list[Problem] = catalogue.check_folders()
        for ref in catalogue.refs(found):
            if ref.layer in {"local", "path"}:
                collector.check(catalogue, f"{ref.name}:{ref.version}", Position(str(ref.path)))
        collector.report(found)
    collector.use(catalogue, used)
    return integrations, len(used | {blueprint.ref for blueprint in collector.result()})


class ProblemCollector:
    """Collects valid blueprints and the problems of the others. As a context it collects a ConfigError."""

    def __init__(self) -> None:
        self._warned: set[Problem] = set()
        self._problems: dict[Problem, None] = {}
        self._blueprints: list[Blueprint] = []
        self._used: list[Blueprint] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, ConfigError):
            self._problems |= dict.fromkeys(error.problems)
            return True
        return False

    def check(self, catalogue: Catalogue, ref: str, at: Position) -> None:
        """Load one blueprint and print its warnings."""
        from nango_py.blueprint_tests.static_checks import check_logins, check_statically
        from nango_py.config.images import check_image, locate_logo

        warnings: list[Problem] = []
        with self:
            blueprint = catalogue.find(ref, at, warnings)
            self.warn(warnings)
            self._blueprints.append(blueprint)
            self.report(check_logins(catalogue, blueprint))
            if where := blueprint.origins.get(("logo",)):
                self.report(check_image(locate_logo(blueprint.settings, where), where))
            return
        # The file is wrong: what can be checked all the same is reported together with the rest.
        with suppress(ConfigError):
            tree = catalogue.read_unchecked(ref, at)
            self.report(check_statically(tree.settings, tree.origins) if tree is not None else ())

    def use(self, catalogue: Catalogue, refs: Iterable[str]) -> None:
        """Add the blueprints that integrations extend to those in use."""
        known = {blueprint.ref for blueprint in self._blueprints}
        for ref in sorted(set(refs) - known):
            with self:
                self._used.append(catalogue.find(ref, Position(COMMAND_LINE)))

    @property
    def used(self) -> list[Blueprint]:
        """The checked blueprints, and those that integrations extend."""
        return sorted((*self._blueprints, *self._used), key=lambda blueprint: blueprint.ref)

    def report(self, problems: Iterable[Problem]) -> None:
        """Print the warnings, and collect the errors."""
        problems = list(problems)
        self.warn(problem for problem in problems if problem.is_warning)
        self._problems |= dict.fromkeys(problem for problem in problems if not problem.is_warning)

    def warn(self, warnings: Iterable[Problem]) -> None:
        """Print each warning once."""
        for warning in warnings:
            if warning not in self._warned:
                click.echo(str(warning), err=True)
            self._warned.add(warning)

    @property
    def warning_count(self) -> int:
        """The warnings that were printed."""
        return len(self._warned)

    def result(self) -> list[Blueprint]:
        """The blueprints."""
        if self._problems:
            raise ConfigError(self._problems)
        return self._blueprints
