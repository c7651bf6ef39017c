"""Values as YAML text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from nango_py.config.values import MAPPINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLAIN = re.compile(r"[A-Za-z/$][A-Za-z0-9_./+$-]*(?: [A-Za-z0-9_./+$-]+)*|https://[A-Za-z0-9_./-]+")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
WIDTH = 116


def format_flow(value: object) -> str:
    """A value as YAML on one line."""
    if isinstance(value, MAPPINGS):
        pairs = (f"{format_scalar(key)}: {format_flow(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(format_flow, value)) + "]"
    return format_scalar(value)


def format_scalar(value: object) -> str:
    """A text, number, boolean or null as YAML; texts are quoted unless all YAML readers agree on them."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return str.__str__(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def block_lines(mapping: Mapping[str, object], indent: int = 0) -> Iterator[str]:
    """The lines of a mapping: a value on the line of its key if it fits and is not nested deeply."""
    for key, value in mapping.items():
        start = f"{' ' * indent}{format_scalar(key)}:"
        flow = format_flow(value)
        is_short = len(start) + len(flow) < WIDTH and not _is_nested(value)
        if is_short or not value or not isinstance(value, (*MAPPINGS, list, tuple)):
            yield f"{start} {flow}"
        elif isinstance(value, MAPPINGS):
            yield start
            yield from block_lines(value, indent + 2)
        else:
            yield start
            yield from (f"{' ' * indent}  - {format_flow(item)}" for item in value)


def _is_nested(value: object) -> bool:
    """Whether a mapping has mappings."""
    return isinstance(value, MAPPINGS) and any(isinstance(item, MAPPINGS) for item in value.values())
