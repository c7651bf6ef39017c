"""What is asked for at the prompt: the fields of the connect page's form, with its words and checks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nango_py.auth.base import get_auth_mode
from nango_py.connect.form_values import parse_value
from nango_py.connect.forms import ADDITIONAL_CONFIG, CREDENTIALS, OAUTH, Field, form_of
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.model import Integration

YES_OR_NO = {"y": "true", "yes": "true", "n": "false", "no": "false"}
TRIES = 3


def asked_credentials(integration: Integration) -> dict[str, Any]:
    """The credentials, asked for field by field; what would be a secret is not echoed.

    Raises:
        click.UsageError: nothing can be asked, or what was typed is wrong again and again.
    """
    form = form_of(integration)
    if form.kind != OAUTH:
        return {**form.fixed, **_asked(map(_as_the_mode_allows, form.named(CREDENTIALS).values()))}
    command = f"nango connections connect {integration.name} USER"
    click.echo(f"To log in with a browser instead: {command}", err=True)
    return _asked(_token_fields(integration))


def asked_settings(
    integration: Integration, stored: Mapping[str, Any], *, by_login: bool = False
) -> dict[str, Any]:
    """additional_config, asked for as the blueprint's `connection_config` says.

    Args:
        integration: its form is asked for; where it has none, nothing is asked.
        stored: what the user has already; it is offered, and what the form does not ask for is kept.
        by_login: a login follows, and brings what the provider tells.

    Raises:
        click.UsageError: as in `asked_credentials`.
    """
    fields = form_of(integration if by_login else _untold(integration)).named(ADDITIONAL_CONFIG)
    offered = [replaced(field, default=stored.get(name, field.default)) for name, field in fields.items()]
    return {**{name: value for name, value in stored.items() if name not in fields}, **_asked(offered)}


def _untold(integration: Integration) -> Integration:
    """The integration as if a login told it nothing: who brings a token brings all else too."""
    kept = {
        key: value for key, value in integration.settings["auth"].items() if not key.startswith("keep_from")
    }
    return replaced(integration, settings={**integration.settings, "auth": kept})


def _as_the_mode_allows(field: Field) -> Field:
    """The field, where "" will do for its mode: APIs that take their key as user name have no password."""
    may_be_blank = field.required and field.shortest == 0
    return replaced(field, required=False, blank=True) if may_be_blank else field


def _token_fields(integration: Integration) -> list[Field]:
    """The token that a login would have brought, and what renews it."""
    mode = get_auth_mode(integration.auth_mode)
    required = mode.credentials_schema.get("required", ())
    return [
        Field(CREDENTIALS, name, said["title"], kind="password", required=name in required)
        for name, said in mode.credentials_schema["properties"].items()
        if name in required or name in mode.secret_variables or name == "refresh_token"
    ]


def _asked(fields: Iterable[Field]) -> dict[str, Any]:
    found = {}
    for field in fields:
        value = _response(field)
        if value is not None or field.blank:
            found[field.name] = "" if value is None else value
    return found


def _response(field: Field) -> Any:
    """What the user says, checked as the connect page checks it; None for nothing."""
    if field.help or field.docs_url:
        click.echo(" ".join(part for part in (field.help, field.docs_url) if part), err=True)
    for _ in range(TRIES):
        text = _prompt(field)
        value, fault = parse_value(field, _meant(field, text))
        if not fault:
            return value
        click.echo(fault, err=True)
        if not sys.stdin.isatty():
            break
    raise click.UsageError(f'"{field.title}" was not given as it is needed; nothing was stored')


def _meant(field: Field, text: str) -> str:
    if field.kind == "boolean":
        return YES_OR_NO.get(text.strip().lower(), text)
    if field.kind == "multiline" and text.startswith("@"):
        try:
            return Path(text[1:]).read_text("utf-8")
        except (OSError, ValueError):
            raise click.UsageError(f'the file for "{field.title}" cannot be read') from None
    return text


def _prompt(field: Field) -> str:
    default = _default_of(field)
    may_be_empty = default is not None or not field.required
    try:
        response: str = click.prompt(
            _question(field),
            hide_input=field.kind in {"password", "multiline"},
            err=True,
            show_default=default is not None,
            default="" if default is None and may_be_empty else default,
        )
    except click.Abort:
        if sys.stdin.isatty():
            raise
        response = default or ""
        if not may_be_empty:
            response = "\0"
    if response != "\0":
        return response
    raise click.UsageError(
        "nothing was entered; without a terminal use --credentials-file FILE, or - for a pipe"
    )


def _question(field: Field) -> str:
    notes = []
    if field.choices:
        notes.append(", ".join(map(str, field.choices)))
    elif field.kind == "boolean":
        notes.append("yes or no")
    elif field.kind == "multiline":
        notes.append("one line, or @FILE")
    elif field.example or field.pattern:
        notes.append(f"like {field.example or field.pattern}")
    if not field.required and _default_of(field) is None:
        notes.append("Enter for none")
    return f"{field.title} ({'; '.join(notes)})" if notes else field.title


def _default_of(field: Field) -> str | None:
    if field.default is None:
        return None
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    return str(field.default)
