"""HTTP/1.1 for common requests and responses, three times as fast as http.client (RFC 9112).

All others are left to http.client: streamed bodies, framing headers of the caller, folded lines, duplicate
framing headers, interim responses, HTTP/1.0. A test compares the results for one corpus.
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING

from nango_py.record import record

if TYPE_CHECKING:
    from nango_py.transport.sendable import Sendable

_FRAMING_REQUEST_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "expect"})

METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"})
"""Methods that send no Content-Length without a body (RFC 9110 section 8.6)."""

_FRAMING_RESPONSE_HEADERS = ("transfer-encoding", "content-length", "connection")
_MAX_HEADERS = 100  # http.client refuses more

_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5]\d\d)(?: ([^\r\n\0]*))?\r\n((?:[!#-'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*)\r\n"
)
"""The head of a final response without folded lines."""

_STATUSES_WITHOUT_BODY = frozenset({204, 304})


def is_simple(request: Sendable) -> bool:
    """Whether `encode_request` can encode a request."""
    return (request.body is None or isinstance(request.body, bytes)) and _FRAMING_REQUEST_HEADERS.isdisjoint(
        request.headers
    )


def encode_request(request: Sendable, host: str, target: str) -> bytes:
    """The bytes of a simple request.

    Raises:
        http.client.InvalidURL: a part contains a line break. Plans are checked; this is the last line of
            defence.
    """
    body = request.body if isinstance(request.body, bytes) else b""
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in request.headers.values()]
    if request.body is not None or request.method not in METHODS_WITHOUT_BODY:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count("\n") != breaks or head.count("\r") != breaks:
        raise http.client.InvalidURL
    return f"{head}\r\n\r\n".encode("iso-8859-1") + body


@record
class Head:
    """The head of a response.

    Attributes:
        size: of the head in bytes.
        length: of the body in bytes; None if the body is chunked or ends with the connection.
    """

    size: int
    status: int
    reason: str
    headers: http.client.HTTPMessage
    chunked: bool
    length: int | None
    will_close: bool


def parse_head(data: bytes, method: str | None) -> Head | None:
    """The head at the start of `data`, or None if http.client must parse it."""
    match = _HEAD.match(data)
    if match is None or match[3].count(b"\n") >= _MAX_HEADERS:
        return None
    headers = http.client.HTTPMessage()
    framing: dict[str, str] = {}
    for line in match[3].decode("iso-8859-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.strip(" \t")
        headers.set_raw(name, value)
        key = name.lower()
        if key in _FRAMING_RESPONSE_HEADERS:
            if key in framing:
                return None
            framing[key] = value
    length = framing.get("content-length", "")
    coding = framing.get("transfer-encoding")
    if coding is not None and (length or coding.lower() != "chunked"):
        return None
    if length and not length.isdecimal():
        return None
    size = int(length) if length else None
    status = int(match[1])
    if status in _STATUSES_WITHOUT_BODY or method == "HEAD":
        size = 0
    will_close = "close" in framing.get("connection", "").lower() or (coding is None and size is None)
    reason = (match[2] or b"").decode("iso-8859-1").strip()
    return Head(match.end(), status, reason, headers, coding is not None, size, will_close)
