"""`nango schema`: the JSON Schemas of the files, for editors."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("kind", type=click.Choice(["blueprint", "integrations"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of blueprints or of integrations.yaml.

    Editors complete and check keys with it. Name it in the first line of a file:
    `# yaml-language-server: $schema=blueprint.schema.json`

    \b
    Example:
      nango schema blueprint > blueprints/blueprint.schema.json
    """
    from nango_py.config.schema.publish import blueprint_schema, integrations_schema

    schema = blueprint_schema() if kind == "blueprint" else integrations_schema()
    click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
