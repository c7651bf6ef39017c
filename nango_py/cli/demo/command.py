"""`nango demo`: the whole of nango_py at work, on this machine alone."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nango_py.cli.output import echo_error, echo_json

if TYPE_CHECKING:
    from nango_py.cli.demo.result import Result


@click.command()
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the database, its key and all log records in this new folder.",
)
@click.option(
    "--calls", type=click.IntRange(4, 2000), default=200, show_default=True, help="How many calls to make."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the calls and the faults.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def demo(keep: Path | None, calls: int, seed: int, as_json: bool) -> None:
    """Make some 200 calls through injected failures, and show what happened.

    Stand-ins for two Klaviyo APIs are started on 127.0.0.1 and two users are registered in an encrypted store
    in a temporary folder. The calls are paced to the limits of the blueprints and meet 429s, timeouts, resets
    and 503s. It takes less than 30 seconds, needs no network and leaves nothing behind.

    The exit code is 0 only if every call ended as it should and nothing was carried out twice.

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
            folder = _made(keep)
        result = _run(calls, seed, folder, live=sys.stdout.isatty() and not as_json)
        if keep is not None:
            (keep / "records.log").write_text("\n".join(result.records) + "\n", encoding="utf-8")
    if as_json:
        echo_json(result.as_json())
    else:
        _show(result, live=sys.stdout.isatty())
        if keep is not None:
            click.echo(f"kept: {keep}")
    for complaint in result.complaints():
        echo_error(complaint)
    if result.complaints():
        raise click.exceptions.Exit(1)


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
    from nango_py.cli.output import columns

    click.echo(result.title())
    click.echo()
    click.echo(columns(("", *result.names), result.rows()))
    click.echo("\nThree of the log records:")
    for record in result.chosen_records():
        click.echo(f"  {record}")


def _made(folder: Path) -> Path:
    """The folder, made now or empty.

    Raises:
        click.UsageError: it holds something, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise click.UsageError(f"cannot make {folder}: {error.strerror}") from None
    if not is_empty:
        raise click.UsageError(f"{folder} is not empty; --keep takes a new folder")
    return folder
