"""Bodies that are read, sent and written piece by piece."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import InvalidRequest, ProviderError, TransportFailed
from tests.support.fault_server import HANG, READ, READ_HEAD, RESET, FaultServer, response
from tests.support.nango_at_server import QUICK, a_sandbox, calling, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """A socket or file that was not closed warns when it is collected, and a warning is an error."""
    gc.freeze()  # what there was before costs nothing to look through
    yield
    gc.collect()


def get(nango: Nango, **options: Any) -> Any:
    """A streamed response."""
    return nango.executor("shop", "user-1").get("things", stream=True, **options)


# --- reading


def test_a_stream_is_read_chunk_by_chunk() -> None:
    """The first chunk is there before the server has sent the last."""
    more = threading.Event()
    whole = response(b"first" + b"later" * 1000)
    cut = len(whole) - 5000
    with FaultServer([READ, whole[:cut], more, whole[cut:]]) as server, calling(server.url) as nango:
        found = get(nango)
        pieces = found.iter_content(5)
        assert next(pieces) == b"first"
        more.set()
        assert b"".join(pieces) == b"later" * 1000
        wait_until(lambda: not server._open)


def test_a_stream_is_decoded_as_it_is_read() -> None:
    """gzip, lines and text work as in requests."""
    lines = "\n".join(f"row {number} é" for number in range(500))
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
    body = response(gzip.compress(lines.encode()), headers=headers)
    with FaultServer([READ, body]) as server, calling(server.url) as nango:
        assert list(get(nango).iter_lines(decode_unicode=True)) == lines.split("\n")
    with FaultServer([READ, body]) as server, calling(server.url) as nango:
        assert get(nango).text == lines


@pytest.mark.parametrize("way", ["close", "with"])
def test_closing_a_stream_early_frees_its_socket(way: str) -> None:
    """The server sees the connection end."""
    with FaultServer([READ, response(b"x" * 100)[:-50], HANG]) as server, calling(server.url) as nango:
        found = get(nango)
        assert next(found.iter_content(10)) == b"x" * 10
        if way == "close":
            found.close()
        else:
            with found:
                pass
        wait_until(lambda: not server._open)


@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        pytest.param([READ, response(b"x" * 100)], {"max_response_bytes": 99}, "too_large", id="too large"),
        pytest.param([READ, response(b"x" * 100)[:-1]], {}, "truncated", id="truncated"),
        pytest.param([READ, response(b"x" * 100)[:-1], 0.05, RESET], {}, "truncated", id="reset"),
        pytest.param([READ, response(b"x" * 100)[:-1], HANG], {"timeout": 0.1}, "timeout", id="silent"),
    ],
)
def test_a_broken_stream_raises_its_reason(script: Any, options: Any, reason: str) -> None:
    """A typed error is raised after the good chunks, and the socket is closed."""
    with FaultServer(script) as server, calling(server.url) as nango:
        found = get(nango, **options)
        with pytest.raises(TransportFailed) as raised:
            list(found.iter_content(10))
        assert raised.value.reason == reason
        assert raised.value.__context__ is None
        wait_until(lambda: not server._open)


def test_the_limit_of_a_stream_is_the_blueprint_s_by_default() -> None:
    """max_response_bytes counts decoded bytes; the call's value takes precedence, and 0 means no limit."""
    body = response(gzip.compress(b"x" * 5000), headers={"Content-Encoding": "gzip"})
    requests = {"max_response_bytes": 1000}
    with FaultServer([READ, body]) as server, calling(server.url, requests=requests) as nango:
        with pytest.raises(TransportFailed, match="max_response_bytes"):
            list(get(nango).iter_content(100))
        assert len(b"".join(get(nango, max_response_bytes=5000).iter_content(100))) == 5000
        assert len(get(nango, max_response_bytes=0).content) == 5000


def test_a_failed_stream_is_retried_on_the_same_connection() -> None:
    """The body of an error is read at once, for the rules and so that its socket is reused."""
    rules = [{"when": {"status": 409, "body_contains": "soon"}, "do": "retry"}]
    script = [READ, response(b"soon", 409), READ, response(b"", 503), READ, response(b"good")]
    with (
        FaultServer(script) as server,
        calling(server.url, retries={"rules": rules, "backoff": QUICK}) as nango,
    ):
        found = get(nango)
        assert b"".join(found.iter_content()) == b"good"
        assert [attempt.status for attempt in found.attempts] == [409, 503, 200]
        assert server.connections == 1


