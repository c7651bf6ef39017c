"""Prompts for credentials and settings: the fields of the connect form, with its titles and checks."""

from __future__ import annotations

import getpass
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nango_py.auth.base import mode_of
from nango_py.connect.form_values import parse_value
from nango_py.connect.forms import ADDITIONAL_CONFIG, CREDENTIALS, OAUTH, Field, make_form
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.config.model import Integration

YES_OR_NO = {"y": "true", "yes": "true", "n": "false", "no": "false"}
TRIES = 3


def prompt_for_credentials(integration: Integration) -> dict[str, Any]:
    """Prompt for each credential, without echo for secrets."""
    form = make_form(integration)
    if form.kind != OAUTH:
        return {
            **form.fixed_credentials,
            **_prompt_for_fields(map(_allow_blank, form.fields_of(CREDENTIALS).values())),
        }
    command = f"nango connections connect {integration.name} USER"
    click.echo(f"To log in with a browser instead: {command}", err=True)
    return _prompt_for_fields(_token_fields(integration))


def prompt_for_settings(
    integration: Integration, stored: Mapping[str, Any], *, is_login: bool = False
) -> dict[str, Any]:
    """Prompt for additional_config as the blueprint's `connection_config` declares it.

    Args:
        integration: without `connection_config` there is no prompt.
        stored: the user's settings, offered as defaults. Settings without a field are kept.
        is_login: a login follows, so settings that the provider returns are not asked for.
    """
    fields = make_form(integration if is_login else _without_login(integration)).fields_of(ADDITIONAL_CONFIG)
    offered = [replaced(field, default=stored.get(name, field.default)) for name, field in fields.items()]
    others = {name: value for name, value in stored.items() if name not in fields}
    return {**others, **_prompt_for_fields(offered)}


def _without_login(integration: Integration) -> Integration:
    """The integration as if the provider returned no settings: without a login, the user has to enter all."""
    auth = {
        key: value
        for key, value in integration.settings["auth"].items()
        if not key.startswith("keep_from") and key != "after_login"
    }
    return replaced(integration, settings={**integration.settings, "auth": auth})


def _allow_blank(field: Field) -> Field:
    """Make a field optional if its auth mode allows "": APIs with a key as user name use no password."""
    may_be_blank = field.required and field.min_length == 0
    return replaced(field, required=False, allows_blank=True) if may_be_blank else field


def _token_fields(integration: Integration) -> list[Field]:
    """Fields for the tokens that a login would have returned."""
    mode = mode_of(integration)
    required = mode.credentials_schema.get("required", ())
    return [
        Field(CREDENTIALS, name, schema["title"], kind="password", required=name in required)
        for name, schema in mode.credentials_schema["properties"].items()
        if name in required or name in mode.secret_variables or name == "refresh_token"
    ]


def _prompt_for_fields(fields: Iterable[Field]) -> dict[str, Any]:
    values = {}
    for field in fields:
        value = _prompt_for_value(field)
        if value is not None or field.allows_blank:
            values[field.name] = "" if value is None else value
    return values


def _prompt_for_value(field: Field) -> object:
    """The value of one field, checked as on the connect page; None if left empty."""
    if field.help or field.docs_url:
        click.echo(" ".join(part for part in (field.help, field.docs_url) if part), err=True)
    for _ in range(TRIES):
        value, problem = parse_value(field, _expand(field, _read_line(field)))
        if not problem:
            return value
        click.echo(problem, err=True)
        if not sys.stdin.isatty():
            break
    raise click.UsageError(f'invalid value for "{field.title}"; nothing was stored')


def _expand(field: Field, text: str) -> str:
    """Translate yes or no, and read the file of `@FILE`."""
    if field.kind == "boolean":
        return YES_OR_NO.get(text.strip().lower(), text)
    if field.kind == "multiline" and text.startswith("@"):
        try:
            return Path(text[1:]).read_text("utf-8")
        except (OSError, ValueError):
            raise click.UsageError(f'cannot read the file for "{field.title}"') from None
    return text


def _read_line(field: Field) -> str:
    default = _default_text(field)
    is_optional = default is not None or not field.required
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", getpass.GetPassWarning)  # that no terminal can hide the input
            text: str = click.prompt(
                _question(field),
                hide_input=field.kind in {"password", "multiline"},
                err=True,
                show_default=default is not None,
                default="" if default is None and is_optional else default,
            )
    except click.Abort:
        if sys.stdin.isatty():
            raise
    else:
        return text
    if is_optional:
        return default or ""
    raise click.UsageError("no input; without a terminal use --credentials-file FILE, or - for a pipe")


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
    if not field.required and _default_text(field) is None:
        notes.append("Enter for none")
    return f"{field.title} ({'; '.join(notes)})" if notes else field.title


def _default_text(field: Field) -> str | None:
    if field.default is None:
        return None
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    return str(field.default)
