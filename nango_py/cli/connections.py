"""`nango connections`: stored connections. Credentials come from a prompt, a file or a pipe only."""

from __future__ import annotations

import json
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.arguments import parse_json_object, parse_json_option
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import echo_columns, echo_error, echo_fields, echo_json, echo_json_list, json_option
from nango_py.cli.project import Project, find_integration, pass_project
from nango_py.connections.connection import STATUSES
from nango_py.errors import ConnectionAlreadyExists, ConnectionNotFound, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from nango_py.client import Nango
    from nango_py.engine.events import Event


def _parse_after(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, str] | None:
    if value is None:
        return None
    integration, slash, user = value.partition("/")
    if not slash:
        raise click.BadParameter("expected INTEGRATION/USER, such as klaviyo-today/user-1")
    return integration, user


@click.group()
def connections() -> None:
    """The stored connections: each holds one user's credentials for one integration.

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
    help="The credentials as a JSON object; - reads standard input.",
)
@click.option(
    "--config", metavar="JSON", help="additional_config as a JSON object or @FILE. Not for secrets."
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace the credentials of a connected user, and the settings too if --config is given.",
)
@click.option("--no-verify", is_flag=True, help="Store the credentials unverified; nothing is sent.")
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
    """Verify one user's credentials with the API and store them, encrypted.

    The credentials, and the blueprint's settings, come from a prompt, a file or standard input, never
    from an option, which other users of the machine could see.

    They are verified if the blueprint declares how. If the API rejects them or is unreachable, nothing is
    stored and the exit code is 1.

    \b
    Example:
      nango connections register klaviyo-today user-1
      nango connections register klaviyo-today user-1 --credentials-file - < key.json
    """
    settings: dict[str, Any] | None = parse_json_option(config, "--config")
    with project.open() as nango:
        entry = find_integration(nango, integration)
        stored = _stored_settings(nango, integration, user)
        if stored is not None and not replace:
            raise ConnectionAlreadyExists(integration, user)
        from nango_py.cli.prompts import prompt_for_credentials, prompt_for_settings

        credentials = (
            parse_json_object(credentials_file.read(), "the credentials file")
            if credentials_file
            else prompt_for_credentials(entry)
        )
        if settings is None:
            settings = (stored or {}) if credentials_file else prompt_for_settings(entry, stored or {})
        if not no_verify:
            _verify(nango, integration, user, credentials, settings)
        view = nango.register_connection(integration, user, credentials, settings, replace=replace)
    verb = "registered" if stored is None else "replaced"
    click.echo(f"{verb} {integration}/{user} ({view['uuid']})")


@connections.command()
@click.argument("integration")
@click.argument("user")
@json_option
@pass_project
def test(project: Project, integration: str, user: str, as_json: bool) -> None:
    """Verify a connection's credentials with the API.

    The outcome is accepted, refused, missing_scope, wrong_settings, unavailable or not_declared. The exit
    code is 0 for accepted and not_declared, else 1.

    \b
    Example:
      nango connections test klaviyo-today user-1
      nango connections test klaviyo-today user-1 --json
    """
    with project.open_for_calls() as nango:
        verification = nango.executor(integration, user).verify()
    if as_json:
        fields = {name: getattr(verification, name) for name in ("outcome", "ok", "status", "message")}
        echo_json({"integration": integration, "user_id": user, **fields})
    else:
        click.echo(f"{verification.outcome}: {verification.message}")
    if not verification.ok:
        raise click.exceptions.Exit(FAILED)


@connections.command("list")
@click.option("--integration", help="Only connections of this integration.")
@click.option("--user", help="Only connections of this user.")
@click.option("--status", type=click.Choice(STATUSES), help="Only connections with this status.")
@click.option("--limit", type=click.IntRange(min=1), help="The number of connections.")
@click.option(
    "--after",
    metavar="INTEGRATION/USER",
    callback=_parse_after,
    help="Only connections after this one, for the next page.",
)
@json_option
@pass_project
def list_(
    project: Project,
    integration: str | None,
    user: str | None,
    status: str | None,
    limit: int | None,
    after: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """List connections by integration and user, without credentials; times are in UTC.

    The status is active, needs_reauth if the user must connect again, or needs_choice if an account has
    to be chosen (`nango connections choose`).

    \b
    Example:
      nango connections list --integration klaviyo-today
      nango connections list --status needs_reauth
      nango connections list --user user-1 --json
      nango connections list --limit 100 --after klaviyo-today/user-1
    """
    with project.open() as nango:
        found = (view for view in _find(nango, integration, user, after) if status in {None, view["status"]})
        views = islice(found, limit)
        if as_json:
            echo_json_list(views)
            return
        names = ("integration", "user_id", "status", "date_created", "last_modified")
        rows = ([view[name] for name in names] for view in views)
        echo_columns(("integration", "user", "status", "created", "modified"), rows, "no connections")


@connections.command()
@click.argument("integration")
@click.argument("user")
@json_option
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
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--no-revoke", is_flag=True, help="Do not revoke the tokens; nothing is sent.")
@pass_project
def delete(project: Project, integration: str, user: str, yes: bool, no_revoke: bool) -> None:
    """Delete a connection and its credentials.

    Then revokes the tokens if the blueprint declares how, which may take ten seconds. The connection stays
    deleted if that fails.

    \b
    Example:
      nango connections delete klaviyo-today user-1
    """
    with project.open() as nango:
        nango.connection(integration, user)
        if not yes and not click.confirm(f"Delete the connection {integration}/{user}?", err=True):
            click.echo("nothing was deleted", err=True)
            raise click.exceptions.Exit(FAILED)
        nango.on("not_revoked", _warn)
        nango.delete_connection(integration, user, revoke=not no_revoke)
    click.echo(f"deleted {integration}/{user}")


def _warn(event: Event) -> None:
    connection = f"{event.integration}/{printable(event.user_id)}"
    click.echo(f"warning: the tokens of {connection} were not revoked: {event.reason}", err=True)


def _stored_settings(nango: Nango, integration: str, user: str) -> dict[str, Any] | None:
    """The additional_config of the user's connection, or None if there is no connection."""
    try:
        settings: dict[str, Any] = nango.connection(integration, user)["additional_config"]
    except ConnectionNotFound:
        return None
    return settings


def _find(
    nango: Nango, integration: str | None, user: str | None, after: tuple[str, str] | None
) -> Iterator[dict[str, Any]]:
    if user is None:
        if integration is not None and after is not None and after[0] != integration:
            raise click.UsageError(f"--after is a connection of {after[0]}, not of {integration}")
        return nango.iter_connections(integration, after=after)
    if integration is not None:
        find_integration(nango, integration)
    views = sorted(nango.connections_for_user(user), key=itemgetter("integration"))
    start = after or ("", "")
    return (
        view
        for view in views
        if integration in {None, view["integration"]} and (view["integration"], user) > start
    )


def _verify(
    nango: Nango,
    integration: str,
    user: str,
    credentials: Mapping[str, object],
    settings: Mapping[str, object],
) -> None:
    from nango_py.engine.verification import UNAVAILABLE

    verification = nango.verify_credentials(integration, user, credentials, settings)
    if verification.ok:
        return
    hint = "; use --no-verify to store them anyway" if verification.outcome == UNAVAILABLE else ""
    echo_error(f"{verification.message} Nothing was stored{hint}")
    raise click.exceptions.Exit(FAILED)
