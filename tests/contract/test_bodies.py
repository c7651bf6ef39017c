"""Bodies in both directions, by both transports: none is cut off in silence, or longer than it says."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zlib
from typing import TYPE_CHECKING, Any

import backports.zstd
import brotli
import pytest

from nango_py import InvalidRequest
from nango_py.transport.response import Response
from nango_py.transport.sendable import Failure
from tests.support.both_transports import SENDS, plan_for, reasons
from tests.support.fault_server import CLOSE, HANG, READ, FaultServer, response
from tests.support.made_values import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.both_transports import Send

TEXT = b'{"data": ["' + b"0123456789" * 3 + b'"]}'
HALVES = TEXT[:20], TEXT[20:]


def pack_gzip(data: bytes) -> bytes:
    """gzip, without the time."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    """RFC 1951, as many servers send it under the name of deflate."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ENCODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", pack_gzip(TEXT)),
    "x-gzip": ("X-Gzip", pack_gzip(TEXT)),
    "gzip members": ("gzip", b"".join(map(pack_gzip, HALVES))),
    "gzip of three": ("gzip", pack_gzip(HALVES[0]) + pack_gzip(b"") + pack_gzip(HALVES[1])),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "raw deflate": ("deflate", raw_deflate(TEXT)),
    "br": ("br", brotli.compress(TEXT)),
    "zstd": ("zstd", backports.zstd.compress(TEXT)),
    "zstd frames": ("zstd", b"".join(map(backports.zstd.compress, HALVES))),
    "twice": ("gzip, deflate", zlib.compress(pack_gzip(TEXT))),
}
ENDS_OF_MEMBERS = {
    "gzip members": {len(pack_gzip(HALVES[0]))},
    "gzip of three": {
        len(pack_gzip(HALVES[0])),
        len(pack_gzip(HALVES[0]) + pack_gzip(b"")),
    },
    "zstd frames": {len(backports.zstd.compress(HALVES[0]))},
}
"""Where a body of fewer members would be whole: what ends there is complete by its format."""


def in_chunks(data: bytes, size: int = 7) -> bytes:
    """A body in chunks."""
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def framed(coding: str, body: bytes, *, chunked: bool) -> bytes:
    """A whole response with an encoded body."""
    headers = {"Content-Encoding": coding, "Content-Type": "application/json", "Connection": "close"}
    if not chunked:
        return response(body, headers=headers)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n".encode() + in_chunks(body)


def contents(send: Send, responses: list[bytes], **options: Any) -> list[Any]:
    """The bodies, or the reasons of failures, of calls whose connections end after a response."""
    with FaultServer(*[[READ, one, CLOSE] for one in responses]) as server:
        outcomes = send([plan_for(server.url, **options) for _ in responses])
    return [outcome.content if isinstance(outcome, Response) else outcome.reason for outcome in outcomes]


@pytest.mark.parametrize("name", ENCODED)
@SENDS
def test_a_body_is_decoded(name: str, send: Send) -> None:
    """Whole, with a length and in chunks, and whatever the number of its members."""
    coding, body = ENCODED[name]
    found = contents(send, [framed(coding, body, chunked=chunked) for chunked in (False, True)])
    assert found == [TEXT, TEXT]


@pytest.mark.parametrize("name", ENCODED)
@SENDS
def test_a_compressed_body_that_was_cut_off_is_no_success(name: str, send: Send) -> None:
    """Cut at every byte, in a response that is whole: the coding is not."""
    coding, body = ENCODED[name]
    cuts = [size for size in range(1, len(body)) if size not in ENDS_OF_MEMBERS.get(name, ())]
    found = contents(send, [framed(coding, body[:size], chunked=bool(size % 2)) for size in cuts])
    assert set(found) == {"truncated"}


@pytest.mark.parametrize("name", ["", "gzip", "br"])
@pytest.mark.parametrize("chunked", [False, True])
@SENDS
def test_a_response_that_was_cut_off_is_no_success(name: str, chunked: bool, send: Send) -> None:  # noqa: FBT001
    """Cut at every byte behind its head."""
    coding, body = ENCODED[name] if name else ("identity", TEXT)
    whole = framed(coding, body, chunked=chunked)
    start = whole.index(b"\r\n\r\n") + 4
    found = contents(send, [whole[:size] for size in range(start, len(whole))])
    assert set(found) == {"truncated"}


