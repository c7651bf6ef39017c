"""Connections of asyncio: the `Wire` of an event loop.

TLS is done here, over memory: asyncio's own drops what the server has sent when a write fails, and with it
the response of a server that refuses an upload and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import ssl
from typing import TYPE_CHECKING

from nango_py.transport.exchange import CHUNK_SIZE, seconds_until
from nango_py.transport.sockets import wait_for_socket

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.transport.http1 import ResponseParser
    from nango_py.transport.lookups import AddressInfo

HIGH_WATER = 4 * CHUNK_SIZE
"""Bytes that wait for their reader; beyond them the connection is not read."""


class _Tls:
    """The TLS of one connection, between bytes in memory."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self) -> bool:
        """Go on with the handshake; whether it is over.

        Raises:
            ssl.SSLError: the server is not trusted, or speaks no TLS.
        """
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        """Take what has arrived during the handshake."""
        self._incoming.write(data)

    def encrypt(self, data: bytes) -> bytes:
        """What to send for these bytes, which may be none."""
        if data:
            self._session.write(data)
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """The bytes that have arrived with this data, and whether the server has ended the connection."""
        self._incoming.write(data)
        pieces: list[bytes] = []
        with contextlib.suppress(ssl.SSLWantReadError):
            while piece := self._session.read(CHUNK_SIZE):
                pieces.append(piece)
            return b"".join(pieces), True
        return b"".join(pieces), False

    @property
    def has_partial_record(self) -> bool:
        """Whether bytes have arrived that cannot be decrypted yet."""
        return bool(self._incoming.pending)


class AsyncWire(asyncio.Protocol):
    """A `Wire` of one event loop.

    Args:
        on_lost: called when the connection has ended.

    Attributes:
        deadline: when the attempt is over, of the monotonic clock.
        read_seconds: timeout for the next bytes.
        has_sent: whether the API may have received something of this attempt.
        is_idle: whether it waits for a request; whatever arrives then ends the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[AsyncWire], object]) -> None:
        self.deadline, self.read_seconds = math.inf, 30.0
        self.has_sent = self.is_idle = False
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._socket_number = -1
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_over = self._is_full = self._is_reading_paused = False
        self._tls: _Tls | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport
        self._socket_number = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        """Keep what has arrived."""
        if self._tls is not None:
            data = self._decrypt(self._tls, data)
            if not data:
                return
        if self.is_idle:
            self.close()  # no request asked for it
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and self._transport is not None and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The server has sent its last byte."""
        self._is_over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, from either side."""
        if exc is not None:
            self._error = exc
            self._save_unread()
        self._is_over = True
        self._wake()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """The buffer of the transport is full."""
        self._is_full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._is_full = False
        self._wake()

    def _save_unread(self) -> None:
        """Keep a response that came before the error: a server may respond and close without reading all."""
        with contextlib.suppress(OSError):
            while piece := os.read(self._socket_number, CHUNK_SIZE):
                self.data_received(piece)

    def _decrypt(self, tls: _Tls, data: bytes) -> bytes:
        try:
            data, is_over = tls.decrypt(data)
        except ssl.SSLError as error:
            data, is_over, self._error = b"", True, error
        if self._transport is not None and (own := tls.encrypt(b"")):
            self._transport.write(own)  # TLS itself responds to some records
        if is_over:
            self.eof_received()
            if self.is_idle:
                self.close()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What an attempt calls.

    def begin(self, deadline: float, read_seconds: float) -> None:
        """Start another attempt."""
        self.deadline, self.read_seconds = deadline, read_seconds
        self.has_sent = self.is_idle = False

    async def send(self, data: bytes) -> bool:
        """Send all; what follows waits until there is room again."""
        self.has_sent = True
        if self._transport is None or self._is_over:
            return False
        self._transport.write(data if self._tls is None else self._tls.encrypt(data))
        return True

    async def upload(self, data: bytes, parser: ResponseParser) -> bool:
        """Send a part of a body, unless the server responds first."""
        for start in range(0, len(data), CHUNK_SIZE):
            await self._settle()
            if self._pieces:
                parser.feed(self._take())
                if parser.head is not None:
                    return False
            if not await self.send(data[start : start + CHUNK_SIZE]):
                return False
        return True

    async def _settle(self) -> None:
        """Wait until more can be sent, or something has arrived."""
        await asyncio.sleep(0)
        seconds = seconds_until(self.deadline)
        while self._is_full and not self._pieces and not self._is_over:
            await self._wait(seconds)
            seconds = seconds_until(self.deadline)

    async def receive(self) -> bytes:
        """The next bytes, within the read timeout and the deadline."""
        if not self._pieces and not self._is_over:
            await self._wait(min(self.read_seconds, seconds_until(self.deadline)))
        if self._pieces:
            return self._take()
        if not self._is_over:
            raise TimeoutError("no more data in time")
        if self._error is not None:
            raise ConnectionResetError("the connection was lost")
        return b""

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces, self._size = [], 0
        if self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    async def _wait(self, seconds: float) -> None:
        """Wait until something happens, or for some seconds."""
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            timer.cancel()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Encrypt the connection; the handshake has the time of connecting."""
        tls = _Tls(context, host)
        async with asyncio.timeout(self.read_seconds):
            while not tls.shake_hands():
                await self.send(tls.encrypt(b""))
                data = await self.receive()
                if not data:
                    raise ConnectionResetError("the connection ended in the handshake")
                tls.feed(data)
        self._tls = tls
        self.data_received(b"")  # what came behind the handshake

    def is_usable(self) -> bool:
        """Whether nothing has arrived, not even what the event loop has had no time to read."""
        return (
            not self._is_over
            and not self._pieces
            and self._transport is not None
            and not self._transport.is_closing()
            and not (self._tls is not None and self._tls.has_partial_record)
            and not self._is_readable()
        )

    def _is_readable(self) -> bool:
        return wait_for_socket(self._socket_number, 0)[0]

    def close(self) -> None:
        """Close the connection at once."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()


async def open_wire(
    address: AddressInfo, seconds: float, on_lost: Callable[[AsyncWire], object]
) -> AsyncWire:
    """A connection to an address.

    Raises:
        OSError: it could not be connected in time.
    """
    family, kind, protocol, _, place = address
    loop = asyncio.get_running_loop()
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the name of the method says it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(seconds):
            await loop.sock_connect(sock, place)
        _, wire = await loop.create_connection(lambda: AsyncWire(loop, on_lost), sock=sock)
    except BaseException:
        sock.close()
        raise
    wire.read_seconds = seconds
    return wire
