"""Our own HTTP/1.1 gives the results of http.client, or leaves the work to it."""

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

HEADS_FOR_HTTP_CLIENT = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    "unfinished": b"HTTP/1.1 200 OK\r\nContent-Le",
    "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 1\n\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "length that is not a number": b"HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "blank in a name": b"HTTP/1.1 200 OK\r\nContent Length: 1\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\n",
    "a hundred headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 100 + b"\r\n",
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n\r\n",
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
def test_a_common_head_is_parsed_as_http_client_parses_it(name: str, method: str) -> None:
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


@pytest.mark.parametrize("name", HEADS_FOR_HTTP_CLIENT)
def test_an_unusual_head_is_left_to_http_client(name: str) -> None:
    """A head that can be read in two ways is not parsed here."""
    assert parse_head(HEADS_FOR_HTTP_CLIENT[name], "GET") is None


def a_plan(method: str = "GET", body: Any = None, **headers: str) -> Any:
    """The attributes of a plan that its encoding depends on."""
    named = {
        name.replace("_", "-").lower(): (name.replace("_", "-"), value) for name, value in headers.items()
    }
    return SimpleNamespace(method=method, body=body, headers=named)


@pytest.mark.parametrize(
    "plan",
    [
        a_plan(),
        a_plan(User_Agent="a", Accept="*/*", Accept_Encoding="gzip", Authorization="Bearer x y"),
        a_plan("POST", b'{"a": 1}', User_Agent="a", Accept_Encoding="gzip", Content_Type="application/json"),
        a_plan("POST", None, User_Agent="a", Accept_Encoding="gzip"),
        a_plan("PUT", b"", User_Agent="a", Accept_Encoding="gzip"),
        a_plan("DELETE", None, User_Agent="a", Accept_Encoding="gzip"),
        a_plan("PATCH", b"x" * 70000, User_Agent="caf\xe9", Accept_Encoding="gzip"),
        a_plan("HEAD", None, User_Agent="a", Accept_Encoding="gzip"),
    ],
    ids=lambda plan: f"{plan.method} {len(plan.headers)}",
)
def test_a_request_is_encoded_as_urllib3_encodes_it(plan: Any) -> None:
    """Request line, headers and body are the same; the order of headers may differ."""
    assert is_simple(plan)
    connection = HTTPConnection("api.example.com", 8080)
    pipe: Any = Pipe()
    connection.sock = pipe
    headers = dict(plan.headers.values())
    headers.setdefault("User-Agent", "a")
    headers.setdefault("Accept-Encoding", "gzip")
    plan.headers = {name.lower(): (name, value) for name, value in headers.items()}
    connection.request(plan.method, "/v1/x?a=b", plan.body, headers)
    theirs, _, their_body = pipe.sent.partition(b"\r\n\r\n")
    ours, _, our_body = encode_request(plan, "api.example.com:8080", "/v1/x?a=b").partition(b"\r\n\r\n")
    assert ours.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
    assert sorted(ours.split(b"\r\n")) == sorted(theirs.split(b"\r\n"))
    assert our_body == their_body


@pytest.mark.parametrize(
    "plan",
    [a_plan("POST", iter([b"a"])), a_plan("POST", io.BytesIO(b"a")), a_plan(Host="x"),
     a_plan("POST", b"a", Expect="100-continue"), a_plan("POST", b"a", Content_Length="1"),
     a_plan("POST", b"a", Transfer_Encoding="chunked")],
    ids=["iterator", "file", "host", "expect", "length", "coding"],
)  # fmt: skip
def test_an_unusual_request_is_left_to_http_client(plan: Any) -> None:
    """Streamed bodies, and framing headers of the caller, are not encoded here."""
    assert not is_simple(plan)


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb"])
def test_a_line_break_is_refused(value: str) -> None:
    """Even a plan that was not checked cannot split a request."""
    with pytest.raises(http.client.InvalidURL):
        encode_request(a_plan(X=value), "h", "/")
    with pytest.raises(http.client.InvalidURL):
        encode_request(a_plan(), "h", "/" + value)
