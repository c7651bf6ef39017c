"""Reads the rate limit headers of many responses of one API, which mostly have the same headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nango_py.header_values import LowerCaseHeaders, lower_case
from nango_py.limits.headers.response_limits import parse_limits, parse_wait, response_time_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nango_py.limits.headers.declared import DeclaredLimits
    from nango_py.limits.headers.dialects import LimitStatus

END_HEADERS = frozenset({"deprecation", "sunset"})
MAX_SETS = 256
"""Maximum number of cached sets of header names."""


class HeaderItems(Protocol):
    """Headers with their names as they came."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values, in order."""


class HeaderReader:
    """Returns what `parse_limits` returns, and caches which headers of a set can describe limits.

    Args:
        declared: where the blueprint says that limits are reported.

    Attributes:
        has_seen_end: whether a response had a header about the end of its resource (RFC 9745, RFC 8594).
    """

    def __init__(self, declared: DeclaredLimits) -> None:
        self._declared = declared
        self._names = declared.header_names
        self.has_seen_end = False
        self._positions: dict[tuple[str, ...], tuple[tuple[int, str], ...]] = {}

    def read(self, headers: HeaderItems, now: float) -> tuple[LimitStatus, ...]:
        """Every limit in the headers of a response.

        Args:
            headers: a mapping, or the lines of a response.
            now: Unix seconds.
        """
        lines = list(headers.items())
        names = tuple([name for name, _ in lines])
        positions = self._positions.get(names)
        if positions is None:
            positions = self._find_positions(names)
        if not positions:
            return ()
        by_name = LowerCaseHeaders([(name, lines[index][1]) for index, name in positions])
        return self._parse(by_name, now)

    def wait(self, headers: Mapping[str, str], text: str, now: float) -> float | None:
        """The seconds that a refusal asks to wait; see `parse_wait`."""
        by_name = lower_case(headers)
        return parse_wait(by_name, text, now, self._declared.headers, self._parse(by_name, now))

    def _parse(self, by_name: LowerCaseHeaders, now: float) -> tuple[LimitStatus, ...]:
        declared = self._declared
        if not declared.has_families:
            return parse_limits(by_name, now, declared.headers)
        families = tuple(declared.read_families(by_name, response_time_of(by_name, now)))
        return (*families, *parse_limits(declared.without_families(by_name), now, declared.headers))

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
