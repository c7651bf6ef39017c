"""`nango limits`: the current use of a connection's rate limits."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from nango_py.cli.output import echo_json, format_cell, format_columns
from nango_py.cli.project import Project, pass_project
from nango_py.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from nango_py.limits.limit_types import WindowView

INTERVAL_SECONDS = 1.0
HEADINGS = ("budget", "limit", "used", "left", "resets in", "gate")
MEMORY_STORE = (
    "config.rate_limit_store is memory: requests of other processes are not counted here; "
    "use sql or redis://... to see them"
)


@click.command()
@click.argument("integration")
@click.argument("user")
@click.option("--watch", is_flag=True, help="Refresh every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch one line per second.")
@pass_project
def limits(project: Project, integration: str, user: str, watch: bool, as_json: bool) -> None:
    """Show the use of the rate limits that a user's calls count against.

    Unused limits are left out. Counters in memory are those of this process.

    \b
    Example:
      nango limits klaviyo-today user-1
      nango limits klaviyo-today user-1 --watch
    """
    with project.open() as nango:
        if nango.configuration.config.rate_limit_store == "memory":
            click.echo(MEMORY_STORE, err=True)
        executor = nango.executor(integration, user)
        while True:
            _show(executor.limits(), watch=watch, as_json=as_json)
            if not watch:
                return
            SYSTEM_CLOCK.sleep(INTERVAL_SECONDS)


def _show(views: tuple[WindowView, ...], *, watch: bool, as_json: bool) -> None:
    if as_json:
        rows = [_to_json(view) for view in views]
        click.echo(json.dumps(rows, ensure_ascii=False)) if watch else echo_json(rows)
    else:
        if watch and sys.stdout.isatty():
            click.clear()
        click.echo(format_columns(HEADINGS, map(_to_row, views)) if views else "no limit is in use")
        if watch and not sys.stdout.isatty():
            click.echo()
    sys.stdout.flush()


def _to_json(view: WindowView) -> dict[str, str | float]:
    return {
        "budget": view.key,
        "limit": view.window,
        "used": round(view.used, 3),
        "left": round(view.left, 3),
        "resets_in": round(view.resets_in, 3),
        "gate": round(view.gate, 3),
    }


def _to_row(view: WindowView) -> tuple[str, ...]:
    resets_in = f"{view.resets_in:.1f} s"
    gate = f"closed for {view.gate:.1f} s" if view.gate else "open"
    return format_cell(view.key), view.window, f"{view.used:g}", f"{view.left:g}", resets_in, gate
