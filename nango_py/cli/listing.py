"""`nango call --paginate`: writes the records of a list as JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, TypedDict

import click

from nango_py.cli.output import format_count, is_terminal, mask_for
from nango_py.cli.waiting import CLEAR_LINE
from nango_py.database.private_files import check_is_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from nango_py.engine.executor import Executor
    from nango_py.json_types import JsonObject

JSON_LINES, CSV = "jsonl", "csv"
VALUE = "value"
"""The column of records that are not objects."""
PRIVATE = 0o600


class ListArguments(TypedDict):
    """The values of `LIST_OPTIONS`."""

    paginate: bool
    output: Path | None
    output_format: str | None
    state: Path | None
    page_size: int | None
    max_pages: int | None
    max_records: int | None
    max_seconds: float | None


FILE = click.Path(path_type=Path, dir_okay=False)
COUNT = click.IntRange(min=1)
SECONDS = click.FloatRange(min=0, min_open=True)
LIST_OPTIONS = (
    click.option("--paginate", is_flag=True, help="Print the records of all pages, one JSON value per line."),
    click.option(
        "-o", "--output", type=FILE, metavar="FILE",
        help="Write the records to a file, which appears when it is complete.",
    ),
    click.option(
        "--format", "output_format", type=click.Choice([JSON_LINES, CSV]),
        help="By default as the name of the file says.",
    ),
    click.option(
        "--state", type=FILE, metavar="FILE",
        help="Where to store after each page how to go on.",
    ),
    click.option("--page-size", type=COUNT, metavar="N", help="Records per page."),
    click.option("--max-pages", type=COUNT, metavar="N", help="Stop after N pages."),
    click.option("--max-records", type=COUNT, metavar="N", help="Stop after N records."),
    click.option("--max-seconds", type=SECONDS, metavar="N", help="Request no page after N seconds."),
)  # fmt: skip


def list_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator: adds the options of lists."""
    for option in reversed(LIST_OPTIONS):
        command = option(command)
    return command


def check_options(given: ListArguments) -> None:
    """Check which options go together.

    Raises:
        UsageError: an option has no use.
    """
    names = {"output_format": "--format"}
    for name, value in given.items():
        if value is not None and name != "paginate" and not given["paginate"]:
            raise click.UsageError(f"{names.get(name, '--' + name.replace('_', '-'))} requires --paginate")
    if given["state"] is not None and given["output"] is None:
        raise click.UsageError("--state requires --output")


def write_list(executor: Executor, path: str, options: dict[str, Any], given: ListArguments) -> None:
    """Read a list and write its records.

    Raises:
        NangoError: a page could not be read. A file that was there before is unchanged.
        UsageError: the state is not one of this list, or its file is missing.
        OSError: a file cannot be written.
    """
    output, state_file = given["output"], given["state"]
    is_csv = given["output_format"] == CSV or (
        given["output_format"] is None and output is not None and output.suffix.lower() == ".csv"
    )
    limits = {name: given.get(name) for name in ("page_size", "max_pages", "max_records", "max_seconds")}
    asked: dict[str, Any] = {**options, **limits, "prefetch": 1}
    with _Sink(output, state_file, is_csv=is_csv) as sink, _Progress(sys.stderr) as progress:
        records = executor.paginate(path, **{**asked, "state": sink.state})
        for batch in records.batches():
            sink.write(mask_for(executor, batch), records.state if state_file else None)
            progress.note(len(batch))
        is_done = state_file is None or bool(records.state["done"])
        sink.finish(is_done=is_done)
    if output is not None:
        where = f"to {output}" if is_done else f"to {output}{PART}; the list goes on"
        click.echo(f"{format_count(progress.records, 'record')} {where}", err=True)


PART = ".part"
AGAIN = "delete the state to begin again"


