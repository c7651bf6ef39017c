"""Sends one plan once, without blocking an event loop; the only module that imports httpx2."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
import weakref
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import httpx2

from nango_py.errors import TransportFailed
from nango_py.secret import live_secrets, mask_library_loggers
from nango_py.transport.addresses import AddressRefusedError, refusal
from nango_py.transport.async_addresses import CheckedTransport
from nango_py.transport.certificates import MOST_KEPT, tls_context
from nango_py.transport.http1 import BODILESS
from nango_py.transport.lookups import Lookups, system_look_up
from nango_py.transport.proxy_tunnel import is_local, refuses
from nango_py.transport.response import STREAM_ENDED, Response, is_streamed, most_bytes
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from nango_py.transport.lookups import LookUp
    from nango_py.transport.sendable import Sendable

PoolName = tuple[tuple[str, ...], tuple[str, ...] | None]
EVERYBODY: PoolName = (("", ""), None)
CHUNK = 1 << 16
POOL_SIZE = 1000
"""Sockets per event loop; calls beyond it wait for one within their own time."""


class _TooLargeError(Exception):
    """The decoded body is larger than the plan accepts."""


class RawResponse:
    """The head of a response, in the shape that Response reads."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.reason = response.reason_phrase
        self.headers = HTTPMessage()
        for name, value in response.headers.raw:
            self.headers[name.decode("latin-1")] = value.decode("latin-1")


