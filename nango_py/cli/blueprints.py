"""`nango blueprints`: the APIs that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.output import cell, echo_columns, echo_fields, echo_json
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.config.model import Blueprint


@click.group()
def blueprints() -> None:
    """The blueprints that can be extended: yours, those of installed packs, and the shipped ones.

    \b
    Example:
      nango blueprints list
    """


@blueprints.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List every blueprint with its login and where it was found.

    \b
    Example:
      nango blueprints list
      nango blueprints list --json
    """
    catalogue = project.catalogue()
    found = [_summary(project.blueprint(f"{ref.name}:{ref.version}", catalogue)) for ref in catalogue.refs()]
    if as_json:
        echo_json(found)
        return
    rows = [(row["blueprint"], row["title"], row["auth_mode"], row["layer"], row["status"]) for row in found]
    echo_columns(("blueprint", "title", "login", "from", "status"), rows, "no blueprints")


@blueprints.command()
@click.argument("name", metavar="NAME[:VERSION]")
@pass_project
def show(project: Project, name: str) -> None:
    """Print what a blueprint says: login, what users are asked for, base URL, limits, pages, gotchas, file.

    Without a version it is the newest.

    \b
    Example:
      nango blueprints show klaviyo:v1
    """
    catalogue = project.catalogue()
    found = project.blueprint(name, catalogue)
    settings = found.settings
    requests = settings.get("requests", {})
    echo_fields({
        "blueprint": found.ref,
        "title": found.title,
        "manual": settings.get("docs_url"),
        "status": status_text(found),
        "file": f"{found.source} ({found.layer})",
        "hides": ", ".join(str(other.path) for other in catalogue.shadowed(found.ref)),
        "extends": settings.get("extends"),
        "login": settings.get("auth", {}).get("auth_mode"),
        **_asked(settings),
        "base URL": requests.get("base_url"),
        **{f"header {key}": value for key, value in requests.get("headers", {}).items()},
        **{f"param {key}": value for key, value in requests.get("params", {}).items()},
        "limits": _limits(settings.get("rate_limits", {})),
        "pages": settings.get("pagination", {}).get("kind"),
    })  # fmt: skip
    if settings.get("comment"):
        click.echo("\n" + click.wrap_text(settings["comment"], 100))
    if settings.get("gotchas"):
        click.echo("\nGood to know:")
        for gotcha in settings["gotchas"]:
            click.echo(click.wrap_text(gotcha, 100, "  - ", "    "))


@blueprints.command()
@click.argument("name", metavar="NAME[:VERSION]")
@pass_project
def path(project: Project, name: str) -> None:
    """Print the path of a blueprint's file, to copy or to read it.

    \b
    Example:
      cp "$(nango blueprints path klaviyo:v1)" blueprints/
    """
    click.echo(str(project.blueprint(name).source))


def status_text(blueprint: Blueprint) -> str:
    """What a blueprint says of its API's life, or ""."""
    status = blueprint.status
    target = f", use {status.migrate_to}" if status.migrate_to else ""
    if status.retires_on:
        return f"retires on {status.retires_on}{target}"
    return f"deprecated since {status.deprecated_on}{target}" if status.deprecated_on else ""


def _summary(blueprint: Blueprint) -> dict[str, Any]:
    return {
        "blueprint": blueprint.ref,
        "title": blueprint.title,
        "auth_mode": blueprint.settings.get("auth", {}).get("auth_mode"),
        "base_url": blueprint.settings.get("requests", {}).get("base_url"),
        "layer": blueprint.layer,
        "file": str(blueprint.source),
        "status": status_text(blueprint),
    }


def _asked(settings: Any) -> dict[str, str]:
    """What the connect page asks for in the blueprint's own words, by field."""
    found = {}
    for name, said in settings.get("credentials", {}).items():
        if "value" not in said:
            found[f"credential {name}"] = ": ".join(filter(None, (said.get("title"), said.get("help"))))
    for name, said in settings.get("connection_config", {}).get("properties", {}).items():
        if said.get("asked") is not False:
            found[f"setting {name}"] = ": ".join(filter(None, (said.get("title"), said.get("description"))))
    return found


def _limits(limits: Any) -> str:
    """The limits in a line: whose they are, how many rules, and what holds for everything else."""
    budgets = limits.get("budgets", ())
    if not budgets:
        return "as the API's responses tell" if limits else "none declared"
    cases = sum(len(budget.get("cases", ())) for budget in budgets)
    others = [window for budget in budgets for window in budget.get("otherwise", ())]
    words = [f"per {limits.get('counted_per', 'connection')}"]
    if cases:
        words.append(f"{cases} rules for single endpoints")
    if others:
        words.append("otherwise " + ", ".join(map(_window, others)))
    return "; ".join(words)


def _window(window: Any) -> str:
    if hasattr(window, "items"):
        return " ".join(f"{key} {cell(value)}" for key, value in window.items())
    return str(window)
