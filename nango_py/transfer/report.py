"""The result of an import: counts, problems, and fields that were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import Position, Problem, printable, unknown_name
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

INVALID, UNKNOWN, EXISTS, DUPLICATE = "E601", "E602", "E603", "E604"


@record
class ImportProblem:
    """Why a connection cannot be imported.

    Attributes:
        integration: its integration; "" if unknown.
        user_id: its user; "" if the problem concerns all users of the integration.
        problem: position and description, without credentials.
    """

    integration: str
    user_id: str
    problem: Problem


@record
class LeftOutField:
    """A field of the connections of one integration that was not imported.

    Attributes:
        field: its name in the file.
        why: the reason.
        connections: the number of connections with this field.
        example: one of their users.
    """

    integration: str
    field: str
    why: str
    connections: int
    example: str


@record
class ImportReport:
    """The result of an import or, with `dry_run`, what it would be.

    Attributes:
        imported: the number of connections whose user had none.
        replaced: the number that replaced an existing connection.
        skipped: the number whose user keeps an existing connection.
        unchanged: the number that were already stored with the same values.
        problems: what prevents the import. Only a dry run reports them; otherwise they are raised as a
            ConfigError and nothing is stored.
        left_out: fields that were not imported.
        dry_run: whether nothing was to be stored.
    """

    imported: int
    replaced: int
    skipped: int
    unchanged: int
    problems: tuple[ImportProblem, ...]
    left_out: tuple[LeftOutField, ...]
    dry_run: bool

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    @property
    def total(self) -> int:
        """The number of valid connections."""
        return self.imported + self.replaced + self.skipped + self.unchanged


class ReportBuilder:
    """Collects problems and left out fields while connections are read."""

    def __init__(self) -> None:
        self._problems: list[ImportProblem] = []
        self._unknown: dict[str, tuple[Position, int]] = {}
        self._left_out: dict[tuple[str, str, str], tuple[int, str]] = {}

    @property
    def has_problems(self) -> bool:
        """Whether any problem was found so far."""
        return bool(self._problems or self._unknown)

    def add_problem(
        self, position: Position, code: str, what: str, identity: tuple[str, str] = ("", "")
    ) -> None:
        """Add a problem of one connection; `identity` is its (integration, user_id)."""
        self._problems.append(ImportProblem(*identity, Problem(position, code, what)))

    def add_unknown_integration(self, integration: str, position: Position) -> None:
        """Add a connection whose integration is not declared."""
        first, count = self._unknown.get(integration, (position, 0))
        self._unknown[integration] = first, count + 1

    def add_left_out(self, integration: str, user_id: str, field: str, why: str) -> None:
        """Add a field that is not imported."""
        count, example = self._left_out.get((integration, field, why), (0, user_id))
        self._left_out[integration, field, why] = count + 1, example

    def build(
        self, outcomes: Mapping[str, int], known: Mapping[str, object], hint: str, *, dry_run: bool
    ) -> ImportReport:
        """The report. `known` are the integrations, and `hint` says where they are declared."""
        unknown = []
        for name, (position, count) in self._unknown.items():
            what = unknown_name("integration", name, known)
            affected = "used by 1 connection" if count == 1 else f"used by {count} connections"
            unknown.append(ImportProblem(name, "", Problem(position, UNKNOWN, what, affected, hint)))
        left_out = [LeftOutField(*field, *count) for field, count in sorted(self._left_out.items())]
        return ImportReport(
            **outcomes, problems=(*unknown, *self._problems), left_out=tuple(left_out), dry_run=dry_run
        )


def connection_label(integration: str, user_id: str) -> str:
    """The name of a connection in messages."""
    return f"{printable(integration)}/{printable(user_id)}"
