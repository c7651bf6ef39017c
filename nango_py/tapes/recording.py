"""Records the calls of a block, and replays them without a network. For threads and asyncio."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from nango_py.errors import TapeError, printable
from nango_py.record import replaced
from nango_py.tapes.redaction import (
    is_token_request,
    redact,
    redact_body,
    redact_cookie,
    redact_cookies,
    redact_signatures,
    redact_token_params,
    redact_url,
    secrets_in_token_response,
    secrets_of,
)
from nango_py.tapes.tape_file import TapedCall, TapedRequest, TapedResponse, load_tape, save_tape
from nango_py.transport.http1 import Head, HeaderLines
from nango_py.transport.response import Response, StreamedResponse, StreamFailed, is_streamed
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping

    from nango_py.transport.sendable import Sendable
    from nango_py.transport.tape import Tape

_NOT_RECORDED = frozenset(
    {"content-encoding", "content-length", "transfer-encoding", "connection", "keep-alive", "date"}
)
"""Headers of one transfer; bodies are recorded decoded."""

_SHOWN = 5
_BOUNDARY = re.compile(rb"boundary=\"?([^\s\";]+)")


class Recorder:
    """Sends requests, and keeps each attempt with its outcome. Thread-safe."""

    def __init__(self) -> None:
        self._calls: list[TapedCall] = []
        self._secrets: set[str] = set()
        self._upload_urls: dict[str, str] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "<Recorder>"

    def send(
        self, request: Sendable, seconds: float, send: Callable[[Sendable, float], Response | Failure]
    ) -> Response | Failure:
        """Send a request, and record what comes back. A streamed body is read as a whole."""
        outcome = send(request, seconds)
        if not isinstance(outcome, Failure):
            try:
                outcome.content  # noqa: B018 - reads it
            except StreamFailed as error:
                outcome = Failure(error.reason, sent=True, text="the streamed response broke off")  # type: ignore[arg-type]
        self._add(request, outcome)
        return outcome

    async def send_async(
        self,
        request: Sendable,
        seconds: float,
        send: Callable[[Sendable, float], Awaitable[Response | Failure]],
    ) -> Response | Failure:
        """The same under asyncio."""
        outcome = await send(request, seconds)
        if isinstance(outcome, StreamedResponse):
            await outcome.aread()
        self._add(request, outcome)
        return outcome

    def _add(self, request: Sendable, outcome: Response | Failure) -> None:
        secrets = set(secrets_of(request))
        taped: TapedResponse | Failure
        if isinstance(outcome, Failure):
            taped = outcome
        else:
            if is_token_request(request):
                secrets |= set(secrets_in_token_response(outcome.content))
            headers = tuple(
                (name, redact_cookie(value) if name.lower() == "set-cookie" else value)
                for name, value in outcome.raw.headers.items()
                if name.lower() not in _NOT_RECORDED
            )
            taped = TapedResponse(outcome.status_code, outcome.reason, headers, outcome.content)
        with self._lock:
            self._secrets |= secrets
            if getattr(request, "is_upload", False):  # its URL is a credential, which an earlier response has
                self._upload_urls[request.url] = request.masked_url()
            self._calls.append(TapedCall(describe_request(request), taped))

    def calls(self) -> list[TapedCall]:
        """The recorded calls without any secret that was in use."""
        with self._lock:
            calls = [_without_urls(call, self._upload_urls) for call in self._calls]
            return [_redact_call(call, self._secrets) for call in calls]


def describe_request(request: Sendable) -> TapedRequest:
    """A request as it is recorded and compared: without its secrets."""
    secrets = secrets_of(request)
    headers = tuple(
        (name, redact_cookies(value) if name.lower() == "cookie" else redact(value, secrets))
        for name, value in request.masked_headers().items()
    )
    url = redact_url(request.masked_url(), secrets)
    if request.body is not None and not isinstance(request.body, bytes):
        return TapedRequest(request.method, url, headers, None)
    body = request.body or b""
    if body and is_token_request(request):
        body = redact_token_params(body)
    return TapedRequest(request.method, url, headers, redact_body(body, secrets))


def _without_urls(call: TapedCall, urls: Mapping[str, str]) -> TapedCall:
    """A call whose response has the masked forms of URLs, so that a replay asks for them."""
    outcome = call.outcome
    if isinstance(outcome, Failure) or not urls:
        return call
    headers, body = outcome.headers, outcome.body
    for url, masked in urls.items():
        headers = tuple((name, value.replace(url, masked)) for name, value in headers)
        body = body.replace(url.encode(), masked.encode())
    return TapedCall(call.request, replaced(outcome, headers=headers, body=body))


def _redact_call(call: TapedCall, secrets: Collection[str]) -> TapedCall:
    request, outcome = call.request, call.outcome
    headers = tuple((name, redact(value, secrets)) for name, value in request.headers)
    body = None if request.body is None else redact_body(request.body, secrets)
    request = replaced(request, url=redact_url(request.url, secrets), headers=headers, body=body)
    if isinstance(outcome, Failure):
        return TapedCall(request, replaced(outcome, text=redact(outcome.text, secrets)))
    headers = tuple((name, redact_signatures(redact(value, secrets))) for name, value in outcome.headers)
    body, reason = redact_body(outcome.body, secrets), redact(outcome.reason, secrets)
    body = redact_signatures(body.decode("latin-1")).encode("latin-1")
    return TapedCall(request, replaced(outcome, reason=reason, headers=headers, body=body))


class Player:
    """Responds with recorded calls, each once and in order. Thread-safe.

    Args:
        path: of the tape, for messages.
        calls: of the tape.
    """

    def __init__(self, path: Path, calls: list[TapedCall]) -> None:
        self._path = path
        self._calls = [(_key(call.request), call) for call in calls]
        self._total = len(calls)
        self._lock = threading.Lock()

    def send(
        self, request: Sendable, seconds: float, send: Callable[[Sendable, float], Response | Failure]
    ) -> Response | Failure:
        """The recorded outcome of a request.

        Raises:
            TapeError: it is not on the tape, or was used already.
        """
        outcome = self._take(request)
        if isinstance(outcome, Failure):
            return outcome
        return Response(request, _head_of(outcome), outcome.body, 0.0)

    async def send_async(
        self,
        request: Sendable,
        seconds: float,
        send: Callable[[Sendable, float], Awaitable[Response | Failure]],
    ) -> Response | Failure:
        """The same under asyncio."""
        outcome = self._take(request)
        if isinstance(outcome, Failure):
            return outcome
        head = _head_of(outcome)
        if is_streamed(request, outcome.status):
            return StreamedResponse(request, head, outcome.body, 0.0, _chunks_of(b""), _do_nothing)
        return Response(request, head, outcome.body, 0.0)

    def _take(self, request: Sendable) -> TapedResponse | Failure:
        asked = describe_request(request)
        key = _key(asked)
        with self._lock:
            for index, (recorded, call) in enumerate(self._calls):
                if recorded == key:
                    del self._calls[index]
                    return call.outcome
            used = self._total - len(self._calls)
        name = f"{asked.method} {printable(asked.url, 200)}"
        raise TapeError(
            f"{name} is not on the tape {self._path}, or more often than recorded ({used} of {self._total} "
            "calls were used); record it again"
        )

    def check_end(self) -> None:
        """Check that every call was used.

        Raises:
            TapeError: some are left over.
        """
        with self._lock:
            left = [f"{call.request.method} {printable(call.request.url, 200)}" for _, call in self._calls]
        if left:
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            raise TapeError(
                f"{len(left)} of {self._total} calls of the tape {self._path} were not made: "
                f"{', '.join(left[:_SHOWN])}{more}; record it again"
            )


def _head_of(response: TapedResponse) -> Head:
    headers = HeaderLines(response.headers)
    return Head(response.status, response.reason, headers, chunked=False, length=None, will_close=False)


async def _chunks_of(body: bytes) -> AsyncGenerator[bytes]:
    yield body


async def _do_nothing() -> None:
    pass


def _key(request: TapedRequest) -> tuple[str, str, bytes]:
    """What requests are compared by: method, URL whatever the order of its query, and body."""
    parts = urlsplit(request.url)
    query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
    return request.method, url, _comparable_body(request)


def _comparable_body(request: TapedRequest) -> bytes:
    """A body without what differs each time: the order of JSON members and the boundary of parts."""
    body = request.body or b""
    kind = next((value for name, value in request.headers if name.lower() == "content-type"), "")
    boundary = _BOUNDARY.search(kind.encode())
    if boundary:
        return body.replace(boundary[1], b"boundary")
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except ValueError:
        return body


class TapeUser(Protocol):
    """What sends requests by a tape while there is one: `nango_py.services.Services`."""

    def use_tape(self, tape: Tape | None) -> None:
        """Send by a tape, or by the network again for None."""


@contextmanager
def recording(user: TapeUser, path: str | os.PathLike[str]) -> Iterator[None]:
    """Record the calls of the block; the file is replaced if the block succeeds.

    Raises:
        TapeError: another tape is in use, or the file cannot be written.
    """
    recorder = Recorder()
    user.use_tape(recorder)
    try:
        yield
    finally:
        user.use_tape(None)
    save_tape(Path(path), recorder.calls())


@contextmanager
def replaying(user: TapeUser, path: str | os.PathLike[str]) -> Iterator[None]:
    """Respond to the calls of the block from a tape; nothing is sent.

    Raises:
        TapeError: another tape is in use, the file is not a tape, a call is not on it, or calls are left
            over at the end of a block that succeeded.
    """
    player = Player(Path(path), load_tape(Path(path)))
    user.use_tape(player)
    try:
        yield
    finally:
        user.use_tape(None)
    player.check_end()
