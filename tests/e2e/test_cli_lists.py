"""`nango call --paginate`: records to standard output and to files, also when it is stopped."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.fork_server import NANGO, start
from tests.support.recording_server import Received, RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

RECORDS: list[Any] = [{"id": number, "name": f"é{number}"} for number in range(10)]
INTEGRATIONS = """\
integrations:
  shop:
    auth: {auth_mode: NONE}
    requests: {base_url: "%s"}
    pagination:
      {kind: cursor, cursor: next, param: after, records: items, size: {param: limit, value: 3, max: 5}}
    retries: {max_attempts: 1}
"""


class Api:
    """A list of records, which fails at the requests of the numbers `failing` and waits at that of `held`."""

    def __init__(self) -> None:
        self.records = RECORDS
        self.failing: set[int] = set()
        self.held = 0
        self.is_held, self.may_go_on = threading.Event(), threading.Event()
        self.queries: list[dict[str, str]] = []

    def respond(self, received: Received) -> Reply:
        """One page."""
        query = dict(parse_qsl(urlsplit(received.target).query))
        self.queries.append(query)
        if len(self.queries) == self.held:
            self.is_held.set()
            self.may_go_on.wait(30)
        if len(self.queries) in self.failing:
            return Reply({"error": "down"}, status=500)
        start = int(query.get("after", 0))
        end = min(start + int(query["limit"]), len(self.records))
        return Reply({"items": self.records[start:end], "next": end if end < len(self.records) else None})


@pytest.fixture
def api(product: Product) -> Iterator[Api]:
    """The API of a product with one connection."""
    api = Api()
    with RecordingServer(api.respond) as server:
        product.write("integrations.yaml", INTEGRATIONS % server.url)
        assert product.register("shop", "user-1", "{}").code == 0
        yield api


LIST = ("call", "shop", "user-1", "GET", "things", "--paginate")


def lines_of(text: str) -> list[Any]:
    """The values of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_records_are_printed_as_json_lines(product: Product, api: Api) -> None:
    """One record a line, in UTF-8; the page size of the blueprint is requested."""
    found = product.run(*LIST)
    assert (found.code, lines_of(found.out)) == (0, RECORDS)
    assert "é0" in found.out
    assert [query["limit"] for query in api.queries] == ["3"] * 4


def test_the_options_of_a_list_are_passed_on(product: Product, api: Api) -> None:
    """Sizes, ends and parameters."""
    found = product.run(*LIST, "--page-size", "5", "--max-records", "7", "-p", "a=b", "--max-seconds", "60")
    assert lines_of(found.out) == RECORDS[:7]
    assert api.queries[0] == {"limit": "5", "a": "b"}
    assert lines_of(product.run(*LIST, "--max-pages", "2").out) == RECORDS[:6]
    assert product.run(*LIST, "--page-size", "6").code == 2


def test_records_are_printed_as_csv(product: Product, api: Api) -> None:
    """The columns are all keys; nested values are JSON, a missing one is empty."""
    api.records = [{"id": 1, "tags": ["a"]}, {"id": 2, "note": 'x,"y"\nz', "on": True}, "text", {"id": None}]
    found = product.run(*LIST, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(found.out)))
    assert list(rows[0]) == ["id", "tags", "note", "on", "value"]
    assert rows[0] == {"id": "1", "tags": '["a"]', "note": "", "on": "", "value": ""}
    assert rows[1] == {"id": "2", "tags": "", "note": 'x,"y"\nz', "on": "true", "value": ""}
    assert (rows[2]["value"], rows[3]["id"]) == ("text", "")


@pytest.mark.parametrize("name", ["things.jsonl", "things.csv", "things"])
def test_a_file_appears_when_it_is_complete(product: Product, api: Api, name: str) -> None:
    """An error leaves the file that was there, and nothing beside it; only the user may read the new one."""
    path = product.write(name, "before")
    api.failing = {3}
    assert product.run(*LIST, "-o", name).code == 1
    assert path.read_text() == "before"
    assert sorted(each.name for each in product.folder.glob("things*")) == [name]
    found = product.run(*LIST, "-o", name)
    assert (found.code, found.out) == (0, "")
    assert "10 records" in found.err
    text = path.read_text()
    rows: list[Any] = list(csv.DictReader(io.StringIO(text))) if name.endswith("csv") else lines_of(text)
    assert [int(row["id"]) for row in rows] == list(range(10))
    assert sorted(each.name for each in product.folder.glob("things*")) == [name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["things.jsonl", "things.csv"])
def test_a_list_that_was_stopped_goes_on(product: Product, api: Api, name: str) -> None:
    """With --state each record is written once, whatever was written after the last state."""
    api.failing = {3}
    words = (*LIST, "-o", name, "--state", "list.state")
    assert product.run(*words).code == 1
    part, state = product.folder / f"{name}.part", product.folder / "list.state"
    assert len(part.read_text().splitlines()) == 6
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    with part.open("a") as file:
        file.write('{"id": "half')
    assert product.run(*words, "--max-pages", "1").code == 0
    assert not (product.folder / name).exists()
    assert product.run(*words).code == 0
    text = (product.folder / name).read_text()
    rows: list[Any] = list(csv.DictReader(io.StringIO(text))) if name.endswith("csv") else lines_of(text)
    assert [int(row["id"]) for row in rows] == list(range(10))
    assert not part.exists()
    assert not state.exists()
    assert [query.get("after") for query in api.queries] == [None, "3", "6", "6", "9"]


