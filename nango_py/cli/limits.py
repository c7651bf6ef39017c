"""`nango limits`: how full one connection's limits are, in this moment or second by second."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.output import cell, columns, echo_json
from nango_py.cli.project import Project, pass_project
from nango_py.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from nango_py.limits.limit_types import WindowView

EVERY_SECONDS = 1.0
HEADINGS = ("budget", "limit", "used", "left", "resets in", "gate")
ONLY_HERE = (
    "config.rate_limit_store is memory, so what other processes have counted cannot be seen; "
    "with sql or redis://... it can"
)


@click.command()
@click.argument("integration")
@click.argument("user")
@click.option("--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one line each time.")
@pass_project
def limits(project: Project, integration: str, user: str, watch: bool, as_json: bool) -> None:
    """Show how full the limits are that a user's calls count against, whichever process made them.

    Limits of which nothing is used are left out. A gate is closed by a response that asked to wait.

    \b
    Example:
      nango limits klaviyo-today user-1
      nango limits klaviyo-today user-1 --watch
    """
    with project.open() as nango:
        if nango.configuration.config.rate_limit_store == "memory":
            click.echo(ONLY_HERE, err=True)
        executor = nango.executor(integration, user)
        while True:
            _show(executor.limits(), watch=watch, as_json=as_json)
            if not watch:
                return
            SYSTEM_CLOCK.sleep(EVERY_SECONDS)


def _show(views: tuple[WindowView, ...], *, watch: bool, as_json: bool) -> None:
    if as_json:
        rows = [_fields(view) for view in views]
        click.echo(json.dumps(rows, ensure_ascii=False)) if watch else echo_json(rows)
    else:
        if watch and sys.stdout.isatty():
            click.clear()
        click.echo(columns(HEADINGS, map(_row, views)) if views else "nothing is used")
        if watch and not sys.stdout.isatty():
            click.echo()
    sys.stdout.flush()


def _fields(view: WindowView) -> dict[str, Any]:
    return {
        "budget": view.key,
        "limit": view.window,
        "used": round(view.used, 3),
        "left": round(view.left, 3),
        "resets_in": round(view.resets_in, 3),
        "gate": round(view.gate, 3),
    }


def _row(view: WindowView) -> tuple[Any, ...]:
    resets_in = f"{view.resets_in:.1f} s"
    gate = f"closed for {view.gate:.1f} s" if view.gate else "open"
    return cell(view.key), view.window, f"{view.used:g}", f"{view.left:g}", resets_in, gate
