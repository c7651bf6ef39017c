"""Values that commands take: JSON, bodies, headers and parameters from arguments, files and pipes."""

from __future__ import annotations

import json
import sys
from typing import Any

import click


def json_option(text: str | None, option: str) -> dict[str, Any] | None:
    """The JSON object of an option, given as text, `@FILE` or `-`; None when it was not given.

    Raises:
        click.UsageError: it is not a JSON object. The text is not repeated.
    """
    if text is None:
        return None
    return json_object(bytes_option(text), option)


def json_object(raw: bytes, source: str) -> dict[str, Any]:
    """The JSON object of a text; errors as in `json_option`."""
    value = json_value(raw, source)
    if not isinstance(value, dict):
        raise click.UsageError(f"{source} must be a JSON object of named values")
    return value


def json_value(raw: bytes, source: str) -> Any:
    """The JSON value of a text; errors as in `json_option`."""
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        place = f"{error.msg} at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError:
        place = "it is not UTF-8"
    raise click.UsageError(f"{source} is not JSON: {place}")


def bytes_option(text: str) -> bytes:
    """The bytes that an option means: itself, those of `@FILE`, or standard input for `-`.

    Raises:
        click.UsageError: the file cannot be read.
    """
    if text in {"-", "@-"}:
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with open(text[1:], "rb") as opened:  # noqa: PTH123 - the name is as the user wrote it
            return opened.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
    raise click.UsageError(f"cannot read {text[1:]}: {reason}")


def pairs(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """The parameters of `-p name=value` options.

    Raises:
        click.UsageError: one has no `=`.
    """
    found = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.UsageError("-p takes name=value")
        found.append((name, value))
    return found


def headers(texts: tuple[str, ...]) -> dict[str, str]:
    """The headers of `-H 'Name: value'` options.

    Raises:
        click.UsageError: one has no colon. The value is not repeated.
    """
    found = {}
    for text in texts:
        name, sign, value = text.partition(":")
        if not sign or not name.strip():
            raise click.UsageError("-H takes 'Name: value'")
        found[name.strip()] = value.strip()
    return found
