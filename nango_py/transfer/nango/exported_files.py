"""Files with responses of today's Nango to `GET /connections/:id`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nango_py.errors import ConfigError, Position, Problem
from nango_py.secret import Secret
from nango_py.transfer.report import INVALID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nango_py.json_types import JsonValue

    Responses = Iterator[tuple[Position, JsonValue]]

SUFFIXES = (".json", ".jsonl", ".ndjson")


def read_responses(path: Path) -> Responses:
    """Every response with its position. The texts in them are plain, so do not keep them.

    Args:
        path: a file with a JSON object, an array of them, or one on each line (only one line is in memory at
            a time); or a folder of such files, with names that end in one of SUFFIXES.

    Raises:
        ConfigError: a file cannot be read or is not JSON; the message has its position and none of its
            content.
    """
    for file in _list_files(path):
        yield from _read_file(file)


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise _config_error(Position(str(path)), f"the folder has no file that ends in {', '.join(SUFFIXES)}")
    return files


def _read_file(path: Path) -> Responses:
    failure = None
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = _parse_line(file.readline())
            if isinstance(first, dict):
                yield Position(str(path), 1, 1), first
                yield from _read_lines(path, file)
                return
            file.seek(0)
            content = _parse_file(path, Secret(file.read()))
    except OSError as error:
        failure = _config_error(
            Position(str(path)), f"cannot be read: {error.strerror or type(error).__name__}"
        )
    except UnicodeDecodeError:
        failure = _config_error(Position(str(path)), "is not UTF-8")
    if failure is not None:
        raise failure
    if isinstance(content, list):
        yield from ((Position(f"{path}[{number}]"), value) for number, value in enumerate(content))
    else:
        yield Position(str(path)), content


def _read_lines(path: Path, lines: Iterable[str]) -> Responses:
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        value = _parse_line(line)
        if value is None:
            raise _config_error(Position(str(path), number, 1), "the line is not a JSON object")
        yield Position(str(path), number, 1), value


def _parse_line(line: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value


def _parse_file(path: Path, text: Secret) -> JsonValue:
    try:
        value: JsonValue = json.loads(text.reveal())
    except json.JSONDecodeError as error:
        position, what = Position(str(path), error.lineno, error.colno), error.msg
    except (ValueError, RecursionError):
        position, what = Position(str(path)), "a number is too long, or it is nested too deeply"
    else:
        return value
    raise _config_error(position, f"is not JSON: {what}")


def _config_error(position: Position, what: str) -> ConfigError:
    return ConfigError([Problem(position, INVALID, what)])