def test_a_streamed_response_that_a_rule_retries_is_closed() -> None:
    """The socket of the first response is not leaked."""
    rules = [{"when": {"status": 200, "header": "X-Again"}, "do": "retry"}]
    scripts = [[READ, response(b"x" * 9, headers={"X-Again": "1"})[:-1], HANG], [READ, response(b"good")]]
    with (
        FaultServer(*scripts) as server,
        calling(server.url, retries={"rules": rules, "backoff": QUICK}) as nango,
    ):
        assert get(nango).content == b"good"
        wait_until(lambda: not server._open)


def test_a_failed_stream_raises_with_the_message_of_the_api() -> None:
    """raise_for_error reads the body of an error."""
    body = response(b'{"error": {"message": "no such thing", "code": "E7"}}', 404)
    with FaultServer([READ, body]) as server, calling(server.url) as nango:
        with pytest.raises(ProviderError, match="no such thing") as raised:
            get(nango, raise_for_error=True)
        assert raised.value.code == "E7"


# --- sending


def bodies() -> dict[str, Any]:
    """Streams that can be read once."""
    return {"file": io.BytesIO(b"large"), "generator": (piece for piece in (b"lar", b"ge"))}


def put(nango: Nango, name: str, **options: Any) -> Any:
    """A PUT by the named executor."""
    if name == "sync":
        return nango.executor("shop", "user-1").put("things", **options)
    return asyncio.run(nango.async_executor("shop", "user-1").put("things", **options))


@pytest.mark.parametrize("name", ["sync", "async"])
@pytest.mark.parametrize("body", bodies())
def test_an_upload_arrives_whole(name: str, body: str) -> None:
    """Chunks are sent as they are read; a file has a Content-Length."""
    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        assert put(nango, name, data=bodies()[body]).status_code == 200
        assert sandbox.ledger.received[0].body == b"large"
        framing = {"content-length", "transfer-encoding"} & set(sandbox.ledger.received[0].headers)
        assert framing == {"content-length" if body == "file" else "transfer-encoding"}


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_file_that_was_sent_is_sent_again(name: str) -> None:
    """A PUT of an open file survives a 503 and follows a 307."""
    moved = response(b"", 307, {"Location": "/elsewhere"})
    with (
        FaultServer([READ, response(b"", 503), READ, moved, READ, response(b"ok")]) as server,
        calling(server.url, retries={"backoff": QUICK}) as nango,
    ):
        assert put(nango, name, data=io.BytesIO(b"large")).text == "ok"
        assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [b"large"] * 3


@pytest.mark.parametrize("name", ["sync", "async"])
def test_an_upload_that_is_refused_early_is_sent_once(name: str) -> None:
    """The API's 413 is returned, although it has read no more than the head."""
    early = response(b'{"error": "too large"}', 413)
    with FaultServer([READ_HEAD, early, HANG]) as server, calling(server.url) as nango:
        found = put(nango, name, data=bytes(30_000_000))
        assert (found.status_code, found.json(), len(found.attempts)) == (413, {"error": "too large"}, 1)
        assert server.connections == 1


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_sent_stream_is_not_retried(name: str) -> None:
    """A 503 is returned, a lost connection raised; both say why there was no retry."""
    refused = response(b"", 503, {"Connection": "close"})
    with FaultServer([READ, refused], [READ, RESET]) as server, calling(server.url) as nango:
        found = put(nango, name, data=bodies()["generator"])
        assert (found.status_code, len(found.attempts)) == (503, 1)
        with pytest.raises(TransportFailed, match="the body cannot be sent again") as raised:
            put(nango, name, data=bodies()["generator"])
        assert (raised.value.reason, len(raised.value.attempts)) == ("reset", 1)


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_stream_follows_no_redirect(name: str) -> None:
    """A 307 needs the body again, which is consumed; the redirect is returned."""
    moved = response(b"", 307, {"Location": "/elsewhere", "Connection": "close"})
    with FaultServer([READ, moved], [READ, response(b"ok")]) as server, calling(server.url) as nango:
        assert put(nango, name, data=bodies()["generator"]).status_code == 307
        assert put(nango, name, data=b"small").status_code == 200


@pytest.mark.parametrize("name", ["sync", "async"])
def test_files_are_sent_as_a_form_and_can_be_retried(name: str) -> None:
    """A multipart form is read into memory once, so a PUT of it survives a 503."""
    files = {"upload": ("rows.csv", io.BytesIO(b"a,b\n1,2\n"), "text/csv")}
    with (
        FaultServer([READ, response(b"", 503), READ, response(b"ok")]) as server,
        calling(server.url, retries={"backoff": QUICK}) as nango,
    ):
        found = put(nango, name, files=files, data={"kind": "profiles"})
        assert [attempt.status for attempt in found.attempts] == [503, 200]
        first, second = (request.partition(b"\r\n\r\n")[2] for request in server.requests)
        assert first == second
        assert b'filename="rows.csv"' in first
        assert b"a,b\n1,2\n" in first
        assert b"profiles" in first


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_generator_s_own_error_reaches_the_caller(name: str) -> None:
    """It is not reported as a network error, and nothing is left open."""

    def rows() -> Iterator[bytes]:
        yield b"first"
        raise LookupError("no more rows")

    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        with pytest.raises(LookupError, match="no more rows"):
            put(nango, name, data=rows())
        assert len(sandbox.ledger) == 0


