"""JMESPath: paths of settings into JSON. What a response decides is never an exception."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def prepare(texts: Iterable[str]) -> None:
    """Import the parser now if one of these texts, which need not be paths, looks as if it needed it."""
    if any(_SYNTAX.search(text) and "${" not in text and "://" not in text for text in texts):
        import jmespath  # noqa: F401


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


_SYNTAX = re.compile(r"[\[\]()|&@*!<>='\"`]|\{.*:")
_PLAIN_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
# Names and indexes need no parser.
_PLAIN_STEPS = re.compile(r"[A-Za-z_]\w*(?:\[[0-9]+\])?(?:\.[A-Za-z_]\w*(?:\[[0-9]+\])?)*", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_@$:/-]+")
_MANUAL = "see https://jmespath.org/tutorial.html"


def find_path_fault(text: str) -> tuple[str, str]:
    """What is wrong with a JMESPath, and what to write instead; two empty texts for a valid one.

    Source: https://jmespath.org/specification.html
    """
    if not text or _PLAIN_STEPS.fullmatch(text):
        return "", ""
    import jmespath

    try:
        tree = jmespath.compile(text).parsed
    except (jmespath.exceptions.JMESPathError, ValueError, RecursionError):
        return "not a JMESPath", _suggest(text)
    return next(_function_faults(tree), ("", ""))


def _suggest(text: str) -> str:
    """The same path with its odd keys in quotes, as JMESPath needs them."""
    if text.startswith(("$.", "$[")):
        return f"this is JSONPath; write {text[2:].replace('[*]', '[]')}" if text[2:] else _MANUAL
    keys = [text] if text.startswith("@") else text.split(".")
    if all(map(_KEY.fullmatch, keys)) or text.startswith("@"):
        odd = {
            key: f"[{key}]" if key.isdigit() else f'"{key}"'
            for key in keys
            if not _PLAIN_STEPS.fullmatch(key)
        }
        parts = [odd.get(key, key) for key in keys]
        path = ".".join(parts).replace(".[", "[")
        return f"put the key in quotes: '{path}'" if '"' in path else f"write {path}"
    return _MANUAL


def _function_faults(node: Any) -> Iterator[tuple[str, str]]:
    """Functions that do not exist, or that take another number of arguments."""
    if not isinstance(node, dict):
        return
    if node["type"] == "function_expression":
        from jmespath.functions import Functions

        known = Functions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            yield f'JMESPath has no function "{node["value"]}"', _MANUAL
        else:
            fewest, found = len(known["signature"]), len(node["children"])
            is_open = any(argument.get("variadic") for argument in known["signature"])
            if found < fewest or (found > fewest and not is_open):
                yield f"{node['value']}() takes {fewest} arguments, not {found}", _MANUAL
    for child in node["children"]:
        yield from _function_faults(child)
