"""`nango connections export` and `import`: connections to another place, or from one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.entry import WRONG_USE
from nango_py.cli.output import cell, echo_json
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.client import Nango
    from nango_py.secret import Secret
    from nango_py.transfer.report import ImportReport

KEY_VARIABLE = "NANGO_EXPORT_KEY"

key_file_option = click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"The file with the key of the export.  [default: the variable {KEY_VARIABLE}]",
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--integration", help="Only connections of this integration.")
@click.option("--user", help="Only connections of this user.")
@key_file_option
@as_json_option
@pass_project
def export(
    project: Project,
    file: Path,
    integration: str | None,
    user: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Write connections to a file, encrypted: a backup, or to move them.

    The file holds credentials, status and dates, and opens with the same key only, which is not the key of
    the database. It is put in its place as a whole, for its owner only; - writes to standard output.

    \b
    Example:
      nango keys generate export.key
      nango connections export backup.nango --key-file export.key
      nango connections export klaviyo.nango --integration klaviyo-today --key-file export.key
    """
    key = _key(key_file)
    is_pipe = str(file) == "-"
    with project.open() as nango:
        target = sys.stdout.buffer if is_pipe else file
        count = nango.export_connections(target, key, integration=integration, user_id=user)
    if as_json and not is_pipe:
        echo_json({"exported": count, "file": str(file)})
    else:
        click.echo(f"exported {_connections(count)}" + ("" if is_pipe else f" to {file}"), err=is_pipe)


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--replace",
    "on_existing",
    flag_value="replace",
    help="Replace the other connection of a user who has one; without it such users stop the import.",
)
@click.option(
    "--skip", "on_existing", flag_value="skip", help="Leave users alone who have another connection."
)
@click.option("--dry-run", is_flag=True, help="Only check, and say what would happen.")
@click.option(
    "--from-nango",
    is_flag=True,
    help="SOURCE is a file, or a folder of files, of what today's Nango answers to GET /connections/<id>.",
)
@click.option(
    "--map",
    "names",
    metavar="THEIRS=OURS",
    multiple=True,
    help="With --from-nango: the integration here for a provider_config_key there.",
)
@click.option(
    "--field",
    "fields",
    metavar="INTEGRATION.THEIRS=OURS",
    multiple=True,
    help="With --from-nango: the name in additional_config for an INTEGRATION.NAME of connection_config.",
)
@click.option(
    "--user-from",
    type=click.Choice(["connection_id", "end_user"]),
    default="connection_id",
    show_default=True,
    help="With --from-nango: what becomes the user_id.",
)
@key_file_option
@as_json_option
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
    """Store the connections of an export, or of today's Nango.

    Everything is checked first, and nothing is stored where anything does not fit. Connections that are
    stored already, just so, are left alone: an import that was stopped is finished by the same command.

    \b
    Example:
      nango connections import backup.nango --key-file export.key --dry-run
      nango connections import backup.nango --key-file export.key --replace
      nango connections import --from-nango answers/ --map google-mail-prod=google-mail
    """
    choices: dict[str, Any] = {"dry_run": dry_run, "on_existing": on_existing or "refuse"}
    with project.open() as nango:
        if from_nango:
            choices |= {"names": _pairs(names, "--map"), "fields": _pairs(fields, "--field")}
            report = nango.import_from_nango(source, user_from=user_from, **choices)
        else:
            report = _import(nango, source, _key(key_file), choices)
    _show(report, as_json=as_json)
    if from_nango and not dry_run:
        click.echo(f"{source} holds credentials in plain text: delete it when all is well", err=True)
    if not report.ok:
        raise click.exceptions.Exit(WRONG_USE)


def _import(nango: Nango, source: Path, key: Secret, choices: dict[str, Any]) -> ImportReport:
    return nango.import_connections(sys.stdin.buffer if str(source) == "-" else source, key, **choices)


def _key(file: Path | None) -> Secret:
    """The key that was given.

    Raises:
        click.UsageError: there is none.
        StorageError: other users can read its file.
    """
    from nango_py.connections.keys import read_private_text
    from nango_py.secret import Secret

    if file is not None:
        return read_private_text(file)
    if os.environ.get(KEY_VARIABLE, "").strip():
        return Secret(os.environ[KEY_VARIABLE])
    raise click.UsageError(
        f"an export needs a key: --key-file FILE or {KEY_VARIABLE}; `nango keys generate FILE` makes one"
    )


def _pairs(texts: tuple[str, ...], option: str) -> dict[str, str]:
    found = {}
    for text in texts:
        theirs, _, ours = text.rpartition("=")
        if not theirs or not ours:
            raise click.UsageError(f"{option} takes THEIRS=OURS")
        found[theirs] = ours
    return found


def _show(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        echo_json(_plain(report))
        return
    for each in report.problems:
        click.echo(str(each.problem), err=True)
    for left in report.left_out:
        users = f"{_connections(left.connections)}, such as {cell(left.example)}"
        click.echo(f"left out: {left.integration} {left.field} ({users}): {left.why}", err=True)
    counts = ", ".join(
        f"{getattr(report, word)} {word}"
        for word in ("replaced", "skipped", "unchanged")
        if getattr(report, word)
    )
    begin = "would import" if report.dry_run else "imported"
    click.echo(f"{begin} {_connections(report.imported)}" + (f" ({counts})" if counts else ""))


def _plain(report: ImportReport) -> dict[str, Any]:
    counts = {word: getattr(report, word) for word in ("imported", "replaced", "skipped", "unchanged")}
    problems = [
        {"integration": each.integration, "user_id": each.user_id, "problem": str(each.problem)}
        for each in report.problems
    ]
    left = [
        {
            "integration": each.integration,
            "field": each.field,
            "why": each.why,
            "connections": each.connections,
            "example": each.example,
        }
        for each in report.left_out
    ]
    return {**counts, "problems": problems, "left_out": left, "dry_run": report.dry_run}


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"
