"""`nango connections connect`: log a user in with a browser on this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from nango_py.cli.arguments import json_option
from nango_py.cli.output import echo_error
from nango_py.cli.project import Project, declared, pass_project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from nango_py.client import Nango
    from nango_py.config.model import Integration
    from nango_py.connect.outcome import LoginOutcome


@click.command()
@click.argument("integration")
@click.argument("user")
@click.option(
    "--config",
    metavar="JSON",
    help="What the blueprint asks for before the login, as a JSON object or @FILE; asked for by default.",
)
@click.option("--no-browser", is_flag=True, help="Print the URL of the login page, and open nothing.")
@click.option(
    "--redirect-url",
    metavar="URL",
    default="",
    help="Where the login comes back to, as it is registered at the provider: an http:// address of this "
    "machine.  [default: the callback of config.oauth_server_root_url]",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 600),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the login.",
)
@pass_project
@click.pass_context
def connect(
    context: click.Context,
    project: Project,
    integration: str,
    user: str,
    config: str | None,
    no_browser: bool,
    redirect_url: str,
    timeout: int,
) -> None:
    """Connect one user's account by a login in this machine's browser.

    Opens the provider's login page, or prints its URL, and waits until the browser comes back to a port of
    this machine; no server has to run. A user who is connected already gets new tokens. Integrations without
    a login page are asked for their credentials, as `nango connections register` does.

    \b
    Example:
      nango connections connect slack user-1
      nango connections connect slack user-1 --no-browser --redirect-url http://127.0.0.1:8765/oauth/callback
    """
    settings = json_option(config, "--config")
    with project.calling() as nango:
        from nango_py.connect.oauth import logs_in_by_browser

        entry = declared(nango, integration)
        by_browser = logs_in_by_browser(entry)
        if by_browser:
            settings = _asked(entry, nango, user) if settings is None else settings
            reasons: list[str] = []
            nango.on("connect_failed", lambda event: reasons.append(event.reason))
            outcome = _logged_in(
                nango, integration, user, settings, redirect_url, timeout, _shower(no_browser)
            )
    if not by_browser:
        from nango_py.cli.connections import register

        context.invoke(register, integration=integration, user=user, config=config, replace=True)
        return
    _say(outcome, integration, user, timeout, reasons)


def _asked(entry: Integration, nango: Nango, user: str) -> dict[str, Any]:
    """The settings that the login needs; what the user has already is offered."""
    from nango_py.cli.prompts import asked_settings
    from nango_py.errors import ConnectionNotFound

    try:
        stored = nango.connection(entry.name, user)["additional_config"]
    except ConnectionNotFound:
        stored = {}
    return asked_settings(entry, stored, by_login=True)


def _logged_in(
    nango: Nango,
    integration: str,
    user: str,
    settings: Mapping[str, Any],
    redirect_url: str,
    timeout: int,
    show: Callable[[str], None],
) -> LoginOutcome | None:
    from nango_py.connect.local_browser import log_in
    from nango_py.errors import ConnectFailed

    try:
        return log_in(
            nango.accounts, integration, user,
            show=show, additional_config=settings, redirect_url=redirect_url, seconds=timeout,
        )  # fmt: skip
    except ConnectFailed as error:
        failed, cause = error, error.__cause__
    if cause is not None:
        raise cause  # whoever sits here is the developer
    echo_error(f"{integration}/{user}: {failed}")
    raise click.exceptions.Exit(1)


def _say(
    outcome: LoginOutcome | None, integration: str, user: str, timeout: int, reasons: Sequence[str]
) -> None:
    """How it ended; `reasons` are what the library told developers meanwhile."""
    if outcome is None:
        echo_error(f"{integration}/{user}: nobody logged in within {timeout} seconds; nothing was stored")
        raise click.exceptions.Exit(1)
    if not outcome.ok:
        is_clear = outcome.code == "access_denied" or not reasons
        why = outcome.code if is_clear else reasons[-1]
        echo_error(f"{integration}/{user}: {outcome.message} ({why}); nothing was stored")
        raise click.exceptions.Exit(1)
    if outcome.missing_scopes:
        click.echo(f"warning: not granted: {' '.join(outcome.missing_scopes)}", err=True)
    click.echo(f"connected {integration}/{user}")


def _shower(no_browser: bool) -> Callable[[str], None]:
    """What is done with the URL of the login page."""

    def show(url: str) -> None:
        if no_browser:
            click.echo(url)
            sys.stdout.flush()
            return
        opened = _open(url)
        told = "the login page is open in your browser; if not, it is at" if opened else "log in at"
        click.echo(f"{told} {url}", err=True)

    return show


def _open(url: str) -> bool:
    """Whether a browser took the URL. One that runs in this terminal would hide what we say."""
    is_elsewhere = sys.platform in {"win32", "darwin"} or os.environ.get("BROWSER")
    if not is_elsewhere and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
