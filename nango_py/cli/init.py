"""`nango init`: the first files of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nango_py._version import DOCS_URL
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = f"""\
# The APIs that your product calls. `nango check` finds mistakes. All keys are listed in
# {DOCS_URL}/integrations.md
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
  #   oauth_client_secret: ${{SLACK_CLIENT_SECRET}}
  #   oauth_scopes: [channels:read, chat:write]

  # An API without a blueprint. Write one in blueprints/ if other products use the API too:
  # in-house:
  #   auth: {{auth_mode: USERNAME_PASSWORD}}
  #   requests:
  #     base_url: https://api.example.com/
  #     headers: {{Authorization: "Basic ${{basic_auth_encoded}}"}}

# config:
#   database_url: postgresql:///nango   # default: .nango/nango.db
"""
IGNORED = (".nango/", "*.key")


@click.command()
@pass_project
def init(project: Project) -> None:
    """Create integrations.yaml, blueprints/ and a .gitignore entry. Existing files are not overwritten.

    \b
    Example:
      nango init
    """
    file = project.integrations
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _report(file, is_new=_write_new(file, EXAMPLE))
        folder = project.blueprints_folder
        is_missing = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        _report(folder, is_new=is_missing)
        _report(file.parent / ".gitignore", is_new=_add_to_gitignore(file.parent / ".gitignore"))
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from None
    click.echo("next: nango check, then nango connections register klaviyo-today YOUR-USER-ID")


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
