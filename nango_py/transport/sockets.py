"""Connections that keep one deadline for a whole attempt, and that know whether anything was sent.

A socket timeout starts anew with every read, so a server that sends a byte now and then holds a client for
ever. Here each read may take no longer than what is left of the attempt.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError

from nango_py.transport.addresses import check_addresses
from nango_py.transport.http1 import parse_head
from nango_py.transport.proxy_tunnel import ProxyRefusedError, refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.transport.lookups import Lookups
    from nango_py.transport.proxy_tunnel import Proxy

FOREVER = float("inf")
INTERIM = range(102, 200)


class AttemptClock(threading.local):
    """What the attempt that runs in this thread may take, and how far it got."""

    deadline: float = FOREVER
    read_seconds: float = 30.0
    sent: bool = False


ATTEMPT = AttemptClock()


class DeadlineReader(io.RawIOBase):
    """The raw stream under a response; every read is bounded by silence and by the attempt's end."""

    def __init__(self, raw: Any, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._read_seconds = ATTEMPT.read_seconds
        self.deadline = ATTEMPT.deadline

    def readable(self) -> bool:
        """True, as `io` asks of what BufferedReader wraps."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has come, or raise TimeoutError at the deadline."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this attempt is over")
        self._sock.settimeout(min(self._read_seconds, left))
        count: int | None = self._raw.readinto(buffer)
        return count

    def fileno(self) -> int:
        """The socket's file number."""
        number: int = self._raw.fileno()
        return number

    def close(self) -> None:
        """Close the stream, and the socket with it when nothing else uses it."""
        if not self.closed:
            self._raw.close()
        super().close()


class DeadlineResponse(http.client.HTTPResponse):
    """An HTTP answer that is read under the attempt's deadline, status line and headers included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.reader = DeadlineReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self.reader)

    def begin(self) -> None:
        """Read the head; http.client's mail parser is only for heads that are not usual."""
        unread: Any = self.headers is None  # None until the head is read, whatever the stubs say
        method = self._method  # type: ignore[attr-defined]  # http.client sets it
        head = parse_head(self.fp.peek(1), method) if unread else None
        if head is None:
            super().begin()
            return
        self.fp.read(head.size)
        self.headers = self.msg = head.headers
        self.code = self.status = head.status
        self.reason, self.version = head.reason, 11
        self.chunked, self.chunk_left = head.chunked, None
        self.length, self.will_close = head.length, head.will_close

    def _read_status(self) -> tuple[str, int, str]:
        """The final status line: http.client skips no interim answer but 100 (RFC 9110 section 15.2)."""
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        while found[1] in INTERIM:
            http.client.parse_headers(self.fp)
            found = super()._read_status()  # type: ignore[misc]
        return found


def _allow_sending(connection: HTTPConnection) -> None:
    """From here on the API may have seen something; an upload may take all of the attempt's time."""
    if connection.sock is None:
        connection.connect()
    ATTEMPT.sent = True
    if ATTEMPT.deadline != FOREVER:
        connection.sock.settimeout(max(0.001, ATTEMPT.deadline - time.monotonic()))


class Connector:
    """How connections find the way to their host; one for those of a pool.

    Args:
        lookups: names to addresses.
        networks: what a host may lead to beside the public internet; None where files name the host, and
            nothing is checked.
        proxy: what the connections are tunnelled through, or None.
    """

    __slots__ = ("lookups", "networks", "proxy")

    def __init__(
        self, lookups: Lookups, networks: tuple[str, ...] | None = None, proxy: Proxy | None = None
    ) -> None:
        self.lookups = lookups
        self.networks = networks
        self.proxy = proxy

    def socket_to(self, connection: HTTPConnection) -> socket.socket:
        """A connected socket; each address may take the connection's timeout, and all the attempt's time.

        The name stays the connection's: TLS asks for it and checks the certificate against it.

        Raises:
            NameResolutionError: the name has no address, or none in time.
            AddressRefusedError: it leads where it may not; no socket was opened.
        """
        seconds: Any = connection.timeout
        host, port = connection.host, connection.port
        if self.proxy is not None:
            connection.set_tunnel(host, port, self.proxy.headers())
            host, port = self.proxy.host, self.proxy.port
        try:
            found = self.lookups.addresses(host, port, _left(seconds))
        except socket.gaierror as error:
            raise NameResolutionError(host, connection, error) from error
        if self.networks is not None:
            check_addresses([address[0] for *_, address in found], self.networks)
        failed: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in found:
            opened = socket.socket(family, kind, protocol)
            try:
                for option in connection.socket_options or ():
                    opened.setsockopt(*option)
                opened.settimeout(_left(seconds))
                opened.connect(address)
            except OSError as error:
                failed = error
                opened.close()
            else:
                return opened
        raise failed


def _left(seconds: float) -> float:
    """The seconds, or what is left of the attempt if that is less."""
    return max(0.001, min(seconds, ATTEMPT.deadline - time.monotonic()))


class PlainConnection(HTTPConnection):
    """A connection for loopback and for who allowed plain http."""

    response_class = DeadlineResponse
    way: Connector

    def _new_conn(self) -> socket.socket:
        return self.way.socket_to(self)

    def send(self, data: Any) -> None:
        """Send, and remember that the API may have seen something from here on."""
        _allow_sending(self)
        super().send(data)


class TlsConnection(HTTPSConnection):
    """A connection whose certificate and host name are always checked."""

    response_class = DeadlineResponse
    way: Connector

    def _new_conn(self) -> socket.socket:
        return self.way.socket_to(self)

    def _tunnel(self) -> None:
        refused = False
        try:
            super()._tunnel()
        except OSError as error:
            refused = refuses(str(error))
            if not refused:
                raise
        finally:
            ATTEMPT.sent = False  # what was sent so far is not for the API
        if refused:
            raise ProxyRefusedError

    def send(self, data: Any) -> None:
        """Send, and remember that the API may have seen something from here on."""
        _allow_sending(self)
        super().send(data)


Connection = PlainConnection | TlsConnection


class Pool:
    """The idle connections of one origin; the last one used is the first one taken.

    Safe to share between threads: a deque's ends are atomic. More calls at once than `size` open more
    connections, which are closed afterwards.
    """

    def __init__(self, open_connection: Callable[[], Connection], size: int) -> None:
        self._open = open_connection
        self._idle: deque[Connection] = deque(maxlen=size)

    def take(self) -> Connection:
        """A connection that the server has not closed, or a new one that is not connected yet."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.is_connected:
                return connection
            connection.close()
        return self._open()

    def give_back(self, connection: Connection) -> None:
        """Keep the connection for the next call, where it can take one."""
        if connection.sock is None or len(self._idle) == self._idle.maxlen:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()
