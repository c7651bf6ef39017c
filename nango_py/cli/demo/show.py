"""The demo on a terminal: a progress bar, and a table of the result. The only import of Rich."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.cli.demo.result import CallOutcome, Result

COUNTS = "{task.fields[attempts]} attempts, {task.fields[waits]} waits, {task.fields[limited]} x 429"


@contextmanager
def live_bar(calls: int) -> Iterator[Callable[[CallOutcome], None]]:
    """A progress bar; yields a function to call with each outcome."""
    counts: dict[str, Any] = {"attempts": 0, "waits": 0, "limited": 0}
    columns = (
        TextColumn("[bold]calls"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(COUNTS),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("calls", total=calls, **counts)

        def update(outcome: CallOutcome) -> None:
            counts["attempts"] += len(outcome.attempts)
            counts["waits"] += sum(attempt.waited > 0 for attempt in outcome.attempts)
            counts["limited"] += sum(attempt.status == 429 for attempt in outcome.attempts)  # noqa: PLR2004
            progress.update(task, advance=1, **counts)

        yield update


def show_result(result: Result) -> None:
    """Print the table and three log records."""
    console = Console(highlight=False)
    table = Table(title=result.title(), title_justify="left", title_style="bold")
    table.add_column("")
    for name in result.names:
        table.add_column(name, justify="right")
    for row in result.rows():
        table.add_row(*map(str, row))
    console.print(table)
    console.print("Three of the log records:", style="bold")
    for record in result.example_records():
        console.print(f"  {record}", markup=False, soft_wrap=True)
