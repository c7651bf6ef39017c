"""One call's place in the budgets that it spends from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nango_py.limits.limit_types import Spend


class Booking:
    """One call's place in every budget that it spends from.

    Attributes:
        order: arrival number; among calls with the same keys the lowest goes first.
        time: when the request may be sent.
        wake_at: when the caller will ask again.
        state: `waiting`, `in_flight` (sent, no response yet) or `ended`.
    """

    __slots__ = ("_line", "gates", "order", "spends", "state", "time", "wake_at")

    def __init__(self, order: int, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        self.order = order
        self.spends = spends
        self.gates = gates
        self.time = self.wake_at = 0.0
        self._line: object = None
        self.state: Literal["waiting", "in_flight", "ended"] = "ended"

    @property
    def line(self) -> object:
        """Equal for bookings that spend from the same budgets, so that arrival decides which goes first."""
        if self._line is None:
            self._line = tuple([spend.key for spend in self.spends])
        return self._line
