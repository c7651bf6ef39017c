"""`nango serve`: the connect server; `nango connect-session`: a link to it for one user."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from nango_py.cli.logs import shown_connects
from nango_py.cli.output import echo_json
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    import socket

    from nango_py.client import Nango
    from nango_py.connections.connect_sessions import ConnectSession

DEFAULT_PORT = 3003
OTHER_PORT = "name another port in config.oauth_server_root_url and at the providers"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})

integrations_option = click.option(
    "--integration",
    "names",
    multiple=True,
    metavar="NAME",
    help="What the user may connect; may be repeated.  [default: everything]",
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"The port.  [default: that of config.oauth_server_root_url, else {DEFAULT_PORT}]",
)
@click.option("--user", metavar="USER", help="Print a connect link for this user, to try things out.")
@integrations_option
@pass_project
def serve(project: Project, host: str, port: int | None, user: str | None, names: tuple[str, ...]) -> None:
    """Serve the page where users connect their accounts, until Ctrl-C.

    One line for each request (method, path, status, milliseconds) and for how each try to connect ended.
    Files that change are read again. SIGTERM lets what is under way finish. Needs the extra `server`.

    \b
    Example:
      nango serve --user user-1
      nango serve --host 0.0.0.0 --port 8080
    """
    with project.open(reload=True) as nango:
        root = nango.configuration.config.oauth_server_root_url
        _check_host(host, root)
        server = _server(nango)
        listener = _listener(host, _port_of(root) if port is None else port)
        nango.finish_renewals_on_sigterm()
        _introduce(nango, listener, user, names)
        with shown_connects():
            server.run(sockets=[listener])


@click.command("connect-session")
@click.argument("user")
@integrations_option
@click.option(
    "--lifetime", type=int, default=1800, show_default=True, help="For how many seconds the link works."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_project
def connect_session(
    project: Project, user: str, names: tuple[str, ...], lifetime: int, as_json: bool
) -> None:
    """Print a link with which one user can connect accounts.

    Whoever opens it connects accounts for that user: send it to nobody else.

    \b
    Example:
      nango connect-session user-1 --integration klaviyo-today --lifetime 3600
    """
    with project.open() as nango:
        session = _session(nango, user, names, lifetime)
    if as_json:
        said = {"url": session.url, "user_id": session.user_id, "integrations": session.integrations}
        echo_json({**said, "expires_at": session.expires_at})
        return
    click.echo(session.url)


def _session(nango: Nango, user: str, names: tuple[str, ...], seconds: float) -> ConnectSession:
    try:
        return nango.connect_session(user, names or None, lifetime_seconds=seconds)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _check_host(host: str, root: str) -> None:
    """Refuse to be reached by other machines under an address that only this one has."""
    is_local = (urlsplit(root).hostname or "") in LOOPBACK
    if is_local and host not in LOOPBACK and not host.startswith("127."):
        raise click.UsageError(
            f"--host {host} is for other machines, but config.oauth_server_root_url is {root}; "
            "set it to the https:// address that browsers use"
        )


def _port_of(root: str) -> int:
    """The port of a root URL on this machine; behind a proxy it says nothing of ours."""
    parts = urlsplit(root)
    return parts.port or DEFAULT_PORT if parts.hostname in LOOPBACK else DEFAULT_PORT


def _server(nango: Nango) -> Any:
    try:
        from nango_py.server.uvicorn_server import make_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"starlette", "uvicorn", "anyio", "h11"}:
            raise
    else:
        return make_server(nango.accounts)
    raise click.UsageError("nango serve needs Starlette and uvicorn: pip install 'nango-py[server]'")


def _listener(host: str, port: int) -> socket.socket:
    from nango_py.server.uvicorn_server import listening

    try:
        return listening(host, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno == errno.EADDRINUSE:
            why += f". Stop what listens there (another nango serve?), or {OTHER_PORT}"
    raise click.UsageError(f"cannot listen on {host} port {port}: {why}")


def _introduce(nango: Nango, listener: socket.socket, user: str | None, names: tuple[str, ...]) -> None:
    """Where the server is, and how somebody gets to its page."""
    host, port = listener.getsockname()[:2]
    root = nango.configuration.config.oauth_server_root_url.rstrip("/")
    click.echo(f"connect server on {host} port {port} (Ctrl-C stops it); browsers reach it at {root}")
    if (urlsplit(root).hostname or "") in LOOPBACK and (urlsplit(root).port or 80) != port:
        click.echo(f"warning: logins come back to {root}, which is another port", err=True)
    if user is None:
        click.echo("a link for a user: nango connect-session USER")
        return
    session = _session(nango, user, names, 1800)
    click.echo(f"for {user}, for 30 minutes: {session.url}")
