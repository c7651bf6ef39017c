"""One user's response never reaches another: one pool, two users, and a server that breaks HTTP's framing.

RFC 9112 section 6.3 says how long a message is, and when a client has to close the connection instead of
guessing. Each case below is a response to user A that is wrong in one way; bytes that the server sends behind
it must not become, in whole or in part, the response of user B on the same pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest

from nango_py.errors import NangoError
from nango_py.transport import http1
from nango_py.transport.async_sockets import AsyncWire
from nango_py.transport.response import Response
from nango_py.transport.sockets import SocketWire
from tests.support.both_transports import SENDS, plan_for
from tests.support.fault_server import HANG, READ, FaultServer, Tls, response
from tests.support.nango_at_server import WIDE, calling, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from nango_py import Nango
    from tests.support.both_transports import Send

TCP_INFO_BYTES, UNACKNOWLEDGED, ESTABLISHED = 104, 24, 1
"""The size of `struct tcp_info` of Linux, the place of `tcpi_unacked` in it, and a state."""
FOREIGN = b"FOREIGN-BYTES-OF-USER-A"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n" + FOREIGN
"""A whole response that no request asked for."""
SURPLUS = {
    "a second response": SECOND,
    "text": FOREIGN,
    "a line end": b"\r\n",
    "a last chunk": b"0\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nX-Of: " + FOREIGN,
    "a line end and a response": b"\r\n" + SECOND,
}
"""What the server sends behind a response."""

BODY = b"0123456789"
GZIPPED = zlib.compress(BODY, wbits=31)
OK = b"HTTP/1.1 200 OK\r\n"
COMPLETE = {
    "length": OK + b"Content-Length: 10\r\n\r\n" + BODY,
    "length 0": OK + b"Content-Length: 0\r\n\r\n",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
    "chunked with trailers": OK + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 23\r\n\r\n",
    "204 chunked": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 23\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\n" + BODY,
    "500": b"HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\n" + BODY,
    "HTTP/1.0 kept alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 10\r\n\r\n" + BODY,
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 10\r\n\r\n" + BODY,
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + OK + b"Content-Length: 10\r\n\r\n" + BODY,
    "a length twice, the same": OK + b"Content-Length: 10\r\nContent-Length: 10\r\n\r\n" + BODY,
    "a bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 10\n\n" + BODY,
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY,
    "gzip that is none": OK + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + BODY,
    "gzip with a tail": OK
    + b"Content-Encoding: gzip\r\nContent-Length: 40\r\n\r\n"
    + GZIPPED.ljust(40, b"x"),
    "gzip cut off": OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + GZIPPED[:20],
    "deflate that is none": OK + b"Content-Encoding: deflate\r\nContent-Length: 10\r\n\r\n" + BODY,
    "an unknown encoding": OK + b"Content-Encoding: snappy\r\nContent-Length: 10\r\n\r\n" + BODY,
    "304 with two lengths": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
}
"""Responses whose end is clear; with surplus bytes behind them the connection is not reused."""


CHUNKED = b"a\r\n0123456789\r\n0\r\n\r\n"


def head(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    """The head of a response."""
    return b"\r\n".join([version + b" " + status, *lines, b"", b""])


UNCLEAR = {
    "two lengths": head(b"Content-Length: 10", b"Content-Length: 33") + BODY,
    "two lengths, the longer first": head(b"Content-Length: 33", b"Content-Length: 10") + BODY,
    "a list of lengths": head(b"Content-Length: 10, 33") + BODY,
    "three lengths": head(b"Content-Length: 10", b"X: y", b"content-length: 10", b"Content-Length: 9") + BODY,
    "a length with a sign": head(b"Content-Length: +10") + BODY,
    "a negative length": head(b"Content-Length: -1") + BODY,
    "a length with an underscore": head(b"Content-Length: 1_0") + BODY,
    "a length in hex": head(b"Content-Length: 0xA") + BODY,
    "a length that is empty": head(b"Content-Length: ") + BODY,
    "a length that is text": head(b"Content-Length: ten") + BODY,
    "a length with a decimal point": head(b"Content-Length: 10.0") + BODY,
    "a length in other digits": head(b"Content-Length: \xd9\xa1\xd9\xa0") + BODY,
    "a huge length": head(b"Content-Length: 99999999999999999999999") + BODY,
    "length and chunked": head(b"Content-Length: 10", b"Transfer-Encoding: chunked")
    + b"a\r\n0123456789\r\n0\r\n\r\n",
    "chunked and length": head(b"Transfer-Encoding: chunked", b"Content-Length: 10")
    + b"a\r\n0123456789\r\n0\r\n\r\n",
    "length and identity": head(b"Content-Length: 10", b"Transfer-Encoding: identity") + BODY,
    "chunked twice": head(b"Transfer-Encoding: chunked, chunked") + b"a\r\n0123456789\r\n0\r\n\r\n",
    "chunked, then gzip": head(b"Transfer-Encoding: chunked, gzip") + b"a\r\n0123456789\r\n0\r\n\r\n",
    "two codings": head(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked")
    + b"a\r\n0123456789\r\n0\r\n\r\n",
    "an unknown coding": head(b"Transfer-Encoding: xchunked", b"Content-Length: 10") + BODY,
    "chunked with a tab": head(b"Transfer-Encoding:\tchunked", b"Content-Length: 10")
    + b"a\r\n0123456789\r\n0\r\n\r\n",
    "a space before the colon": head(b"Content-Length : 10", b"Content-Length: 10") + BODY,
    "a folded line": head(b"X: y", b" Content-Length: 33", b"Content-Length: 10") + BODY,
    "a bare carriage return": head(b"X: y\rContent-Length: 33", b"Content-Length: 10") + BODY,
    "a NUL": head(b"X: \x00", b"Content-Length: 10") + BODY,
    "a line without a colon": head(b"Content-Length 33", b"Content-Length: 10") + BODY,
    "a bad chunk size": head(b"Transfer-Encoding: chunked") + b"zz\r\n0123456789\r\n0\r\n\r\n",
    "a signed chunk size": head(b"Transfer-Encoding: chunked") + b"+a\r\n0123456789\r\n0\r\n\r\n",
    "a chunk size in hex": head(b"Transfer-Encoding: chunked") + b"0xa\r\n0123456789\r\n0\r\n\r\n",
    "a chunk that is longer": head(b"Transfer-Encoding: chunked") + b"5\r\n0123456789\r\n0\r\n\r\n",
    "a chunk without its end": head(b"Transfer-Encoding: chunked") + b"a\r\n0123456789" + b"0\r\n\r\n",
    "a chunk with a bare line feed": head(b"Transfer-Encoding: chunked") + b"a\n0123456789\n0\n\n",
    "an upgrade": head(b"Upgrade: websocket", b"Connection: Upgrade", status=b"101 Switching Protocols"),
    "an upgrade with a length": head(b"Content-Length: 10", status=b"101 Switching Protocols") + BODY,
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 10\r\n\r\n" + BODY,
    "a status of four digits": head(b"Content-Length: 10", status=b"2000 OK") + BODY,
    "a status of two digits": head(b"Content-Length: 10", status=b"20 OK") + BODY,
    "a negative status": head(b"Content-Length: 10", status=b"-200 OK") + BODY,
    "HTTP/2.0": head(b"Content-Length: 10", version=b"HTTP/2.0") + BODY,
    "HTTP/0.9": BODY,
    "no version": head(b"Content-Length: 10", version=b"HTTP") + BODY,
    "a line end first": b"\r\n" + head(b"Content-Length: 10") + BODY,
    "a switched protocol in HTTP/1.0": head(status=b"101 Switching", version=b"HTTP/1.0"),
    "no length, kept open": head(b"X: y") + BODY,
    "a folded length": head(b"Content-Length:", b" 10") + BODY,
    "a folded coding": head(b"Content-Length: 10", b"Transfer-Encoding:", b"\tchunked") + BODY,
    "a fold first": head(b" X: y", b"Content-Length: 10") + BODY,
    "a quoted coding": head(b'Transfer-Encoding: "chunked"', b"Content-Length: 10") + BODY,
    "a coding with a parameter": head(b"Transfer-Encoding: chunked;q=1") + CHUNKED,
    "no coding, and a length": head(b"Transfer-Encoding:", b"Content-Length: 10") + BODY,
    "a length with a comma": head(b"Content-Length: 10,") + BODY,
    "chunked in HTTP/1.0": head(b"Connection: keep-alive", b"Transfer-Encoding: chunked", version=b"HTTP/1.0")
    + CHUNKED,
    "a chunk size of 17 digits": head(b"Transfer-Encoding: chunked")
    + b"0000000000000000a\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "a chunk size that is empty": head(b"Transfer-Encoding: chunked") + b";x\r\n0\r\n\r\n",
    "an invalid trailer": head(b"Transfer-Encoding: chunked") + b"a\r\n0123456789\r\n0\r\nno trailer\r\n\r\n",
    "a last chunk with a bare line feed": head(b"Transfer-Encoding: chunked") + b"a\r\n0123456789\r\n0\r\n\n",
    "close among options": head(b"Connection: x, CLOSE", b"Content-Length: 10") + BODY,
    "close in another line": head(b"Connection: keep-alive", b"Connection: close", b"Content-Length: 10")
    + BODY,
    "two status lines": b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY,
    "a hundred and one headers": head(*[b"X: y"] * 100, b"Content-Length: 10") + BODY,
    "an upgrade behind hints": b"HTTP/1.1 103 Hints\r\n\r\n" + head(b"Upgrade: h2c", status=b"101 Switching"),
}
"""Responses that clients read in different ways. Whatever is made of them, the connection is not reused."""

EARLY, IDLE, LATE = "at once", "while the connection is idle", "before the next response"


@dataclass(frozen=True)
class Case:
    """One wrong response: its bytes, and the bytes behind it with their moment."""

    kind: str
    behind: str
    first: bytes
    surplus: bytes
    when: str
    method: str = "GET"

    @property
    def name(self) -> str:
        """What the server does."""
        return f"{self.kind}, {self.behind} {self.when}"


def cases() -> Iterator[Case]:
    """Every response with every surplus."""
    for (kind, first), (what, surplus), when in itertools.product(
        COMPLETE.items(), SURPLUS.items(), (EARLY, IDLE)
    ):
        yield Case(kind, what, first, surplus, when)
    for kind, first in UNCLEAR.items():
        for when in (EARLY, IDLE, LATE):
            yield Case(kind, "a second response", first, SECOND, when)
        yield Case(kind, "nothing", first, b"", EARLY)
    for what, surplus in SURPLUS.items():
        for when in (EARLY, IDLE):
            yield Case("HEAD with a body", what, COMPLETE["length"], surplus, when, "HEAD")


CASES = list(cases())


@dataclass
class Turn:
    """A case that the server follows once. An earlier one may still end, and sets no event of this one."""

    case: Case
    may_send_surplus: threading.Event = field(default_factory=threading.Event)
    has_sent_surplus: threading.Event = field(default_factory=threading.Event)


class Server:
    """Gives the first request of each case its response, and every other one its own key as the body."""

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._next: Turn | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._turn is not None:
            self._turn.may_send_surplus.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for stream in self._sockets:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for stream in self._sockets:
            stream.close()

    def follow(self, case: Case) -> None:
        """Give the next request the case's response, on a connection that no earlier case has used."""
        for stream in self._sockets:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self._turn = self._next = Turn(case)

    def send_surplus(self) -> None:
        """Let the surplus go out, and wait until it has."""
        assert self._turn is not None
        self._turn.may_send_surplus.set()
        assert self._turn.has_sent_surplus.wait(20)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                self._sockets.append(stream)
                self._start(self._serve, stream)

    def _serve(self, stream: socket.socket) -> None:
        late = b""
        with contextlib.suppress(OSError):
            while request := _read_request(stream):
                turn, self._next = self._next, None
                if turn is not None:
                    try:
                        late = self._follow(turn, stream)
                    finally:
                        turn.has_sent_surplus.set()
                    continue
                body = request.partition(b"Key ")[2].partition(b"\r\n")[0]
                stream.sendall(late + head(b"Content-Length: %d" % len(body)) + body)

    def _follow(self, turn: Turn, stream: socket.socket) -> bytes:
        """Send the case's response, and its surplus if it is due; otherwise return it for later."""
        case = turn.case
        stream.sendall(case.first + (case.surplus if case.when == EARLY else b""))
        if case.when == IDLE:
            turn.may_send_surplus.wait()
            stream.sendall(case.surplus)
            wait_until(lambda: _has_arrived(stream))
        return case.surplus if case.when == LATE else b""


