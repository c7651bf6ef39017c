"""`nango mcp`: actions as tools of a language model."""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.client import Nango
    from nango_py.tools.toolbox import Toolbox

TOKEN_VARIABLE = "NANGO_MCP_TOKEN"  # noqa: S105 - the name of a variable
SHORTEST_TOKEN = 24
DEFAULT_PORT = 3004


@click.command()
@click.option("--user", required=True, metavar="USER", help="The user whose connections are used.")
@click.option(
    "--actions",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Actions that the model can find; repeatable.  [default: all]",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PATTERN",
    help="Actions that may change something; repeatable.  [default: none]",
)
@click.option(
    "--expose",
    multiple=True,
    metavar="PATTERN",
    help="Actions that are separate tools; repeatable.",
)
@click.option("--http", "is_http", is_flag=True, help=f"Serve HTTP for clients with ${TOKEN_VARIABLE}.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: the address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="With --http."
)
@click.option(
    "--public-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="With --http: a name of the server; repeatable.  [default: this machine]",
)
@pass_project
def mcp(
    project: Project,
    user: str,
    patterns: tuple[str, ...],
    allow: tuple[str, ...],
    expose: tuple[str, ...],
    is_http: bool,
    host: str,
    port: int,
    hosts: tuple[str, ...],
) -> None:
    """Serve actions to a language model by the Model Context Protocol. Requires the extra `mcp`.

    The model uses the connections of one user, and only reads unless --allow says more. Without --http,
    the client starts this command and uses its standard input and output.

    \b
    Example:
      nango mcp --user user-1
      nango mcp --user user-1 --expose 'klaviyo-today.*' --allow klaviyo-today.create-profile
      nango mcp --user user-1 --http
    """
    with project.open_for_calls() as nango:
        toolbox = _open_toolbox(nango, user, actions=patterns or ("*",), allow=allow, expose=expose)
        if not is_http:
            from nango_py.mcp.opening import serve_stdio

            serve_stdio(toolbox, nango.aclose)
            return
        _serve_http(nango, toolbox, host, port, hosts)


def _open_toolbox(nango: Nango, user: str, **options: Any) -> Toolbox:
    try:
        return nango.toolbox(user, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _serve_http(nango: Nango, toolbox: Toolbox, host: str, port: int, hosts: tuple[str, ...]) -> None:
    from nango_py.cli.serve import LOOPBACK, listen

    token = os.environ.get(TOKEN_VARIABLE, "")
    if len(token) < SHORTEST_TOKEN:
        raise click.UsageError(
            f"--http needs a token of at least {SHORTEST_TOKEN} characters in the environment variable "
            f"{TOKEN_VARIABLE}; make one with: openssl rand -hex 32"
        )
    if host not in LOOPBACK and not host.startswith("127.") and not hosts:
        raise click.UsageError(
            f"--host {host} accepts other machines; name the host that they use with --public-host, and put "
            "a proxy with TLS in front"
        )
    app = nango.mcp_app(_identifier(token, toolbox), hosts=hosts or LOOPBACK, path="/mcp")
    from nango_py.server.uvicorn_server import make_app_server

    listener = listen(host, port, "choose another --port")
    bound_host, bound_port = listener.getsockname()[:2]
    shown = f"[{bound_host}]" if ":" in bound_host else bound_host
    click.echo(f"tools of {toolbox.user_id} at http://{shown}:{bound_port}/mcp (Ctrl-C stops it)", err=True)
    make_app_server(app).run([listener])


def _identifier(token: str, toolbox: Toolbox) -> Callable[[str], Toolbox | None]:
    expected = token.encode("utf-8", "replace")

    def identify(given: str) -> Toolbox | None:
        return toolbox if hmac.compare_digest(given.encode("utf-8", "replace"), expected) else None

    return identify
