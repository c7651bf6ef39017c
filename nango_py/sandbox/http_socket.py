"""A minimal HTTP/1.1 server protocol (RFC 9112) that can reset, truncate and drip responses.

Pipelined requests are handled in order.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.sandbox.faults import Fault
    from nango_py.sandbox.responses import SandboxResponse

_HEAD_END = b"\r\n\r\n"
_MAX_HEAD = 65_536
_MAX_BODY = 64 * 1024 * 1024
_MAX_DIGITS = 20
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;|\Z)")
_NOT_CONNECTED = asyncio.Transport()
_NO_BODY = frozenset({204, 304})
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request as received; header names are in lower case.

    `when_done` is called before the end of its response is sent, or when the connection is lost.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    keep_alive: bool = True
    at: float = 0.0
    when_done: list[Callable[[], None]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """The first header with that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)


class RequestHandler(Protocol):
    """Decides on faults and responses; called in the server's event loop."""

    def choose_fault(self, request: Request) -> Fault | None:
        """Called after the headers, before the body is read."""

    def respond(self, request: Request, fault: Fault | None) -> SandboxResponse | None:
        """Called after the body; None if no response is to be sent."""


class MalformedRequestError(Exception):
    """The received bytes are not a valid request."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class Connection(asyncio.Protocol):
    """The connection of one client.

    Args:
        handler: decides on faults and responses.
        connections: all open connections, including this one.
    """

    def __init__(self, handler: RequestHandler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._transport: asyncio.Transport = _NOT_CONNECTED
        self._buffer = bytearray()
        self._head: Request | None = None
        self._fault: Fault | None = None
        self._current: Request | None = None
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server guarantees it
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection."""
        self._connections.discard(self)
        self._finish()

    def data_received(self, data: bytes) -> None:
        """Handle the requests that are complete."""
        self._buffer += data
        if not self._is_busy:
            self._read()

    def abort(self) -> None:
        """Close the connection and drop unsent bytes."""
        self._transport.abort()

    def reset(self) -> None:
        """Close the connection with an RST, like a crashed server or a firewall."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _read(self) -> None:
        try:
            while not self._is_busy and not self._transport.is_closing() and self._read_one():
                pass
        except MalformedRequestError as error:
            line = f"HTTP/1.1 {error.status.value} {error.status.phrase}"
            self._write(f"{line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            self._close()

    def _read_one(self) -> bool:
        """Handle one request; False if the buffer holds no complete one."""
        if self._head is None and not self._read_head():
            return False
        assert self._head is not None  # noqa: S101 - _read_head has just set it
        body = read_body(self._head, self._buffer)
        if body is None:
            return False
        request, self._head = self._head, None
        request.body = body
        self._handle(request)
        return True

    def _read_head(self) -> bool:
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))]
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise MalformedRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return False
        self._head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + len(_HEAD_END)]
        self._fault = self._handler.choose_fault(self._head)
        if self._fault is not None and self._fault.kind == "reset_before":
            self.reset()
            return False
        if (self._head.header("expect") or "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _handle(self, request: Request) -> None:
        fault, self._fault = self._fault, None
        self._current = request
        response = self._handler.respond(request, fault)
        kind = fault.kind if fault is not None else ""
        if kind == "reset_after":
            self.reset()
        elif response is None:
            self._is_busy = True  # until the client gives up and closes
        elif fault is not None and kind == "delay":
            self._is_busy = True
            asyncio.get_running_loop().call_later(fault.seconds, self._send_delayed, request, response)
        elif fault is not None and kind == "drip":
            self._is_busy = True
            head, body = encode_response(request, response)
            self._write(head)
            self._drip(request, body, fault)
        elif kind == "truncate":
            head, body = encode_response(request, response)
            # An empty body cannot be cut, so a longer Content-Length is sent instead.
            head = head if body else head.replace(b"Content-Length: 0\r\n", b"Content-Length: 64\r\n")
            self._write(head + body[: len(body) // 2])
            self._close()
        else:
            self._send(request, response)

    def _send_delayed(self, request: Request, response: SandboxResponse) -> None:
        self._is_busy = False
        self._send(request, response)
        self._read()

    def _send(self, request: Request, response: SandboxResponse) -> None:
        head, body = encode_response(request, response)
        self._finish()
        self._write(head + body)
        if not request.keep_alive:
            self._close()

    def _finish(self) -> None:
        """The current request, if there is one, is no longer in flight."""
        request, self._current = self._current, None
        for call in request.when_done if request is not None else ():
            call()

    def _drip(self, request: Request, rest: bytes, fault: Fault) -> None:
        if self._transport.is_closing():
            return
        if len(rest) <= fault.bytes_at_once:
            self._finish()
        if rest:
            self._write(rest[: fault.bytes_at_once])
            asyncio.get_running_loop().call_later(
                fault.seconds, self._drip, request, rest[fault.bytes_at_once :], fault
            )
            return
        self._is_busy = False
        if not request.keep_alive:
            self._close()
        self._read()

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def _close(self) -> None:
        self._transport.close()


def parse_head(head: bytes) -> Request:
    """Parse the request line and the headers.

    Raises:
        MalformedRequestError: they violate RFC 9112.
    """
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in {"HTTP/1.1", "HTTP/1.0"} or not parts[1].startswith("/"):  # noqa: PLR2004
        raise MalformedRequestError(HTTPStatus.BAD_REQUEST)
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or any(char in value for char in "\r\n\0"):
            raise MalformedRequestError(HTTPStatus.BAD_REQUEST)
        headers.append((name.lower(), value.strip(" \t")))
    request = Request(parts[0], parts[1], tuple(headers))
    connection = (request.header("connection") or "").lower()
    request.keep_alive = connection != "close" if parts[2] == "HTTP/1.1" else connection == "keep-alive"
    return request


def read_body(request: Request, buffer: bytearray) -> bytes | None:
    """Remove the body of the request from the buffer; None if it is incomplete."""
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        return _read_chunks(buffer)
    length = request.header("content-length") or "0"
    if not length.isdecimal():
        raise MalformedRequestError(HTTPStatus.BAD_REQUEST)
    if len(length) > _MAX_DIGITS or int(length) > _MAX_BODY:
        raise MalformedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if len(buffer) < int(length):
        return None
    body = bytes(buffer[: int(length)])
    del buffer[: int(length)]
    return body


def _read_chunks(buffer: bytearray) -> bytes | None:
    body, at = bytearray(), 0
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = _read_chunk_size(bytes(buffer[at:line_end]))
        if len(body) + size > _MAX_BODY:
            raise MalformedRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        at = line_end + 2
        if size == 0:
            break
        if len(buffer) < at + size + 2:
            return None
        body += buffer[at : at + size]
        at += size + 2
    # Either the final empty line follows directly, or trailers that end like headers.
    end = at + 2 if buffer[at : at + 2] == b"\r\n" else buffer.find(_HEAD_END, at) + len(_HEAD_END)
    if end < at + 2 or len(buffer) < end:
        return None
    del buffer[:end]
    return bytes(body)


def _read_chunk_size(line: bytes) -> int:
    size = _CHUNK_SIZE.match(line)
    if size is None:
        raise MalformedRequestError(HTTPStatus.BAD_REQUEST)
    return int(size[1], 16)


def encode_response(request: Request, response: SandboxResponse) -> tuple[bytes, bytes]:
    """The head and the body of a response, as bytes."""
    reason = _REASONS.get(response.status, "Unknown")
    lines = [
        f"HTTP/1.1 {response.status} {reason}",
        *(f"{name}: {value}" for name, value in response.headers),
    ]
    if response.status not in _NO_BODY:
        lines.append(f"Content-Length: {len(response.body)}")
    if not request.keep_alive:
        lines.append("Connection: close")
    body = b"" if request.method == "HEAD" or response.status in _NO_BODY else response.body
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body
