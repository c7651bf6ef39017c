"""HTTP/1.1 on a socket, by hand: what must be reset, cut short or dripped at an exact moment.

The reading follows RFC 9112; pipelined requests are answered one after the other.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nango_py.sandbox.faults import Fault
    from nango_py.sandbox.responses import SandboxResponse

_HEAD_END = b"\r\n\r\n"
_LARGEST_HEAD = 65_536
_LARGEST_BODY = 64 * 1024 * 1024
_NOT_CONNECTED = asyncio.Transport()
_NO_BODY = frozenset({204, 304})
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One request as it stood on the wire; header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    keep_alive: bool = True
    at: float = 0.0

    def header(self, name: str) -> str | None:
        """The first value under that lower-case name."""
        return next((value for key, value in self.headers if key == name), None)


class Service(Protocol):
    """Who decides what a connection does; called on the server's loop only."""

    def fault_for(self, request: Request) -> Fault | None:
        """Asked when a head has arrived, before its body is read."""

    def answer_to(self, request: Request, fault: Fault | None) -> SandboxResponse | None:
        """Asked when a request has been read whole; None when no response is ever to be sent."""


class MalformedError(Exception):
    """The bytes are not a request; the text is the status to answer with."""


class Connection(asyncio.Protocol):
    """One client's connection.

    Args:
        service: who is asked.
        open_ones: where the connection keeps itself while it is open.
    """

    def __init__(self, service: Service, open_ones: set[Connection]) -> None:
        self._service = service
        self._open_ones = open_ones
        self._transport: asyncio.Transport = _NOT_CONNECTED
        self._buffer = bytearray()
        self._head: Request | None = None
        self._fault: Fault | None = None
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server promises
        self._transport = transport
        self._open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._open_ones.discard(self)

    def data_received(self, data: bytes) -> None:
        """More bytes are here."""
        self._buffer += data
        if not self._is_busy:
            self._read()

    def abort(self) -> None:
        """Close at once, unsent bytes dropped."""
        self._transport.abort()

    def reset(self) -> None:
        """Close with an RST, as a crashed server or a firewall does."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _read(self) -> None:
        try:
            while not self._is_busy and not self._transport.is_closing() and self._read_one():
                pass
        except MalformedError as error:
            status = int(str(error))
            head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self._write(head.encode())
            self._close()

    def _read_one(self) -> bool:
        """Whether a whole request was there and has been taken up."""
        if self._head is None and not self._read_head():
            return False
        assert self._head is not None  # noqa: S101 - _read_head has just set it
        body = read_body(self._head, self._buffer)
        if body is None:
            return False
        request, self._head = self._head, None
        request.body = body
        self._serve(request)
        return True

    def _read_head(self) -> bool:
        del self._buffer[: len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))]
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            if len(self._buffer) > _LARGEST_HEAD:
                raise MalformedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE.value)
            return False
        self._head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + len(_HEAD_END)]
        self._fault = self._service.fault_for(self._head)
        if self._fault is not None and self._fault.kind == "reset_before":
            self.reset()
            return False
        if (self._head.header("expect") or "").lower() == "100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _serve(self, request: Request) -> None:
        fault, self._fault = self._fault, None
        response = self._service.answer_to(request, fault)
        kind = fault.kind if fault is not None else ""
        if kind == "reset_after":
            self.reset()
        elif response is None:
            self._is_busy = True  # until the client gives up and closes
        elif fault is not None and kind == "delay":
            self._is_busy = True
            asyncio.get_running_loop().call_later(fault.seconds, self._send_late, request, response)
        elif fault is not None and kind == "drip":
            self._is_busy = True
            head, body = spelled(request, response)
            self._write(head)
            self._drip(request, body, fault)
        elif kind == "truncate":
            head, body = spelled(request, response)
            # Without a body there is nothing to cut, so more is promised than there is.
            head = head if body else head.replace(b"Content-Length: 0\r\n", b"Content-Length: 64\r\n")
            self._write(head + body[: len(body) // 2])
            self._close()
        else:
            self._send(request, response)

    def _send_late(self, request: Request, response: SandboxResponse) -> None:
        self._is_busy = False
        self._send(request, response)
        self._read()

    def _send(self, request: Request, response: SandboxResponse) -> None:
        head, body = spelled(request, response)
        self._write(head + body)
        if not request.keep_alive:
            self._close()

    def _drip(self, request: Request, rest: bytes, fault: Fault) -> None:
        if self._transport.is_closing():
            return
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
    """The request line and the headers.

    Raises:
        MalformedError: RFC 9112 does not allow it.
    """
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[2] not in {"HTTP/1.1", "HTTP/1.0"} or not parts[1].startswith("/"):  # noqa: PLR2004
        raise MalformedError(HTTPStatus.BAD_REQUEST.value)
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or any(char in value for char in "\r\n\0"):
            raise MalformedError(HTTPStatus.BAD_REQUEST.value)
        headers.append((name.lower(), value.strip(" \t")))
    request = Request(parts[0], parts[1], tuple(headers))
    asked = (request.header("connection") or "").lower()
    request.keep_alive = asked != "close" if parts[2] == "HTTP/1.1" else asked == "keep-alive"
    return request


def read_body(request: Request, buffer: bytearray) -> bytes | None:
    """The request's body, taken out of the buffer; None while it is not whole."""
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        return _read_chunks(buffer)
    length = request.header("content-length") or "0"
    if not length.isdecimal():
        raise MalformedError(HTTPStatus.BAD_REQUEST.value)
    if int(length) > _LARGEST_BODY:
        raise MalformedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE.value)
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
        try:
            size = int(bytes(buffer[at:line_end]).split(b";")[0], 16)
        except ValueError:
            raise MalformedError(HTTPStatus.BAD_REQUEST.value) from None
        at = line_end + 2
        if size == 0:
            break
        if len(buffer) < at + size + 2:
            return None
        body += buffer[at : at + size]
        at += size + 2
    # Trailers, if any, end like a head; without them the empty line follows at once.
    end = at + 2 if buffer[at : at + 2] == b"\r\n" else buffer.find(_HEAD_END, at) + len(_HEAD_END)
    if end < at + 2 or len(buffer) < end:
        return None
    del buffer[:end]
    return bytes(body)


def spelled(request: Request, response: SandboxResponse) -> tuple[bytes, bytes]:
    """The head and the body of a response as they go on the wire."""
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