# --- downloads


def download(nango: Nango, name: str, target: Path, **options: Any) -> Any:
    """A download by the named executor."""
    if name == "sync":
        return nango.executor("shop", "user-1").download("things", target, **options)

    async def work() -> Any:
        return await nango.async_executor("shop", "user-1").download("things", target, **options)

    return asyncio.run(work())


NAMES = pytest.mark.parametrize("name", ["sync", "async"])


@NAMES
def test_a_download_writes_the_file_and_reports_its_progress(name: str, tmp_path: Path) -> None:
    """Bytes written and bytes announced are reported; only the owner may read the file."""
    body = bytes(range(256)) * 1000
    target = tmp_path / "rows.bin"
    target.write_bytes(b"old")
    reports: list[tuple[int, int | None]] = []
    with FaultServer([READ, response(body)]) as server, calling(server.url) as nango:
        found = download(nango, name, target, progress=lambda *numbers: reports.append(numbers))
    assert found.status_code == 200
    assert target.read_bytes() == body
    assert target.stat().st_mode & 0o777 == 0o600
    assert reports[-1] == (len(body), len(body))
    assert len(reports) > 1
    assert reports == sorted(reports)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.bin"]


@NAMES
def test_a_compressed_download_is_written_decoded(name: str, tmp_path: Path) -> None:
    """Content-Length is the size of the compressed body, so the total is unknown."""
    reports: list[Any] = []
    body = response(gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"})
    with FaultServer([READ, body]) as server, calling(server.url) as nango:
        download(nango, name, tmp_path / "rows", progress=lambda *numbers: reports.append(numbers))
    assert (tmp_path / "rows").read_bytes() == b"x" * 100_000
    assert reports[-1] == (100_000, None)


@NAMES
@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        pytest.param([READ, response(b"x" * 100)[:-1]], {}, "truncated", id="truncated"),
        pytest.param([READ, response(b"x" * 100)[:-1], HANG], {"timeout": 1.0}, "timeout", id="silent"),
        pytest.param([READ, response(b"x" * 100)], {"max_response_bytes": 99}, "too_large", id="too large"),
    ],
)
def test_a_broken_download_leaves_the_old_file(
    name: str, script: Any, options: Any, reason: str, tmp_path: Path
) -> None:
    """The target appears only when it is complete, and no temporary file is left."""
    target = tmp_path / "rows"
    target.write_bytes(b"old")
    retries = {"backoff": QUICK, "max_attempts": 2}
    with FaultServer(script) as server, calling(server.url, retries=retries) as nango:
        with pytest.raises(TransportFailed) as raised:
            download(nango, name, target, **options)
        assert server.connections == (1 if reason == "too_large" else 2)
        wait_until(lambda: not server._open)
    assert raised.value.reason == reason
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@NAMES
def test_a_download_ignores_the_blueprint_s_limit(name: str, tmp_path: Path) -> None:
    """That limit is for responses in memory; a download has none unless the call sets it."""
    requests = {"max_response_bytes": 1000}
    with (
        FaultServer([READ, response(b"x" * 5000)]) as server,
        calling(server.url, requests=requests) as nango,
    ):
        download(nango, name, tmp_path / "rows")
    assert (tmp_path / "rows").stat().st_size == 5000


@NAMES
def test_a_download_replaces_no_folder_and_no_device(name: str, tmp_path: Path) -> None:
    """Nothing is sent: root could put a file in the place of /dev/null."""
    with FaultServer([]) as server, calling(server.url) as nango:
        for target in (tmp_path, Path(os.devnull)):
            with pytest.raises(InvalidRequest, match="not a regular file"):
                download(nango, name, target)
        assert server.connections == 0
    assert Path(os.devnull).is_char_device()


@NAMES
def test_a_failed_download_writes_nothing(name: str, tmp_path: Path) -> None:
    """The error has the message of the API."""
    body = response(b'{"error": {"message": "no such thing"}}', 404)
    refused = pytest.raises(ProviderError, match="no such thing")
    with FaultServer([READ, body]) as server, calling(server.url) as nango, refused:
        download(nango, name, tmp_path / "rows")
    assert list(tmp_path.iterdir()) == []


