"""Checks the names of headers that settings send, or read from responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.template.filters import TemplateProblem
from nango_py.config.template.headers import check_header_name
from nango_py.config.values import MAPPINGS, EnvironmentText, list_at
from nango_py.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Located
    from nango_py.json_types import Settings

_SENDING = ("requests", "verification", "endpoints", "auth")
_READING = ("rate_limits", "retries", "verification", "pagination", "endpoints", "auth")
_CONTAINERS = (*MAPPINGS, list, tuple)
_SENT_MAPPINGS = frozenset({"headers", "token_headers"})


def check_header_names(settings: Settings, locator: Located) -> Iterator[Problem]:
    """Header names that are not tokens (E313), or that differ only in case (E105)."""
    for block in _SENDING:
        yield from check_sent_names(settings.get(block), (block,), locator)
    for block in _READING:
        for path, name in _read_names(settings.get(block), (block,)):
            try:
                is_sent = path[-1] == "idempotency_header" or path[-2:] == ("idempotency", "header")
                check_header_name(name, is_sent=is_sent)
            except TemplateProblem as problem:
                is_key = path[-1] == name and path[-2] == "header"
                where = locator.key_position(path) if is_key else locator.position(path)
                yield Problem(where, problem.code, problem.what, problem.expected, problem.help)


def check_sent_names(block: object, path: Path, locator: Located) -> Iterator[Problem]:
    """The names of all headers in a block that are not tokens (E313) or differ only in case (E105)."""
    for below, headers in _mappings(block, path, _SENT_MAPPINGS):
        yield from _check_sent(headers, below, locator)


def _check_sent(headers: Settings, path: Path, locator: Located) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in headers:
        where = locator.key_position((*path, name))
        try:
            check_header_name(name)
        except TemplateProblem as problem:
            yield Problem(where, problem.code, problem.what, problem.expected, problem.help)
            continue
        first = seen.setdefault(name.lower(), name)
        if first != name:
            what = f'header "{name}" already defined at {locator.key_position((*path, first))}'
            yield Problem(where, "E105", what, "", "header names are case-insensitive; remove one")


def sent_headers(settings: Settings) -> list[tuple[str, str]]:
    """Name and text of every header in settings that requests to the API or its token endpoint carry."""
    return [
        (name, text)
        for block in _SENDING
        for _, headers in _mappings(settings.get(block), (block,), _SENT_MAPPINGS)
        for name, text in headers.items()
        if isinstance(text, str)
    ]


# Loops over a list of what is left, since blueprints have hundreds of cases and nearly all name no header.
def _mappings(value: object, path: Path, names: frozenset[str]) -> list[tuple[Path, Settings]]:
    """The mappings with one of the names, however deep in mappings and lists, each with its path."""
    found: list[tuple[Path, Settings]] = []
    left: list[tuple[Path, object]] = [(path, value)]
    for above, block in left:
        for key, item in block.items() if isinstance(block, MAPPINGS) else enumerate(list_at(block)):
            if key in names and isinstance(item, MAPPINGS):
                found.append(((*above, key), item))
            elif key != "json" and isinstance(item, _CONTAINERS):
                left.append(((*above, key), item))
    return found


def _read_names(value: object, path: Path) -> list[tuple[Path, str]]:
    """The names of response headers in a block, each with the path of the text or key that has it."""
    found: list[tuple[Path, str]] = []
    left: list[tuple[Path, object]] = [(path, value)]
    for above, block in left:
        for key, item in block.items() if isinstance(block, MAPPINGS) else enumerate(list_at(block)):
            if key in {"header", "idempotency_header"} and isinstance(item, str):
                if not isinstance(item, EnvironmentText):
                    found.append(((*above, key), str.__str__(item)))
            elif key == "header" and isinstance(item, MAPPINGS):
                found += [((*above, key, name), name) for name in item]
            elif key == "headers" and path[0] == "rate_limits":
                found += _limit_headers(item, (*above, key))
            elif key != "json" and isinstance(item, _CONTAINERS):
                left.append(((*above, key), item))
    return found


def _limit_headers(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """The names in `rate_limits.headers`, or in a list of such families."""
    for key, item in _entries(value):
        below = (*path, key)
        if isinstance(item, str) and key in {"limit", "remaining", "reset", "retry_after", "name"}:
            yield below, str.__str__(item)
        elif isinstance(item, MAPPINGS):
            yield from _limit_headers(item, below)


def _entries(value: object) -> Iterator[tuple[str | int, object]]:
    if isinstance(value, MAPPINGS):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
