"""Reads the rate limit headers of many responses of one API, which mostly have the same headers."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING

from nango_py.limits.headers.dialects import declared_name
from nango_py.limits.headers.header_values import LowerCaseHeaders
from nango_py.limits.headers.response_limits import parse_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nango_py.json_types import Settings
    from nango_py.limits.headers.dialects import LimitStatus

END_HEADERS = frozenset({"deprecation", "sunset"})
MAX_SETS = 256
"""Maximum number of cached sets of header names."""


class HeaderReader:
    """Returns what `parse_limits` returns, and caches which headers of a set can describe limits.

    Args:
        declared: the blueprint's `rate_limits.headers`.

    Attributes:
        has_seen_end: whether a response had a header about the end of its resource (RFC 9745, RFC 8594).
    """

    def __init__(self, declared: Settings | None) -> None:
        self._declared = declared
        words = ("remaining", "limit", "reset")
        self._names = {declared_name(declared, word) for word in words} - {""}
        self.has_seen_end = False
        self._positions: dict[tuple[str, ...], tuple[tuple[int, str], ...]] = {}

    def read(self, headers: Mapping[str, str] | Message, now: float) -> tuple[LimitStatus, ...]:
        """Every limit in the headers of a response.

        Args:
            headers: a mapping, or a message of http.client.
            now: Unix seconds.
        """
        read_pairs: Callable[[], Iterable[tuple[str, str]]]
        if isinstance(headers, Message):
            # A message checks each value that is read, so only the needed ones are.
            names, read_pairs = tuple(headers.keys()), headers.raw_items
        else:
            names, read_pairs = tuple([name for name, _ in headers.items()]), headers.items
        positions = self._positions.get(names)
        if positions is None:
            positions = self._find_positions(names)
        if not positions:
            return ()
        pairs = list(read_pairs())
        by_name = LowerCaseHeaders([(name, str(pairs[index][1])) for index, name in positions])
        return parse_limits(by_name, now, self._declared)

    def _find_positions(self, names: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
        """The positions of the headers that can describe limits, and of Date if there are any."""
        lower = [name.lower() for name in names]
        if not END_HEADERS.isdisjoint(lower):
            self.has_seen_end = True
        # Declared names can be anything; in the known formats all names contain "limit".
        wanted = {name for name in lower if "limit" in name or name in self._names}
        if wanted:
            wanted.add("date")
        found = tuple((index, name) for index, name in enumerate(lower) if name in wanted)
        if len(self._positions) >= MAX_SETS:
            self._positions.clear()
        self._positions[names] = found
        return found
