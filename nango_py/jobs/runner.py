"""Where jobs run: one protocol for the caller's thread, the threads of a machine, and many machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.database.base import Run
    from nango_py.jobs.store import JobRow

Result = TypeVar("Result")

Enqueue: TypeAlias = "Callable[[JobRow], object]"
"""Passes a job to a runner, within the transaction that stores it or makes it wait again."""


class Runner(Protocol):
    """Runs the jobs of a store."""

    def write(self, work: Callable[[Run, Enqueue], Result]) -> Result:
        """Run one transaction that may enqueue jobs, which start after its end.

        Raises:
            StorageError: the database failed; nothing was stored or enqueued.
        """

    def start(self) -> None:
        """Run jobs in the background until `stop`. Harmless when repeated."""

    def stop(self, seconds: float | None) -> bool:
        """Start no more jobs, and wait for those that run; whether all of them ended in time."""

    def run(self, seconds: float | None) -> bool:
        """Run jobs until `request_stop`, then wait for those that run; whether they ended in time."""

    def request_stop(self) -> None:
        """Let `run` return. Safe in a signal handler."""

    def run_due(self) -> int:
        """Run the jobs that are due in this thread, one after the other; returns how many."""