@NAMES
@pytest.mark.parametrize("status", [202, 204, 205, 206, 300, 304, 302])
def test_a_response_without_the_file_leaves_the_old_one(name: str, status: int, tmp_path: Path) -> None:
    """Neither "not modified" nor "no content" nor a redirect to another host is the file."""
    target = tmp_path / "rows"
    target.write_bytes(b"old")
    headers = {"Location": "https://storage.example/rows"} if status == 302 else {}
    body = response(b"" if status in {204, 205, 304} else b"not it", status, headers=headers)
    caught = pytest.raises(ProviderError)
    with FaultServer([READ, body]) as server, calling(server.url) as nango, caught as raised:
        download(nango, name, target)
    assert raised.value.status == status
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


UNIT = 2**16
WHOLE = b"0123456789abcdef" * (UNIT // 4)
RANGES = {"ETag": '"v1"', "Accept-Ranges": "bytes"}


def part(begin: int, end: int = 4, total: str = str(4 * UNIT), **headers: str) -> bytes:
    """The part of WHOLE from that unit on."""
    place = f"bytes {begin * UNIT}-{end * UNIT - 1}/{total}"
    return response(WHOLE[begin * UNIT : end * UNIT], 206, headers={"Content-Range": place, **headers})


BROKEN = response(WHOLE, headers=RANGES)[: -2 * UNIT]
WEAK = response(WHOLE, headers={**RANGES, "ETag": 'W/"v1"'})[: -2 * UNIT]
CONTINUED: dict[str, tuple[list[Any], list[bool]]] = {
    # what the server does, one connection each, and which requests ask for the rest
    "begun again": ([response(WHOLE)[: -2 * UNIT], response(WHOLE)], [False, False]),
    "continued": ([BROKEN, part(2)], [False, True]),
    "changed meanwhile": ([BROKEN, response(WHOLE, headers=RANGES)], [False, True]),
    "another part": ([BROKEN, part(1), response(WHOLE)], [False, True, False]),
    "the rest of another tag": ([BROKEN, part(2, ETag='"v2"'), response(WHOLE)], [False, True, False]),
    "the rest of another size": (
        [BROKEN, part(2, total=str(9 * UNIT)), response(WHOLE)],
        [False, True, False],
    ),
    "less than the rest": ([BROKEN, part(2, 3), response(WHOLE)], [False, True, False]),
    "a compressed rest": (
        [BROKEN, part(2, **{"Content-Encoding": "gzip"}), response(WHOLE)],
        [False, True, False],
    ),
    "of unknown size": ([BROKEN, part(2, total="*", ETag='"v1"')], [False, True]),
    "no such part": ([BROKEN, response(b"", 416), response(WHOLE)], [False, True, False]),
    "broken twice": ([BROKEN, part(2)[:-UNIT], part(3)], [False, True, True]),
    "a weak tag": ([WEAK, response(WHOLE)], [False, False]),
    "no ranges": ([response(WHOLE, headers={"ETag": '"v1"'})[:-UNIT], response(WHOLE)], [False, False]),
}


@NAMES
@pytest.mark.parametrize("what", CONTINUED)
def test_a_download_that_breaks_off_is_finished(name: str, what: str, tmp_path: Path) -> None:
    """It is begun again like any GET, or continued if the server has ranges and a tag of the same body."""
    parts, asked = CONTINUED[what]
    reports: list[tuple[int, int | None]] = []
    scripts = [[READ, piece] for piece in parts]
    with FaultServer(*scripts) as server, calling(server.url, retries={"backoff": QUICK}) as nango:
        download(nango, name, tmp_path / "rows", progress=lambda *numbers: reports.append(numbers))
        assert [b"if-range" in request.lower() for request in server.requests] == asked
    assert (tmp_path / "rows").read_bytes() == WHOLE
    assert reports[-1] == (4 * UNIT, 4 * UNIT)
    assert list(tmp_path.iterdir()) == [tmp_path / "rows"]


@NAMES
def test_a_missing_folder_is_an_os_error(name: str, tmp_path: Path) -> None:
    """The OSError is raised unchanged, and the socket is closed."""
    with FaultServer([READ, response(b"x" * 100)[:-1], HANG]) as server, calling(server.url) as nango:
        with pytest.raises(FileNotFoundError):
            download(nango, name, tmp_path / "missing" / "rows")
        wait_until(lambda: not server._open)


@NAMES
def test_an_exception_in_progress_ends_the_download(name: str, tmp_path: Path) -> None:
    """This is how a program cancels a download; no file is left."""

    def stop(_written: int, _total: int | None) -> None:
        raise InterruptedError("stopped by the user")

    with FaultServer([READ, response(b"x" * 100_000)[:-1], HANG]) as server, calling(server.url) as nango:
        with pytest.raises(InterruptedError, match="stopped by the user"):
            download(nango, name, tmp_path / "rows", progress=stop)
        wait_until(lambda: not server._open)
    assert list(tmp_path.iterdir()) == []
