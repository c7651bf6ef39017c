"""Uploads in pieces: which piece is next, and what a response says of those that have arrived.

A call begins the upload, and its response names a URL for the pieces. `Content-Range` says where a piece
belongs (RFC 9110 section 14.4). After a failure the API is asked how much has arrived. Without I/O.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from nango_py.config.pointers import UnreadableValue, describe_pointer, read_response
from nango_py.engine.call_arguments import Call
from nango_py.engine.plan import make_plan, move_to_url
from nango_py.engine.request_encoding import requote
from nango_py.errors import InvalidRequest, RequestFailed
from nango_py.record import record, replaced
from nango_py.secret import without_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.plan import Plan
    from nango_py.json_types import JsonValue, Settings
    from nango_py.transport.response import Response

    Progress = Callable[[int, int], object]
    Source = str | os.PathLike[str] | bytes | BinaryIO

PIECE_BYTES = 8_388_608
COMPLETE = frozenset({200, 201})
INCOMPLETE = frozenset({202, 308})
UNSURE = frozenset({409, 416})
"""Responses to a piece that does not begin where the API expects it."""

FIRST_SERVER_ERROR = 500
_ARRIVED = re.compile(r"(?:bytes[= ])?0-(\d{1,18})")
_MISSING = re.compile(r"(\d{1,18})(?:-\d*)?")
_SENT_ELSEWHERE = frozenset({"user-agent", "content-range", "content-type"})
"""The headers that a host of `upload_hosts` gets."""


def uses_upload(plan: Plan) -> Settings:
    """The `upload` block for the call that begins an upload.

    Raises:
        InvalidRequest: the blueprint has none for it.
    """
    if plan.own.upload is None:
        text = "the blueprint does not say how files are uploaded there; set upload in an entry of endpoints"
        raise InvalidRequest(f"{plan.method} /{plan.masked_endpoint()}: {text}")
    return plan.own.upload


def as_repeatable(plan: Plan) -> Plan:
    """The plan of a call that begins an upload: twice begun, one of both is never used."""
    uses_upload(plan)
    return replaced(plan, safe_to_repeat=True)


class OpenSource:
    """What is uploaded, from where it stands. The methods block.

    Attributes:
        size: in bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()
        self.size = max(0, file.seek(0, io.SEEK_END) - self._start)

    def read(self, offset: int, size: int) -> bytes:
        """A part of it.

        Raises:
            InvalidRequest: it has become shorter.
        """
        self._file.seek(self._start + offset)
        piece = self._file.read(size)
        if len(piece) != size:
            raise InvalidRequest("the file has become shorter during its upload")
        return piece


