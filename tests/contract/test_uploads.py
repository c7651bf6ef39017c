"""Uploads in pieces arrive whole, whatever happens to a response, and send no credential to another host."""

from __future__ import annotations

import io
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import InvalidRequest, ProviderError, RequestFailed, TransportFailed
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import Received, RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.both_executors import Make

KEY, SESSION = "key_planted_0001", "session_planted_0001"
CONTENT = bytes(range(250)) * 4
PIECE = 300
QUIET = {"max_attempts": 3, "backoff": {"base_seconds": 0.001, "max_seconds": 0.001, "min_seconds": 0.0}}
CUT = (("Content-Length", "999"), ("Connection", "close"))


def missing(text: str) -> dict[str, list[str]]:
    """A body that says what has not arrived."""
    return {"nextExpectedRanges": [text]}


LOST, UNAVAILABLE = "lost", Reply({"error": "later"}, 503)
REFUSED = Reply({"error": {"code": "quota", "message": "The storage is full"}}, 507 - 100)

STYLES: dict[str, dict[str, Any]] = {
    "in headers": {"url": {"header": "Location"}, "received": {"header": "Range"}},
    "in bodies": {"url": "uploadUrl", "missing": "nextExpectedRanges[0]", "progress_method": "GET"},
}


class Storage:
    """The other side of both styles.

    Attributes:
        faults: what happens to the next requests: LOST after one was carried out, a Reply instead, or None.
        keeps: how many bytes of a piece are kept; the rest has to be sent again.
    """

    def __init__(self, style: str) -> None:
        self.style = style
        self.faults: deque[Any] = deque()
        self.content = b""
        self.keeps = PIECE
        self.is_complete = False

    def respond(self, request: Received) -> Any:
        """The response to a piece or a question."""
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, Reply):
            return fault
        reply = self._answer(request)
        return reply._replace(headers=CUT) if fault == LOST else reply

    def _answer(self, request: Received) -> Reply:
        written = request.headers.get("content-range", "")
        if written and "*" not in written and not self.is_complete:
            start, _, total = written.removeprefix("bytes ").partition("/")
            if int(start.partition("-")[0]) != len(self.content):
                return Reply({}, 416)
            self.content += request.body[: self.keeps]
            self.is_complete = len(self.content) == int(total)
        if self.is_complete:
            return Reply({"id": 7}, 201) if request.method == "PUT" else Reply({}, 404)
        if self.style == "in headers":
            arrived = (("Range", f"bytes=0-{len(self.content) - 1}"),) if self.content else ()
            return Reply(None, 308, arrived)
        status = 200 if request.method == "GET" else 202
        return Reply(missing(f"{len(self.content)}-"), status)


class World:
    """An API, its host of files, and a product.

    Attributes:
        entry: of integrations.yaml.
        session: the URL for the pieces, which the API returns.
    """

    def __init__(self, style: str, api: RecordingServer, files: RecordingServer, storage: Storage) -> None:
        self.api, self.files, self.storage = api, files, storage
        self.style = style
        self.session = f"{files.url}up/{SESSION}?signature={SESSION}"
        self.entry: dict[str, Any] = {
            "auth": {"auth_mode": "API_KEY"},
            "requests": {
                "base_url": api.url,
                "headers": {"Authorization": "Bearer ${api_key}"},
                "upload_hosts": [files.host],
            },
            "endpoints": [{"match": {"path": "files"}, "upload": {**STYLES[style], "piece_bytes": PIECE}}],
            "retries": QUIET,
            "errors": {"code": "error.code", "message": "error.message"},
            "rate_limits": {"budgets": [{"key": "all", "otherwise": ["100/hour"]}]},
            "log_level": "debug",
        }

    def begin(self, request: Received) -> Any:
        """The response of the API."""
        if request.method != "POST":
            return self.storage.respond(request)
        if self.style == "in headers":
            return Reply({}, 200, (("Location", self.session),))
        return {"uploadUrl": self.session}

    def run(self, run: Any, make: Make) -> Any:
        """The result of a call by one of the executors."""
        with open_product(self.entry, credentials={"api_key": KEY}) as nango:
            return run(nango, make)


