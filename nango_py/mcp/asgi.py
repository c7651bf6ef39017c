"""The HTTP side: an ASGI application that checks each request before the protocol's SDK reads it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import re
from typing import TYPE_CHECKING

from nango_py.errors import NangoError, printable
from nango_py.json_types import is_text_deeper_than

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from nango_py.mcp.asgi_types import Message, Receive, Scope, Send
    from nango_py.tools.toolbox import Toolbox

    Identify = Callable[[str], Toolbox | Awaitable[Toolbox | None] | None]

LOGGER = logging.getLogger("nango_py.mcp")

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
MAX_BODY_BYTES = 1_048_576
BODY_SECONDS = 10.0
MAX_DEPTH = 64
MAX_RUNNING = 64
"""Requests at a time; further ones get 503."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)


class _RefusedError(Exception):
    """A request that is refused.

    Attributes:
        status: the HTTP status.
        headers: further headers.
    """

    def __init__(self, status: int, what: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(what)
        self.status = status
        self.headers = headers


class ToolServer:
    """Serves tools over stateless streamable HTTP; see `Nango.mcp_app`.

    Args:
        identify: returns the toolbox for a bearer token, or None for a token that is not valid.
        hosts: the names in the Host headers that are accepted, with any port.
        origins: the Origin headers that are accepted; requests without one always are.
        path: the only path that is served; "" for any, because routes of an application choose.
    """

    def __init__(
        self,
        identify: Identify,
        hosts: Iterable[str] = LOOPBACK,
        origins: Iterable[str] = (),
        path: str = "",
    ) -> None:
        self._identify = identify
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower() for origin in origins)
        self._path = path
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, as ASGI defines it."""
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise NangoError(f"the tool server does not serve {scope['type']}")
        try:
            toolbox = await self._admit(scope)
            with self._place():
                body = await _read_body(scope, receive)
                from nango_py.mcp.sdk import respond

                await respond(scope, _replay(body, receive), send, toolbox, MAX_BODY_BYTES)
        except _RefusedError as refused:
            await _refuse(send, refused)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Count a request as running, from its body on.

        Raises:
            _RefusedError: as many requests as are allowed run already.
        """
        if self._running >= MAX_RUNNING:
            raise _RefusedError(503, "too many requests at a time", ((b"retry-after", b"5"),))
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _admit(self, scope: Scope) -> Toolbox:
        """The toolbox of a request.

        Raises:
            _RefusedError: it is not one of ours, or its token is not valid.
        """
        headers = _read_headers(scope)
        host = _HOST.fullmatch(headers.get("host", ""))
        if host is None or host[1].lower() not in self._hosts:
            raise _RefusedError(421, "this server does not serve that host")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            raise _RefusedError(403, "this origin may not use the server")
        if self._path and scope["path"].rstrip("/") != self._path:
            raise _RefusedError(404, "not found")
        if scope["method"] != "POST":
            raise _RefusedError(405, "only POST is served", ((b"allow", b"POST"),))
        toolbox = await self._find_toolbox(headers.get("authorization", ""))
        if toolbox is None:
            raise _RefusedError(
                401, "the bearer token is missing or invalid", ((b"www-authenticate", b"Bearer"),)
            )
        return toolbox

    async def _find_toolbox(self, authorization: str) -> Toolbox | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        try:
            found = await asyncio.to_thread(self._identify, token.strip())
            return await found if inspect.isawaitable(found) else found
        except Exception as error:  # noqa: BLE001 - refused
            LOGGER.error("identify failed: %s", type(error).__name__)  # noqa: TRY400 - a frame holds the token
            raise _RefusedError(500, "the request could not be identified") from None


def _read_headers(scope: Scope) -> dict[str, str]:
    """The headers by name in lower case.

    Raises:
        _RefusedError: one that decides about access is repeated.
    """
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in headers and key in {"host", "origin", "authorization"}:
            raise _RefusedError(400, f"the header {key} is repeated")
        headers[key] = value.decode("latin-1")
    return headers


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length[:20]) > MAX_BODY_BYTES:
        raise _RefusedError(413, f"the body may have at most {MAX_BODY_BYTES} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise _RefusedError(400, "the body is incomplete")
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise _RefusedError(413, f"the body may have at most {MAX_BODY_BYTES} bytes")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise _RefusedError(408, f"the body took longer than {BODY_SECONDS:g} seconds") from None
    if is_text_deeper_than(bytes(body), MAX_DEPTH):
        raise _RefusedError(400, "the body is nested too deeply")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body, and then what follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _refuse(send: Send, refused: _RefusedError) -> None:
    body = json.dumps({"error": printable(str(refused), 200)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
        *refused.headers,
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
