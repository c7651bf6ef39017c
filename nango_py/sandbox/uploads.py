"""Uploads in pieces: begun by the calls that `endpoints` name, and received at URLs of the sandbox."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nango_py.config.request_match import MatchTable, RequestFacts, RequestMatch
from nango_py.record import replaced
from nango_py.sandbox.documents import find_steps, set_at
from nango_py.sandbox.expressions import unwrap
from nango_py.sandbox.responses import SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.json_types import JsonValue, Settings
    from nango_py.sandbox.routes import SandboxRequest

PARAM = "upload_id"
_PIECE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")
_QUESTION = re.compile(r"bytes \*/(\d{1,15})")
_SUCCESSES = range(200, 300)


class _Session:
    """One upload.

    Attributes:
        rules: the `upload` block.
        content: what has arrived.
        is_complete: whether that is the whole file.
    """

    def __init__(self, rules: Settings) -> None:
        self.rules = rules
        self.content = bytearray()
        self.is_complete = False

    def receive(self, method: str, content_range: str, body: bytes) -> SandboxResponse:
        """The response to a piece, or to the question what has arrived."""
        question, piece = _QUESTION.fullmatch(content_range), _PIECE.fullmatch(content_range)
        if method == unwrap(self.rules.get("progress_method") or "PUT") == "GET":
            return SandboxResponse(404) if self.is_complete else self._progress(200)
        if method != "PUT" or (question is None and piece is None):
            return SandboxResponse.of(text="expected PUT with Content-Range", status=400)
        if piece is not None and not self.is_complete:
            start, end, total = map(int, piece.groups())
            if start != len(self.content):
                return self._progress(416)
            if end - start + 1 != len(body):
                return SandboxResponse.of(text="the body does not fit Content-Range", status=400)
            self.content += body
            self.is_complete = len(self.content) == total
        elif question is not None and question[1] == "0":
            self.is_complete = True
        if self.is_complete:
            return SandboxResponse.of({"id": "file_sandbox", "size": len(self.content)}, status=201)
        return self._progress(202 if self.rules.get("progress_method") else 308)

    def _progress(self, status: int) -> SandboxResponse:
        arrived = len(self.content)
        if "received" in self.rules:
            text = f"bytes=0-{arrived - 1}" if arrived else ""
            return write_at(SandboxResponse(status), self.rules["received"], text)
        return write_at(SandboxResponse(status), self.rules["missing"], f"{arrived}-")


class Uploads:
    """The uploads of one sandbox. Thread-safe.

    Args:
        settings: the merged settings of a blueprint.

    Attributes:
        is_elsewhere: whether pieces go to the host of files, which takes no credentials.
    """

    def __init__(self, settings: Settings) -> None:
        entries = [entry for entry in settings.get("endpoints") or () if entry.get("upload")]
        self._table = MatchTable(RequestMatch.from_settings(entry.get("match")) for entry in entries)
        self._rules: list[Settings] = [entry["upload"] for entry in entries]
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()
        self.is_elsewhere = bool((settings.get("requests") or {}).get("upload_hosts"))

    @property
    def files(self) -> tuple[bytes, ...]:
        """The complete files, in the order in which they were begun."""
        with self._lock:
            return tuple(bytes(one.content) for one in self._sessions.values() if one.is_complete)

    def begin(
        self, request: SandboxRequest, response: SandboxResponse, url_of: Callable[[str], str]
    ) -> SandboxResponse:
        """The response with the URL for the pieces, if the request begins an upload.

        Args:
            request: the request.
            response: to it, without an upload.
            url_of: makes the URL of a name.
        """
        if not self._rules or response.status not in _SUCCESSES:
            return response
        facts = RequestFacts(request.method, request.path, request.params, request.content)
        number = self._table.first(facts)
        if number is None:
            return response
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._sessions[name] = _Session(self._rules[number])
        return write_at(response, self._rules[number]["url"], url_of(name))

    def receive(self, name: str, method: str, content_range: str, body: bytes) -> SandboxResponse | None:
        """The response to a request for an upload; None if there is none of that name."""
        with self._lock:
            session = self._sessions.get(name)
            return None if session is None else session.receive(method, content_range, body)


def write_at(response: SandboxResponse, pointer: object, text: str) -> SandboxResponse:
    """A response with a text where a pointer reads it; as it is if the text is empty."""
    if not text:
        return response
    if not isinstance(pointer, str):
        name = unwrap(pointer["header"]) if isinstance(pointer, Mapping) and "header" in pointer else ""
        return response.with_headers({name: text}) if name else response
    steps = find_steps(unwrap(pointer))
    if steps is None:
        return response
    document: JsonValue = json.loads(response.body) if response.body else {}
    body = json.dumps(set_at(document, steps, text)).encode()
    headers = response.headers or (("Content-Type", "application/json"),)
    return replaced(response, headers=headers, body=body)
