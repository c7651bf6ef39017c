"""HTTP/1.1 without I/O: requests to bytes, and responses from bytes (RFC 9112).

Both transports use it, so that one place decides where a response ends. A response whose end peers may see in
different places is an error, because the bytes behind that end would become the response to the next request,
which may be another user's. What is unusual but has one meaning is accepted.
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING

from nango_py.config.template.headers import is_framing
from nango_py.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nango_py.transport.sendable import Sendable

METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "TRACE", "OPTIONS", "CONNECT"})
"""Methods that send no Content-Length without a body (RFC 9110 section 8.6)."""

MAX_HEAD = 65_536
"""Maximum size of a head, or of the trailers, in bytes."""

MAX_HEADERS = 100
"""Maximum number of header lines."""

MAX_CHUNK_LINE = 4096

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(r"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: ([^\r\n\0]*))?\r?\n")
_FIELDS = re.compile(r"(?:[!#-'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r?\n)*")
_FOLD = re.compile(r"\r?\n[ \t]+")
_LENGTH = re.compile(r"[0-9]{1,20}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?\r\n")
_TRAILERS = re.compile(rb"(?:[!#-'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*")
_FRAMING_HEADERS = frozenset({"transfer-encoding", "content-length", "connection"})
_STATUSES_WITHOUT_BODY = frozenset({204, 304})
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_SUCCESSES = range(200, 300)


class MalformedError(http.client.HTTPException):
    """The response is not valid HTTP, or it is not clear where it ends. The text is without its bytes."""


class CutOffError(http.client.HTTPException):
    """The response ended before its end."""


def encode_head(request: Sendable, host: str, target: str, length: int | None) -> bytes:
    """The head of a request; framing headers are written here and nowhere else.

    Args:
        request: its `headers` have no framing headers; those that they have are not sent.
        host: for the header `Host`, with the port if it is not the usual one.
        target: path and query.
        length: of the body in bytes; None for one that is sent in chunks.

    Raises:
        http.client.InvalidURL: a part contains a line break. Plans are checked; this is the last line of
            defence.
    """
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for key, (name, value) in request.headers.items() if not is_framing(key)]
    if length is None:
        lines.append("Transfer-Encoding: chunked")
    elif request.body is not None or request.method not in METHODS_WITHOUT_BODY:
        lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count("\n") != breaks or head.count("\r") != breaks:
        raise http.client.InvalidURL
    return f"{head}\r\n\r\n".encode("iso-8859-1")


class HeaderLines:
    """The header lines of a response in their order. Names are not case-sensitive.

    It has what libraries ask of `http.client.HTTPMessage`, which takes ten times as long to fill and read.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._lines = list(lines)

    def items(self) -> list[tuple[str, str]]:
        """Name and value of each line."""
        return self._lines

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of the first line with this name."""
        key = name.lower()
        for known, value in self._lines:
            if known.lower() == key:
                return value
        return default

    def get_all(self, name: str, default: list[str] | None = None) -> list[str] | None:
        """The values of all lines with this name."""
        key = name.lower()
        return [value for known, value in self._lines if known.lower() == key] or default

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __delitem__(self, name: str) -> None:
        key = name.lower()
        self._lines = [line for line in self._lines if line[0].lower() != key]

    def __setitem__(self, name: str, value: str) -> None:
        """Add a line."""
        self._lines.append((name, value))


@record
class Head:
    """The head of a response.

    Attributes:
        chunked: whether the body comes in chunks.
        length: of the body in bytes; None if it is chunked or ends with the connection.
        will_close: whether the connection must not be used again.
    """

    status: int
    reason: str
    headers: HeaderLines
    chunked: bool
    length: int | None
    will_close: bool


def parse_head(data: bytes, method: str) -> Head:
    """The head of a response, with its empty line.

    Lines may end with a line feed alone (RFC 9112 section 2.2). Folded lines are joined, and the connection
    is not used again (section 5.2).

    Raises:
        MalformedError: it is not HTTP/1, or the length of the body is not clear.
    """
    text = data.decode("iso-8859-1")
    line = _STATUS_LINE.match(text)
    if line is None:
        raise MalformedError("no status line of HTTP/1")
    fields, is_folded = text[line.end() :].removesuffix("\n").removesuffix("\r"), False
    if _FIELDS.fullmatch(fields) is None:
        fields, is_folded = _FOLD.sub(" ", fields), True
        if _FIELDS.fullmatch(fields) is None:
            raise MalformedError("an invalid header line")
    lines: list[tuple[str, str]] = []
    framing: dict[str, list[str]] = {}
    for field in fields.split("\n")[:-1]:
        name, _, value = field.partition(":")
        value = value.strip(" \t\r")
        lines.append((name, value))
        key = name.lower()
        if key in _FRAMING_HEADERS:
            framing.setdefault(key, []).append(value)
    if len(lines) > MAX_HEADERS:
        raise MalformedError("too many headers")
    status, is_old = int(line[2]), line[1] == "0"
    reason = (line[3] or "").strip()
    will_close = is_folded or _will_close(framing, is_old=is_old)
    is_tunnel = method == "CONNECT" and status in _SUCCESSES
    has_body = not (
        is_tunnel or status < _FIRST_FINAL_STATUS or status in _STATUSES_WITHOUT_BODY or method == "HEAD"
    )
    try:
        chunked, length = _body_length(framing)
    except MalformedError:
        if has_body:
            raise
        chunked, length, will_close = False, 0, True  # there is no body, whatever the headers say
    if not has_body:
        chunked, length = False, 0
    will_close = will_close or is_tunnel or (length is None and not chunked) or (chunked and is_old)
    return Head(status, reason, HeaderLines(lines), chunked, length, will_close)


def _will_close(framing: Mapping[str, list[str]], *, is_old: bool) -> bool:
    """Whether the connection ends with this response (RFC 9112 section 9.3)."""
    options = _elements(framing.get("connection", [])) if "connection" in framing else ()
    return "close" in options or (is_old and "keep-alive" not in options)


def _body_length(framing: Mapping[str, list[str]]) -> tuple[bool, int | None]:
    """Whether a body is chunked, and its length (RFC 9112 section 6.3)."""
    codings, lengths = framing.get("transfer-encoding"), framing.get("content-length")
    if codings is not None:
        if lengths is not None:
            raise MalformedError("a length beside a transfer coding")
        if _elements(codings) != ["chunked"]:
            raise MalformedError("a transfer coding other than chunked")
        return True, None
    if lengths is None:
        return False, None
    if len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]):
        return False, int(lengths[0])
    values = [value.strip(" \t") for line in lengths for value in line.split(",")]
    if not all(map(_LENGTH.fullmatch, values)):
        raise MalformedError("a length that is not a number")
    numbers = set(map(int, values))
    if len(numbers) > 1:
        raise MalformedError("several lengths")
    return False, numbers.pop()


def _elements(lines: list[str]) -> list[str]:
    """The elements of a list header, in lower case (RFC 9110 section 5.6.1)."""
    parts = [part.strip(" \t").lower() for line in lines for part in line.split(",")]
    return [part for part in parts if part]


class ResponseParser:
    """One response, from the bytes of its connection.

    Attributes:
        head: of the final response, once it has arrived; interim responses are skipped.
        is_complete: whether the whole body has arrived.
        may_reuse: False if the connection must be closed for a reason outside of the response.
    """

    __slots__ = (
        "_at", "_buffer", "_left", "_method", "_pieces", "_state", "head", "is_complete", "may_reuse"
    )  # fmt: skip

    def __init__(self, method: str) -> None:
        self.head: Head | None = None
        self.is_complete = False
        self.may_reuse = True
        self._method = method
        self._buffer = b""
        self._at = 0  # up to where a state has taken it; cut off once for all, since chunks may be tiny
        self._pieces: list[bytes] = []
        self._left = 0
        self._state: Callable[[int], bool] = self._find_head

    @property
    def is_reusable(self) -> bool:
        """Whether the next request may use the connection: nothing is missing, and nothing is left over."""
        head = self.head
        return (
            self.is_complete
            and self.may_reuse
            and not self._buffer
            and head is not None
            and not head.will_close
        )

    @property
    def has_surplus(self) -> bool:
        """Whether bytes are left over behind the response."""
        return self.is_complete and bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection.

        Raises:
            MalformedError: they are not HTTP, or it is not clear where the response ends.
        """
        searched = len(self._buffer)
        if searched:
            data = self._buffer + data
        self._buffer = data
        while self._at < len(data) and not self.is_complete and self._state(searched):
            searched = 0
        if self._at:
            self._buffer, self._at = data[self._at :], 0

    def feed_end(self) -> None:
        """Take note that the connection has ended.

        Raises:
            ConnectionResetError: there was no response.
            CutOffError: the response is incomplete.
        """
        if self.head is None:
            raise ConnectionResetError("the connection ended without a response")
        if self.is_complete:
            return
        if self.head.chunked or self.head.length is not None:
            raise CutOffError("the connection ended within the body")
        self.is_complete = True

    def take(self) -> bytes:
        """The bytes of the body that have arrived, once."""
        pieces = self._pieces
        if not pieces:
            return b""
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        return body

    # Each state takes bytes from the buffer, and says whether another state can go on with the rest.

    def _find_head(self, searched: int) -> bool:
        buffer, at = self._buffer, self._at
        if not b"HTTP/".startswith(buffer[at : at + 5]):
            raise MalformedError("no status line of HTTP/1")
        end = _END_OF_HEAD.search(buffer, at + max(0, searched - 3))
        if (end.end() if end else len(buffer)) - at > MAX_HEAD:
            raise MalformedError("the head is too large")
        if end is None:
            return False
        head = parse_head(buffer[at : end.end()], self._method)
        self._at = end.end()
        if head.status == _SWITCHING_PROTOCOLS:
            raise MalformedError("another protocol that was not asked for")
        if head.status < _FIRST_FINAL_STATUS:
            return True
        self.head = head
        if head.chunked:
            self._state = self._find_chunk
        elif head.length is None:
            self._state = self._take_all
        else:
            self._left, self._state = head.length, self._take_length
            self.is_complete = head.length == 0
        return True

    def _take_all(self, _searched: int) -> bool:
        self._left = len(self._buffer)
        self._take_part()
        return False

    def _take_length(self, _searched: int) -> bool:
        piece = self._buffer[self._at : self._at + self._left]  # as _take_part; most bodies come here once
        self._at += len(piece)
        self._left -= len(piece)
        self._pieces.append(piece)
        self.is_complete = not self._left
        return False

    def _take_part(self) -> None:
        """Move up to the bytes that are left from the buffer to the body."""
        piece = self._buffer[self._at : self._at + self._left]
        self._at += len(piece)
        self._left -= len(piece)
        if piece:
            self._pieces.append(piece)

    def _find_chunk(self, searched: int) -> bool:
        buffer, at = self._buffer, self._at
        end = buffer.find(b"\n", at + searched)
        if (len(buffer) if end < 0 else end) - at > MAX_CHUNK_LINE:
            raise MalformedError("a chunk without a size")
        if end < 0:
            return False
        size = _CHUNK_LINE.fullmatch(buffer, at, end + 1)
        if size is None:
            raise MalformedError("a chunk without a size")
        self._at = end + 1
        self._left = int(size[1], 16)
        self._state = self._take_chunk if self._left else self._find_trailers
        return True

    def _take_chunk(self, _searched: int) -> bool:
        if self._left:
            self._take_part()
        behind = self._buffer[self._at : self._at + 2]
        if self._left or (behind != b"\r\n" and b"\r\n".startswith(behind)):
            return False
        if behind != b"\r\n":
            raise MalformedError("a chunk of another size than announced")
        self._at += 2
        self._state = self._find_chunk
        return True

    def _find_trailers(self, searched: int) -> bool:
        buffer, at = self._buffer, self._at
        if buffer.startswith(b"\r\n", at):
            end = at + 2
        else:
            found = buffer.find(b"\r\n\r\n", at + max(0, searched - 3))
            if (len(buffer) if found < 0 else found) - at > MAX_HEAD:
                raise MalformedError("the trailers are too large")
            if found < 0:
                return False
            if _TRAILERS.fullmatch(buffer, at, found + 2) is None:
                raise MalformedError("an invalid trailer line")
            end = found + 4
        self._at = end
        self.is_complete = True
        return False
