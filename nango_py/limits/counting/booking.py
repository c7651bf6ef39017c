"""One call's place in the budgets that it spends from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nango_py.limits.limit_types import Spend


class Booking:
    """One call's place in every budget it spends from.

    Attributes:
        order: arrivals count up; who came first goes first among calls with the same keys.
        at: the moment it is booked for.
        promised: the moment its caller was told to come back at.
        state: `booked`, `flying` (sent, not yet answered) or `over`.
    """

    __slots__ = ("at", "gates", "order", "promised", "spends", "state")

    def __init__(self, order: int, spends: tuple[Spend, ...], gates: tuple[str, ...]) -> None:
        self.order = order
        self.spends = spends
        self.gates = gates
        self.at = self.promised = 0.0
        self.state = "over"

    def shares_line(self, other: Booking) -> bool:
        """Whether both spend from the same budgets, so that arrival decides who goes first."""
        return self.spends is other.spends or (
            [spend.key for spend in self.spends] == [spend.key for spend in other.spends]
        )
