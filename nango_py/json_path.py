"""JMESPath: paths of settings into JSON. What a response decides is never an exception."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue


class _Expression(Protocol):
    def search(self, value: JsonValue) -> JsonValue: ...


def search_json(path: str, body: JsonValue) -> JsonValue:
    """The value at a JMESPath, or None if there is none or if the body has other types than the path expects.

    `contains(message, 'limit')` of a body without a message is None, as `message` is.

    Raises:
        ValueError: the path is not a valid JMESPath.

    Source: https://jmespath.org/specification.html
    """
    names = _split_plain_path(path)
    if names is None:
        return _search(_compile(path), body)
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _search(expression: _Expression, body: JsonValue) -> JsonValue:
    from jmespath.exceptions import ArityError, JMESPathError, ParseError, UnknownFunctionError

    try:
        return expression.search(body)
    except (ParseError, ArityError, UnknownFunctionError):
        raise
    except (JMESPathError, ArithmeticError, TypeError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=256)
def _compile(path: str) -> _Expression:
    import jmespath

    expression: _Expression = jmespath.compile(path)
    return expression


@lru_cache(maxsize=256)
def _split_plain_path(path: str) -> tuple[str, ...] | None:
    """The names of a path such as `links.next`, which needs no JMESPath parser; None for other paths."""
    return tuple(path.split(".")) if _PLAIN_PATH.fullmatch(path) else None


_PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