@pytest.fixture(params=STYLES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Two real servers."""
    storage, made = Storage(request.param), list[World]()

    def begin(received: Received) -> Any:
        return made[0].begin(received)

    with RecordingServer(storage.respond) as files, RecordingServer(begin) as api:
        made.append(World(request.param, api, files, storage))
        yield made[0]


def upload(file: Any = CONTENT, **options: Any) -> Make:
    """An upload."""
    return lambda shop: shop.upload("files", file, json={"name": "a"}, **options)


@EXECUTORS
def test_a_file_arrives_in_pieces(world: World, run: Any, tmp_path: Path) -> None:
    """The pieces follow each other, the last one is shorter, and the last response is returned."""
    path, seen = tmp_path / "file", list[tuple[int, int]]()
    path.write_bytes(CONTENT)
    response = world.run(run, upload(path, progress=lambda *numbers: seen.append(numbers)))
    assert (response.status_code, response.json()) == (201, {"id": 7})
    assert world.storage.content == CONTENT
    assert seen == [(300, 1000), (600, 1000), (900, 1000), (1000, 1000)]
    assert [one.headers["content-range"] for one in world.files.received][:2] == [
        "bytes 0-299/1000",
        "bytes 300-599/1000",
    ]
    assert [one.body for one in world.api.received] == [b'{"name": "a"}']


@EXECUTORS
@pytest.mark.parametrize(
    "faults",
    [[LOST], [None, LOST, None, LOST], [UNAVAILABLE], [LOST, UNAVAILABLE], [None, Reply({}, 416)]],
    ids=["first", "two", "503", "question too", "another place"],
)
def test_a_lost_response_is_no_loss(world: World, run: Any, faults: list[Any]) -> None:
    """The API is asked what has arrived; no byte is sent twice that it has, and none is left out."""
    world.storage.faults.extend(faults)
    assert world.run(run, upload()).status_code == 201
    assert world.storage.content == CONTENT
    questions = [one for one in world.files.received if not one.body]
    assert len(questions) >= len(set(map(id, faults)) - {id(None)}) > 0
    assert len(world.api.received) == 1


@EXECUTORS
def test_a_piece_may_arrive_in_part(world: World, run: Any) -> None:
    """The next piece begins where the API says."""
    world.storage.keeps = 123
    assert world.run(run, upload()).status_code == 201
    assert world.storage.content == CONTENT
    assert world.files.received[1].headers["content-range"] == "bytes 123-422/1000"


@EXECUTORS
def test_the_other_host_gets_no_credential(world: World, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Its requests have neither the key nor a header of the blueprint, and the URL is masked in logs."""
    with caplog.at_level(logging.DEBUG):
        response = world.run(run, upload())
    everything = " ".join(f"{one.target} {dict(one.headers)} {one.body!r}" for one in world.files.received)
    assert KEY not in everything
    assert {name for one in world.files.received for name in one.headers} <= {
        "host", "user-agent", "content-range", "content-type", "content-length", "connection",
    }  # fmt: skip
    assert SESSION not in caplog.text + str(response.url)
    assert KEY in world.api.received[0].headers["authorization"]  # the control


@EXECUTORS
def test_pieces_for_the_api_itself_have_the_credentials(world: World, run: Any) -> None:
    """A URL of the API's own host is called like the API, and is masked too."""
    world.session = f"{world.api.url}files?upload_id={SESSION}"
    response = world.run(run, upload())
    pieces = world.api.received[1:]
    assert [one.headers["authorization"] for one in pieces] == [f"Bearer {KEY}"] * 4
    assert world.storage.content == CONTENT
    assert SESSION not in str(response.url)


@EXECUTORS
def test_another_host_gets_nothing(world: World, run: Any) -> None:
    """A URL on a host that is not listed ends the upload before a piece is sent."""
    world.entry["requests"]["upload_hosts"] = ["files.example.test"]
    with pytest.raises(RequestFailed, match=r"127.0.0.1.*upload_hosts") as caught:
        world.run(run, upload())
    assert SESSION not in str(caught.value)
    assert world.files.received == []


@EXECUTORS
def test_pieces_do_not_count(world: World, run: Any) -> None:
    """One call an hour is enough for an upload, and a piece that is refused for its rate waits."""
    world.entry["rate_limits"] = {"budgets": [{"key": "all", "otherwise": ["1/hour"]}]}
    world.storage.faults.extend([None, Reply({}, 429, (("Retry-After", "0.2"),))])
    begun = time.monotonic()
    assert world.run(run, upload()).status_code == 201
    assert time.monotonic() - begun >= 0.2


@EXECUTORS
def test_a_refusal_ends_the_upload(world: World, run: Any) -> None:
    """The error is read as the blueprint says, and nothing more is sent."""
    world.storage.faults.extend([None, REFUSED])
    with pytest.raises(ProviderError) as caught:
        world.run(run, upload())
    assert caught.value.code == "quota"
    assert SESSION not in str(caught.value)
    assert len(world.files.received) == 2


@EXECUTORS
def test_it_gives_up_after_failures_without_progress(world: World, run: Any) -> None:
    """As many failures in a row as a call may have attempts; progress in between resets the count."""
    world.storage.faults.extend([LOST] * 2 + [None] + [Reply({}, 416)] * 9)
    with pytest.raises((TransportFailed, ProviderError)):
        world.run(run, upload())
    assert len(world.storage.faults) >= 4


@EXECUTORS
@pytest.mark.parametrize(
    "reply",
    [Reply({}, 202), Reply(missing("-5"), 202), Reply(missing("9999-"), 202),
     Reply(None, 308, (("Range", "bytes=5-9"),)), Reply(None, 204), Reply({"id": 7}), Reply({"id": 7}, 201)],
    ids=["nothing", "no number", "beyond the end", "a hole", "no content", "too early", "made too early"],
)  # fmt: skip
def test_a_response_that_says_nothing_is_an_error(world: World, run: Any, reply: Reply) -> None:
    """It is not taken for a success; only Range may be absent, since nothing has arrived then."""
    world.storage.faults.extend([reply] * 3)
    with pytest.raises(RequestFailed):
        world.run(run, upload())


@EXECUTORS
def test_a_response_without_a_url_is_an_error(world: World, run: Any) -> None:
    """The error names the place where the URL was expected."""
    world.session = ""
    with pytest.raises(RequestFailed, match=r"Location|uploadUrl"):
        world.run(run, upload())


@EXECUTORS
def test_files_are_sent_from_where_they_stand(world: World, run: Any) -> None:
    """The rest of an open file is uploaded, and the file stays open."""
    file = io.BytesIO(b"head" + CONTENT)
    file.seek(4)
    world.run(run, upload(file))
    assert (world.storage.content, file.closed) == (CONTENT, False)


@EXECUTORS
@pytest.mark.parametrize("file", [5, io.StringIO("text"), iter([b"a"]), None])
def test_what_cannot_be_rewound_is_refused(world: World, run: Any, file: Any) -> None:
    """Nothing is sent."""
    with pytest.raises(InvalidRequest, match="rewound"):
        world.run(run, upload(file))
    assert world.api.received == []


@EXECUTORS
def test_a_path_without_uploads_is_refused(world: World, run: Any) -> None:
    """The error names the key to set; nothing is sent."""
    with pytest.raises(InvalidRequest, match="endpoints"):
        world.run(run, lambda shop: shop.upload("others", CONTENT))
    assert world.api.received == []
