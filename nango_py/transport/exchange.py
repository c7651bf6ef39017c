"""One attempt: connect, send a request, read its response. Written once, for threads and for asyncio.

The coroutines here do no I/O: a `Network` opens connections and a `Wire` moves bytes. Those of threads never
suspend, so `sync_transport` runs the coroutines to their end at once.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from nango_py.errors import InvalidRequest
from nango_py.record import record
from nango_py.transport.addresses import AddressRefusedError, blocked_message, check_addresses
from nango_py.transport.decoding import decoder_of
from nango_py.transport.http1 import CutOffError, ResponseParser, encode_head
from nango_py.transport.pools import find_route, split_origin
from nango_py.transport.proxy_tunnel import REFUSALS, ProxyRefusedError
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.transport.lookups import AddressInfo
    from nango_py.transport.sendable import Body, Sendable

EXPECTED_ERRORS = (OSError, http.client.HTTPException, UnicodeError, AddressRefusedError, ProxyRefusedError)
"""What an attempt may raise; everything else is an error of the caller's body, or of this package."""

CHUNK_SIZE = 65_536
"""How much is read or sent at once, in bytes."""


class BodyTooLargeError(http.client.HTTPException):
    """The decoded body exceeds the limit of its request."""


def seconds_until(deadline: float) -> float:
    """The rest of an attempt.

    Raises:
        TimeoutError: the time for the attempt is over.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this attempt is over")
    return left


class Wire(Protocol):
    """An open connection during an attempt.

    Attributes:
        has_sent: whether the API may have received something of this attempt.
    """

    has_sent: bool

    async def send(self, data: bytes) -> bool:
        """Send all; False if the server has closed the connection, which may have responded before."""

    async def upload(self, data: bytes, parser: ResponseParser) -> bool:
        """Send a part of a body; False if the server has responded or closed before it was sent.

        What arrives is given to the parser.
        """

    async def receive(self) -> bytes:
        """The bytes that have arrived, at least one; b"" at the end of the connection.

        Raises:
            OSError: the connection is broken, or none came in time.
        """

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Encrypt the connection, and check that the certificate is that of the host."""

    def close(self) -> None:
        """Close the connection."""


class Network(Protocol):
    """Opens connections for one attempt."""

    async def resolve(self, host: str, port: int, *, is_named_by_user: bool) -> list[AddressInfo]:
        """The addresses of a host, or socket.gaierror."""

    async def open(self, address: AddressInfo) -> Wire:
        """A connection to an address."""

    def context_for(self, request: Sendable) -> ssl.SSLContext:
        """The TLS settings for a request."""


