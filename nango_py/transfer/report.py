"""What an import did, or would do: counts, what stands in its way, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.errors import ConfigError, Position, Problem, printable, unknown_name
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

UNFIT, UNKNOWN, EXISTS, TWICE = "E601", "E602", "E603", "E604"


@record
class ImportProblem:
    """Why a connection cannot be imported.

    Attributes:
        integration: the one that it would belong to; "" where that is not known.
        user_id: its user; "" where all of an integration are meant.
        problem: where it stands and what is wrong, without any credential.
    """

    integration: str
    user_id: str
    problem: Problem


@record
class LeftOut:
    """Something of the connections of one integration that has no place here.

    Attributes:
        field: its name in the file.
        why: the reason.
        connections: how many have it.
        example: one of their users.
    """

    integration: str
    field: str
    why: str
    connections: int
    example: str


@record
class ImportReport:
    """How an import ended. With `dry_run`, how it would.

    Attributes:
        imported: connections whose user had none.
        replaced: those that took another one's place.
        skipped: those whose user has another one that stays.
        unchanged: those that are stored already, just so.
        problems: what stands in the way; then nothing is stored. Only a dry run reports them, without
            `dry_run` they are raised as a ConfigError.
        left_out: what was not taken over.
        dry_run: whether nothing was to be stored.
    """

    imported: int
    replaced: int
    skipped: int
    unchanged: int
    problems: tuple[ImportProblem, ...]
    left_out: tuple[LeftOut, ...]
    dry_run: bool

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems

    @property
    def total(self) -> int:
        """How many connections were looked at and found fit."""
        return self.imported + self.replaced + self.skipped + self.unchanged


class Notes:
    """What is noticed while connections are read, all of it."""

    def __init__(self) -> None:
        self._problems: list[ImportProblem] = []
        self._unknown: dict[str, tuple[Position, int]] = {}
        self._left_out: dict[tuple[str, str, str], tuple[int, str]] = {}

    def problem(self, position: Position, code: str, what: str, whose: tuple[str, str] = ("", "")) -> None:
        """Something stands in the way of one connection; `whose` is its (integration, user)."""
        self._problems.append(ImportProblem(*whose, Problem(position, code, what)))

    def unknown(self, integration: str, position: Position) -> None:
        """A connection belongs to an integration that is not declared."""
        first, count = self._unknown.get(integration, (position, 0))
        self._unknown[integration] = first, count + 1

    def left_out(self, integration: str, user_id: str, field: str, why: str) -> None:
        """A field has no place here."""
        count, example = self._left_out.get((integration, field, why), (0, user_id))
        self._left_out[integration, field, why] = count + 1, example

    def report(
        self, outcomes: Mapping[str, int], known: Mapping[str, object], hint: str, *, dry_run: bool
    ) -> ImportReport:
        """All of it. `known` are the integrations, and `hint` says where they are declared."""
        unknown = [
            ImportProblem(
                name,
                "",
                Problem(first, UNKNOWN, unknown_name("integration", name, known), _many(count), hint),
            )
            for name, (first, count) in self._unknown.items()
        ]
        left_out = [LeftOut(*what, *how) for what, how in sorted(self._left_out.items())]
        return ImportReport(
            **outcomes, problems=(*unknown, *self._problems), left_out=tuple(left_out), dry_run=dry_run
        )

    @property
    def is_empty(self) -> bool:
        """Whether no problem was found so far."""
        return not self._problems and not self._unknown


def report_error(report: ImportReport) -> ConfigError:
    """The error for a report with problems."""
    return ConfigError(each.problem for each in report.problems)


def connection_label(integration: str, user_id: str) -> str:
    """A connection's name in messages."""
    return f"{printable(integration)}/{printable(user_id)}"


def _many(count: int) -> str:
    return "1 connection is of it" if count == 1 else f"{count} connections are of it"
