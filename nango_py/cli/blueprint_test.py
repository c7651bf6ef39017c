"""`nango blueprints test`: tests blueprints against their sandboxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nango_py.cli.blueprint_files import all_blueprints, named_blueprints
from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import echo_json, format_count, json_option
from nango_py.cli.project import Project, pass_project

if TYPE_CHECKING:
    from nango_py.blueprint_tests.difference import Difference


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME[:VERSION]|FILE]...")
@click.option("--all", "is_all", is_flag=True, help="Test every blueprint.")
@click.option(
    "--strict",
    "is_strict",
    is_flag=True,
    help="Apply the rules for published blueprints too.",
)
@json_option
@pass_project
def test(project: Project, names: tuple[str, ...], is_all: bool, is_strict: bool, as_json: bool) -> None:
    """Test blueprints against their sandboxes, and print what differs.

    Every example is sent to the sandbox and compared. Lists are walked, users log in, and the
    verification and the refusals of the API are tried. Nothing else is reached; waits take no time.

    \b
    Example:
      nango blueprints test klaviyo:v1
      nango blueprints test blueprints/acme.v1.yaml --strict
      nango blueprints test --all
    """
    from nango_py.blueprint_tests.runner import find_differences

    if is_all is bool(names):
        raise click.UsageError("name blueprints or files, or give --all")
    found: dict[str, list[Difference]] = {}
    for catalogue, ref, at in all_blueprints(project) if is_all else named_blueprints(project, names):
        blueprint = catalogue.find(ref, at)
        found[blueprint.ref] = find_differences(blueprint, catalogue, is_strict=is_strict)
    if as_json:
        echo_json([_to_json(ref, differences) for ref, differences in found.items()])
    else:
        _echo(found)
    if any(found.values()):
        raise click.exceptions.Exit(FAILED)


def _echo(found: dict[str, list[Difference]]) -> None:
    for difference in dict.fromkeys(each for differences in found.values() for each in differences):
        click.echo(str(difference))
    total = sum(map(len, found.values()))
    differences = format_count(total, "difference") if total else "no differences"
    click.echo(f"{format_count(len(found), 'blueprint')}: {differences}")


def _to_json(ref: str, differences: list[Difference]) -> dict[str, object]:
    return {
        "blueprint": ref,
        "differences": [
            {
                "file": difference.position.file,
                "line": difference.position.line,
                "column": difference.position.column,
                "test": difference.test,
                "what": difference.what,
            }
            for difference in differences
        ],
    }
