"""`nango actions`: the actions of integrations, listed, explained and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nango_py.cli import arguments
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import (
    echo_columns,
    echo_error,
    echo_fields,
    echo_json,
    format_value,
    json_option,
    mask_for,
)
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.actions.definition import ActionInfo
    from nango_py.json_types import JsonObject


@click.group()
def actions() -> None:
    """Named operations on a connection, with typed inputs and results.

    \b
    Example:
      nango actions list klaviyo-today
    """


@actions.command("list")
@click.argument("integration", required=False)
@click.option("--all", "is_all", is_flag=True, help="List the actions of all blueprints.")
@json_option
@pass_project
def list_(project: Project, integration: str | None, is_all: bool, as_json: bool) -> None:
    """List the actions of an integration, or of all integrations.

    \b
    Example:
      nango actions list
      nango actions list --all
    """
    infos = _find(project, integration, is_all=is_all)
    if as_json:
        echo_json([_to_json(info) for info in infos])
        return
    rows = [(info.integration, info.name, _effect(info), info.title) for info in infos]
    name = "blueprint" if is_all else "integration"
    echo_columns((name, "action", "changes", "title"), rows, "no actions")


@actions.command()
@click.argument("integration")
@click.argument("action")
@json_option
@pass_project
def show(project: Project, integration: str, action: str, as_json: bool) -> None:
    """Print what an action does, the schemas of its input and result, and where it is written.

    \b
    Example:
      nango actions show klaviyo-today create-profile
    """
    with project.open() as nango:
        info = nango.actions.get(integration, action)
    if as_json:
        echo_json(_to_json(info))
        return
    echo_fields(
        {
            "action": f"{info.integration} {info.name}",
            "title": info.title,
            "changes": _effect(info),
            "written in": info.place,
        }
    )
    if info.description:
        click.echo(f"\n{click.wrap_text(info.description, 100)}")
    click.echo(f"\ninput:\n{format_value(info.input_schema, 2)}")
    if info.output_schema is not None:
        click.echo(f"\nresult:\n{format_value(info.output_schema, 2)}")


@actions.command()
@click.argument("integration")
@click.argument("user")
@click.argument("action")
@click.option(
    "--input", "given", metavar="JSON", help="The input: a JSON object, @FILE, or - for standard input."
)
@click.option("--deadline", type=click.FloatRange(min=0, min_open=True), help="Seconds for everything.")
@pass_project
def run(
    project: Project, integration: str, user: str, action: str, given: str | None, deadline: float | None
) -> None:
    """Run an action on a user's connection and print its result as JSON.

    \b
    Example:
      nango actions run klaviyo-today user-1 create-profile --input '{"email": "sarah@example.com"}'
    """
    from nango_py.errors import ActionFailed

    value = arguments.parse_json_option(given, "--input")
    failed = ""
    with project.open_for_calls() as nango:
        try:
            result = nango.trigger_action(integration, action, user, value, deadline_seconds=deadline)
            result = mask_for(nango.executor(integration, user), result)
        except ActionFailed as error:
            failed = str(error)
    if failed:
        echo_error(failed)
        raise click.exceptions.Exit(FAILED)
    echo_json(result)


@actions.command()
@click.argument("integration", required=False)
@click.option("--all", "is_all", is_flag=True, help="Describe the actions of all blueprints.")
@pass_project
def docs(project: Project, integration: str | None, is_all: bool) -> None:
    """Print a page of Markdown with the inputs and results of actions.

    \b
    Example:
      nango actions docs > ACTIONS.md
    """
    from nango_py.actions.pages import write_page

    infos = _find(project, integration, is_all=is_all)
    click.echo(write_page(infos), nl=False)


@actions.command()
@click.argument("module", default="actions")
@pass_project
def stubs(project: Project, module: str) -> None:
    """Print a stub file, by which mypy and pyright know the inputs and results of all actions.

    MODULE is its name without .pyi. Import the class TypedNango from it, for type checkers only.

    \b
    Example:
      nango actions stubs > actions.pyi
    """
    from nango_py.actions.stubs import write_stubs

    click.echo(write_stubs(_find(project, None, is_all=False), module), nl=False)


def _find(project: Project, integration: str | None, *, is_all: bool) -> list[ActionInfo]:
    """The actions of an integration, of all integrations, or of all blueprints."""
    if is_all and integration:
        raise click.UsageError("give an integration or --all, not both")
    if is_all:
        return _find_in_blueprints(project)
    with project.open() as nango:
        return list(nango.actions.list(integration))


def _find_in_blueprints(project: Project) -> list[ActionInfo]:
    """The actions of all blueprints; `integration` is the blueprint."""
    from nango_py.actions.definition import yaml_info
    from nango_py.cli.project import COMMAND_LINE
    from nango_py.config.actions.compiled import compile_action
    from nango_py.errors import ConfigError, Position

    catalogue = project.catalogue()
    found: list[ActionInfo] = []
    for ref in catalogue.refs():
        blueprint = catalogue.find(f"{ref.name}:{ref.version}", Position(COMMAND_LINE))
        for name in sorted(blueprint.settings.get("actions") or ()):
            action, problems = compile_action(blueprint.settings, name, blueprint.origins)
            if action is None:
                raise ConfigError(problems)
            found.append(yaml_info(blueprint.ref, action))
    return found


def _effect(info: ActionInfo) -> str:
    return ", ".join(info.changes) or "nothing"


def _to_json(info: ActionInfo) -> JsonObject:
    return {
        "integration": info.integration,
        "action": info.name,
        "title": info.title,
        "description": info.description,
        "reads": info.is_read,
        "changes": list(info.changes),
        "input": info.input_schema,
        "output": info.output_schema,
        "kind": info.kind,
        "place": info.place,
    }
