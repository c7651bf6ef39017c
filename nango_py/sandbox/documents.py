"""Writes values into JSON documents at the paths where a client reads them."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue

_POINTER = re.compile(r"[\w-]+(\[\d+\])*(\.[\w-]+(\[\d+\])*)*")
_STEP = re.compile(r"([\w-]+)|\[(\d+)\]")


def plain_pointer(expression: str | None, default: str) -> str:
    """The first alternative of a JMESPath expression if it is a plain path, else the default."""
    first = (expression or "").split("||")[0].strip()
    return first if _POINTER.fullmatch(first) else default


def set_at(document: JsonValue, pointer: str, value: JsonValue) -> JsonValue:
    """Set a value in a document at a path such as `errors[0].detail`, and return the document."""
    steps: list[str | int] = [int(index) if index else name for name, index in _STEP.findall(pointer)]
    top = document if document is not None else _container_for(steps[0])
    target = top
    for step, following in itertools.pairwise(steps):
        if isinstance(target, list) and isinstance(step, int):
            target.extend({} for _ in range(step + 1 - len(target)))
            target = target[step]
        elif isinstance(target, dict) and isinstance(step, str):
            target = target.setdefault(step, _container_for(following))
    last = steps[-1]
    if isinstance(target, list) and isinstance(last, int):
        target.extend(None for _ in range(last + 1 - len(target)))
        target[last] = value
    elif isinstance(target, dict) and isinstance(last, str):
        target[last] = value
    return top


def _container_for(step: str | int) -> JsonValue:
    return [] if isinstance(step, int) else {}
