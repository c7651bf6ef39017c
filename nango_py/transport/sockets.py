"""Connections of threads: blocking sockets with one deadline for a whole attempt.

A socket timeout restarts with every read, so a server that sends a byte now and then could hold a client
forever. Here no read may take longer than the rest of the attempt.
"""

from __future__ import annotations

import select
import socket
import ssl
from typing import TYPE_CHECKING

from nango_py.transport.exchange import CHUNK_SIZE, seconds_until

if TYPE_CHECKING:
    from nango_py.transport.http1 import ResponseParser
    from nango_py.transport.lookups import AddressInfo

_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CLOSED = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def wait_for_socket(
    sock: socket.socket | int, seconds: float, *, writable: bool = False
) -> tuple[bool, bool]:
    """Whether a socket can be read (or has ended) and written, after waiting for one of both."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if writable else 0))
        flags = poll.poll(seconds * 1000)
        found = flags[0][1] if flags else 0
        return bool(found & ~select.POLLOUT), bool(found & select.POLLOUT)
    read, write, _ = select.select([sock], [sock] if writable else [], [], seconds)  # Windows
    return bool(read), bool(write)


class SocketWire:
    """A `Wire` whose methods block and never suspend.

    Attributes:
        sock: the socket, or that of its TLS.
        deadline: when the attempt is over, of the monotonic clock.
        read_seconds: timeout for the next bytes.
        has_sent: whether the API may have received something.
    """

    __slots__ = ("deadline", "has_sent", "read_seconds", "sock")

    def __init__(self, sock: socket.socket, deadline: float, read_seconds: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.read_seconds = read_seconds
        self.has_sent = False

    def begin(self, deadline: float, read_seconds: float) -> None:
        """Start another attempt."""
        self.deadline, self.read_seconds, self.has_sent = deadline, read_seconds, False

    async def send(self, data: bytes) -> bool:
        """Send all; only the deadline bounds it."""
        self.has_sent = True
        self.sock.settimeout(seconds_until(self.deadline))
        try:
            self.sock.sendall(data)
        except _CLOSED:
            return False
        return True

    async def upload(self, data: bytes, parser: ResponseParser) -> bool:
        """Send a part of a body, unless the server responds first."""
        view = memoryview(data)
        try:
            while view:
                can_read, can_write = wait_for_socket(self.sock, seconds_until(self.deadline), writable=True)
                self.sock.settimeout(0)
                if can_read and not self._take_early(parser):
                    return False
                if can_write:
                    view = view[self._send_some(view[:CHUNK_SIZE]) :]
        except _CLOSED:
            return False
        return True

    def _take_early(self, parser: ResponseParser) -> bool:
        """Give what has arrived to the parser; whether the request should still be sent."""
        try:
            data = self.sock.recv(CHUNK_SIZE)
        except _NOTHING_YET:
            return True
        if data:
            parser.feed(data)
        return bool(data) and parser.head is None

    def _send_some(self, data: memoryview) -> int:
        try:
            return self.sock.send(data)
        except _NOTHING_YET:
            return 0

    async def receive(self) -> bytes:
        """The next bytes, within the read timeout and the deadline."""
        self.sock.settimeout(min(self.read_seconds, seconds_until(self.deadline)))
        return self.sock.recv(CHUNK_SIZE)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Wrap the socket; the handshake has the time of connecting."""
        self.sock.settimeout(min(self.read_seconds, seconds_until(self.deadline)))
        self.sock = context.wrap_socket(self.sock, server_hostname=host)

    def is_usable(self) -> bool:
        """Whether nothing has arrived, not even the end of the connection."""
        is_decrypted = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0
        return not is_decrypted and not wait_for_socket(self.sock, 0)[0]

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def open_socket(address: AddressInfo, seconds: float) -> socket.socket:
    """A socket that is connected to an address.

    Raises:
        OSError: it could not be connected in time.
    """
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock
