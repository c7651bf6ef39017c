"""Sends requests to a sandbox as bytes of HTTP/1.1, within the thread and without a socket."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from nango_py.engine.interfaces import run_sync
from nango_py.sandbox.http_socket import Connection
from nango_py.transport.exchange import (
    EXPECTED_ERRORS,
    Progress,
    exchange,
    name_failure,
    read_body,
    without_inner_frames,
)
from nango_py.transport.response import Response, max_body_size

if TYPE_CHECKING:
    import ssl

    from nango_py.sandbox.http_socket import RequestHandler
    from nango_py.transport.http1 import ResponseParser
    from nango_py.transport.sendable import Failure, Sendable


def send_in_memory(handler: RequestHandler, request: Sendable) -> Response | Failure:
    """Send a request once, on a new connection, and read the whole response.

    Args:
        handler: of a sandbox. Its faults may end the connection, but not let time pass.
        request: see `nango_py.transport.sync_transport.Transport.send`.
    """
    started = time.monotonic()
    wire = MemoryWire(handler)
    try:
        return run_sync(_send(wire, request, started))
    except EXPECTED_ERRORS as error:
        return name_failure(error, request, Progress(sent=wire.has_sent, is_late=False))
    except BaseException as error:  # noqa: BLE001 - raised again
        raise without_inner_frames(error)  # noqa: B904 - it is the same one
    finally:
        wire.close()


async def _send(wire: MemoryWire, request: Sendable, started: float) -> Response:
    parser = await exchange(wire, request)
    head = parser.head
    assert head is not None  # noqa: S101 - it was read
    content = await read_body(wire, parser, max_body_size(request))
    return Response(request, head, content, time.monotonic() - started)


class MemoryWire:
    """A `Wire` whose other end is a connection of a sandbox.

    Attributes:
        has_sent: whether the sandbox has received something.
    """

    def __init__(self, handler: RequestHandler) -> None:
        self.has_sent = False
        self._pipe = _Pipe()
        self._connection = _MemoryConnection(handler, set())
        self._connection.connection_made(self._pipe)

    async def send(self, data: bytes) -> bool:
        """Let the sandbox handle bytes; False if it has closed the connection."""
        self.has_sent = True
        if not self._pipe.is_closed:
            self._connection.data_received(data)
            return True
        return False

    async def upload(self, data: bytes, parser: ResponseParser) -> bool:
        """The same, for a part of a body."""
        return await self.send(data)

    async def receive(self) -> bytes:
        """What the sandbox has sent; b"" at the end of the connection."""
        pipe = self._pipe
        if pipe.is_reset:
            raise ConnectionResetError
        if not pipe.content and not pipe.is_closed:
            raise TimeoutError  # the sandbox only acts when it receives something
        data = bytes(pipe.content)
        pipe.content.clear()
        return data

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Not needed: nothing leaves the process."""

    def close(self) -> None:
        """End the connection; its request is no longer in flight."""
        self._pipe.close()
        self._connection.connection_lost(None)


class _MemoryConnection(Connection):
    """A connection without a socket: a reset is the loss of what it has not delivered."""

    def reset(self) -> None:
        self.abort()


class _Pipe(asyncio.Transport):
    """What a connection has sent."""

    def __init__(self) -> None:
        super().__init__()
        self.content = bytearray()
        self.is_closed = self.is_reset = False

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.content += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = self.is_reset = True
