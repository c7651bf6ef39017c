"""`nango blueprints import`: blueprints from Nango's provider file, OpenAPI and Postman."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nango_py.cli.blueprint_new import MAX_SHOWN, find_problems, write_draft_of
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import format_count
from nango_py.cli.project import Project, pass_project
from nango_py.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.importers.nango_file.provider import Imported, NotImported

DOCUMENTS = ("openapi", "postman")


@click.command("import")
@click.argument("source", metavar="FILE|openapi|postman")
@click.argument("names", metavar="[NAME|FILE]...", nargs=-1)
@click.option(
    "--to", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where to write the files."
)
@click.option("--name", help="For openapi and postman: the name of the blueprint. [default: from the title]")
@pass_project
def import_(
    project: Project, source: str, names: tuple[str, ...], folder: Path | None, name: str | None
) -> None:
    """Write blueprints from your copy of Nango's provider file, or from an OpenAPI or Postman document.

    Each file says what was not carried over. Files that would not pass `nango check` are not written, but
    listed with the reason. Existing files are kept. The exit code is 1 if nothing could be written, or not an
    entry that was named.

    \b
    Example:
      nango blueprints import providers.yaml
      nango blueprints import providers.yaml hubspot slack --to blueprints
      nango blueprints import openapi acme.yaml --name acme
      nango blueprints import postman acme.postman_collection.json
    """
    target = folder or project.blueprints_folder
    if source in DOCUMENTS:
        if len(names) != 1:
            raise click.UsageError(f"name one file: nango blueprints import {source} FILE")
        write_draft_of(Path(names[0]), source, name, target)
        return
    if name is not None:
        raise click.UsageError("--name needs openapi or postman; name entries after the file")
    _import_providers(Path(source), names, target)


def _import_providers(source: Path, names: tuple[str, ...], target: Path) -> None:
    from nango_py.importers.nango_file.provider import Imported, NotImported, import_provider
    from nango_py.importers.nango_file.reading import read_provider_file

    entries = read_provider_file(source)
    chosen = list(names or entries)
    if unknown := [name for name in chosen if name not in entries]:
        raise click.UsageError(f"{source} has no entry {printable(', '.join(unknown), MAX_SHOWN)}")
    found = [import_provider(entries, name) for name in chosen]
    refused = [each for each in found if isinstance(each, NotImported)]
    written, kept = _write(
        (each for each in found if isinstance(each, Imported)), printable(source.name), target, refused
    )
    for reason in sorted(refused, key=lambda each: each.name):
        click.echo(f"not imported: {printable(reason.name, 64)}: {printable(reason.reason, MAX_SHOWN)}")
    for file in kept:
        click.echo(f"kept: {file} exists")
    click.echo(f"{written} of {format_count(len(chosen), 'blueprint')} written to {target}")
    refused_names = {each.name for each in refused}
    if refused_names.intersection(names) or not (written or kept):
        raise click.exceptions.Exit(FAILED)


def _write(
    imported: Iterable[Imported], source: str, target: Path, refused: list[NotImported]
) -> tuple[int, list[Path]]:
    """Write the blueprints that pass all checks; the number written, and the files that existed."""
    from nango_py.importers.nango_file.provider import NotImported
    from nango_py.importers.nango_file.reading import write_blueprint

    kept: list[Path] = []
    with tempfile.TemporaryDirectory() as folder:
        texts = {}
        for each in imported:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", each.name):
                refused.append(NotImported(each.name, "its name is not a-z 0-9 _ -"))
                continue
            texts[each.name] = write_blueprint(each, source)
            Path(folder, f"{each.name}.v0.yaml").write_text(texts[each.name], "utf-8")
        problems = find_problems(Path(folder), texts, "v0")
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        file = target / f"{name}.v0.yaml"
        if name in problems:
            refused.append(NotImported(name, problems[name]))
        elif file.exists():
            kept.append(file)
        else:
            file.write_text(text, "utf-8")
    return len(texts) - len(problems) - len(kept), kept
