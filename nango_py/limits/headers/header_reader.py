"""Reading the rate limit headers of many answers of one API, which mostly have the same headers."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, Any

from nango_py.limits.headers.dialects import declared_name
from nango_py.limits.headers.header_values import LowerCaseHeaders
from nango_py.limits.headers.response_limits import observe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nango_py.limits.headers.dialects import Observation

MOST_SETS = 256
"""How many sets of header names are remembered."""


class HeaderReader:
    """Gives what `observe` gives, and remembers which headers of a set can say anything of limits.

    Args:
        declared: the blueprint's `rate_limits.headers`.
    """

    def __init__(self, declared: Mapping[str, Any] | None) -> None:
        self._declared = declared
        words = ("remaining", "limit", "reset")
        self._names = {declared_name(declared, word) for word in words} - {""}
        self._telling: dict[tuple[str, ...], tuple[tuple[int, str], ...]] = {}

    def read(self, headers: Any, now: float) -> tuple[Observation, ...]:
        """Every limit that a response's headers tell of.

        Args:
            headers: a mapping, or a message of http.client.
            now: unix seconds.
        """
        pairs = None
        if isinstance(headers, Message):
            names = tuple(headers.keys())  # one for each pair, repeated ones too
        else:
            pairs = list(headers.items())
            names = tuple([name for name, _ in pairs])
        telling = self._telling.get(names)
        if telling is None:
            telling = self._find(names)
        if not telling:
            return ()
        if pairs is None:
            # Values of a message are looked at for strange signs one by one; only those that tell are read.
            pairs = list(headers.raw_items())
        by_name = LowerCaseHeaders([(name, str(pairs[index][1])) for index, name in telling])
        return observe(by_name, now, self._declared)

    def _find(self, names: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
        """Where the headers stand that can say anything of limits, and the response's own time with them."""
        lower = [name.lower() for name in names]
        # Declared names may be anything; the known dialects all have "limit" in a name.
        telling = {name for name in lower if "limit" in name or name in self._names}
        wanted = telling | {"date"} if telling else telling
        found = tuple((index, name) for index, name in enumerate(lower) if name in wanted)
        if len(self._telling) >= MOST_SETS:
            self._telling.clear()
        self._telling[names] = found
        return found
