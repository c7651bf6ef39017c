"""`nango integrations`: the entries of integrations.yaml, and the origin of each setting."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

import click

from nango_py.cli.output import echo_columns, echo_json, format_cell, json_option
from nango_py.cli.project import Project, find_integration, pass_project
from nango_py.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nango_py.config.values import Path
    from nango_py.errors import Position

SECRET_SETTINGS = frozenset({"app_api_key", "oauth_client_secret"})
PROSE = frozenset({"actions", "examples", "gotchas"})
# A literal value under such a name is a secret written into the file.
_SECRET_NAME = re.compile(r"auth|cookie|key|passw|secret|signature|token", re.IGNORECASE)
_MAX_LINE = 150


@click.group()
def integrations() -> None:
    """The integrations declared in integrations.yaml.

    \b
    Example:
      nango integrations show klaviyo-today
    """


@integrations.command("list")
@json_option
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the integrations with their blueprints, auth modes and base URLs.

    \b
    Example:
      nango integrations list --json
    """
    with project.open() as nango:
        rows = [
            {
                "integration": integration.name,
                "blueprint": integration.blueprint,
                "auth_mode": integration.auth_mode,
                "base_url": integration.requests.base_url.source,
            }
            for integration in nango.configuration
        ]
    if as_json:
        echo_json(rows)
        return
    cells = [tuple(row.values()) for row in rows]
    echo_columns(("integration", "blueprint", "login", "base URL"), cells, "no integrations")


@integrations.command()
@click.argument("name")
@json_option
@pass_project
def show(project: Project, name: str, as_json: bool) -> None:
    """Print every setting of an integration with the file and line that it comes from.

    Secret settings and values from the environment are masked. Examples, gotchas and actions are left
    out.

    \b
    Example:
      nango integrations show klaviyo-today
    """
    with project.open() as nango:
        integration = find_integration(nango, name)
    lines = [
        (format_path(path), value, _format_place(integration.origins.position(path)))
        for path, value in list_settings(integration.settings)
        if path[0] not in PROSE
    ]
    if as_json:
        echo_json([{"setting": key, "value": value, "origin": origin} for key, value, origin in lines])
        return
    width = max(len(key) for key, _, _ in lines)
    for key, value, origin in lines:
        click.echo(
            f"{key.ljust(width)}  {format_cell(_to_text(value))}" + (f"  ({origin})" if origin else "")
        )


def list_settings(settings: Mapping[str, object], path: Path = ()) -> Iterator[tuple[Path, object]]:
    """The leaves of a settings tree with their paths, secrets masked; short list items are one leaf."""
    for key, value in settings.items():
        yield from _leaves((*path, key), value)


def _format_place(place: Position) -> str:
    return f"{place.file}:{place.line}" if place.line else place.file


def format_path(path: Path) -> str:
    """A path as text: `rate_limits.budgets[0].key`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _leaves(path: Path, value: object) -> Iterator[tuple[Path, object]]:
    if isinstance(value, Mapping) and value:
        masked = _mask(path, value)
        if any(isinstance(part, int) for part in path) and len(_to_text(masked)) <= _MAX_LINE:
            yield path, masked
        else:
            yield from list_settings(value, path)
    elif _is_list(value) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _leaves((*path, number), item)
    else:
        yield path, _mask(path, value)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def _mask(path: Path, value: object) -> object:
    """The value as plain JSON data, with secrets masked."""
    from nango_py.config.values import EnvironmentText

    if isinstance(value, EnvironmentText):
        return MASK
    if isinstance(value, Mapping):
        return {key: _mask((*path, key), item) for key, item in value.items()}
    if _is_list(value):
        return [_mask(path, item) for item in value]
    return MASK if value and _is_secret(path, value) else value


def _is_secret(path: Path, value: object) -> bool:
    name = str(path[-1])
    if name in SECRET_SETTINGS:
        return True
    is_sent = any(part in {"headers", "params"} for part in path[:-1]) or str(path[0]).startswith("x-")
    return is_sent and "${" not in str(value) and _SECRET_NAME.search(name) is not None


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
