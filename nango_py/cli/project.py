"""Which files and which database a command works on: the options before its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nango_py.errors import UnknownIntegration
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nango_py.client import Nango
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint, Integration

COMMAND_LINE = "nango"
"""What messages name as the place of a name that was typed."""


@record
class Project:
    """The options `--integrations`, `--blueprints` and `--database`."""

    integrations: Path
    blueprints: Path | None
    database: str | None

    def open(self, **changes: Any) -> Nango:
        """The Nango of these files; the arguments of `Nango` may be changed."""
        from nango_py.client import Nango

        settings: Mapping[str, Any] = {
            "integrations": self.integrations,
            "blueprints": self.blueprints,
            "database_url": self.database,
            **changes,
        }
        return Nango(**settings)

    def calling(self) -> Nango:
        """The Nango of a command that calls APIs: SIGTERM ends it once a token on its way is stored."""
        nango = self.open()
        nango.finish_renewals_on_sigterm()
        return nango

    def catalogue(self) -> Catalogue:
        """The blueprints found from here, also where there is no integrations.yaml yet."""
        from nango_py.config.catalogue import open_catalogue

        return open_catalogue(self.blueprints_folder)

    def blueprint(self, ref: str, catalogue: Catalogue | None = None) -> Blueprint:
        """The blueprint of a `name:version`, or the newest of a `name`.

        Raises:
            ConfigError: it cannot be found, or its file is wrong.
        """
        from nango_py.errors import Position

        return (catalogue or self.catalogue()).find(ref, at=Position(COMMAND_LINE))

    @property
    def blueprints_folder(self) -> Path:
        """The folder of the project's own blueprints."""
        return self.blueprints or self.integrations.parent / "blueprints"


pass_project = click.make_pass_decorator(Project)


def declared(nango: Nango, name: str) -> Integration:
    """The integration of that name.

    Raises:
        UnknownIntegration: integrations.yaml does not declare it.
    """
    known = nango.configuration.integrations
    if name not in known:
        raise UnknownIntegration(name, known, hint=f"declared in {nango.configuration.source}")
    return known[name]