@pytest.mark.parametrize("name", ENCODED)
def test_a_stream_that_was_cut_off_is_no_success(name: str) -> None:
    """A streamed body ends with an error as well, read by pieces of any size or from `raw`."""
    from nango_py.errors import TransportFailed
    from nango_py.transport.sync_transport import Transport

    coding, body = ENCODED[name]
    with FaultServer(*[[READ, framed(coding, body[:-1], chunked=True), CLOSE]] * 3) as server:
        transport = Transport()
        for size in (1, 100_000):
            streamed: Any = transport.send(plan_for(server.url, stream=True), 5.0)
            with pytest.raises(TransportFailed):
                b"".join(streamed.iter_content(size))
        streamed = transport.send(plan_for(server.url, stream=True), 5.0)
        with pytest.raises(Exception, match="incomplete"):
            streamed.raw.read(decode_content=True)
        streamed.close()
        transport.close()


@pytest.mark.parametrize("name", ENCODED)
def test_a_stream_is_decoded_in_pieces_of_any_size(name: str) -> None:
    """As a response that is read at once."""
    from nango_py.transport.sync_transport import Transport

    coding, body = ENCODED[name]
    with FaultServer(*[[READ, framed(coding, body, chunked=True), CLOSE]] * 3) as server:
        transport = Transport()
        for size in (1, 7, 100_000):
            streamed: Any = transport.send(plan_for(server.url, stream=True), 5.0)
            assert b"".join(streamed.iter_content(size)) == TEXT
        transport.close()


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        ("gzip", b"plain", "protocol"),
        ("deflate", b"plain text", "protocol"),
        ("br", b"\xff" * 9, "protocol"),
        ("zstd", b"plain text", "protocol"),
        ("gzip", pack_gzip(TEXT) + b"tail", "protocol"),
        ("gzip", pack_gzip(TEXT) + b"\x1f", "truncated"),
        ("deflate", zlib.compress(TEXT) + b"tail", "protocol"),
        ("gzip, gzip, gzip, gzip, gzip, gzip", TEXT, "protocol"),
        ("gzip", pack_gzip(TEXT)[:-8] + b"12345678", "protocol"),
    ],
)
@SENDS
def test_what_is_not_compressed_as_announced_is_a_failure(
    coding: str, body: bytes, reason: str, send: Send
) -> None:
    """Also a tail, a wrong checksum, and more codings than any server needs."""
    assert contents(send, [framed(coding, body, chunked=False)]) == [reason]


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("gzip", b"", b""),
        ("snappy", b"as it is", b"as it is"),
        ("identity", TEXT, TEXT),
        ("utf-8, gzip", pack_gzip(TEXT), TEXT),
        ("gzip", pack_gzip(TEXT) + bytes(8), TEXT),
    ],
)
@SENDS
def test_unusual_bodies_that_are_clear_are_taken(
    coding: str, body: bytes, expected: bytes, send: Send
) -> None:
    """Empty ones, codings that are unknown here, and padding."""
    assert contents(send, [framed(coding, body, chunked=False)]) == [expected]


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
@SENDS
def test_a_small_body_that_decodes_to_a_large_one_is_refused(name: str, send: Send) -> None:
    """The limit counts decoded bytes, and they come in bounded pieces."""
    large = bytes(50_000_000)
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": pack_gzip, "deflate": zlib.compress, "zstd": backports.zstd.compress,
        "br": lambda data: brotli.compress(data, quality=1),
    }  # fmt: skip
    body = framed(name, pack[name](large), chunked=False)
    assert contents(send, [body], max_response_bytes=100_000) == ["too_large"]


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=latin-1"])
@SENDS
def test_json_may_begin_with_a_byte_order_mark(charset: str, send: Send) -> None:
    """RFC 8259 lets a reader ignore it."""
    body = response(b'\xef\xbb\xbf{"n": "\xc3\xbc"}', headers={"Content-Type": f"application/json{charset}"})
    with FaultServer([READ, body, HANG]) as server:
        (found,) = send([plan_for(server.url)])
    assert isinstance(found, Response)
    assert found.json() == {"n": "ü"}
    assert found.json(parse_float=str) == {"n": "ü"}


