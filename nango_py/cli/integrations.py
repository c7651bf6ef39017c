"""`nango integrations`: what integrations.yaml declares, and where each setting came from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from nango_py.cli.output import cell, echo_columns, echo_json
from nango_py.cli.project import Project, declared, pass_project
from nango_py.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.config.model import Path

SECRET_SETTINGS = frozenset({"app_api_key", "oauth_client_secret"})
PROSE = frozenset({"examples", "gotchas"})
# A literal under such a name is a secret that somebody wrote into the file.
_SECRET_NAME = re.compile(r"auth|cookie|key|passw|secret|signature|token", re.IGNORECASE)
_ONE_LINE = 150


@click.group()
def integrations() -> None:
    """The integrations that integrations.yaml declares.

    \b
    Example:
      nango integrations show klaviyo-today
    """


@integrations.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_project
def list_(project: Project, as_json: bool) -> None:
    """List the integrations, the blueprint each extends, and its base URL.

    \b
    Example:
      nango integrations list --json
    """
    with project.open() as nango:
        found = [
            {
                "integration": integration.name,
                "blueprint": integration.blueprint,
                "auth_mode": integration.auth_mode,
                "base_url": integration.requests.base_url.source,
            }
            for integration in nango.configuration
        ]
    if as_json:
        echo_json(found)
        return
    rows = [tuple(row.values()) for row in found]
    echo_columns(("integration", "blueprint", "login", "base URL"), rows, "no integrations")


@integrations.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_project
def show(project: Project, name: str, as_json: bool) -> None:
    """Print every setting of an integration, and the file and line that it came from.

    Values of secret settings and of the environment are masked. Examples and gotchas, which set nothing, are
    left out.

    \b
    Example:
      nango integrations show klaviyo-today
    """
    from nango_py.config.loading import origin_of

    with project.open() as nango:
        integration = declared(nango, name)
    lines = [
        (dotted(path), value, origin_of(integration, path))
        for path, value in settings_lines(integration.settings)
        if path[0] not in PROSE
    ]
    if as_json:
        echo_json([{"setting": key, "value": value, "origin": origin} for key, value, origin in lines])
        return
    width = max(len(key) for key, _, _ in lines)
    for key, value, origin in lines:
        click.echo(f"{key.ljust(width)}  {cell(_text(value))}" + (f"  ({origin})" if origin else ""))


def settings_lines(settings: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The leaves of a settings tree with their paths, secrets masked; short lists and flat items whole."""
    for key, value in settings.items():
        yield from _lines((*path, key), value)


def dotted(path: Path) -> str:
    """A path as people write it: `rate_limits.budgets[0].key`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _lines(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if hasattr(value, "items") and value:
        if any(isinstance(part, int) for part in path) and len(_text(_masked(path, value))) <= _ONE_LINE:
            yield path, _masked(path, value)
        else:
            yield from settings_lines(value, path)
    elif isinstance(value, list | tuple) and any(hasattr(item, "items") for item in value):
        for number, item in enumerate(value):
            yield from _lines((*path, number), item)
    else:
        yield path, _masked(path, value)


def _masked(path: Path, value: Any) -> Any:
    """The value as plain data in which nothing secret is left."""
    from nango_py.config.model import EnvironmentText

    if isinstance(value, EnvironmentText):
        return MASK
    if hasattr(value, "items"):
        return {key: _masked((*path, key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(path, item) for item in value]
    return MASK if value and _is_secret(path, value) else value


def _is_secret(path: Path, value: Any) -> bool:
    name = str(path[-1])
    if name in SECRET_SETTINGS:
        return True
    is_sent = any(part in {"headers", "params"} for part in path[:-1]) or str(path[0]).startswith("x-")
    return is_sent and "${" not in str(value) and _SECRET_NAME.search(name) is not None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
