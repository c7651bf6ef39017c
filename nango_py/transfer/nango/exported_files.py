"""The responses of today's Nango to `GET /connections/:id`, wherever they were kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nango_py.errors import ConfigError, Position, Problem
from nango_py.secret import Secret
from nango_py.transfer.report import UNFIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".json", ".jsonl", ".ndjson")


def read_exports(path: Path) -> Iterator[tuple[Position, Any]]:
    """Every response with its place. Texts in them are plain, so they are not to be kept.

    Args:
        path: a file with one JSON object, an array of them, or one on each line; or a folder of such files,
            whose names end in one of SUFFIXES. Of lines only one is in memory at a time.

    Raises:
        ConfigError: a file cannot be read, or is not JSON; the message has its place and nothing of it.
    """
    for file in _files(path):
        yield from _responses_of(file)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
    if not found:
        raise _wrong(Position(str(path)), f"the folder has no file that ends in {', '.join(SUFFIXES)}")
    return found


def _responses_of(path: Path) -> Iterator[tuple[Position, Any]]:
    failure = None
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = _parsed(file.readline())
            if isinstance(first, dict):
                yield Position(str(path), 1, 1), first
                yield from _lines(path, file)
                return
            file.seek(0)
            whole = _whole(path, Secret(file.read()))
    except OSError as error:
        failure = _wrong(Position(str(path)), f"cannot be read: {error.strerror or type(error).__name__}")
    except UnicodeDecodeError:
        failure = _wrong(Position(str(path)), "is not UTF-8")
    if failure is not None:
        raise failure
    if isinstance(whole, list):
        yield from ((Position(f"{path}[{number}]"), value) for number, value in enumerate(whole))
    else:
        yield Position(str(path)), whole


def _lines(path: Path, file: Any) -> Iterator[tuple[Position, Any]]:
    for number, line in enumerate(file, start=2):
        if not line.strip():
            continue
        value = _parsed(line)
        if value is None:
            raise _wrong(Position(str(path), number, 1), "the line is not a JSON object")
        yield Position(str(path), number, 1), value


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _whole(path: Path, text: Secret) -> Any:
    try:
        return json.loads(text.reveal())
    except json.JSONDecodeError as error:
        place, what = Position(str(path), error.lineno, error.colno), error.msg
    except (ValueError, RecursionError):
        place, what = Position(str(path)), "a number or the nesting goes beyond all bounds"
    raise _wrong(place, f"is not JSON: {what}")


def _wrong(position: Position, what: str) -> ConfigError:
    return ConfigError([Problem(position, UNFIT, what)])
