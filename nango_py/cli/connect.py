"""`nango connections connect`: log a user in with the browser of this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.arguments import parse_json_option
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import echo_error
from nango_py.cli.project import Project, find_integration, pass_project
from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nango_py.client import Nango
    from nango_py.config.model import Integration
    from nango_py.connect.outcome import LoginOutcome
    from nango_py.protocols.after_login import Choice


choice_option = click.option(
    "--choice",
    "chosen",
    type=(str, str),
    multiple=True,
    metavar="NAME VALUE",
    help="Which of several accounts to choose; repeatable.",
)


@click.command()
@click.argument("integration")
@click.argument("user")
@click.option(
    "--config",
    metavar="JSON",
    help="The settings of the login: a JSON object or @FILE.  [default: prompt for them]",
)
@click.option("--no-browser", is_flag=True, help="Print the URL of the login page instead of opening it.")
@click.option(
    "--redirect-url",
    metavar="URL",
    default="",
    help="The registered redirect URL: an http:// address of this machine.  "
    "[default: the callback of config.oauth_server_root_url]",
)
@click.option(
    "--timeout",
    type=click.IntRange(1, 600),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Time to wait for the login.",
)
@click.option(
    "--device",
    "is_on_device",
    is_flag=True,
    help="Print a code to enter on another device, for machines without a browser.",
)
@choice_option
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
    is_on_device: bool,
    chosen: tuple[tuple[str, str], ...],
) -> None:
    """Connect a user's account by a login in this machine's browser.

    Opens the provider's login page and waits for the redirect to a port of this machine; no server is
    needed. Tokens of a connected user are replaced. If the login gives access to several accounts, it asks
    which one to connect. For integrations without a login page it prompts for credentials, like
    `nango connections register`.

    \b
    Example:
      nango connections connect slack user-1
      nango connections connect slack user-1 --no-browser --redirect-url http://127.0.0.1:8765/oauth/callback
    """
    settings: dict[str, Any] | None = parse_json_option(config, "--config")
    with project.open_for_calls() as nango:
        from nango_py.connect.login_kinds import uses_browser_login

        entry = find_integration(nango, integration)
        has_login_page = uses_browser_login(entry)
        if has_login_page:
            settings = _prompt_for_settings(entry, nango, user) if settings is None else settings
            reasons: list[str] = []
            nango.on("connect_failed", lambda event: reasons.append(event.reason))
            ask = prompt_for_choice if sys.stdin.isatty() else None
            options: dict[str, Any] = {"additional_config": settings, "choices": dict(chosen), "ask": ask}
            if is_on_device:
                outcome = _log_in_elsewhere(nango, integration, user, **options)
            else:
                options |= {"redirect_url": redirect_url, "seconds": timeout}
                show = click.echo if no_browser else _open_or_print
                outcome = _log_in(nango, integration, user, show=show, **options)
    if not has_login_page:
        from nango_py.cli.connections import register

        context.invoke(register, integration=integration, user=user, config=config, replace=True)
        return
    _report(outcome, f"{integration}/{user}", timeout, reasons)


@click.command()
@click.argument("integration")
@click.argument("user")
@choice_option
@pass_project
def choose(project: Project, integration: str, user: str, chosen: tuple[tuple[str, str], ...]) -> None:
    """Choose the account of a connection with the status needs_choice.

    Without --choice it lists the accounts and asks.

    \b
    Example:
      nango connections choose jira user-1
      nango connections choose jira user-1 --choice cloud_id 11223344-a1b2-3b33-c444-def123456789
    """
    from nango_py.connect.after_login import choose as choose_account
    from nango_py.connect.after_login import find_choice
    from nango_py.errors import ConnectFailed

    with project.open_for_calls() as nango:
        find_integration(nango, integration)
        choices = dict(chosen)
        try:
            while not chosen and (choice := find_choice(nango.accounts, integration, user, choices)):
                choices[choice.name] = prompt_for_choice(choice)
            view = choose_account(nango.accounts, integration, user, choices)
        except ConnectFailed as error:
            echo_error(f"{integration}/{user}: {error}")
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        else:
            click.echo(f"{integration}/{user} is {view['status']}")
            return
    raise click.exceptions.Exit(FAILED)


@click.command("keep-alive")
@click.option("--integration", help="Only connections of this integration.")
@click.option(
    "--days",
    type=click.FloatRange(min=0),
    default=14,
    show_default=True,
    help="Refresh logins that would end in less.",
)
@pass_project
def keep_alive(project: Project, integration: str | None, days: float) -> None:
    """Refresh the tokens of connections that nothing has used for long.

    Run it every day. The exit code is 1 if a token could not be refreshed.

    \b
    Example:
      nango connections keep-alive
      nango connections keep-alive --integration xero --days 30
    """
    failures = 0
    with project.open_for_calls() as nango:
        for kept in nango.logins.keep_alive(integration, days=days):
            click.echo(f"{kept.outcome} {kept.integration}/{printable(kept.user_id)}")
            if kept.message:
                echo_error(kept.message)
                failures += 1
    if failures:
        raise click.exceptions.Exit(FAILED)


def prompt_for_choice(choice: Choice) -> str:
    """The value of the candidate that the user chooses from a numbered list."""
    for number, candidate in enumerate(choice.candidates, 1):
        click.echo(f"{number:4}  {candidate.label}", err=True)
    values = [candidate.value for candidate in choice.candidates]
    default = values.index(choice.default) + 1 if choice.default in values else None
    number = click.prompt(
        f"{choice.title} (number)", type=click.IntRange(1, len(values)), default=default, err=True
    )
    return values[number - 1]


def _prompt_for_settings(entry: Integration, nango: Nango, user: str) -> dict[str, Any]:
    """Prompt for the settings that the login needs, with the user's stored ones as defaults."""
    from nango_py.cli.prompts import prompt_for_settings
    from nango_py.errors import ConnectionNotFound

    try:
        stored = nango.connection(entry.name, user)["additional_config"]
    except ConnectionNotFound:
        stored = {}
    return prompt_for_settings(entry, stored, is_login=True)