class StreamedResponse(Response):
    """A response whose body is still on its way; read it with `async for` over `aiter_content()`.

    Also an async context manager, which frees the connection at its end.
    """

    def __init__(self, plan: Sendable, response: httpx2.Response, body: bytes | None, seconds: float) -> None:
        super().__init__(plan, RawResponse(response), body, seconds)
        self._response = response
        self._limit = plan.max_bytes

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aiter_content(self, chunk_size: int = CHUNK) -> AsyncIterator[bytes]:
        """The decoded body as it comes, in pieces of at most `chunk_size` bytes.

        Raises:
            TransportFailed: it broke off, fell silent, or is larger than max_response_bytes.
        """
        if self._content_consumed:
            for chunk in self.iter_content(chunk_size):
                yield chunk
            return
        size, reason = 0, ""
        try:
            async with contextlib.aclosing(self._response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    if self._limit and size > self._limit:
                        reason = "too_large"
                        break
                    for start in range(0, len(chunk), chunk_size):
                        yield chunk[start : start + chunk_size]
        except httpx2.TimeoutException:
            reason = "timeout"
        except (httpx2.HTTPError, OSError):
            reason = "truncated"
        finally:
            await self.aclose()
        if reason:
            raise TransportFailed(STREAM_ENDED[reason], reason=reason, response=self)

    async def aread(self) -> bytes:
        """The whole body; afterwards `content`, `text` and `json()` have it too."""
        if not self._content_consumed:
            self._content = b"".join([chunk async for chunk in self.aiter_content()])
            self._content_consumed = True
        return self.content

    async def aclose(self) -> None:
        """Give up what was not read."""
        await self._response.aclose()

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002 - the signature of requests
        """The body once `aread()` has read it.

        Raises:
            RuntimeError: it is still on its way, and only asyncio can wait for it.
        """
        if not self._content_consumed:
            raise RuntimeError(
                "read this response with `async for chunk in response.aiter_content()`, or aread()"
            )
        return super().iter_content(chunk_size, decode_unicode)

    def close(self) -> None:
        """Nothing for a response that was read.

        Raises:
            RuntimeError: the body is still on its way; `await answer.aclose()` frees its connection.
        """
        if not (self._content_consumed or self._response.is_closed):
            raise RuntimeError("close this response with `await answer.aclose()`")


class AsyncTransport:
    """The connections of one process, kept apart for each event loop.

    No proxy, netrc or certificate setting is taken from the environment; TLS is always checked; redirects
    and retries are not its business.

    Args:
        ca_bundle: a file of trusted certificates instead of certifi's.
        look_up: gives the addresses of hosts that users name; the system does by default.
    """

    def __init__(self, ca_bundle: str | None = None, look_up: LookUp = system_look_up) -> None:
        self._ca_bundle = ca_bundle
        self._lookups = Lookups(look_up)
        self._pools: weakref.WeakKeyDictionary[Any, dict[PoolName, _Pool]] = weakref.WeakKeyDictionary()
        mask_library_loggers()

    async def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send once. Every way to fail comes back as a Failure; only a cancellation is raised."""
        sent: list[bool] = []
        started = time.monotonic()
        shield = live_secrets.set(plan.stamp.secrets)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(plan, sent, started)
        except AddressRefusedError:
            return Failure("blocked", sent=False, text=refusal(plan.stamp.guard, plan.url.split("/")[2]))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, _TooLargeError, UnicodeError) as error:
            late = time.monotonic() - started >= seconds
            return failure(error, host=plan.url.split("/")[2].rpartition("@")[2], sent=bool(sent), late=late)
        finally:
            live_secrets.reset(shield)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        for pool in self._pools.pop(asyncio.get_running_loop(), {}).values():
            await pool.ending.aclose()

    async def _exchange(self, plan: Sendable, sent: list[bool], started: float) -> Response:
        async def trace(event: str, info: Any) -> None:
            if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                sent.append(True)

        pool = await self._pool(plan)
        pool.busy += 1
        try:
            # The pool and not a client: a client keeps cookies, and would show them to other users' calls.
            response = await pool.transport.handle_async_request(_request(plan, trace))
            return await self._answered(plan, response, started)
        finally:
            pool.busy -= 1

    async def _answered(self, plan: Sendable, response: httpx2.Response, started: float) -> Response:
        if is_streamed(plan, response.status_code):
            return StreamedResponse(plan, response, None, time.monotonic() - started)
        try:
            body = await _read(response, most_bytes(plan))
        finally:
            await response.aclose()
        seconds = time.monotonic() - started
        if plan.stream:
            return StreamedResponse(plan, response, body, seconds)
        return Response(plan, RawResponse(response), body, seconds)

    async def _pool(self, plan: Sendable) -> _Pool:
        """The connections of the running loop.

        Those of a client certificate are nobody else's, and those to hosts that users name belong to who
        allows the same networks. Proxies are not mixed either.
        """
        pools = self._pools.setdefault(asyncio.get_running_loop(), {})
        stamp, name = plan.stamp, EVERYBODY
        certificate, guard, proxy = None, stamp.guard, None
        if stamp.is_apart:
            if plan.url.startswith("https:"):
                certificate = stamp.client_certificate
                proxy = None if is_local(urlsplit(plan.url).hostname or "") else stamp.proxy
            networks = None if guard is None else guard.networks
            name = tuple("" if part is None else part.name for part in (certificate, proxy)), networks
        known = pools.get(name)
        if known is not None:
            return known
        import certifi

        trusted = self._ca_bundle or certifi.where()
        context = tls_context(trusted) if certificate is None else certificate.context(trusted)
        limits = httpx2.Limits(max_connections=POOL_SIZE, max_keepalive_connections=100)
        via = None if proxy is None else httpx2.Proxy(proxy.url, auth=proxy.login)
        pool = _Pool(
            httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, proxy=via)
            if guard is None
            else CheckedTransport(context, limits, self._lookups, guard.networks)
        )
        pools[name] = pool
        await anext(pool.ending)
        if len(pools) > MOST_KEPT:
            idle = next(
                (key for key, one in pools.items() if key != EVERYBODY and not one.busy and one is not pool),
                None,
            )
            if idle is not None:
                await pools.pop(idle).ending.aclose()
        return pool


class _Pool:
    """Connections, and how many calls use them."""

    __slots__ = ("busy", "ending", "transport")

    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.transport = transport
        # asyncio.run() ends the async generators that are left, and so closes what nobody did.
        self.ending = _closed_at_the_end(transport)
        self.busy = 0


async def _closed_at_the_end(pool: httpx2.AsyncHTTPTransport) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await pool.aclose()


def _request(plan: Sendable, trace: Any) -> httpx2.Request:
    """The plan as httpx2 takes it, its target and headers to the byte as the sync road sends them."""
    seconds = httpx2.Timeout(plan.read_seconds, connect=plan.connect_seconds, pool=None)
    target = "/" + plan.url.split("/", 3)[3]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in plan.headers.values()]
    if plan.body is None and plan.method not in BODILESS:
        headers.append((b"Content-Length", b"0"))
    return httpx2.Request(
        plan.method,
        plan.url,
        headers=headers,
        content=_content(plan.body),
        extensions={"trace": trace, "timeout": seconds.as_dict(), "target": target.encode("ascii")},
    )


def _content(body: Any) -> Any:
    """A body as httpx2 takes it: a file is read piece by piece."""
    if body is None or isinstance(body, bytes) or hasattr(body, "__aiter__"):
        return body

    async def pieces() -> AsyncIterator[bytes]:
        source = iter(lambda: body.read(CHUNK), b"") if hasattr(body, "read") else iter(body)
        for piece in source:
            yield piece.encode() if isinstance(piece, str) else piece

    return pieces()


async def _read(response: httpx2.Response, max_bytes: int) -> bytes:
    announced = response.headers.get("content-length", "")
    if max_bytes and announced.isdigit() and int(announced) > max_bytes:
        raise _TooLargeError
    chunks, size = [], 0
    async for chunk in response.aiter_bytes(CHUNK):
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise _TooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


def failure(error: BaseException, *, host: str, sent: bool, late: bool) -> Failure:
    """What a library's exception means, without its text: that may hold the URL."""
    if isinstance(error, _TooLargeError):
        return Failure("too_large", sent, f"the response of {host} is larger than max_response_bytes")
    if not sent:
        return _unsent(error, host)
    if late or isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Failure("timeout", sent, f"no response from {host} in time")
    if isinstance(error, httpx2.RemoteProtocolError):
        # httpcore2 has one class for a response that broke off and for one that never began.
        if "incomplete" in str(error) or "without sending complete" in str(error):
            return Failure("truncated", sent, f"the response of {host} broke off")
        if "disconnected" in str(error):
            return Failure("reset", sent, f"{host} closed the connection")
        return Failure("protocol", sent, f"{host} did not speak HTTP correctly")
    if isinstance(error, httpx2.NetworkError | OSError):
        return Failure("reset", sent, f"{host} closed the connection")
    return Failure("protocol", sent, f"{host} did not speak HTTP correctly ({type(error).__name__})")


def _unsent(error: BaseException, host: str) -> Failure:
    if isinstance(error, httpx2.ProxyError) and refuses(str(error)):
        return Failure("proxy", sent=False, text=f"the proxy lets no connection through to {host}")
    causes = list(_causes(error))
    tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if tls is not None:
        return Failure("tls", sent=False, text=f"no trusted TLS connection to {host}: {tls.reason}")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Failure("dns", sent=False, text=f"the name {host} could not be resolved")
    return Failure("connect", sent=False, text=f"no connection to {host}")


def _causes(error: BaseException) -> Any:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
