"""`nango demo`: calls through injected failures, on this machine only."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nango_py.cli.exit_codes import FAILED
from nango_py.cli.output import echo_error, echo_json, format_columns

if TYPE_CHECKING:
    from nango_py.cli.demo.result import Result


@click.command()
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep database, key and log in this new folder.",
)
@click.option(
    "--calls", type=click.IntRange(4, 2000), default=200, show_default=True, help="Number of calls."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the calls and faults.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def demo(keep: Path | None, calls: int, seed: int, as_json: bool) -> None:
    """Make 200 calls through injected failures, and show the result.

    Registers two users of two Klaviyo APIs, which are sandboxes on 127.0.0.1. The calls keep the rate
    limits and meet 429s, timeouts, resets and 503s. The demo takes less than 30 seconds and removes its
    files.

    The exit code is 0 if every call had the expected outcome and no request was carried out twice.

    \b
    Example:
      nango demo
      nango demo --calls 400 --keep demo-files
    """
    with ExitStack() as stack:
        if keep is None:
            import tempfile

            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nango-demo-")))
        else:
            folder = _create_empty_folder(keep)
        result = _run(calls, seed, folder, live=sys.stdout.isatty() and not as_json)
        if keep is not None:
            (keep / "records.log").write_text("\n".join(result.records) + "\n", encoding="utf-8")
    if as_json:
        echo_json(result.as_json())
    else:
        _show(result, live=sys.stdout.isatty())
        if keep is not None:
            click.echo(f"kept: {keep}")
    for problem in result.problems():
        echo_error(problem)
    if result.problems():
        raise click.exceptions.Exit(FAILED)


def _run(calls: int, seed: int, folder: Path, *, live: bool) -> Result:
    from nango_py.cli.demo.run import run_demo

    if not live:
        return run_demo(calls, seed, folder, lambda _: None)
    from nango_py.cli.demo.show import live_bar

    with live_bar(calls) as progress:
        return run_demo(calls, seed, folder, progress)


def _show(result: Result, *, live: bool) -> None:
    if live:
        from nango_py.cli.demo.show import show_result

        show_result(result)
        return
    click.echo(result.title())
    click.echo()
    click.echo(format_columns(("", *result.names), result.rows()))
    click.echo("\nThree of the log records:")
    for record in result.example_records():
        click.echo(f"  {record}")


def _create_empty_folder(folder: Path) -> Path:
    """Create the folder unless it exists."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise click.UsageError(f"cannot create {folder}: {error.strerror}") from None
    if not is_empty:
        raise click.UsageError(f"{folder} is not empty; --keep needs a new folder")
    return folder