def _has_arrived(stream: socket.socket) -> bool:
    """Whether the other side has what was sent, or has closed; a busy kernel delivers after `sendall`."""
    info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    return info[0] != ESTABLISHED or not struct.unpack_from("I", info, UNACKNOWLEDGED)[0]


def _read_request(stream: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = stream.recv(65536)
        if not part:
            return b""
        data += part
    return data


SETTINGS: dict[str, Any] = {
    "rate_limits": WIDE,
    "retries": {"max_attempts": 1, "circuit_breaker": False},
}
SECONDS = {"a": 0.5, "b": 20}
"""Read timeouts: some wrong responses have no end."""


def call_both(nango: Nango, case: Case, server: Server) -> list[bytes | None]:
    """The bodies that the calls of two users bring by threads; None for an error."""
    found: list[bytes | None] = []
    for user, method in (("a", case.method), ("b", "GET")):
        try:
            options: dict[str, Any] = {"timeout": (5, SECONDS[user])}
            found.append(nango.executor("shop", user).request(method, "things", **options).content)
        except NangoError:
            found.append(None)
        server.send_surplus()
    return found


def call_both_async(nango: Nango, case: Case, server: Server) -> list[bytes | None]:
    """The same by asyncio; the event loop has no time to read between the calls."""
    found: list[bytes | None] = []

    async def work() -> None:
        for user, method in (("a", case.method), ("b", "GET")):
            try:
                executor = nango.async_executor("shop", user)
                outcome = await executor.request(method, "things", timeout=(5, SECONDS[user]))
                found.append(outcome.content)
            except NangoError:
                found.append(None)
            server.send_surplus()

    asyncio.run(work())
    return found


WAYS = pytest.mark.parametrize("call", [call_both, call_both_async], ids=["sync", "async"])


def bodies_of(cases: list[Case], call: Any) -> Iterator[tuple[Case, list[bytes | None]]]:
    """What users A and B get from a server that follows one case after the other."""
    with Server() as server, calling(server.url, **SETTINGS) as nango:
        for user in SECONDS:
            nango.register_connection("shop", user, {"api_key": f"key-of-{user}"})
        for case in cases:
            server.follow(case)
            yield case, call(nango, case, server)


@pytest.mark.parametrize("kind", [*COMPLETE, *UNCLEAR, "HEAD with a body"])
@WAYS
def test_bytes_meant_for_one_user_reach_no_other(kind: str, call: Any) -> None:
    """User B gets the response to B's own request, whatever the server sent to user A before."""
    for case, (first, second) in bodies_of([case for case in CASES if case.kind == kind], call):
        assert second == b"key-of-b", case.name
        if case.when != EARLY or first is None or case.first in COMPLETE.values():
            assert FOREIGN not in (first or b""), case.name


def test_the_server_goes_wrong_in_at_least_four_hundred_ways() -> None:
    """The cases differ, and there are as many as promised."""
    assert len({case.name for case in CASES}) == len(CASES) >= 400


@pytest.mark.parametrize("surplus", ["a second response", "a line end", "text"])
@WAYS
def test_a_transport_that_keeps_dirty_connections_is_caught(
    surplus: str, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: without the look at idle connections, B gets what was sent to A, or an error."""
    for wire in (SocketWire, AsyncWire):
        monkeypatch.setattr(wire, "is_usable", lambda _: True)
    monkeypatch.setattr(AsyncWire, "is_idle", property(lambda _: False, lambda *_: None), raising=False)
    case = Case("length", surplus, COMPLETE["length"], SURPLUS[surplus], IDLE)
    ((_, (_, second)),) = bodies_of([case], call)
    assert second in {FOREIGN, None}


@WAYS
def test_a_transport_that_believes_one_of_two_lengths_is_caught(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a client that takes the first length reads the rest as B's response."""
    monkeypatch.setattr(
        http1, "_body_length", lambda framing: (False, int(framing["content-length"][0].split(",")[0]))
    )
    case = Case("two lengths", "a second response", UNCLEAR["two lengths"], SECOND, LATE)
    ((_, (_, second)),) = bodies_of([case], call)
    assert second == FOREIGN


TLS_SCRIPTS: dict[str, list[Any]] = {
    "in one record": [READ, COMPLETE["length"] + SECOND, HANG],
    "in many records": [READ, COMPLETE["length"] + SECOND * 2000, HANG],
    "behind chunks": [READ, COMPLETE["chunked"] + b"\r\n", HANG],
    "behind a 204": [READ, COMPLETE["204"] + FOREIGN, HANG],
    "an upgrade": [READ, UNCLEAR["an upgrade"] + SECOND, HANG],
    "two lengths": [READ, UNCLEAR["two lengths"], READ, SECOND, HANG],
}


@pytest.mark.parametrize("name", TLS_SCRIPTS)
@SENDS
def test_bytes_left_over_within_tls_are_seen_too(name: str, send: Send) -> None:
    """They may have been decrypted already, and not be in the socket any more."""
    own = [READ, response(b"own"), HANG]
    with FaultServer(TLS_SCRIPTS[name], own, tls=Tls()) as server:
        plans = [plan_for(server.url) for _ in range(2)]
        second = send(plans, ca_bundle=str(server.certificate))[1]
    assert isinstance(second, Response)
    assert second.content == b"own"
    assert server.connections == 2
