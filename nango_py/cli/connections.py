"""`nango connections`: who is connected. Credentials come in by a prompt, a file or a pipe only."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.output import echo_columns, echo_fields, echo_json
from nango_py.cli.project import Project, declared, pass_project
from nango_py.cli.reading import json_object, json_option
from nango_py.errors import ConnectionNotFound
from nango_py.registry import AUTH_MODES

if TYPE_CHECKING:
    from typing import BinaryIO

    from nango_py.auth.base import AuthMode
    from nango_py.client import Nango

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def connections() -> None:
    """The stored connections: one user's credentials for one integration.

    \b
    Example:
      nango connections list --integration klaviyo
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
@pass_project
def register(
    project: Project,
    integration: str,
    user: str,
    credentials_file: BinaryIO | None,
    config: str | None,
    replace: bool,
) -> None:
    """Store one user's credentials, encrypted.

    They are asked for at a hidden prompt, or read from a JSON file or standard input. No option takes them,
    because other users of a machine can see the arguments of its processes.

    \b
    Example:
      nango connections register klaviyo user-1
      nango connections register klaviyo user-1 --credentials-file - < key.json
    """
    settings = json_option(config, "--config")
    with project.open() as nango:
        mode = AUTH_MODES.get(declared(nango, integration).auth_mode)()
        credentials = _read(credentials_file) if credentials_file else _ask(mode)
        before = _stored(nango, integration, user) if replace else None
        if before is not None and settings is None:
            settings = before["additional_config"]
        view = nango.register_connection(integration, user, credentials, settings, replace=replace)
    done = "registered" if before is None else "replaced"
    click.echo(f"{done} {integration}/{user} ({view['uuid']})")


@connections.command("list")
@click.option("--integration", help="Only connections of this integration.")
@click.option("--user", help="Only connections of this user.")
@as_json_option
@pass_project
def list_(project: Project, integration: str | None, user: str | None, as_json: bool) -> None:
    """List connections, without their credentials.

    \b
    Example:
      nango connections list --integration klaviyo
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
      nango connections show klaviyo user-1
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
@pass_project
def delete(project: Project, integration: str, user: str, yes: bool) -> None:
    """Delete a connection and its credentials.

    \b
    Example:
      nango connections delete klaviyo user-1
    """
    with project.open() as nango:
        nango.connection(integration, user)
        if not yes and not click.confirm(f"Delete the connection {integration}/{user}?", err=True):
            click.echo("nothing was deleted", err=True)
            raise click.exceptions.Exit(1)
        nango.delete_connection(integration, user)
    click.echo(f"deleted {integration}/{user}")


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


def _read(file: BinaryIO) -> dict[str, Any]:
    """The credentials of a JSON file; an error names its place and nothing of it."""
    return json_object(file.read(), "the credentials file")


def _ask(mode: AuthMode) -> dict[str, Any]:
    """The credentials, asked for field by field; what would be a secret is not echoed."""
    properties: dict[str, dict[str, Any]] = mode.credentials_schema["properties"]
    required = mode.credentials_schema.get("required", ())
    given: dict[str, Any] = {}
    for field, form in properties.items():
        kinds = form["type"] if isinstance(form["type"], list) else [form["type"]]
        if field not in required and ("title" not in form or "string" not in kinds):
            continue
        may_be_empty = field not in required or not form.get("minLength")
        value = _prompt(
            form.get("title", field) + ("" if field in required else " (Enter for none)"),
            hidden="number" not in kinds and (field not in mode.variables or field in mode.secret_variables),
            may_be_empty=may_be_empty,
        )
        if value or field in required:
            given[field] = value
    return given


def _prompt(text: str, *, hidden: bool, may_be_empty: bool) -> str:
    try:
        answer: str = click.prompt(
            text, hide_input=hidden, err=True, show_default=False, default="" if may_be_empty else None
        )
    except click.Abort:
        if sys.stdin.isatty():
            raise
    else:
        return answer
    raise click.UsageError(
        "nothing was entered; without a terminal use --credentials-file FILE, or - for a pipe"
    )