@contextmanager
def open_source(source: Source) -> Iterator[OpenSource]:
    """Open what is uploaded; a file that the caller has opened is not closed.

    Raises:
        InvalidRequest: it is not a path, bytes, or a file that is open for reading bytes and can be rewound.
        OSError: the file at the path cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield OpenSource(file)
        return
    given: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    opened = None
    try:
        if given.seekable() and isinstance(given.read(0), bytes):
            opened = OpenSource(given)
    except (AttributeError, OSError, ValueError):
        opened = None
    if opened is None:
        expected = "a path, bytes, or a file that is open for reading bytes and can be rewound"
        raise InvalidRequest(f"file must be {expected}, not {type(source).__name__}")
    yield opened


@record
class Piece:
    """A request of an upload.

    Attributes:
        method: PUT, or the method of the question.
        content_range: the header, or "".
        body: the bytes; empty for the question.
        is_question: whether it asks how much has arrived.
    """

    method: str
    content_range: str
    body: bytes
    is_question: bool


class Upload:
    """The progress of one upload. Not safe to share between threads.

    Args:
        rules: the `upload` block.
        source: what is uploaded.
        progress: called with the bytes that have arrived, and the size.

    Attributes:
        piece: the next request.
        failures: attempts since something has arrived.
        is_unsure: whether to ask how much has arrived.
    """

    def __init__(self, rules: Settings, source: OpenSource, progress: Progress | None) -> None:
        self._rules = rules
        self._source = source
        self._progress = progress
        self._offset = 0
        self.piece = Piece("PUT", "", b"", is_question=False)
        self.failures = 0
        self.is_unsure = False

    def find_url(self, response: Response) -> str:
        """The URL for the pieces, in the response to the call that begins the upload; "" if there is none."""
        found = _read(self._rules["url"], response)
        return found if isinstance(found, str) else ""

    def read_piece(self) -> None:
        """Make the next request. Blocks while the file is read."""
        self.piece = self._next_piece()

    def _next_piece(self) -> Piece:
        size, start = self._source.size, self._offset
        if self.is_unsure:
            method = str(self._rules.get("progress_method", "PUT"))
            return Piece(method, f"bytes */{size}" if method == "PUT" else "", b"", is_question=True)
        end = min(size, start + int(self._rules.get("piece_bytes", PIECE_BYTES)))
        written = f"bytes {start}-{end - 1}/{size}" if end > start else f"bytes */{size}"
        return Piece("PUT", written, self._source.read(start, end - start), is_question=False)

    def fail(self) -> None:
        """A request has no response, or one that does not say what has arrived."""
        self.failures += 1
        self.is_unsure = True

    def take(self, response: Response) -> str:
        """Take in a response: `complete`, `more`, `unsure` or `refused`."""
        piece, status = self.piece, response.status_code
        is_answer = piece.is_question and piece.method != "PUT" and status in COMPLETE
        is_last = piece.is_question or self._offset + len(piece.body) == self._source.size
        if status in COMPLETE and not is_answer and is_last:
            self._report(self._source.size)
            return "complete"
        if status in UNSURE or status >= FIRST_SERVER_ERROR:
            self.fail()
            return "unsure"
        if not (is_answer or status in INCOMPLETE):
            return "refused"
        offset = self._read_offset(response)
        if offset is None or offset > self._source.size:
            return "refused"
        if offset > self._offset:
            self.failures = 0
        elif not piece.is_question:
            self.failures += 1
        self._offset, self.is_unsure = offset, False
        self._report(offset)
        return "more"

    def _read_offset(self, response: Response) -> int | None:
        """Where the next piece begins; None if the response does not say it."""
        if "received" in self._rules:
            written = _read(self._rules["received"], response)
            found = _ARRIVED.fullmatch(written) if isinstance(written, str) else None
            if written is None:
                return 0
            return int(found[1]) + 1 if found else None
        written = _read(self._rules["missing"], response)
        found = _MISSING.fullmatch(str(written)) if isinstance(written, str | int) else None
        return int(found[1]) if found else None

    def _report(self, arrived: int) -> None:
        if self._progress is not None:
            self._progress(arrived, self._source.size)

    def no_url(self) -> str:
        """What is wrong with a response without a URL."""
        return f"the response has no URL for the pieces of the file at {describe_pointer(self._rules['url'])}"

    def problem(self, response: Response) -> str:
        """What is wrong with a response that is neither complete nor an error of the API."""
        place = describe_pointer(self._rules.get("received") or self._rules["missing"])
        return f"status {response.status_code} does not say at {place} how much of the file has arrived"


def _read(pointer: str | Settings, response: Response) -> JsonValue:
    try:
        return read_response(pointer, response)
    except (UnreadableValue, ValueError):
        return None


@without_frames
def piece_plan(start: Plan, url: str, piece: Piece, settings: BoundRequestSettings) -> Plan:
    """The request for a piece.

    At the API itself it has the credentials. At one of `upload_hosts` it has none: there the URL is one.

    Args:
        start: the plan of the call that began the upload.
        url: in the response to that call.
        piece: the request.
        settings: of the connection.

    Raises:
        RequestFailed: the URL leads to another host.
    """
    plan = make_plan(Call(piece.method, start.endpoint, data=b"-", base=start.base), settings)
    headers = {key: value for key, value in plan.headers.items() if key != "content-type"}
    if piece.content_range:
        headers["content-range"] = ("Content-Range", piece.content_range)
    if piece.body:
        headers["content-type"] = ("Content-Type", "application/octet-stream")
    body = piece.body if piece.method == "PUT" else None
    plan = replaced(
        plan, headers=headers, body=body, content=None, replayable=True, safe_to_repeat=piece.is_question,
        is_upload=True,
    )  # fmt: skip
    reached = settings.reach(start.url, url)
    if reached is not None:
        return replaced(move_to_url(plan, reached), endpoint=start.endpoint, base=start.base)
    reached = settings.reach_upload(start.url, url)
    if reached is None:
        host = urlsplit(url).hostname if "://" in url else ""
        text = f"the upload URL leads to {host or 'no host'}, which is not one of requests.upload_hosts"
        name, place = settings.connection.integration, start.masked_endpoint()
        raise RequestFailed(f"{name} {start.method} /{place}: {text}", plan=start)
    headers = {key: value for key, value in headers.items() if key in _SENT_ELSEWHERE}
    headers = {key: value for key, value in headers.items() if key not in settings.protected_headers}
    return replaced(
        plan, url=requote(reached), headers=headers, settings=settings.without_credentials(), is_download=True
    )
