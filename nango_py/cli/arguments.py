"""Parsers of command line values. Invalid values raise click.UsageError, which does not repeat them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nango_py.json_types import JsonObject, JsonValue


def parse_json_option(text: str | None, option: str) -> JsonObject | None:
    """The JSON object of an option: text, `@FILE`, or `-` for standard input."""
    return None if text is None else parse_json_object(read_bytes_option(text), option)


def parse_json_object(raw: bytes, source: str) -> JsonObject:
    """Parse a JSON object."""
    value = parse_json(raw, source)
    if not isinstance(value, dict):
        raise click.UsageError(f"{source} must be a JSON object")
    return value


def parse_json(raw: bytes, source: str) -> JsonValue:
    """Parse a JSON value."""
    try:
        value: JsonValue = json.loads(raw)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except (ValueError, RecursionError):
        reason = "a number is too long, or it is nested too deeply"
    else:
        return value
    raise click.UsageError(f"{source} is not valid JSON: {reason}")


def read_bytes_option(text: str) -> bytes:
    """The bytes of an option: its text, the content of `@FILE`, or standard input for `-`."""
    if text in {"-", "@-"}:
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        with open(text[1:], "rb") as file:  # noqa: PTH123 - the name exactly as typed
            return file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "invalid file name"
    raise click.UsageError(f"cannot read {text[1:]}: {reason}")


def parse_params(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """The query parameters of `-p name=value` options."""
    params = []
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise click.UsageError("-p takes name=value")
        params.append((name, value))
    return params


def parse_headers(texts: tuple[str, ...]) -> dict[str, str]:
    """The headers of `-H 'Name: value'` options."""
    headers = {}
    for text in texts:
        name, sign, value = text.partition(":")
        if not sign or not name.strip():
            raise click.UsageError("-H takes 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers
