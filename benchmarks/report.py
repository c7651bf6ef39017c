"""What a benchmark found: a Markdown table, and the goals it is held to."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Goal:
    """A number that must not be passed.

    Attributes:
        what: the number, in words.
        found: what was measured.
        limit: the most it may be, or the least where `at_least` is set.
    """

    what: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the number keeps to the limit."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        relation = "at least" if self.at_least else "at most"
        verdict = "met" if self.is_met else "MISSED"
        return f"{self.what}: {self.found:.4g} ({relation} {self.limit:g}: {verdict})"


@dataclass(slots=True)
class Table:
    """One table of a benchmark.

    Attributes:
        notes: lines below the table: what was left out, and what the numbers mean.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)

    def add(self, *cells: str | float) -> None:
        """Add a row; numbers are shown with three significant figures."""
        self.rows.append(tuple(cell if isinstance(cell, str) else f"{cell:.3g}" for cell in cells))

    def markdown(self) -> str:
        """The table and what belongs to it."""
        lines = [f"### {self.title}", "", _row(self.columns), _row(("---",) * len(self.columns))]
        lines += [_row(row) for row in self.rows]
        below = [*self.notes, *(f"Goal: {goal}" for goal in self.goals)]
        return "\n".join([*lines, "", *(f"- {line}" for line in below), ""])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """The machine, in one line."""
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {busy:.1f} at the start, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )
