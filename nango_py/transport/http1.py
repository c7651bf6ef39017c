"""HTTP/1.1 for requests and heads of the usual shape, at a third of http.client's price (RFC 9112).

Whatever is not usual takes the ordinary road: bodies that are streamed, framing headers of the caller's own,
folded lines, doubled framing, interim answers, HTTP/1.0. Both roads are held to one corpus by a test.
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nango_py.transport.sendable import Sendable

UNUSUAL = frozenset({"host", "content-length", "transfer-encoding", "expect"})
"""Headers with which a request is left to http.client."""

BODILESS = frozenset({"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"})
"""Methods whose requests have no body unless one is given (RFC 9110 section 8.6)."""

FRAMING = ("transfer-encoding", "content-length", "connection")
"""The headers that say where a response ends (RFC 9112 section 6)."""

MOST_HEADERS = 100
"""From so many on http.client decides; it refuses more."""

HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5]\d\d)(?: ([^\r\n\0]*))?\r\n((?:[!#-'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*)\r\n"
)
"""The head of an ordinary final response: no folded line, nothing that is not a header."""

BODYLESS_STATUSES = frozenset({204, 304})


def is_simple(plan: Sendable) -> bool:
    """Whether `message` can say the whole request."""
    return (plan.body is None or isinstance(plan.body, bytes)) and UNUSUAL.isdisjoint(plan.headers)


def encode_request(plan: Sendable, host: str, target: str) -> bytes:
    """The request as it goes over the wire.

    Raises:
        http.client.InvalidURL: a part holds a line break. The plan has checked each; this is the last door.
    """
    body = plan.body if isinstance(plan.body, bytes) else b""
    lines = [f"{plan.method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in plan.headers.values()]
    if plan.body is not None or plan.method not in BODILESS:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count("\n") != breaks or head.count("\r") != breaks:
        raise http.client.InvalidURL
    return f"{head}\r\n\r\n".encode("iso-8859-1") + body


class Head(NamedTuple):
    """The head of a response.

    Attributes:
        size: its bytes.
        length: of the body; None where the body ends by chunks or with the connection.
    """

    size: int
    status: int
    reason: str
    headers: http.client.HTTPMessage
    chunked: bool
    length: int | None
    will_close: bool


def parse_head(data: bytes, method: str | None) -> Head | None:
    """The head that `data` begins with, or None where http.client has to look at it."""
    found = HEAD.match(data)
    if found is None or found[3].count(b"\n") >= MOST_HEADERS:
        return None
    headers = http.client.HTTPMessage()
    framing: dict[str, str] = {}
    for line in found[3].decode("iso-8859-1").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        value = value.strip(" \t")
        headers.set_raw(name, value)
        key = name.lower()
        if key in FRAMING:
            if key in framing:
                return None
            framing[key] = value
    length = framing.get("content-length", "")
    coding = framing.get("transfer-encoding")
    if (coding is not None and (length or coding.lower() != "chunked")) or (
        length and not length.isdecimal()
    ):
        return None
    size = int(length) if length else None
    status = int(found[1])
    if status in BODYLESS_STATUSES or method == "HEAD":
        size = 0
    closes = "close" in framing.get("connection", "").lower() or (coding is None and size is None)
    reason = (found[2] or b"").decode("iso-8859-1").strip()
    return Head(found.end(), status, reason, headers, coding is not None, size, closes)