class _Sink:
    """Where records go: to standard output, or to a file that appears when it is complete.

    Records are written as JSON lines first. CSV is made of them at the end, when all columns are known.

    Attributes:
        state: where a list goes on that was stopped, or None.
    """

    def __init__(self, output: Path | None, state_file: Path | None, *, is_csv: bool) -> None:
        self._output, self._state_file, self._is_csv = output, state_file, is_csv
        self._part: Path | None = None
        self._lines: IO[bytes] | None = None
        self._is_in_place = False
        self.state: JsonObject | None = None

    def __enter__(self) -> Self:
        if self._output is not None:
            check_is_file(self._output)
            self._part = self._output.with_name(self._output.name + PART)
            size = self._read_state()
            self._lines = open_private(self._part, "r+b" if size else "w+b")
            self._lines.truncate(size)
            self._lines.seek(size)
        elif self._is_csv:
            self._lines = tempfile.TemporaryFile()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lines is not None:
            self._lines.close()
        if kind is not None and self._part is not None and self._state_file is None:
            self._part.unlink(missing_ok=True)

    def _read_state(self) -> int:
        """Read where the list goes on, and return how many bytes were written before."""
        if self._state_file is None or not self._state_file.exists():
            return 0
        saved: object = None
        with suppress(ValueError):
            saved = json.loads(self._state_file.read_text("utf-8"))
        size = saved.get("bytes") if isinstance(saved, dict) else None
        state = saved.get("list") if isinstance(saved, dict) else None
        if not isinstance(size, int) or not isinstance(state, dict):
            raise click.UsageError(f"{self._state_file} is not a state of nango call; {AGAIN}")
        self.state = state
        has_part = self._part is not None and self._part.exists()
        if not has_part and state.get("done") and self._output is not None and self._output.exists():
            self._is_in_place = True  # the process was killed between its last two steps
            return 0
        if self._part is None or not has_part or self._part.stat().st_size < size:
            raise click.UsageError(
                f"{self._part} is incomplete, but {self._state_file} goes on after it; {AGAIN}"
            )
        return size

    def write(self, records: Any, state: JsonObject | None) -> None:
        """Write records, and then where the list goes on after them."""
        text = b"".join(map(json_line, records))
        if self._lines is None:
            click.echo(text, nl=False)
            return
        self._lines.write(text)
        if state is not None and self._state_file is not None:
            self._lines.flush()
            os.fsync(self._lines.fileno())
            replace_private(self._state_file, {"list": state, "bytes": self._lines.tell()})

    def finish(self, *, is_done: bool) -> None:
        """Put the file in its place, and remove the state; not if the list goes on."""
        if self._lines is None or not is_done:
            return
        self._lines.flush()
        if self._is_in_place:
            pass
        elif self._is_csv:
            self._write_csv(self._lines)
        elif self._output is not None and self._part is not None:
            os.fsync(self._lines.fileno())
            self._part.replace(self._output)
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)
        if self._part is not None:
            self._part.unlink(missing_ok=True)

    def _write_csv(self, lines: IO[bytes]) -> None:
        columns: dict[str, None] = {}
        for record in read_lines(lines):
            columns.update(dict.fromkeys(record))
        if self._output is None:
            write_csv(sys.stdout, columns, read_lines(lines))
            return
        made = self._output.with_name(self._output.name + ".csv" + PART)
        with io.TextIOWrapper(open_private(made, "wb"), "utf-8", newline="") as file:
            write_csv(file, columns, read_lines(lines))
            file.flush()
            os.fsync(file.fileno())
        made.replace(self._output)


class _Progress:
    """Counts records, and shows on a terminal how many there are.

    Attributes:
        records: how many were read.
    """

    def __init__(self, stream: TextIO) -> None:
        self.records = self._pages = 0
        self._stream = stream if is_terminal(stream) else None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None and self._pages:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()

    def note(self, records: int) -> None:
        """Count a page."""
        self.records += records
        self._pages += 1
        if self._stream is not None:
            seconds = time.monotonic() - self._began
            pages, found = format_count(self._pages, "page"), format_count(self.records, "record")
            text = f"{pages}, {found}, {seconds:.0f} s"
            self._stream.write(f"{CLEAR_LINE}{text}")
            self._stream.flush()


def json_line(record: object) -> bytes:
    """A record as one line of JSON in UTF-8."""
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape
        return json.dumps(record).encode() + b"\n"


def read_lines(lines: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The records of a file of JSON lines; one that is not an object has the key `value`."""
    lines.seek(0)
    for line in lines:
        record = json.loads(line)
        yield record if isinstance(record, dict) else {VALUE: record}


def write_csv(file: TextIO, columns: Iterable[str], records: Iterable[dict[str, Any]]) -> None:
    """Write records as CSV; nested values are JSON, null is empty."""
    writer = csv.writer(file)
    names = list(columns)
    writer.writerow(names)
    for record in records:
        writer.writerow([cell(record.get(name)) for name in names])


def cell(value: object) -> str:
    """A JSON value as a cell."""
    is_text = value is None or isinstance(value, str)
    text = str(value or "") if is_text else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def open_private(path: Path, mode: str) -> IO[bytes]:
    """Open a file that only the user may read, since records may be personal data."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, PRIVATE))


def replace_private(path: Path, value: object) -> None:
    """Replace a file by JSON, at once or not at all."""
    made = path.with_name(path.name + PART)
    with open_private(made, "wb") as file:
        file.write(json.dumps(value).encode())
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
