"""`nango init`: the first files of a product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = """\
# The APIs that your product talks to. Every key is in docs/integrations.md; `nango check` finds mistakes.
integrations:
  klaviyo-today:
    extends_blueprint: klaviyo:v1     # `nango blueprints list` shows all that are known

  # What an entry sets wins over its blueprint:
  # klaviyo-slow:
  #   extends_blueprint: klaviyo:v1
  #   http_request_timeout_seconds: 60
  #   log_level: debug

  # UPPER_CASE names are environment variables, so no secret needs to stand here:
  # slack:
  #   extends_blueprint: slack:v0
  #   oauth_client_id: "2710526930471.2710526930472"
  #   oauth_client_secret: ${SLACK_CLIENT_SECRET}
  #   oauth_scopes: [channels:read, chat:write]

  # An API without a blueprint; give it one in blueprints/ once a second product needs it:
  # in-house:
  #   auth: {auth_mode: USERNAME_PASSWORD}
  #   requests:
  #     base_url: https://api.example.com/
  #     headers: {Authorization: "Basic ${basic_auth_encoded}"}

# config:
#   database_url: postgresql:///nango   # connections are in .nango/nango.db otherwise
"""
IGNORED = ".nango/"


@click.command()
@pass_project
def init(project: Project) -> None:
    """Write integrations.yaml, blueprints/ and a .gitignore entry; nothing is ever overwritten.

    \b
    Example:
      nango init
    """
    file = project.integrations
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _report(file, made=_write_new(file, EXAMPLE))
        folder = project.blueprints_folder
        missing = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        _report(folder, made=missing)
        _report(file.parent / ".gitignore", made=_ignore(file.parent / ".gitignore"))
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from None
    click.echo("next: nango check, then nango connections register klaviyo-today YOUR-USER-ID")


def _write_new(file: Path, text: str) -> bool:
    """Whether the file was not there and has been written."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        return False
    return True


def _ignore(file: Path) -> bool:
    """Whether git had to be told to leave the folder of keys and connections alone."""
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if {IGNORED, IGNORED.rstrip("/")} & {line.strip().lstrip("/") for line in known.splitlines()}:
        return False
    with file.open("a", encoding="utf-8") as opened:
        opened.write(("\n" if known and not known.endswith("\n") else "") + IGNORED + "\n")
    return True


def _report(path: Path, *, made: bool) -> None:
    click.echo(f"{'wrote' if made else 'kept '} {path}")
