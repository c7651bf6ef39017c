"""The files and the database that a command works on: the options before its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nango_py.errors import Position, UnknownIntegration
from nango_py.record import record

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.client import Nango
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint, Integration

COMMAND_LINE = "nango"
"""The place that error messages name for names typed on the command line."""


@record
class Project:
    """The options `--integrations`, `--blueprints` and `--database`."""

    integrations: Path
    blueprints: Path | None
    database: str | None

    def open(self, **changes: Any) -> Nango:
        """A Nango for these files; `changes` are other arguments of `Nango`."""
        from nango_py.client import Nango

        settings: dict[str, Any] = {
            "integrations": self.integrations,
            "blueprints": self.blueprints,
            "database_url": self.database,
            **changes,
        }
        return Nango(**settings)

    def open_for_calls(self) -> Nango:
        """A Nango that, on SIGTERM, stores the token of a refresh in flight before the process ends."""
        nango = self.open()
        nango.finish_renewals_on_sigterm()
        return nango

    def catalogue(self) -> Catalogue:
        """The available blueprints; integrations.yaml need not exist."""
        from nango_py.config.catalogue import open_catalogue

        return open_catalogue(self.blueprints_folder)

    def blueprint(self, ref: str) -> Blueprint:
        """The blueprint of a `name:version`, or the newest of a `name`."""
        return find_blueprint(self.catalogue(), ref)

    @property
    def blueprints_folder(self) -> Path:
        """The folder of the project's own blueprints."""
        return self.blueprints or self.integrations.parent / "blueprints"


pass_project = click.make_pass_decorator(Project)


def find_blueprint(catalogue: Catalogue, ref: str) -> Blueprint:
    """The blueprint of a `name:version`, or the newest version of a name.

    Raises:
        ConfigError: no blueprint has this name.
    """
    return catalogue.find(ref, at=Position(COMMAND_LINE))


def find_integration(nango: Nango, name: str) -> Integration:
    """The integration of that name."""
    integrations = nango.configuration.integrations
    if name not in integrations:
        raise UnknownIntegration(name, integrations, hint=f"declared in {nango.configuration.source}")
    return integrations[name]
