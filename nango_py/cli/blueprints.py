"""`nango blueprints`: the available APIs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from nango_py.cli.blueprint_facts import format_status
from nango_py.cli.blueprint_import import import_
from nango_py.cli.blueprint_new import new
from nango_py.cli.blueprint_show import show
from nango_py.cli.blueprint_test import test
from nango_py.cli.output import cut, echo_columns, echo_json, json_option
from nango_py.cli.project import Project, pass_project
from nango_py.errors import ConfigError, Problem, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.config.catalogue import BlueprintRef, Catalogue
    from nango_py.config.summaries import Summary

LONGEST_TITLE = 18


@click.group()
def blueprints() -> None:
    """The available blueprints: yours, those of installed packages, and the built-in ones.

    \b
    Example:
      nango blueprints list
    """


for command in (import_, new, show, test):
    blueprints.add_command(command)


@blueprints.command("list")
@click.option("--category", help="Only APIs of this category, such as crm.")
@json_option
@pass_project
def list_(project: Project, category: str | None, as_json: bool) -> None:
    """List all blueprints with their auth modes and origins.

    \b
    Example:
      nango blueprints list
      nango blueprints list --category crm
      nango blueprints list --json
    """
    catalogue, problems = project.catalogue(), list[Problem]()
    found = _summaries(catalogue, catalogue.refs(), problems)
    if category is not None:
        found = _filter_by_category(found, category)
    _echo_summaries(found, "no blueprints", as_json=as_json)
    if problems:
        raise ConfigError(problems)


@blueprints.command()
@click.argument("words", metavar="WORDS...", nargs=-1, required=True)
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1), help="The number of results.")
@json_option
@pass_project
def search(project: Project, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find blueprints by name, category, description, scopes and actions. The best match is first.

    \b
    Example:
      nango blueprints search "send email"
      nango blueprints search crm
    """
    from nango_py.config.blueprint_search import index_blueprints

    catalogue = project.catalogue()
    refs = {f"{ref.name}:{ref.version}": ref for ref in catalogue.refs()}
    hits = [hit.name for hit in index_blueprints(catalogue).find(" ".join(words), len(refs))]
    found = _summaries(catalogue, [refs[name] for name in hits[:limit]], [])
    _echo_summaries(found, "no blueprint matches; `nango blueprints list` shows all", as_json=as_json)


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


def _summaries(catalogue: Catalogue, refs: Iterable[BlueprintRef], problems: list[Problem]) -> list[Summary]:
    """The summaries of the files that can be read; the problems of the others are added to `problems`."""
    from nango_py.config.summaries import summarize

    found = []
    for ref in refs:
        try:
            found.append(summarize(catalogue, ref))
        except ConfigError as error:
            problems += error.problems
    return found


def _filter_by_category(summaries: list[Summary], category: str) -> list[Summary]:
    known = sorted({name for summary in summaries for name in summary.categories})
    if category not in known:
        text = unknown_name("category", category, known, f"known: {', '.join(known)}")
        raise click.BadParameter(text, param_hint="--category")
    return [summary for summary in summaries if category in summary.categories]


def _echo_summaries(summaries: Iterable[Summary], empty_message: str, *, as_json: bool) -> None:
    today = datetime.now(UTC).date().isoformat()
    rows = [_row(summary, today) for summary in summaries]
    if as_json:
        echo_json(rows)
        return
    headings = {"blueprint": "blueprint", "title": "title", "auth_mode": "login", "state": "status"}
    if any(row["layer"] != "shipped" for row in rows):
        headings["layer"] = "from"
    shown = [{**row, "title": cut(str(row["title"]), LONGEST_TITLE)} for row in rows]
    cells = [[row[name] for name in headings] for row in shown]
    echo_columns(tuple(headings.values()), cells, empty_message)


def _row(found: Summary, today: str) -> dict[str, object]:
    status = found.status
    is_retired = status.retires_on is not None and status.retires_on <= today
    return {
        "blueprint": found.ref,
        "title": found.title,
        "categories": found.categories,
        "auth_mode": found.auth_mode,
        "base_url": found.base_url,
        "layer": found.layer,
        "file": str(found.source),
        "status": format_status(status),
        "state": "retired" if is_retired else "deprecated" if format_status(status) else "",
    }
