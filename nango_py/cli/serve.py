"""`nango serve`: the connect server; `nango connect-session`: a link to it for one user."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from nango_py.cli.logs import show_connect_logs
from nango_py.cli.output import echo_json, json_option
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from nango_py.client import Nango
    from nango_py.connections.connect_sessions import ConnectSession

DEFAULT_PORT = 3003
OTHER_PORT = "change the port in config.oauth_server_root_url and in the redirect URLs at the providers"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

integrations_option = click.option(
    "--integration",
    "names",
    multiple=True,
    metavar="NAME",
    help="An integration to offer; repeatable.  [default: all]",
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"The port.  [default: the port of config.oauth_server_root_url, or {DEFAULT_PORT}]",
)
@click.option("--user", metavar="USER", help="Print a connect link for this user, for testing.")
@integrations_option
@pass_project
def serve(project: Project, host: str, port: int | None, user: str | None, names: tuple[str, ...]) -> None:
    """Serve the connect page, where users connect their accounts, until Ctrl-C.

    Logs one line per request and per connection attempt, and reloads changed files. On SIGTERM, requests
    in flight are finished first. Requires the extra `server`.

    \b
    Example:
      nango serve --user user-1
      nango serve --host 0.0.0.0 --port 8080
    """
    with project.open(reload=True) as nango:
        root = nango.configuration.config.oauth_server_root_url
        _check_host(host, root)
        run = _load_server(nango)
        listener = listen(host, _port_of(root) if port is None else port, OTHER_PORT)
        nango.finish_renewals_on_sigterm()
        _echo_introduction(nango, listener, user, names)
        with show_connect_logs():
            run([listener])


@click.command("connect-session")
@click.argument("user")
@integrations_option
@click.option("--lifetime", type=int, default=1800, show_default=True, help="Seconds until the link expires.")
@click.option("--return-url", metavar="URL", default="", help="A page to link back to.")
@click.option(
    "--language",
    type=click.Choice(["en", "de", "fr"]),
    help="Of the page.  [default: the browser's]",
)
@click.option(
    "--choice",
    "chosen",
    type=(str, str, str),
    multiple=True,
    metavar="INTEGRATION NAME VALUE",
    help="What to choose in place of the user; repeatable.",
)
@json_option
@pass_project
def connect_session(
    project: Project,
    user: str,
    names: tuple[str, ...],
    lifetime: int,
    return_url: str,
    language: str | None,
    chosen: tuple[tuple[str, str, str], ...],
    as_json: bool,
) -> None:
    """Print a link where one user can connect accounts.

    Anyone with the link can connect accounts for this user.

    \b
    Example:
      nango connect-session user-1 --integration klaviyo-today --lifetime 3600
    """
    with project.open() as nango:
        choices: dict[str, dict[str, str]] = {}
        for integration, name, value in chosen:
            choices.setdefault(integration, {})[name] = value
        page = {"return_url": return_url, "language": language or "", "choices": choices}
        session = _create_session(nango, user, names, lifetime, **page)
    if as_json:
        fields = ("url", "user_id", "integrations", "expires_at")
        echo_json({name: getattr(session, name) for name in fields})
        return
    click.echo(session.url)


def _create_session(
    nango: Nango, user: str, names: tuple[str, ...], seconds: float, **page: Any
) -> ConnectSession:
    try:
        return nango.connect_session(user, names or None, lifetime_seconds=seconds, **page)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _check_host(host: str, root: str) -> None:
    """Refuse to listen for other machines while the root URL is an address of this machine only."""
    is_local = (urlsplit(root).hostname or "") in LOOPBACK
    if is_local and host not in LOOPBACK and not host.startswith("127."):
        raise click.UsageError(
            f"--host {host} accepts other machines, but config.oauth_server_root_url is {root}; "
            "set it to the https:// URL that browsers use"
        )


def _port_of(root: str) -> int:
    """The port of a root URL on this machine; the default port if the URL is a proxy's."""
    parts = urlsplit(root)
    return parts.port or DEFAULT_PORT if parts.hostname in LOOPBACK else DEFAULT_PORT


def _load_server(nango: Nango) -> Callable[[list[socket.socket]], None]:
    try:
        from nango_py.server.uvicorn_server import make_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "uvicorn", "anyio", "h11"}:
            raise
    else:
        return make_server(nango.accounts).run
    raise click.UsageError("nango serve requires Starlette and uvicorn: pip install 'nango-py[server]'")


def listen(host: str, port: int, otherwise: str) -> socket.socket:
    """A listening socket; `otherwise` is what to do if the port is in use."""
    from nango_py.server.uvicorn_server import open_listener

    try:
        return open_listener(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno == errno.EADDRINUSE:
            reason += f". Stop the other process (another nango serve?), or {otherwise}"
    raise click.UsageError(f"cannot listen on {host} port {port}: {reason}")


def _echo_introduction(
    nango: Nango, listener: socket.socket, user: str | None, names: tuple[str, ...]
) -> None:
    """Print the address of the server, and a connect link or the command for one."""
    host, port = listener.getsockname()[:2]
    root = nango.configuration.config.oauth_server_root_url.rstrip("/")
    click.echo(f"connect server on {host} port {port} (Ctrl-C stops it); browsers reach it at {root}")
    if (urlsplit(root).hostname or "") in LOOPBACK and (urlsplit(root).port or 80) != port:
        click.echo(f"warning: logins are redirected to {root}, which is another port", err=True)
    if user is None:
        click.echo("create a link for a user: nango connect-session USER")
        return
    session = _create_session(nango, user, names, 1800)
    click.echo(f"for {user}, for 30 minutes: {session.url}")
