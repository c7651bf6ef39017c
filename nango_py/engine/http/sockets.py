"""Connections that keep one deadline for a whole attempt, and that know whether anything was sent.

A socket timeout starts anew with every read, so a server that sends a byte now and then holds a client for
ever. Here each read may take no longer than what is left of the attempt.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

FOREVER = float("inf")


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


class PlainConnection(HTTPConnection):
    """A connection for loopback and for who allowed plain http."""

    response_class = DeadlineResponse

    def send(self, data: Any) -> None:
        """Send, and remember that the API may have seen something from here on."""
        if self.sock is None:
            self.connect()
        ATTEMPT.sent = True
        super().send(data)


class TlsConnection(HTTPSConnection):
    """A connection whose certificate is always checked."""

    response_class = DeadlineResponse

    def send(self, data: Any) -> None:
        """Send, and remember that the API may have seen something from here on."""
        if self.sock is None:
            self.connect()
        ATTEMPT.sent = True
        super().send(data)


class PlainPool(HTTPConnectionPool):
    """The pool of one http origin."""

    ConnectionCls = PlainConnection


class TlsPool(HTTPSConnectionPool):
    """The pool of one https origin."""

    ConnectionCls = TlsConnection
