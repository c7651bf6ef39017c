"""The names in the keys of counters. A shared store may be readable by others, so it gets digests of values.

What the file says stays readable: its text, and the patterns of its endpoints. Values of connections and of
calls become `#` and 16 hexadecimal digits; this process remembers those of calls, to show them.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nango_py.limits.owners import KeyTemplate, Variables

SHOWN = frozenset({"method", "path", "endpoint", "segment", "params", "body"})
"""Variables of a call, whose values this process remembers; others may hold credentials."""

MAX_NAMES = 8192
"""Maximum number of remembered values; the oldest are forgotten."""

_DIGEST = re.compile(r"#[0-9a-f]{16}")
_names: OrderedDict[str, str] = OrderedDict()


class CounterKey:
    """The `key` of a budget, rendered with digests for values.

    Attributes:
        names: the dotted names in it.
    """

    def __init__(self, template: KeyTemplate) -> None:
        self.names = frozenset(template.names)
        self._template = template
        self._pieces = tuple(
            _how_shown(names, is_expression=template.is_expression(index))
            for index, names in enumerate(template.names_by_piece())
        )

    def render(self, variables: Variables, *, has_pattern: bool) -> str:
        """The key for one call.

        Args:
            variables: of the connection and the call.
            has_pattern: whether `endpoint` is a pattern of the file.

        Raises:
            TemplateProblem: a variable has no value.
        """
        found = []
        for (text, _), shown in zip(self._template.render_parts(variables), self._pieces, strict=True):
            if shown == "text" or (shown == "endpoint" and has_pattern):
                found.append(text)
                continue
            digest = _digest(text)
            if shown != "hidden":
                _remember(digest, text)
            found.append(digest)
        return "".join(found)


def _how_shown(names: Sequence[str], *, is_expression: bool) -> str:
    if not names or (names[0] == "method" and not is_expression):
        return "text"
    if names[0] == "endpoint" and not is_expression:
        return "endpoint"
    return "seen" if all(name.partition(".")[0] in SHOWN for name in names) else "hidden"


def readable_key(key: str) -> str:
    """A key with the values that this process has seen."""
    return _DIGEST.sub(lambda found: _names.get(found[0], found[0]), key)


def budget_number(key: str) -> int | None:
    """The number of the budget of a counter; None for learned limits and for whole scopes."""
    number = key.partition(" ")[2].partition(" ")[0]
    return int(number) if number.isdecimal() else None


def _remember(digest: str, text: str) -> None:
    _names[digest] = text
    if len(_names) > MAX_NAMES:
        _names.popitem(last=False)


@lru_cache(maxsize=4096)
def _digest(text: str) -> str:
    return "#" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
