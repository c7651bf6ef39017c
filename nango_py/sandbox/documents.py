"""Writes values into JSON documents at the JMESPaths where a client reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from nango_py.json_path import search_json
from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue, Settings

    Steps: TypeAlias = "tuple[str | int | Filter, ...]"


@record
class Filter:
    """The member of a list of objects whose `name` has this value."""

    name: str
    value: str


_ALTERNATIVE = re.compile(r"""((?:[^|"'`]|\|(?!\|)|"[^"]*"|'[^']*'|`[^`]*`)+)(?:\|\||$)""")
_NOT_NULL = re.compile(r"\s*not_null\(([^()]*)\)\s*")
_STEP = re.compile(
    r"""\.?(?:(?P<name>[A-Za-z_][\w-]*)|"(?P<quoted>[^"]+)"|\[(?P<index>\d+)\]"""
    r"""|\[\?\s*(?P<key>\w+)\s*==\s*['`]"?(?P<value>[^'"`]*)"?['`]\s*\])"""
)
_FIRST = re.compile(r"\s*\|\s*\[0\]\s*$")


def find_steps(expression: str | None) -> Steps | None:
    """The path of the first alternative of a JMESPath that can be written; None if there is none.

    Names, quoted names, indexes and filters such as `links[?rel=='next'].href | [0]` can be written. `@` is
    the empty path. Of `a && b`, it is that of b.
    """
    for alternative in _split(expression or ""):
        steps = _parse_steps(alternative.rpartition("&&")[2].strip())
        if steps is not None:
            return steps
    return None


def choose_alternative(expression: str, document: JsonValue, name: str) -> str:
    """Of the alternatives of a JMESPath to a list, the one to write.

    It is the one that has a list in the document, else the one with this name, else `@`, else the first.
    """
    alternatives = _split(expression)
    for alternative in alternatives:
        if isinstance(search_json(alternative, document), list):
            return alternative
    return next((each for each in (name, "@") if each in alternatives), alternatives[0])


def _split(expression: str) -> list[str]:
    """The alternatives of `a || b` and `not_null(a, b)`."""
    function = _NOT_NULL.fullmatch(expression)
    texts: list[str] = function[1].split(",") if function else _ALTERNATIVE.findall(expression)
    return [text.strip() for text in texts]


def _parse_steps(text: str) -> Steps | None:
    if text == "@":
        return ()
    plain = _FIRST.sub("", text)
    steps: list[str | int | Filter] = []
    at = 0
    while at < len(plain):
        match = _STEP.match(plain, at)
        if match is None:
            return None
        at = match.end()
        if match["index"]:
            steps.append(int(match["index"]))
        elif match["key"]:
            steps.append(Filter(match["key"], match["value"]))
        else:
            steps.append(match["name"] or match["quoted"])
    return tuple(steps) or None


def set_at(document: JsonValue, steps: Steps, value: JsonValue) -> JsonValue:
    """A copy of a document with a value at a path; objects and lists on the way are made if needed.

    Values of other types on the way are replaced. A None at a filter leaves its member out.
    """
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        members = dict(document) if isinstance(document, dict) else {}
        members[step] = set_at(members.get(step), rest, value)
        return members
    items = list(document) if isinstance(document, list) else []
    if isinstance(step, Filter):
        others = [
            item for item in items if not (isinstance(item, dict) and item.get(step.name) == step.value)
        ]
        if value is None:
            return others
        return [*others, set_at({step.name: step.value}, rest, value)]
    items.extend(None for _ in range(step + 1 - len(items)))
    items[step] = set_at(items[step], rest, value)
    return items


def write_at_path(document: JsonValue, path: str | None, value: JsonValue) -> JsonValue:
    """A copy of a document with a value at a JMESPath; the document itself if the path cannot be written."""
    steps = find_steps(path)
    return document if steps is None else set_at(document, steps, value)


def find_field_of_last(pointer: Settings | str) -> tuple[str, str] | None:
    """The list ("" is the body) and the field of a JMESPath to the last record (`data[-1].id`), or None.

    A pointer to a header names no record.
    """
    expression = pointer if isinstance(pointer, str) else ""
    match = re.search(r"(?:^|&&)\s*(?P<list>[\w.\"]*)\[-1\]\.(?P<field>\w+)\s*$", expression)
    return (match["list"], match["field"]) if match else None
