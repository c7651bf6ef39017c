"""Sends one plan once, without blocking an event loop; the only module that imports httpx2."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import weakref
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any

import httpx2

from nango_py.engine.commands import Failure
from nango_py.engine.http.response import Response
from nango_py.secret import live_secrets, mask_library_loggers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nango_py.engine.plan import Plan

CHUNK = 1 << 16
POOL_SIZE = 1000
"""Sockets per event loop; calls beyond it wait for one within their own time."""


class _TooLargeError(Exception):
    """The decoded body is larger than the plan accepts."""


class RawAnswer:
    """The head of an answer, in the shape that Response reads."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, answer: httpx2.Response) -> None:
        self.status = answer.status_code
        self.reason = answer.reason_phrase
        self.headers = HTTPMessage()
        for name, value in answer.headers.multi_items():
            self.headers[name] = value


class StreamedResponse(Response):
    """An answer whose body is still on its way; read it with `async for` over `aiter_content()`."""

    def __init__(self, plan: Plan, answer: httpx2.Response, seconds: float) -> None:
        super().__init__(plan, RawAnswer(answer), b"", seconds)
        self._answer = answer
        self._limit = plan.max_bytes

    async def aiter_content(self, chunk_size: int = CHUNK) -> AsyncIterator[bytes]:
        """The decoded body piece by piece.

        Raises:
            TransportFailed: it broke off, or is larger than max_response_bytes.
        """
        from nango_py.errors import TransportFailed

        size, reason = 0, ""
        try:
            async for chunk in self._answer.aiter_bytes(chunk_size):
                size += len(chunk)
                if self._limit and size > self._limit:
                    reason = "too_large"
                    break
                yield chunk
        except (httpx2.HTTPError, OSError):
            reason = "truncated"
        finally:
            await self._answer.aclose()
        if reason:
            raise TransportFailed(f"the streamed answer ended early ({reason})", reason=reason)

    async def aclose(self) -> None:
        """Give up what was not read."""
        await self._answer.aclose()


class AsyncTransport:
    """The connections of one process, kept apart for each event loop.

    No proxy, netrc or certificate setting is taken from the environment; TLS is always checked; redirects
    and retries are not its business.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        self._ca_bundle = ca_bundle
        self._clients: weakref.WeakKeyDictionary[Any, httpx2.AsyncClient] = weakref.WeakKeyDictionary()
        mask_library_loggers()

    async def send(self, plan: Plan, seconds: float) -> Response | Failure:
        """Send once. Every way to fail comes back as a Failure; only a cancellation is raised."""
        sent: list[bool] = []
        started = time.monotonic()
        shield = live_secrets.set(plan.stamp.secrets)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(plan, sent, started)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, _TooLargeError, UnicodeError) as error:
            late = time.monotonic() - started >= seconds
            return failure(error, host=plan.url.split("/")[2].rpartition("@")[2], sent=bool(sent), late=late)
        finally:
            live_secrets.reset(shield)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _exchange(self, plan: Plan, sent: list[bool], started: float) -> Response:
        async def trace(event: str, _info: Any) -> None:
            if event.endswith("send_request_headers.started"):
                sent.append(True)

        client = self._client()
        request = client.build_request(
            plan.method,
            plan.url,
            headers=list(plan.headers.values()),
            content=_content(plan.body),
            timeout=httpx2.Timeout(plan.read_seconds, connect=plan.connect_seconds, pool=None),
            extensions={"trace": trace},
        )
        answer = await client.send(request, stream=True)
        if plan.stream:
            return StreamedResponse(plan, answer, time.monotonic() - started)
        try:
            body = await _read(answer, plan.max_bytes)
        finally:
            await answer.aclose()
        return Response(plan, RawAnswer(answer), body, time.monotonic() - started)

    def _client(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            import certifi

            context = ssl.create_default_context(cafile=self._ca_bundle or certifi.where())
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            limits = httpx2.Limits(max_connections=POOL_SIZE, max_keepalive_connections=100)
            client = httpx2.AsyncClient(
                verify=context, trust_env=False, follow_redirects=False, limits=limits
            )
            self._clients[loop] = client
        return client


def _content(body: Any) -> Any:
    """A body as httpx2 takes it: a file is read piece by piece."""
    if body is None or isinstance(body, bytes) or hasattr(body, "__aiter__"):
        return body

    async def pieces() -> AsyncIterator[bytes]:
        source = iter(lambda: body.read(CHUNK), b"") if hasattr(body, "read") else iter(body)
        for piece in source:
            yield piece.encode() if isinstance(piece, str) else piece

    return pieces()


async def _read(answer: httpx2.Response, max_bytes: int) -> bytes:
    announced = answer.headers.get("content-length", "")
    if max_bytes and announced.isdigit() and int(announced) > max_bytes:
        raise _TooLargeError
    chunks, size = [], 0
    async for chunk in answer.aiter_bytes(CHUNK):
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise _TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def failure(error: BaseException, *, host: str, sent: bool, late: bool) -> Failure:
    """What a library's exception means, without its text: that may hold the URL."""
    if isinstance(error, _TooLargeError):
        return Failure("too_large", sent, f"the answer of {host} is larger than max_response_bytes")
    causes = list(_causes(error))
    if not sent:
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if tls is not None:
            return Failure("tls", sent=False, text=f"no trusted TLS connection to {host}: {tls.reason}")
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return Failure("dns", sent=False, text=f"the name {host} could not be resolved")
        return Failure("connect", sent=False, text=f"no connection to {host}")
    if late or isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Failure("timeout", sent, f"no answer from {host} in time")
    if isinstance(error, httpx2.RemoteProtocolError):
        # httpcore2 has one class for an answer that broke off and for one that never began.
        if "incomplete" in str(error) or "without sending complete" in str(error):
            return Failure("truncated", sent, f"the answer of {host} broke off")
        if "disconnected" in str(error):
            return Failure("reset", sent, f"{host} closed the connection")
        return Failure("protocol", sent, f"{host} did not speak HTTP correctly")
    if isinstance(error, httpx2.NetworkError | OSError):
        return Failure("reset", sent, f"{host} closed the connection")
    return Failure("protocol", sent, f"{host} did not speak HTTP correctly ({type(error).__name__})")


def _causes(error: BaseException) -> Any:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
