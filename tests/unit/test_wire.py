"""The quick road of HTTP/1.1 gives what http.client gives, or leaves the work to it."""

from __future__ import annotations

import http.client
import io
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from nango_py.transport.http1 import encode_request, is_simple, parse_head

HEADS = {
    "plain": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n",
    "no reason": b"HTTP/1.1 204\r\nX: 1\r\n\r\n",
    "empty reason": b"HTTP/1.1 204 \r\n\r\n",
    "odd reason": b"HTTP/1.1 418 I'm a   teapot \r\nContent-Length: 0\r\n\r\n",
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
}

LEFT_TO_HTTP_CLIENT = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    "unfinished": b"HTTP/1.1 200 OK\r\nContent-Le",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 1\n\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "blank in a name": b"HTTP/1.1 200 OK\r\nContent Length: 1\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\n",
    "a hundred headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 100 + b"\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
}


class Pipe:
    """A socket whose other side has said everything already, and that keeps what is sent."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.sent = b""

    def makefile(self, *_: Any) -> io.BytesIO:
        """What http.client reads from."""
        return io.BytesIO(self.data)

    def sendall(self, data: bytes) -> None:
        """What http.client writes to."""
        self.sent += data

    def settimeout(self, _: Any) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open."""


def by_http_client(data: bytes, method: str) -> http.client.HTTPResponse:
    """The head as the standard library reads it."""
    response = http.client.HTTPResponse(Pipe(data), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("name", HEADS)
def test_a_usual_head_is_read_as_http_client_reads_it(name: str, method: str) -> None:
    """Status, reason, headers, framing and the end of the connection are the same."""
    data = HEADS[name]
    ours, theirs = parse_head(data, method), by_http_client(data, method)
    assert ours is not None
    assert ours.size == len(data)
    assert (ours.status, ours.reason) == (theirs.status, theirs.reason)
    assert [(key, value.strip()) for key, value in theirs.headers.items()] == list(ours.headers.items())
    assert ours.headers.get_all("set-cookie") == theirs.headers.get_all("set-cookie")
    assert (ours.chunked, ours.length) == (bool(theirs.chunked), theirs.length)
    assert ours.will_close == theirs.will_close


@pytest.mark.parametrize("name", LEFT_TO_HTTP_CLIENT)
def test_what_is_not_usual_is_left_to_http_client(name: str) -> None:
    """Anything that could be read in two ways is not read here."""
    assert parse_head(LEFT_TO_HTTP_CLIENT[name], "GET") is None


def plan(method: str = "GET", body: Any = None, **headers: str) -> Any:
    """As much of a plan as the wire looks at."""
    written = {
        name.replace("_", "-").lower(): (name.replace("_", "-"), value) for name, value in headers.items()
    }
    return SimpleNamespace(method=method, body=body, headers=written)


@pytest.mark.parametrize(
    "asked",
    [
        plan(),
        plan(User_Agent="a", Accept="*/*", Accept_Encoding="gzip", Authorization="Bearer x y"),
        plan("POST", b'{"a": 1}', User_Agent="a", Accept_Encoding="gzip", Content_Type="application/json"),
        plan("POST", None, User_Agent="a", Accept_Encoding="gzip"),
        plan("PUT", b"", User_Agent="a", Accept_Encoding="gzip"),
        plan("DELETE", None, User_Agent="a", Accept_Encoding="gzip"),
        plan("PATCH", b"x" * 70000, User_Agent="caf\xe9", Accept_Encoding="gzip"),
        plan("HEAD", None, User_Agent="a", Accept_Encoding="gzip"),
    ],
    ids=lambda asked: f"{asked.method} {len(asked.headers)}",
)
def test_a_request_is_written_as_urllib3_writes_it(asked: Any) -> None:
    """The same request line, the same headers and the same body, whatever the headers' order."""
    assert is_simple(asked)
    connection = HTTPConnection("api.example.com", 8080)
    pipe: Any = Pipe()
    connection.sock = pipe
    headers = dict(asked.headers.values())
    headers.setdefault("User-Agent", "a")
    headers.setdefault("Accept-Encoding", "gzip")
    asked.headers = {name.lower(): (name, value) for name, value in headers.items()}
    connection.request(asked.method, "/v1/x?a=b", asked.body, headers)
    theirs, _, their_body = pipe.sent.partition(b"\r\n\r\n")
    ours, _, our_body = encode_request(asked, "api.example.com:8080", "/v1/x?a=b").partition(b"\r\n\r\n")
    assert ours.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
    assert sorted(ours.split(b"\r\n")) == sorted(theirs.split(b"\r\n"))
    assert our_body == their_body


@pytest.mark.parametrize(
    "asked",
    [plan("POST", iter([b"a"])), plan("POST", io.BytesIO(b"a")), plan(Host="x"),
     plan("POST", b"a", Expect="100-continue"), plan("POST", b"a", Content_Length="1"),
     plan("POST", b"a", Transfer_Encoding="chunked")],
    ids=["iterator", "file", "host", "expect", "length", "coding"],
)  # fmt: skip
def test_an_unusual_request_takes_the_ordinary_road(asked: Any) -> None:
    """Streams, and framing of the caller's own, are http.client's business."""
    assert not is_simple(asked)


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb"])
def test_a_line_break_passes_no_door(value: str) -> None:
    """Even a plan that was not checked cannot split a request."""
    with pytest.raises(http.client.InvalidURL):
        encode_request(plan(X=value), "h", "/")
    with pytest.raises(http.client.InvalidURL):
        encode_request(plan(), "h", "/" + value)