async def connect(network: Network, request: Sendable) -> Any:
    """A new connection for a request, through its proxy and with TLS as its URL says.

    Raises:
        AddressRefusedError: the host resolves to a network that is not allowed; no socket was opened.
        ProxyRefusedError: the proxy refuses the tunnel.
        OSError: there is no connection.
    """
    route = find_route(request)
    url = urlsplit(f"{route.scheme}://{route.netloc}")
    host, port = url.hostname or "", url.port or (443 if route.scheme == "https" else 80)
    proxy = route.proxy
    first = (host, port) if proxy is None else (proxy.host, proxy.port)
    addresses = await network.resolve(*first, is_named_by_user=route.networks is not None)
    if route.networks is not None:
        check_addresses([address[0] for *_, address in addresses], route.networks)
    wire = await _open_any(network, addresses)
    try:
        if proxy is not None:
            await _open_tunnel(wire, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", proxy.headers())
        if route.scheme == "https":
            await wire.start_tls(network.context_for(request), host.rstrip("."))
    except BaseException:
        wire.close()
        raise
    wire.has_sent = False
    return wire


async def _open_any(network: Network, addresses: list[AddressInfo]) -> Wire:
    failure = OSError("the name has no address")
    for address in addresses:
        try:
            return await network.open(address)
        except OSError as error:
            failure = error
    raise failure


async def _open_tunnel(wire: Wire, authority: str, headers: dict[str, str]) -> None:
    """Ask a proxy for a tunnel (RFC 9110 section 9.3.6)."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    await wire.send("\r\n".join([*lines, "", ""]).encode("ascii"))
    wire.has_sent = False  # that went to the proxy, not to the API
    parser = ResponseParser("CONNECT")
    await _read_head(wire, parser)
    status = 0 if parser.head is None else parser.head.status
    if status in REFUSALS:
        raise ProxyRefusedError
    if status // 100 != 2 or parser.has_surplus:  # noqa: PLR2004 - a success
        raise ConnectionError("the proxy opens no tunnel")


async def exchange(wire: Wire, request: Sendable) -> ResponseParser:
    """Send a request and read the head of its response.

    A response that comes before the whole request was sent is returned, and its connection not used again.
    """
    host, _, target = request.url.partition("://")[2].partition("/")
    parser = ResponseParser(request.method)
    body = request.body
    length = _length_of(body)
    head = encode_head(request, host, f"/{target}", length)
    if body is None or (isinstance(body, bytes) and len(body) <= CHUNK_SIZE):
        await wire.send(head if body is None else head + body)
    elif await wire.send(head):
        is_whole = True
        for piece in _pieces(body, length):
            is_whole = await wire.upload(piece, parser)
            if not is_whole:
                break
        parser.may_reuse = is_whole
    if parser.head is None:
        await _read_head(wire, parser)
    return parser


async def _read_head(wire: Wire, parser: ResponseParser) -> None:
    while parser.head is None:
        data = await wire.receive()
        if data:
            parser.feed(data)
        else:
            parser.feed_end()


def _length_of(body: Body) -> int | None:
    """The length of a body in bytes; None if it is not known."""
    if body is None:
        return 0
    return len(body) if isinstance(body, bytes) else getattr(body, "content_length", None)


def _pieces(body: Any, length: int | None) -> Iterator[bytes]:
    """A body in the pieces in which it is sent: in chunks if its length is not known.

    Raises:
        InvalidRequest: a piece is neither bytes nor text, or the body is not as long as announced: what is
            missing would be taken from the next request on the connection, what is too much would become one.
    """
    if isinstance(body, bytes):
        yield body
        return
    read = getattr(body, "read", None)
    parts = body if read is None else iter(lambda: read(CHUNK_SIZE) or None, None)
    size = 0
    for part in parts:
        piece = _to_bytes(part)
        size += len(piece)
        if length is None:
            if piece:
                yield b"%x\r\n%b\r\n" % (len(piece), piece)
        elif size > length:
            raise InvalidRequest(f"the body is longer than its Content-Length of {length}")
        else:
            yield piece
    if length is None:
        yield b"0\r\n\r\n"
    elif size < length:
        raise InvalidRequest(f"the body ended after {size} bytes of its Content-Length of {length}")


def _to_bytes(part: object) -> bytes:
    reason = type(part).__name__
    try:
        if isinstance(part, str):
            return part.encode()
        if isinstance(part, bytes | bytearray | memoryview):
            return bytes(part)
    except UnicodeEncodeError:
        reason = "text with an unpaired surrogate"
    raise InvalidRequest(f"a piece of the body must be bytes or text, not {reason}")


async def read_piece(wire: Wire, parser: ResponseParser) -> bytes:
    """The next bytes of the body, still encoded; b"" at its end.

    Raises:
        CutOffError: the connection ended before the body did.
        MalformedError: it is not clear where the body ends.
    """
    while True:
        piece = parser.take()
        if piece or parser.is_complete:
            return piece
        data = await wire.receive()
        if data:
            parser.feed(data)
        else:
            parser.feed_end()


async def read_body(wire: Wire, parser: ResponseParser, max_bytes: int) -> bytes:
    """The whole body, decoded.

    Raises:
        BodyTooLargeError: it exceeds `max_bytes` after decoding (0 for no limit).
    """
    head = parser.head
    assert head is not None  # noqa: S101 - it is read first
    if max_bytes and head.length is not None and head.length > max_bytes:
        raise BodyTooLargeError
    decoder = decoder_of(head.headers)
    pieces: list[bytes] = []
    size = 0
    while piece := await read_piece(wire, parser):
        for part in (piece,) if decoder is None else decoder.decode(piece):
            size += len(part)
            if max_bytes and size > max_bytes:
                raise BodyTooLargeError
            pieces.append(part)
    if decoder is not None:
        decoder.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@record
class Progress:
    """How far a failed attempt got.

    Attributes:
        sent: whether the API may have received the request.
        is_late: whether the time for the attempt is over.
    """

    sent: bool
    is_late: bool


def name_failure(error: BaseException, request: Sendable, progress: Progress) -> Failure:
    """The failure that an exception means, without its text: that may contain the URL."""
    netloc = split_origin(request.url)[1]
    host = netloc.rpartition("@")[2]
    sent = progress.sent
    if isinstance(error, AddressRefusedError):
        return Failure("blocked", sent=False, text=blocked_message(request.settings.guard, netloc))
    if isinstance(error, BodyTooLargeError):
        return Failure.of("too_large", host, sent=sent)
    if not sent:
        if isinstance(error, ProxyRefusedError):
            return Failure.of("proxy", host, sent=False)
        if isinstance(error, socket.gaierror):
            return Failure.of("dns", host, sent=False)
        if isinstance(error, ssl.SSLError):
            return Failure.of("tls", host, sent=False, detail=error.reason or "handshake failed")
        return Failure.of("connect", host, sent=False)
    if progress.is_late or isinstance(error, TimeoutError):
        return Failure.of("timeout", host, sent=True)
    if isinstance(error, CutOffError):
        return Failure.of("truncated", host, sent=True)
    if isinstance(error, OSError):
        return Failure.of("reset", host, sent=True)
    return Failure.of("protocol", host, sent=True, detail=str(error) or type(error).__name__)


_INSIDE = ("nango_py.", "urllib3.", "http.client", "socket", "ssl", "asyncio.")

Error = TypeVar("Error", bound=BaseException)


def without_inner_frames(error: Error) -> Error:
    """The error without the frames of this package and of what it calls, which hold the rendered request."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_INSIDE):
        trace = trace.tb_next
    return error.with_traceback(trace)