def _log_in_elsewhere(
    nango: Nango, integration: str, user: str, *, ask: Callable[[Choice], str] | None, **options: Any
) -> LoginOutcome | None:
    from nango_py.errors import ConnectFailed

    try:
        login = nango.logins.begin_device(integration, user, **options)
    except ConnectFailed as error:
        echo_error(f"{integration}/{user}: {error}")
    else:
        click.echo(f"open {login.verification_uri} and enter the code {login.user_code}", err=True)
        return login.wait(ask)
    raise click.exceptions.Exit(FAILED)


def _log_in(nango: Nango, integration: str, user: str, **options: Any) -> LoginOutcome | None:
    from nango_py.connect.local_browser import log_in
    from nango_py.errors import ConnectFailed

    try:
        return log_in(nango.accounts, integration, user, **options)
    except ConnectFailed as error:
        failed, cause = error, error.__cause__
    if cause is not None:
        raise cause  # the developer's own configuration or network, so it is shown in full
    echo_error(f"{integration}/{user}: {failed}")
    raise click.exceptions.Exit(FAILED)


def _report(outcome: LoginOutcome | None, user: str, timeout: int, reasons: Sequence[str]) -> None:
    """Print the outcome; `reasons` are the developer messages of failed logins."""
    if outcome is None:
        echo_error(f"{user}: no login within {timeout} seconds; nothing was stored")
    elif not outcome.ok:
        is_denied = outcome.code == "access_denied" or not reasons
        reason = outcome.code if is_denied else reasons[-1]
        echo_error(f"{user}: {outcome.message} ({reason}); nothing was stored")
    else:
        if outcome.missing_scopes:
            click.echo(f"warning: scopes not granted: {' '.join(outcome.missing_scopes)}", err=True)
        click.echo(f"connected {user}")
        return
    raise click.exceptions.Exit(FAILED)


def _open_or_print(url: str) -> None:
    """Open the login page in a browser, and print its URL in case that fails."""
    is_open = _open(url)
    prefix = "the login page is open in your browser; if not, go to" if is_open else "log in at"
    click.echo(f"{prefix} {url}", err=True)


def _open(url: str) -> bool:
    """Open the URL in a graphical browser, not in one that would take over this terminal."""
    is_graphical = sys.platform in {"win32", "darwin"} or os.environ.get("BROWSER")
    if not is_graphical and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
