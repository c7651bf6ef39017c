"""The `nango` command: its global options and its commands."""

from __future__ import annotations

from pathlib import Path

import click

from nango_py._version import __version__
from nango_py.cli.actions import actions
from nango_py.cli.blueprints import blueprints
from nango_py.cli.call import call, plan
from nango_py.cli.check import check
from nango_py.cli.connect import choose, connect, keep_alive
from nango_py.cli.connections import connections
from nango_py.cli.demo.command import demo
from nango_py.cli.init import init
from nango_py.cli.integrations import integrations
from nango_py.cli.jobs import jobs, worker
from nango_py.cli.keys import keys
from nango_py.cli.limits import limits
from nango_py.cli.mcp import mcp
from nango_py.cli.project import Project
from nango_py.cli.sandbox import sandbox
from nango_py.cli.schema import schema
from nango_py.cli.serve import connect_session, serve
from nango_py.cli.transfer import export, import_


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nango")
@click.option(
    "--integrations",
    "integrations_file",
    type=click.Path(path_type=Path),
    default=Path("integrations.yaml"),
    show_default=True,
    help="The file with your integrations.",
)
@click.option(
    "--blueprints",
    "blueprints_folder",
    type=click.Path(path_type=Path),
    help="The folder of your own blueprints.  [default: blueprints/ next to the integrations file]",
)
@click.option(
    "--database",
    metavar="URL",
    help="Database of connections: sqlite:///path or postgresql://...  "
    "[default: config.database_url, or .nango/nango.db]",
)
@click.option("-v", "--verbose", is_flag=True, help="Log every attempt of a call, with credentials masked.")
@click.pass_context
def nango(
    context: click.Context,
    integrations_file: Path,
    blueprints_folder: Path | None,
    database: str | None,
    verbose: bool,
) -> None:
    """Authenticated, paced and retried API calls for your users' accounts.

    Exit codes: 0 success, 1 a call failed, 2 invalid arguments or files, 130 Ctrl-C.

    \b
    Example:
      nango init
      nango connections register klaviyo-today user-1
      nango call klaviyo-today user-1 GET metrics
    """
    from nango_py.cli.logs import show_logs

    context.with_resource(show_logs(verbose=verbose))
    context.obj = Project(integrations_file, blueprints_folder, database)


for command in (
    init, check, demo, sandbox, plan, call, blueprints, integrations, connections, limits, keys, schema,
    serve, connect_session, actions, mcp, worker, jobs,
):  # fmt: skip
    nango.add_command(command)
for command in (choose, connect, keep_alive, export, import_):
    connections.add_command(command)