@pytest.mark.parametrize("held", [1, 3, 4])
def test_a_list_that_was_killed_goes_on(product: Product, api: Api, held: int) -> None:
    """After kill -9 in the middle of a request, the same command writes each record once."""
    api.held = held
    words = (*LIST, "-o", "things.jsonl", "--state", "list.state")
    with start(NANGO, *words, cwd=product.folder) as process:
        assert api.is_held.wait(30)
        process.kill()
    api.may_go_on.set()
    assert process.returncode == -signal.SIGKILL
    assert not (product.folder / "things.jsonl").exists()
    assert product.run(*words).code == 0
    assert lines_of((product.folder / "things.jsonl").read_text()) == RECORDS


def test_a_list_that_was_complete_is_not_read_again(product: Product, api: Api) -> None:
    """A process that was killed between putting the file in place and removing the state."""
    words = (*LIST, "-o", "things.jsonl", "--state", "list.state")
    assert product.run(*words, "--max-pages", "4").code == 0
    done = {**json.loads(_state_after(product, api)), "done": True, "next": None}
    product.write("list.state", json.dumps({"list": done, "bytes": 5}))
    before = len(api.queries)
    assert product.run(*words).code == 0
    assert len(api.queries) == before
    assert lines_of((product.folder / "things.jsonl").read_text()) == RECORDS
    assert not (product.folder / "list.state").exists()


def _state_after(product: Product, api: Api) -> str:
    """The state after the first page."""
    api.failing = {len(api.queries) + 2}
    assert product.run(*LIST, "-o", "other.jsonl", "--state", "other.state").code == 1
    return json.dumps(json.loads((product.folder / "other.state").read_text())["list"])


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ("{", '{"id": 1}\n'),
        ("[]", '{"id": 1}\n'),
        ('{"list": {}, "bytes": "5"}', '{"id": 1}\n'),
        ('{"list": {}, "bytes": 99}', '{"id": 1}\n'),
        ('{"list": {"version": 1}, "bytes": 5}', None),
        ('{"list": {"version": 1}, "bytes": 5}', '{"id": 1}\n'),
    ],
)
def test_a_state_that_does_not_fit_is_an_error(
    product: Product, api: Api, state: str, part: str | None
) -> None:
    """Nothing is requested, and the files stay as they are."""
    product.write("list.state", state)
    if part is not None:
        product.write("things.jsonl.part", part)
    assert product.run(*LIST, "-o", "things.jsonl", "--state", "list.state").code == 2
    assert not api.queries
    assert (product.folder / "list.state").read_text() == state


@pytest.mark.parametrize(
    "words",
    [
        ("--output", "x"),
        ("--format", "csv"),
        ("--state", "x"),
        ("--page-size", "5"),
        ("--max-pages", "5"),
        ("--paginate", "--state", "x"),
        ("--paginate", "--include"),
        ("--paginate", "--curl"),
        ("--paginate", "--max-records", "0"),
        ("--paginate", "--format", "xml"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    product: Product, api: Api, words: tuple[str, ...]
) -> None:
    """A mistake is exit code 2, and nothing is requested."""
    found = product.run("call", "shop", "user-1", "GET", "things", *words)
    assert found.code == 2
    assert not api.queries


@pytest.mark.usefixtures("api")
def test_progress_is_shown_on_a_terminal_only(product: Product) -> None:
    """Pages and records are counted on standard error, in one line that is removed at the end."""
    assert "pages" not in product.run(*LIST, "-o", "things.jsonl").err
    reading, writing = os.openpty()
    command = [sys.executable, "-m", "nango_py", *LIST, "-o", "things.jsonl"]
    done = subprocess.run(command, cwd=product.folder, stderr=writing, stdout=subprocess.PIPE, check=True)
    os.close(writing)
    shown = b""
    while part := _read(reading):
        shown += part
    assert done.stdout == b""
    assert b"4 pages, 10 records" in shown
    assert shown.strip().endswith(b"10 records to things.jsonl")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side of a pseudo terminal is closed
        return b""


def test_surrogates_are_escaped(product: Product, api: Api) -> None:
    """Half of a surrogate pair is JSON, but not UTF-8."""
    api.records = [{"id": "\ud800"}]
    assert lines_of(product.run(*LIST).out) == [{"id": "\ud800"}]
    assert product.run(*LIST, "--format", "csv").code == 0


def test_a_device_is_not_replaced(product: Product, api: Api) -> None:
    """Nothing is requested, also for root, who could put a file in its place."""
    found = product.run(*LIST, "-o", os.devnull)
    assert found.code == 2
    assert "not a regular file" in found.err
    assert api.queries == []
    assert Path(os.devnull).is_char_device()
