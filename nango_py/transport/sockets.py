"""Connections with one deadline for a whole attempt, which record whether anything was sent.

A socket timeout restarts with every read, so a server that sends a byte now and then could hold a client
forever. Here no read may take longer than the rest of the attempt.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError

from nango_py.transport.addresses import check_addresses
from nango_py.transport.http1 import parse_head
from nango_py.transport.proxy_tunnel import REFUSALS, ProxyRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.transport.lookups import Lookups
    from nango_py.transport.proxy_tunnel import Proxy

_INTERIM_STATUSES = range(102, 200)


class AttemptState(threading.local):
    """The limits of this thread's attempt, and how far it got.

    Attributes:
        sent: whether the API may have received something.
        status: of the last response that was read, that of a proxy included.
    """

    deadline: float = math.inf
    read_seconds: float = 30.0
    sent: bool = False
    status: int = 0


ATTEMPT = AttemptState()


class DeadlineReader(io.RawIOBase):
    """The raw stream of a response; each read ends at the read timeout or the attempt's deadline."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._read_seconds = ATTEMPT.read_seconds
        self.deadline = ATTEMPT.deadline

    def readable(self) -> bool:
        """True; BufferedReader asks."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read available bytes.

        Raises:
            TimeoutError: none came in time.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this attempt is over")
        self._sock.settimeout(min(self._read_seconds, left))
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._raw.fileno()

    def close(self) -> None:
        """Close the stream, and the socket with it unless something else uses it."""
        if not self.closed:
            self._raw.close()
        super().close()


class DeadlineResponse(http.client.HTTPResponse):
    """An HTTP response that is read before the attempt's deadline, status line and headers included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.reader = DeadlineReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self.reader)

    def begin(self) -> None:
        """Read the head; the mail parser of http.client is used for unusual ones only."""
        head = None
        if self.headers is None:
            method = self._method  # type: ignore[unreachable] # None until the head is read; set by http.client
            head = parse_head(self.fp.peek(1), method)
        if head is None:
            super().begin()
            return
        self.fp.read(head.size)  # type: ignore[unreachable]
        self.headers = self.msg = head.headers
        self.code = self.status = head.status
        self.reason, self.version = head.reason, 11
        self.chunked, self.chunk_left = head.chunked, None
        self.length, self.will_close = head.length, head.will_close

    def _read_status(self) -> tuple[str, int, str]:
        # The final status line: http.client skips 100 but no other interim response (RFC 9110 section 15.2).
        line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        while line[1] in _INTERIM_STATUSES:
            http.client.parse_headers(self.fp)
            line = super()._read_status()  # type: ignore[misc]
        ATTEMPT.status = line[1]
        return line


class Connector:
    """Opens the sockets of a pool.

    Args:
        lookups: resolves names.
        networks: allowed for the host besides the public internet; None to allow every address, if the
            configuration names the host.
        proxy: the proxy to tunnel through, or None.
    """

    __slots__ = ("lookups", "networks", "proxy")

    def __init__(
        self, lookups: Lookups, networks: tuple[str, ...] | None = None, proxy: Proxy | None = None
    ) -> None:
        self.lookups = lookups
        self.networks = networks
        self.proxy = proxy

    def open_socket(self, connection: HTTPConnection) -> socket.socket:
        """A connected socket for a connection; its timeout holds for each address.

        The connection keeps the host name: TLS sends it and checks the certificate against it.

        Raises:
            NameResolutionError: the name has no address, or none was found in time.
            AddressRefusedError: the name resolves to a network that is not allowed; no socket was opened.
        """
        seconds: Any = connection.timeout
        host, port = connection.host, connection.port
        if self.proxy is not None:
            connection.set_tunnel(host, port, self.proxy.headers())
            host, port = self.proxy.host, self.proxy.port
        try:
            addresses = self.lookups.resolve(host, port, _time_left(seconds))
        except socket.gaierror as error:
            raise NameResolutionError(host, connection, error) from error
        if self.networks is not None:
            check_addresses([address[0] for *_, address in addresses], self.networks)
        failure = OSError("the name has no address")
        for family, kind, protocol, _, address in addresses:
            sock = socket.socket(family, kind, protocol)
            try:
                for option in connection.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(_time_left(seconds))
                sock.connect(address)
            except OSError as error:
                failure = error
                sock.close()
            else:
                return sock
        raise failure


def _time_left(seconds: float) -> float:
    """The seconds, or the rest of the attempt if that is less."""
    return max(0.001, min(seconds, ATTEMPT.deadline - time.monotonic()))


class Connection(HTTPConnection):
    """A plain connection: to loopback, or to a host for which http is allowed."""

    response_class = DeadlineResponse
    connector: Connector

    def _new_conn(self) -> socket.socket:
        return self.connector.open_socket(self)

    def send(self, data: Any) -> None:
        """Send, and record that the API may have received something; only the deadline bounds an upload."""
        if self.sock is None:
            self.connect()
        ATTEMPT.sent = True
        if ATTEMPT.deadline != math.inf:
            self.sock.settimeout(max(0.001, ATTEMPT.deadline - time.monotonic()))
        super().send(data)


class TlsConnection(Connection, HTTPSConnection):
    """A connection whose certificate and host name are always checked."""

    def _tunnel(self) -> None:
        ATTEMPT.status = 0
        try:
            super()._tunnel()
        except OSError:
            if ATTEMPT.status not in REFUSALS:
                raise
        finally:
            ATTEMPT.sent = False  # what was sent so far went to the proxy, not to the API
        if ATTEMPT.status in REFUSALS:
            raise ProxyRefusedError


class Pool:
    """The idle connections of one origin; the most recently used one is taken first.

    Safe to share between threads: both ends of a deque are atomic. Calls beyond `size` open additional
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
        """Keep a connection for the next call, or close it if the pool is full."""
        if connection.sock is None or len(self._idle) == self._idle.maxlen:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()
