"""`nango blueprints show`: the facts of one API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nango_py.cli.blueprint_facts import change_lines, format_status, limit_lines, source_lines
from nango_py.cli.blueprint_files import named_blueprints
from nango_py.cli.output import echo_fields
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.json_types import Settings

WIDTH = 100


@click.command()
@click.argument("name", metavar="NAME[:VERSION]|FILE")
@click.option(
    "--resolved",
    "is_resolved",
    is_flag=True,
    help="Print it merged, with defaults, and where each key is from.",
)
@pass_project
def show(project: Project, name: str, is_resolved: bool) -> None:
    """Print the login, form, base URL, limits, gotchas, sources and file of a blueprint.

    The default version is the newest.

    \b
    Example:
      nango blueprints show klaviyo:v1
      nango blueprints show github-app:v0 --resolved
    """
    from nango_py.cli.resolved import resolved_lines

    ((catalogue, ref, at),) = named_blueprints(project, (name,))
    blueprint = catalogue.find(ref, at)
    if is_resolved:
        for line in resolved_lines(blueprint):
            click.echo(line)
        return
    settings = blueprint.settings
    others = catalogue.shadowed_files(blueprint.ref)
    echo_fields({
        "blueprint": blueprint.ref,
        "title": blueprint.title,
        "categories": ", ".join(settings.get("categories", ())),
        "manual": settings.get("docs_url"),
        "status": format_status(blueprint.status),
        "file": f"{blueprint.source} ({blueprint.layer})",
        "hides": ", ".join(str(ref.path) for ref in others if not ref.path.samefile(blueprint.source)),
        "extends": settings.get("extends"),
        "login": settings.get("auth", {}).get("auth_mode"),
        "logins": ", ".join(blueprint.logins),
        **_form_fields(settings),
        **_request_fields(settings),
    })  # fmt: skip
    if settings.get("comment"):
        click.echo("\n" + click.wrap_text(settings["comment"], WIDTH))
    limits = settings.get("rate_limits", {})
    unconfirmed = [path for path in settings.get("unconfirmed", ()) if isinstance(path, str)]
    owner = limits.get("counted_per")
    _echo_section(f"Limits, counted per {owner}" if owner else "Limits", limit_lines(limits))
    scopes = settings.get("scopes", {})
    _echo_section("Scopes", (f"{name}: {text}" for name, text in scopes.items()))
    _echo_section("Announced changes", change_lines(blueprint))
    actions = settings.get("actions") or {}
    _echo_section("Actions", (f"{name}: {action.get('title') or name}" for name, action in actions.items()))
    _echo_section("Gotchas", (f"- {gotcha}" for gotcha in settings.get("gotchas", ())))
    _echo_section("Sources", source_lines(settings))
    _echo_section("Not confirmed by a page of the vendor", unconfirmed)


def _echo_section(title: str, lines: Iterable[str]) -> None:
    """Print a title and the lines below it; nothing if it has no lines."""
    texts = list(lines)
    if texts:
        click.echo(f"\n{title}:")
    for text in texts:
        indent = text[: len(text) - len(text.lstrip())]
        click.echo(
            click.wrap_text(text.strip(), WIDTH, f"  {indent}", f"  {indent}  ")
            if len(text) > WIDTH
            else f"  {text}"
        )


def _request_fields(settings: Settings) -> dict[str, object]:
    """The base URL, what each request carries, pagination and verification."""
    requests = settings.get("requests", {})
    verification = settings.get("verification", {})
    return {
        "base URL": requests.get("base_url"),
        **{f"base {name}": url for name, url in requests.get("bases", {}).items()},
        **{f"header {key}": value for key, value in requests.get("headers", {}).items()},
        **{f"param {key}": value for key, value in requests.get("params", {}).items()},
        "pagination": settings.get("pagination", {}).get("kind"),
        "verification": " ".join(filter(None, (verification.get("method"), verification.get("path")))),
    }


def _form_fields(settings: Settings) -> dict[str, str]:
    """The titles and help texts of the connect form's fields."""
    fields = {}
    for name, words in settings.get("credentials", {}).items():
        if "value" not in words:
            fields[f"credential {name}"] = ": ".join(filter(None, (words.get("title"), words.get("help"))))
    for name, schema in settings.get("connection_config", {}).get("properties", {}).items():
        if schema.get("asked") is not False:
            texts = (schema.get("title"), schema.get("description"))
            fields[f"setting {name}"] = ": ".join(filter(None, texts))
    return fields