# --- what is sent


class Unseekable(io.BytesIO):
    """A pipe."""

    def seekable(self) -> bool:
        """It is not."""
        return False


def on_disk() -> Any:
    """A file of which the caller has read a part."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the test
    file.write(b"head" + b"x" * 200_000)
    file.seek(4)
    return file


FILES: dict[str, tuple[Callable[[], Any], bytes]] = {
    "file": (on_disk, b"x" * 200_000),
    "bytes": (lambda: io.BytesIO(b"large"), b"large"),
    "text": (lambda: io.StringIO("zwölf"), "zwölf".encode()),
    "empty": (io.BytesIO, b""),
}


@pytest.mark.parametrize("name", FILES)
@SENDS
def test_an_open_file_is_sent_with_its_length_and_can_be_sent_again(name: str, send: Send) -> None:
    """From where it stands, and rewound for the next attempt."""
    make, expected = FILES[name]
    with FaultServer([READ, response(), READ, response(), HANG]) as server:
        with make() as file:
            plan = plan_for(server.url, "PUT", data=file)
            assert plan.replayable
            assert reasons(send([plan, plan])) == ["response"] * 2
        for request in server.requests:
            head, _, body = request.partition(b"\r\n\r\n")
            assert b"Content-Length: %d" % len(expected) in head
            assert b"Transfer-Encoding" not in head
            assert body == expected


@SENDS
def test_what_cannot_be_rewound_is_sent_in_chunks(send: Send) -> None:
    """Once."""
    with FaultServer([READ, response(), HANG]) as server:
        plan = plan_for(server.url, "PUT", data=Unseekable(b"large"))
        assert not plan.replayable
        assert reasons(send([plan])) == ["response"]
        assert server.requests[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n5\r\nlarge\r\n0\r\n\r\n")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_buffers_are_bodies_that_can_be_sent_again(kind: Any) -> None:
    """They are read once, when the request is made."""
    plan = plan_for("http://127.0.0.1:9/", "PUT", data=kind(b"abc"))
    assert (plan.body, plan.replayable) == (b"abc", True)


def test_a_file_that_cannot_be_read_is_refused() -> None:
    """A closed one, and one that is open for writing only."""
    closed = io.BytesIO(b"a")
    closed.close()
    for file in (closed, tempfile.TemporaryFile("wb")):  # noqa: SIM115 - it is closed below
        with pytest.raises(InvalidRequest, match="open for reading"):
            plan_for("http://127.0.0.1:1/", "PUT", data=file)
        file.close()


class Wrong:
    """A body that is not as long as it says."""

    content_length = 5

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body


@pytest.mark.parametrize("body", [b"1234", b"123456", b"12345GET /admin HTTP/1.1\r\n\r\n"])
@SENDS
def test_a_body_of_another_length_than_announced_is_not_sent_to_its_end(body: bytes, send: Send) -> None:
    """Its connection is closed: the rest would be another request, or the next request a part of it."""
    with (
        FaultServer([READ, response(), HANG]) as server,
        pytest.raises(InvalidRequest, match="Content-Length of 5"),
    ):
        send([plan_for(server.url, "PUT", data=Wrong(body))])
    assert not any(b"admin" in request for request in server.requests)


@pytest.mark.parametrize("piece", [1, None, "\ud800", {"a": 1}])
@SENDS
def test_a_piece_that_is_neither_bytes_nor_text_is_refused(piece: Any, send: Send) -> None:
    """As an error of this library, without frames that hold the request."""
    with (
        FaultServer([READ, response(), HANG]) as server,
        pytest.raises(InvalidRequest, match="piece of the body") as caught,
    ):
        send([plan_for(server.url, "PUT", data=iter([piece]))])
    trace, modules, held = caught.value.__traceback__, [], []
    while trace is not None:
        modules.append(trace.tb_frame.f_globals["__name__"])
        held += [repr(value) for value in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    assert KEY not in " ".join(held), modules


def test_a_failure_is_never_a_response() -> None:
    """The control of these tests: the names of reasons are not bodies."""
    assert not isinstance(Failure.of("truncated", "h", sent=True), Response)
    assert json.loads(TEXT)
