"""`nango blueprints`: the available APIs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from nango_py.cli.blueprint_files import named_blueprints
from nango_py.cli.blueprint_new import new
from nango_py.cli.blueprint_test import test
from nango_py.cli.output import cut, echo_columns, echo_fields, echo_json, format_count, json_option
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.config.model import Status
    from nango_py.config.summaries import Summary
    from nango_py.json_types import Settings

LONGEST_TITLE = 18


@click.group()
def blueprints() -> None:
    """The available blueprints: yours, those of installed packages, and the built-in ones.

    \b
    Example:
      nango blueprints list
    """


blueprints.add_command(new)
blueprints.add_command(test)


@blueprints.command("list")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List all blueprints with their auth modes and origins.

    \b
    Example:
      nango blueprints list
      nango blueprints list --json
    """
    from nango_py.config.summaries import summarize

    catalogue = project.catalogue()
    today = datetime.now(UTC).date().isoformat()
    rows = [_row(summarize(catalogue, ref), today) for ref in catalogue.refs()]
    if as_json:
        echo_json(rows)
        return
    headings = {"blueprint": "blueprint", "title": "title", "auth_mode": "login", "state": "status"}
    if any(row["layer"] != "shipped" for row in rows):
        headings["layer"] = "from"
    shown = [{**row, "title": cut(row["title"] or "", LONGEST_TITLE)} for row in rows]
    cells = [[row[name] for name in headings] for row in shown]
    echo_columns(tuple(headings.values()), cells, "no blueprints")


@blueprints.command()
@click.argument("name", metavar="NAME[:VERSION]|FILE")
@click.option(
    "--resolved",
    "is_resolved",
    is_flag=True,
    help="Print the blueprint as YAML, merged and with defaults, and where each key is from.",
)
@pass_project
def show(project: Project, name: str, is_resolved: bool) -> None:
    """Print a blueprint: login, fields of the connect form, base URL, limits, pagination, gotchas, file.

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
    requests, limits = settings.get("requests", {}), settings.get("rate_limits", {})
    echo_fields({
        "blueprint": blueprint.ref,
        "title": blueprint.title,
        "manual": settings.get("docs_url"),
        "status": format_status(blueprint.status),
        "file": f"{blueprint.source} ({blueprint.layer})",
        "hides": ", ".join(str(other.path) for other in catalogue.shadowed(blueprint.ref)),
        "extends": settings.get("extends"),
        "login": settings.get("auth", {}).get("auth_mode"),
        "logins": ", ".join(blueprint.logins),
        **_form_fields(settings),
        "base URL": requests.get("base_url"),
        **{f"header {key}": value for key, value in requests.get("headers", {}).items()},
        **{f"param {key}": value for key, value in requests.get("params", {}).items()},
        "limits": format_limits(limits),
        "limits per": limits.get("counted_per"),
        "pagination": settings.get("pagination", {}).get("kind"),
    })  # fmt: skip
    if settings.get("comment"):
        click.echo("\n" + click.wrap_text(settings["comment"], 100))
    if settings.get("gotchas"):
        click.echo("\nGotchas:")
        for gotcha in settings["gotchas"]:
            click.echo(click.wrap_text(gotcha, 100, "  - ", "    "))


@blueprints.command()
@click.argument("name", metavar="NAME[:VERSION]")
@pass_project
def path(project: Project, name: str) -> None:
    """Print the path of a blueprint's file.

    \b
    Example:
      cp "$(nango blueprints path klaviyo:v1)" blueprints/
    """
    click.echo(str(project.blueprint(name).source))


def format_status(status: Status) -> str:
    """The deprecation or retirement of a blueprint's API, or ""."""
    target = f", use {status.migrate_to}" if status.migrate_to else ""
    if status.retires_on:
        return f"end of life {status.retires_on}{target}"
    return f"deprecated {status.deprecated_on}{target}" if status.deprecated_on else ""


def _row(found: Summary, today: str) -> dict[str, str | None]:
    status = found.status
    is_retired = status.retires_on is not None and status.retires_on <= today
    return {
        "blueprint": found.ref,
        "title": found.title,
        "auth_mode": found.auth_mode,
        "base_url": found.base_url,
        "layer": found.layer,
        "file": str(found.source),
        "status": format_status(status),
        "state": "retired" if is_retired else "deprecated" if format_status(status) else "",
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


def format_limits(limits: Settings) -> str:
    """The rate limits on one line: the default windows, and the number of rules for single endpoints."""
    from nango_py.config.response_match import as_tuple
    from nango_py.limits.notation import parse_limit

    budgets = limits.get("budgets", ())
    words = [parse_limit(window).label for budget in budgets for window in budget.get("otherwise", ())]
    words += [f"{budget['max_in_flight']} in flight" for budget in budgets if "max_in_flight" in budget]
    matches = [case["match"] for budget in budgets for case in budget.get("cases", ())]
    rules = sum(len(as_tuple(match.get("path", ""))) for match in matches)
    if rules:
        words.append(format_count(rules, "endpoint rule"))
    return ", ".join(words) or "learned from responses"
