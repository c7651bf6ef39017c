"""`nango init`: the first files of a project."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nango_py._version import DOCS_URL
from nango_py.cli.init_entries import Entry, ask_for_blueprints, make_entry
from nango_py.cli.output import is_terminal
from nango_py.cli.project import Project, find_blueprint, pass_project

if TYPE_CHECKING:
    from pathlib import Path

HEAD = f"""\
# The APIs that your product calls. `nango check` finds mistakes. All keys are listed in
# {DOCS_URL}/integrations.html
"""
EXAMPLE = (
    HEAD
    + """\
integrations:
  klaviyo-today:
    extends_blueprint: klaviyo:v1     # `nango blueprints list` shows all blueprints

  # Settings of an entry override those of its blueprint:
  # klaviyo-slow:
  #   extends_blueprint: klaviyo:v1
  #   http_request_timeout_seconds: 60
  #   log_level: debug

  # UPPER_CASE names are environment variables: keep secrets there, not in this file.
  # slack:
  #   extends_blueprint: slack:v0
  #   oauth_client_id: "2710526930471.2710526930472"
  #   oauth_client_secret: ${SLACK_CLIENT_SECRET}
  #   oauth_scopes: [channels:read, chat:write]

  # An API without a blueprint. Write one in blueprints/ if other products use the API too:
  # in-house:
  #   auth: {auth_mode: USERNAME_PASSWORD}
  #   requests:
  #     base_url: https://api.example.com/
  #     headers: {Authorization: "Basic ${basic_auth_encoded}"}

# config:
#   database_url: postgresql:///nango   # default: .nango/nango.db
"""
)
IGNORED = (".nango/", "*.key")


@click.command()
@click.argument("apis", metavar="[API]...", nargs=-1)
@pass_project
def init(project: Project, apis: tuple[str, ...]) -> None:
    """Create integrations.yaml, blueprints/ and a .gitignore entry. Existing files are not overwritten.

    An API is the name of a blueprint. Without one it asks, on a terminal.

    \b
    Example:
      nango init
      nango init slack hubspot
    """
    file = project.integrations
    entries = _entries(project, apis, is_asked=not apis and not file.exists() and is_terminal(sys.stdin))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = _write_new(file, _text_of(entries) if entries else EXAMPLE)
        _report(file, is_new=is_new)
        folder = project.blueprints_folder
        is_missing = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        _report(folder, is_new=is_missing)
        _report(file.parent / ".gitignore", is_new=_add_to_gitignore(file.parent / ".gitignore"))
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from None
    if entries and not is_new:
        texts = "".join(entry.text for entry in entries)
        click.echo(f"add these lines to the integrations of {file}:\n{texts.rstrip()}")
    variables = [name for entry in entries for name in entry.variables]
    if variables:
        click.echo(f"set these environment variables: {', '.join(variables)}")
    name = entries[0].name if entries else "klaviyo-today"
    click.echo(f"next: nango check, then nango connections {_next_step(entries)} {name} YOUR-USER-ID")


def _entries(project: Project, apis: tuple[str, ...], *, is_asked: bool) -> list[Entry]:
    catalogue = project.catalogue()
    names = ask_for_blueprints(catalogue) if is_asked else apis
    found = {entry.name: entry for name in names for entry in [make_entry(find_blueprint(catalogue, name))]}
    return list(found.values())


def _next_step(entries: list[Entry]) -> str:
    """How the first connection is made: by a login in a browser if an app is needed, else by a form."""
    return "connect" if entries and entries[0].variables else "register"


def _text_of(entries: list[Entry]) -> str:
    return HEAD + "integrations:\n" + "\n".join(entry.text for entry in entries)


def _write_new(file: Path, text: str) -> bool:
    """Whether the file was created; False if it exists."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        return False
    return True


def _add_to_gitignore(file: Path) -> bool:
    """Whether the folder of connections, or key files elsewhere, were added to .gitignore."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    ignored = {line.strip().strip("/") for line in text.splitlines()}
    missing = [pattern for pattern in IGNORED if pattern.strip("/") not in ignored]
    if missing:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(("\n" if text and not text.endswith("\n") else "") + "\n".join(missing) + "\n")
    return bool(missing)


def _report(path: Path, *, is_new: bool) -> None:
    click.echo(f"{'wrote' if is_new else 'kept '} {path}")
