"""Our own HTTP/1.1 gives the results of http.client for what is clear, and refuses what is not."""

from __future__ import annotations

import http.client
import io
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection

from nango_py.transport.http1 import (
    MAX_HEAD,
    CutOffError,
    MalformedError,
    ResponseParser,
    encode_head,
    parse_head,
)

HEADS = {
    "plain": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n",
    "no reason": b"HTTP/1.1 204\r\nX: 1\r\n\r\n",
    "empty reason": b"HTTP/1.1 204 \r\n\r\n",
    "odd reason": b"HTTP/1.1 418 I'm a   teapot \r\nContent-Length: 0\r\n\r\n",
    "odd status": b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked in capitals": b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
    "says close": b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 3\r\n\r\n",
    "blanks around a value": b"HTTP/1.1 200 OK\r\nContent-Length: \t7 \r\nX:  a b \t\r\n\r\n",
    "twice a name": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 1\r\n\r\n",
    "latin-1": b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nContent-Length: 1\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    "no content with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "empty value": b"HTTP/1.1 200 OK\r\nX:\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
    "HTTP/1.0 kept": b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nX: a\nContent-Length: 1\n\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 98 + b"Content-Length: 1\r\n\r\n",
}


class Pipe:
    """A socket whose peer has already sent everything, and that keeps what is sent to it."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.sent = b""

    def makefile(self, *_: Any) -> io.BytesIO:
        """The stream that http.client reads."""
        return io.BytesIO(self.data)

    def sendall(self, data: bytes) -> None:
        """Keep the data."""
        self.sent += data

    def settimeout(self, _: Any) -> None:
        """Does nothing: no read blocks."""

    def close(self) -> None:
        """Does nothing."""


def by_http_client(data: bytes, method: str) -> http.client.HTTPResponse:
    """The head as the standard library parses it."""
    response = http.client.HTTPResponse(Pipe(data), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("name", HEADS)
def test_a_clear_head_is_parsed_as_http_client_parses_it(name: str, method: str) -> None:
    """Status, reason, headers, framing and the end of the connection are the same."""
    data = HEADS[name]
    ours, theirs = parse_head(data, method), by_http_client(data, method)
    assert (ours.status, ours.reason) == (theirs.status, theirs.reason)
    assert [(key, value.strip()) for key, value in theirs.headers.items()] == list(ours.headers.items())
    assert ours.headers.get_all("set-cookie") == theirs.headers.get_all("set-cookie")
    assert (ours.chunked, ours.length) == (bool(theirs.chunked) and method != "HEAD", theirs.length)
    assert ours.will_close == theirs.will_close


def read(data: bytes, size: int = 10**6, method: str = "GET") -> tuple[bytes, bool]:
    """The body of a response that arrives in pieces, and whether its connection can be used again."""
    parser = ResponseParser(method)
    body = b""
    for start in range(0, len(data), size):
        parser.feed(data[start : start + size])
        body += parser.take()
    if not parser.is_complete:
        parser.feed_end()
    assert parser.head is not None
    assert parser.head.status == 200
    return body + parser.take(), parser.is_reusable


WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    "lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 10, 10\r\ncontent-length: 010\r\n\r\n0123456789",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked,\r\n\r\n"
    b"2\r\n01\r\n008 ;a=b\r\n23456789\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"A\r\n0123456789\r\n00\r\nX: y\r\nZ:\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    "line feeds": b"HTTP/1.1 200 OK\nContent-Length: 10\n\n0123456789",
}  # fmt: skip
ONCE = {
    "until close": b"HTTP/1.1 200 OK\r\n\r\n0123456789",
    "close": b"HTTP/1.1 200 OK\r\nConnection: a, close\r\nContent-Length: 10\r\n\r\n0123456789",
    "old": b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    "old chunks": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"a\r\n0123456789\r\n0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 10\r\n\r\n0123456789",
    "surplus": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789\r\n",
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10**6])
@pytest.mark.parametrize("name", [*WHOLE, *ONCE])
def test_a_response_is_the_same_in_whatever_pieces_it_arrives(name: str, size: int) -> None:
    """The body is whole, and only a connection without doubt is used again."""
    assert read({**WHOLE, **ONCE}[name], size) in {(b"0123456789", name in WHOLE), (b"0123456789", False)}
    assert read(WHOLE.get(name, WHOLE["length"]), size) == (b"0123456789", True)


@pytest.mark.parametrize("name", WHOLE)
def test_a_response_that_is_cut_off_is_never_complete(name: str) -> None:
    """Cut at every byte: it is an error, and not a shorter body."""
    data = WHOLE[name]
    for size in range(len(data)):
        with pytest.raises((CutOffError, ConnectionResetError)):
            read(data[:size])


MALFORMED = {
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "length that is not a number": b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
    "blank in a name": b"HTTP/1.1 200 OK\r\nContent Length: 1\r\n\r\n",
    "blank behind a name": b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "carriage return": b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 101 + b"\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD,
    "another protocol": b"HTTP/1.1 101 Switching\r\n\r\n",
    "endless chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 5000,
    "endless trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * MAX_HEAD,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_clear_is_an_error_before_the_connection_ends(name: str) -> None:
    """The message has no byte of the response."""
    parser = ResponseParser("GET")
    with pytest.raises(MalformedError, match=r"[a-z ]+"):
        parser.feed(MALFORMED[name])


def a_request(method: str = "GET", body: Any = None, **headers: str) -> Any:
    """The attributes of a plan that its encoding depends on."""
    named = {
        name.replace("_", "-").lower(): (name.replace("_", "-"), value) for name, value in headers.items()
    }
    return SimpleNamespace(method=method, body=body, headers=named)


def encode(request: Any, host: str = "h", target: str = "/") -> bytes:
    """The head of a request with a body in memory."""
    return encode_head(request, host, target, len(request.body or b""))


@pytest.mark.parametrize(
    "request_",
    [
        a_request(),
        a_request(User_Agent="a", Accept="*/*", Accept_Encoding="gzip", Authorization="Bearer x y"),
        a_request("POST", b'{"a": 1}', User_Agent="a", Content_Type="application/json"),
        a_request("POST", None, User_Agent="a"),
        a_request("PUT", b"", User_Agent="a"),
        a_request("DELETE", None, User_Agent="a"),
        a_request("PATCH", b"x" * 70000, User_Agent="caf\xe9"),
        a_request("HEAD", None, User_Agent="a"),
    ],
    ids=lambda request: f"{request.method} {len(request.headers)}",
)
def test_a_request_is_encoded_as_urllib3_encodes_it(request_: Any) -> None:
    """Request line and headers are the same; the order of headers may differ."""
    connection = HTTPConnection("api.example.com", 8080)
    pipe: Any = Pipe()
    connection.sock = pipe
    headers = {"User-Agent": "a", "Accept-Encoding": "gzip", **dict(request_.headers.values())}
    request_.headers = {name.lower(): (name, value) for name, value in headers.items()}
    connection.request(request_.method, "/v1/x?a=b", request_.body, headers)
    theirs = pipe.sent.partition(b"\r\n\r\n")[0]
    ours = encode(request_, "api.example.com:8080", "/v1/x?a=b").removesuffix(b"\r\n\r\n")
    assert ours.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
    assert sorted(ours.split(b"\r\n")) == sorted(theirs.split(b"\r\n"))


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Proxy-Any"])
def test_framing_headers_of_a_plan_are_not_sent(name: str) -> None:
    """Even a plan that was not checked cannot say where its request ends."""
    head = encode(a_request("POST", b"abc", **{name.replace("-", "_"): "x"}))
    assert head == b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb"])
def test_a_line_break_is_refused(value: str) -> None:
    """Even a plan that was not checked cannot split a request."""
    with pytest.raises(http.client.InvalidURL):
        encode(a_request(X=value))
    with pytest.raises(http.client.InvalidURL):
        encode(a_request(), target="/" + value)


PIECES = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.1 100 C\r\n\r\n",
    b"Content-Length: 3\r\n", b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n", b" folded\r\n",
    b"Connection: close\r\n", b"X: y\n", b"\r\n", b"\n", b"\r", b"3\r\nabc\r\n", b"0\r\n", b"abc", b"\0",
    b":",
    b"3;a=b\r\nabc\r\n", b"-1\r\n", b"T: u\r\n",
]  # fmt: skip


def outcome_of(data: bytes, sizes: list[int], method: str) -> tuple[object, ...]:
    """What becomes of bytes that arrive in pieces of some sizes."""
    parser = ResponseParser(method)
    body = b""
    try:
        start = 0
        for size in [*sizes, len(data)]:
            parser.feed(data[start : start + size])
            body += parser.take()
            start += size
        parser.feed_end()
    except (MalformedError, CutOffError, ConnectionResetError) as error:
        return (type(error),)
    assert parser.head is not None
    return parser.head.status, body + parser.take(), parser.is_reusable


@given(
    parts=st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=12),
    sizes=st.lists(st.integers(1, 9), max_size=40),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_whatever_arrives_has_one_meaning(parts: list[bytes], sizes: list[int], method: str) -> None:
    """Any bytes, in any pieces: the same response, or the same error of ours."""
    data = b"HTTP/1.1 200 OK\r\n" + b"".join(parts)
    assert outcome_of(data, sizes, method) == outcome_of(data, [], method)


def test_tiny_chunks_cost_no_more_than_their_number() -> None:
    """A server that sends a byte a chunk keeps no thread, and no event loop, busy with copies of the rest."""
    parser = ResponseParser("GET")
    parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    before = time.process_time()
    parser.feed(b"1\r\na\r\n" * 2**17 + b"0\r\n\r\nrest")
    assert time.process_time() - before < 2  # 0.2 s; a copy of the rest for each chunk takes five
    assert parser.take() == b"a" * 2**17
    assert parser.has_surplus


def test_a_tunnel_is_never_used_again() -> None:
    """What follows a 2xx to CONNECT is not HTTP (RFC 9110 section 9.3.6); the control is a refusal."""
    for status, is_kept in ((200, False), (299, False), (403, True)):
        parser = ResponseParser("CONNECT")
        parser.feed(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
        assert (parser.is_complete, parser.is_reusable) == (True, is_kept), status
