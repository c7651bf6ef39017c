"""The entries of a new integrations.yaml: which APIs, and the settings that each needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from nango_py.cli.project import find_blueprint
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.catalogue import Catalogue
    from nango_py.config.model import Blueprint

MATCHES = 6
QUESTION = "Which APIs does your product call? Names or words, such as slack, crm"


@record
class Entry:
    """An entry of integrations.yaml as text, and the environment variables that it needs."""

    name: str
    text: str
    variables: tuple[str, ...]


def ask_for_blueprints(catalogue: Catalogue) -> list[str]:
    """The `name:version` of the APIs that a person names; [] for none. Words are searched, with a choice."""
    reply = click.prompt(QUESTION, default="", show_default=False, prompt_suffix=" (Enter for an example): ")
    parts = [part.strip() for part in reply.split(",")]
    return [ref for part in parts if part for ref in _choose(catalogue, part)]


def _choose(catalogue: Catalogue, words: str) -> Iterator[str]:
    from nango_py.config.blueprint_search import index_blueprints
    from nango_py.errors import ConfigError

    try:
        yield find_blueprint(catalogue, words).ref
    except ConfigError:
        found = [hit.name for hit in index_blueprints(catalogue).find(words, MATCHES)]
        if not found:
            click.echo(f'no blueprint matches "{words}"; `nango blueprints list` shows all')
            return
        for number, ref in enumerate(found, 1):
            click.echo(f"  {number}  {ref}")
        range_ = click.IntRange(0, len(found))
        number = click.prompt(f'Which one for "{words}"? (0 for none)', type=range_, default=1)
        if number:
            yield found[number - 1]


def make_entry(blueprint: Blueprint) -> Entry:
    """The entry of integrations.yaml for a blueprint. Secrets are names of environment variables."""
    from nango_py.config.own_fields import missing_app_credentials
    from nango_py.sandbox.made_up import make_app_settings

    settings = blueprint.settings
    lines = [f"  {blueprint.name}:", f"    extends_blueprint: {blueprint.ref}"]
    if len(blueprint.logins) > 1:
        first, *others = blueprint.logins
        lines.append(f"    # login: {first}   # the default; others: {', '.join(others)}")
    needed = make_app_settings(settings)
    needed.pop("app", None)
    app = missing_app_credentials(settings)
    lines += [f"    {key}: {_variable(blueprint.name, key)}" for key in needed]
    if app:
        lines += ["    app:", *(f"      {key}: {_variable(blueprint.name, key)}" for key in app)]
    if settings.get("scopes") and settings["auth"].get("auth_mode") == "OAUTH2":
        lines.append(f"    # oauth_scopes: []   # `nango blueprints show {blueprint.ref}` lists them")
    variables = tuple(_variable(blueprint.name, key).strip("${}") for key in (*needed, *app))
    return Entry(blueprint.name, "\n".join(lines) + "\n", variables)


def _variable(integration: str, key: str) -> str:
    """The template of an environment variable: ${SLACK_CLIENT_SECRET}."""
    name = f"{integration}_{key.removeprefix('oauth_')}".upper()
    return f"${{{re.sub(r'[^A-Z0-9]+', '_', name)}}}"
