"""`nango connections`: who is connected. Credentials come in by a prompt, a file or a pipe only."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.arguments import json_object, json_option
from nango_py.cli.output import echo_columns, echo_error, echo_fields, echo_json
from nango_py.cli.project import Project, declared, pass_project
from nango_py.errors import ConnectionAlreadyExists, ConnectionNotFound, printable

if TYPE_CHECKING:
    from typing import BinaryIO

    from nango_py.client import Nango
    from nango_py.engine.events import Event

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def connections() -> None:
    """The stored connections: one user's credentials for one integration.

    \b
    Example:
      nango connections list --integration klaviyo-today
    """


@connections.command()
@click.argument("integration")
@click.argument("user")
@click.option(
    "--credentials-file",
    metavar="FILE",
    type=click.File("rb"),
    help="A file with the credentials as a JSON object; - reads standard input.",
)
@click.option(
    "--config", metavar="JSON", help="additional_config as a JSON object, or @FILE; not for secrets."
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace the credentials of a user who is connected already, and the settings if --config is given.",
)
@click.option(
    "--no-verify", is_flag=True, help="Store them without asking the API whether they work; nothing is sent."
)
@pass_project
def register(
    project: Project,
    integration: str,
    user: str,
    credentials_file: BinaryIO | None,
    config: str | None,
    replace: bool,
    no_verify: bool,
) -> None:
    """Store one user's credentials, encrypted, once the API has accepted them.

    They are asked for at a hidden prompt, or read from a JSON file or standard input. No option takes them,
    because other users of a machine can see the arguments of its processes. At the prompt the settings that
    the blueprint wants are asked for too, unless --config gives them.

    Before anything is stored the API is asked, where the blueprint says how. If it refuses them, or cannot be
    asked, nothing is stored and the exit code is 1.

    \b
    Example:
      nango connections register klaviyo-today user-1
      nango connections register klaviyo-today user-1 --credentials-file - < key.json
    """
    settings = json_option(config, "--config")
    with project.open() as nango:
        entry = declared(nango, integration)
        before = _stored(nango, integration, user)
        if before is not None and not replace:
            raise ConnectionAlreadyExists(integration, user)
        kept = {} if before is None else before["additional_config"]
        from nango_py.cli.prompts import asked_credentials, asked_settings

        if credentials_file:
            credentials = json_object(credentials_file.read(), "the credentials file")
        else:
            credentials = asked_credentials(entry)
        if settings is None:
            settings = kept if credentials_file else asked_settings(entry, kept)
        if not no_verify:
            _verify(nango, integration, user, credentials, settings)
        view = nango.register_connection(integration, user, credentials, settings, replace=replace)
    done = "registered" if before is None else "replaced"
    click.echo(f"{done} {integration}/{user} ({view['uuid']})")


@connections.command()
@click.argument("integration")
@click.argument("user")
@as_json_option
@pass_project
def test(project: Project, integration: str, user: str, as_json: bool) -> None:
    """Ask the API whether a connection's credentials work.

    Prints what it says: accepted, refused, missing_scope, unavailable, or not_declared where the blueprint
    names no call that would tell. The exit code is 0 for accepted and not_declared, else 1.

    \b
    Example:
      nango connections test klaviyo-today user-1
      nango connections test klaviyo-today user-1 --json
    """
    with project.calling() as nango:
        found = nango.executor(integration, user).verify()
    if as_json:
        told = {name: getattr(found, name) for name in ("outcome", "ok", "status", "message")}
        echo_json({"integration": integration, "user_id": user, **told})
    else:
        click.echo(f"{found.outcome}: {found.message}")
    if not found.ok:
        raise click.exceptions.Exit(1)


@connections.command("list")
@click.option("--integration", help="Only connections of this integration.")
@click.option("--user", help="Only connections of this user.")
@as_json_option
@pass_project
def list_(project: Project, integration: str | None, user: str | None, as_json: bool) -> None:
    """List connections, without their credentials.

    \b
    Example:
      nango connections list --integration klaviyo-today
      nango connections list --user user-1 --json
    """
    with project.open() as nango:
        found = _found(nango, integration, user)
    if as_json:
        echo_json(found)
        return
    rows = [
        (view["integration"], view["user_id"], view["date_created"], view["last_modified"]) for view in found
    ]
    echo_columns(("integration", "user", "created", "modified"), rows, "no connections")


@connections.command()
@click.argument("integration")
@click.argument("user")
@as_json_option
@pass_project
def show(project: Project, integration: str, user: str, as_json: bool) -> None:
    """Show one connection, without its credentials.

    \b
    Example:
      nango connections show klaviyo-today user-1
    """
    with project.open() as nango:
        view = nango.connection(integration, user)
    if as_json:
        echo_json(view)
        return
    settings = view["additional_config"]
    echo_fields({**view, "additional_config": json.dumps(settings, ensure_ascii=False) if settings else ""})


@connections.command()
@click.argument("integration")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-revoke", is_flag=True, help="Leave the tokens valid at the provider; nothing is sent.")
@pass_project
def delete(project: Project, integration: str, user: str, yes: bool, no_revoke: bool) -> None:
    """Delete a connection and its credentials.

    Where the blueprint says how, the provider is asked afterwards to withdraw the tokens. It may take ten
    seconds; what it says changes nothing.

    \b
    Example:
      nango connections delete klaviyo-today user-1
    """
    with project.open() as nango:
        nango.connection(integration, user)
        if not yes and not click.confirm(f"Delete the connection {integration}/{user}?", err=True):
            click.echo("nothing was deleted", err=True)
            raise click.exceptions.Exit(1)
        nango.on("not_revoked", _warn)
        nango.delete_connection(integration, user, revoke=not no_revoke)
    click.echo(f"deleted {integration}/{user}")


def _warn(event: Event) -> None:
    who = f"{event.integration}/{printable(event.user_id)}"
    click.echo(f"warning: the provider did not withdraw the tokens of {who}: {event.reason}", err=True)


def _stored(nango: Nango, integration: str, user: str) -> dict[str, Any] | None:
    """The connection that a user has already, if any."""
    try:
        return nango.connection(integration, user)
    except ConnectionNotFound:
        return None


def _found(nango: Nango, integration: str | None, user: str | None) -> list[dict[str, Any]]:
    if integration is not None:
        found = nango.connections_for_integration(integration)
    elif user is not None:
        return nango.connections_for_user(user)
    else:
        names = sorted(nango.configuration.integrations)
        found = [view for name in names for view in nango.connections_for_integration(name)]
    return [view for view in found if user is None or view["user_id"] == user]


def _verify(
    nango: Nango, integration: str, user: str, credentials: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Go on only where nothing speaks against the credentials."""
    from nango_py.engine.verification import UNAVAILABLE

    found = nango.verify_credentials(integration, user, credentials, settings)
    if found.ok:
        return
    hint = "; --no-verify stores them all the same" if found.outcome == UNAVAILABLE else ""
    echo_error(f"{found.message} Nothing was stored{hint}")
    raise click.exceptions.Exit(1)
