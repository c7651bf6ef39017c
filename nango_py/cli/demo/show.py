"""The demo on a terminal: a live bar while it runs, a table at its end. The only Rich import."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.cli.demo.result import Outcome, Result

COUNTS = "{task.fields[attempts]} attempts, {task.fields[waits]} waits, {task.fields[limited]} x 429"


@contextmanager
def live_bar(calls: int) -> Iterator[Callable[[Outcome], None]]:
    """A progress bar, and what to tell of each call that has ended."""
    counts: dict[str, Any] = {"attempts": 0, "waits": 0, "limited": 0}
    texts = (
        TextColumn("[bold]calls"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(COUNTS),
    )
    with Progress(*texts, transient=True) as progress:
        task = progress.add_task("calls", total=calls, **counts)

        def note(outcome: Outcome) -> None:
            counts["attempts"] += len(outcome.attempts)
            counts["waits"] += sum(attempt.waited > 0 for attempt in outcome.attempts)
            counts["limited"] += sum(attempt.status == 429 for attempt in outcome.attempts)  # noqa: PLR2004
            progress.update(task, advance=1, **counts)

        yield note


def show_result(result: Result) -> None:
    """The table of what happened, and three log records."""
    console = Console(highlight=False)
    table = Table(title=result.title(), title_justify="left", title_style="bold")
    table.add_column("")
    for name in result.names:
        table.add_column(name, justify="right")
    for label, *values in result.rows():
        table.add_row(label, *map(str, values))
    console.print(table)
    console.print("Three of the log records:", style="bold")
    for record in result.chosen_records():
        console.print(f"  {record}", markup=False, soft_wrap=True)
