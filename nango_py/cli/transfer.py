"""`nango connections export` and `nango connections import`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.exit_codes import USAGE_ERROR
from nango_py.cli.output import echo_json, format_cell, format_count, json_option
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.secret import Secret
    from nango_py.transfer.report import ImportReport

KEY_VARIABLE = "NANGO_EXPORT_KEY"

key_file_option = click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"The file with the export key.  [default: the variable {KEY_VARIABLE}]",
)


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--integration", help="Only connections of this integration.")
@click.option("--user", help="Only connections of this user.")
@key_file_option
@json_option
@pass_project
def export(
    project: Project,
    file: Path,
    integration: str | None,
    user: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Export connections to an encrypted file, for a backup or to move them.

    It is encrypted with the export key, not with the key of the database, and only you can read it; -
    writes to standard output.

    \b
    Example:
      nango keys generate export.key
      nango connections export backup.nango --key-file export.key
      nango connections export klaviyo.nango --integration klaviyo-today --key-file export.key
    """
    key = _read_key(key_file)
    is_pipe = str(file) == "-"
    with project.open() as nango:
        target = sys.stdout.buffer if is_pipe else file
        count = nango.export_connections(target, key, integration=integration, user_id=user)
    if as_json and not is_pipe:
        echo_json({"exported": count, "file": str(file)})
    else:
        target_name = "" if is_pipe else f" to {file}"
        click.echo(f"exported {format_count(count, 'connection')}{target_name}", err=is_pipe)


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--replace",
    "on_existing",
    flag_value="replace",
    help="Replace different connections of the same users.  [default: an error]",
)
@click.option("--skip", "on_existing", flag_value="skip", help="Skip users who have a different connection.")
@click.option("--dry-run", is_flag=True, help="Check and report only.")
@click.option(
    "--from-nango",
    is_flag=True,
    help="SOURCE is a file or folder with responses of a Nango server to GET /connections/<id>.",
)
@click.option(
    "--map",
    "names",
    metavar="THEIRS=OURS",
    multiple=True,
    help="With --from-nango: provider_config_key of Nango = integration here; repeatable.",
)
@click.option(
    "--field",
    "fields",
    metavar="INTEGRATION.THEIRS=OURS",
    multiple=True,
    help="With --from-nango: key of connection_config = key of additional_config; repeatable.",
)
@click.option(
    "--user-from",
    type=click.Choice(["connection_id", "end_user"]),
    default="connection_id",
    show_default=True,
    help="With --from-nango: the value to use as user_id.",
)
@key_file_option
@json_option
@pass_project
def import_(
    project: Project,
    source: Path,
    on_existing: str | None,
    dry_run: bool,
    from_nango: bool,
    names: tuple[str, ...],
    fields: tuple[str, ...],
    user_from: str,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Import the connections of an export or of a Nango server.

    If there is any problem, nothing is stored. An interrupted import can be repeated with the same
    command.

    \b
    Example:
      nango connections import backup.nango --key-file export.key --dry-run
      nango connections import backup.nango --key-file export.key --replace
      nango connections import --from-nango responses/ --map google-mail-prod=google-mail
    """
    options: dict[str, Any] = {"dry_run": dry_run, "on_existing": on_existing or "refuse"}
    with project.open() as nango:
        if from_nango:
            options |= {"names": _parse_map(names, "--map"), "fields": _parse_map(fields, "--field")}
            report = nango.import_from_nango(source, user_from=user_from, **options)
        else:
            stream = sys.stdin.buffer if str(source) == "-" else source
            report = nango.import_connections(stream, _read_key(key_file), **options)
    _echo_report(report, as_json=as_json)
    if from_nango and not dry_run:
        click.echo(f"{source} holds unencrypted credentials: delete it after the import", err=True)
    if not report.ok:
        raise click.exceptions.Exit(USAGE_ERROR)


def _read_key(file: Path | None) -> Secret:
    """The key of `--key-file` or of the environment."""
    from nango_py.connections.keys import read_private_text
    from nango_py.secret import Secret

    if file is not None:
        return read_private_text(file)
    if os.environ.get(KEY_VARIABLE, "").strip():
        return Secret(os.environ[KEY_VARIABLE])
    raise click.UsageError(
        f"an export needs a key: use --key-file FILE or {KEY_VARIABLE}; "
        "`nango keys generate FILE` creates one"
    )


def _parse_map(texts: tuple[str, ...], option: str) -> dict[str, str]:
    names = {}
    for text in texts:
        theirs, _, ours = text.rpartition("=")
        if not theirs or not ours:
            raise click.UsageError(f"{option} takes THEIRS=OURS")
        names[theirs] = ours
    return names


def _echo_report(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        echo_json(_to_json(report))
        return
    for each in report.problems:
        click.echo(str(each.problem), err=True)
    for left in report.left_out:
        users = f"{format_count(left.connections, 'connection')}, such as {format_cell(left.example)}"
        click.echo(f"not imported: {left.integration} {left.field} ({users}): {left.why}", err=True)
    counts = ", ".join(
        f"{getattr(report, word)} {word}"
        for word in ("replaced", "skipped", "unchanged")
        if getattr(report, word)
    )
    verb = "would import" if report.dry_run else "imported"
    imported = format_count(report.imported, "connection")
    click.echo(f"{verb} {imported}" + (f" ({counts})" if counts else ""))


def _to_json(report: ImportReport) -> dict[str, object]:
    names = ("integration", "field", "why", "connections", "example")
    return {
        **{word: getattr(report, word) for word in ("imported", "replaced", "skipped", "unchanged")},
        "problems": [
            {"integration": each.integration, "user_id": each.user_id, "problem": str(each.problem)}
            for each in report.problems
        ],
        "left_out": [{name: getattr(left, name) for name in names} for left in report.left_out],
        "dry_run": report.dry_run,
    }
