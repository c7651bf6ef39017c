"""Transports for the clients of httpx and httpx2, over the executors. Neither library is imported here."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from nango_py.engine.library_errors import as_library_error, failure_kind
from nango_py.errors import NangoError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import ModuleType

    from nango_py.engine.async_executor import AsyncExecutor
    from nango_py.engine.call_arguments import CallOptions
    from nango_py.engine.executor import Executor
    from nango_py.transport.response import Response

ERRORS = {
    "timeout": "ReadTimeout",
    "connect_timeout": "ConnectTimeout",
    "tls": "ConnectError",
    "proxy": "ProxyError",
    "truncated": "RemoteProtocolError",
    "malformed": "RemoteProtocolError",
    "unreachable": "NetworkError",
}
"""What httpx raises for each kind of failure; everything else is a TransportError."""
CHUNK_SIZE = 65_536


class HttpxTransport:
    """A transport for `httpx.Client(transport=...)` and `httpx2.Client(transport=...)`.

    Redirects, cookies and hooks stay with the client. Errors are those of httpx and of this package at the
    same time. The connection's credentials replace `Authorization`.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def handle_request(self, request: Any) -> Any:
        """Send a request of the client; its response is read by the client."""
        library = _library_of(request)
        try:
            found = self._executor.send_url(
                request.method, str(request.url), **_options(request, request.read())
            )
        except NangoError as error:
            failed = error.with_traceback(None)
        else:
            return _response(library, found, _stream_class(library)(found, library, request))
        raise _as_httpx(failed, library, request)

    def close(self) -> None:
        """Do nothing: the connections belong to Nango."""


class AsyncHttpxTransport:
    """The same for `httpx.AsyncClient` and `httpx2.AsyncClient`."""

    def __init__(self, executor: AsyncExecutor) -> None:
        self._executor = executor

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request of the client; its response is read by the client."""
        library, body = _library_of(request), await request.aread()
        try:
            found = await self._executor.send_url(request.method, str(request.url), **_options(request, body))
        except NangoError as error:
            failed = error.with_traceback(None)
        else:
            return _response(library, found, _async_stream_class(library)(found, library, request))
        raise _as_httpx(failed, library, request)

    async def aclose(self) -> None:
        """Do nothing: the connections belong to Nango."""


def _library_of(request: object) -> ModuleType:
    """The library whose client made the request, so that it gets responses and errors of its own classes."""
    return sys.modules[type(request).__module__.partition(".")[0]]


def _options(request: Any, body: bytes) -> CallOptions:
    headers: dict[str, str | None] = {}
    for raw_name, raw_value in request.headers.raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        earlier = headers.get(name)
        headers[name] = value if earlier is None else f"{earlier}, {value}"
    timeouts = request.extensions.get("timeout", {})
    return {
        "headers": headers,
        "data": body,
        "timeout": (timeouts.get("connect"), timeouts.get("read")),
        "stream": True,
    }


def _response(library: ModuleType, found: Response, stream: object) -> Any:
    headers = list(found.raw.headers.items())
    if "content-encoding" in found.headers:
        # The body is decoded already.
        decoded = {"content-encoding", "content-length"}
        headers = [(name, value) for name, value in headers if name.lower() not in decoded]
    extensions = {"http_version": b"HTTP/1.1", "reason_phrase": found.reason.encode("latin-1", "replace")}
    return library.Response(found.status_code, headers=headers, stream=stream, extensions=extensions)


def _as_httpx(error: NangoError, library: ModuleType, request: object) -> Exception:
    return as_library_error(
        error, getattr(library, ERRORS.get(failure_kind(error), "TransportError")), request
    )


class _Body:
    """The body of a response, for a client to read."""

    def __init__(self, found: Response, library: ModuleType, request: object) -> None:
        self._found: Any = found
        self._library = library
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._found.iter_content(CHUNK_SIZE)
        except NangoError as error:
            failed = error.with_traceback(None)
        else:
            return
        raise _as_httpx(failed, self._library, self._request)

    def close(self) -> None:
        self._found.close()


class _AsyncBody(_Body):
    """The same under asyncio. Iterated again, it goes on where it was left, as in httpx: SDKs drain it."""

    _chunks: AsyncIterator[bytes] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._chunks is None:
            self._chunks = self._found.aiter_content(CHUNK_SIZE)
        try:
            async for chunk in self._chunks:
                yield chunk
        except NangoError as error:
            failed = error.with_traceback(None)
        else:
            return
        raise _as_httpx(failed, self._library, self._request)

    async def aclose(self) -> None:
        await self._found.aclose()


@lru_cache(maxsize=8)
def _stream_class(library: ModuleType) -> type[_Body]:
    # httpx checks that streams are of its own class.
    return type("Body", (_Body, library.SyncByteStream), {})


@lru_cache(maxsize=8)
def _async_stream_class(library: ModuleType) -> type[_AsyncBody]:
    return type("AsyncBody", (_AsyncBody, library.AsyncByteStream), {})
