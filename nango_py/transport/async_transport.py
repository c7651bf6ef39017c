"""Sends a request once without blocking the event loop: the async transport.

The only module that imports httpx2 and its lower layer httpcore2.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import weakref
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

import httpcore2
import httpx2

from nango_py.secret import live_secrets, mask_library_loggers
from nango_py.transport.addresses import AddressRefusedError, blocked_message, check_addresses
from nango_py.transport.certificates import tls_context
from nango_py.transport.http1 import METHODS_WITHOUT_BODY
from nango_py.transport.lookups import Lookups, system_look_up
from nango_py.transport.pools import MAX_CACHED, PoolKey, pool_key
from nango_py.transport.proxy_tunnel import REFUSALS
from nango_py.transport.response import (
    CHUNK_SIZE,
    Response,
    ResponseHead,
    StreamBroken,
    StreamedResponse,
    is_streamed,
    max_body_size,
)
from nango_py.transport.sendable import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

    from nango_py.transport.lookups import LookUp
    from nango_py.transport.sendable import Sendable, StreamedBody

    SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

POOL_SIZE = 1000
"""Sockets per event loop; further calls wait for one within their own timeout."""

_PoolDict: TypeAlias = "dict[PoolKey | None, _Pool]"
"""The pools of an event loop; None is the key of the shared one."""


class _BodyTooLargeError(Exception):
    """The decoded body exceeds the limit of its request."""


class AsyncTransport:
    """The connections of one process, separate for each event loop.

    No proxy, netrc or certificate setting is taken from the environment. TLS is always checked. Redirects and
    retries are left to the caller.

    Args:
        ca_bundle: a file of trusted certificates to use instead of certifi's.
        look_up: returns the addresses of hosts that users name; the system's resolver by default.
    """

    def __init__(self, ca_bundle: str | None = None, look_up: LookUp = system_look_up) -> None:
        self._ca_bundle = ca_bundle
        self._lookups = Lookups(look_up)
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _PoolDict] = (
            weakref.WeakKeyDictionary()
        )
        mask_library_loggers()

    async def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request once, within a time.

        Whatever goes wrong is returned as a Failure; only a cancellation is raised.
        """
        progress = _Progress()
        started = time.monotonic()
        secrets = live_secrets.set(plan.settings.secrets)
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(plan, progress, started)
        except AddressRefusedError:
            netloc = plan.url.split("/")[2]
            return Failure("blocked", sent=False, text=blocked_message(plan.settings.guard, netloc))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, _BodyTooLargeError, UnicodeError) as error:
            host = plan.url.split("/")[2].rpartition("@")[2]
            return _failure(error, host, progress, is_late=time.monotonic() - started >= seconds)
        finally:
            live_secrets.reset(secrets)

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        for pool in self._pools.pop(asyncio.get_running_loop(), {}).values():
            await pool.closer.aclose()

    async def _exchange(self, plan: Sendable, progress: _Progress, started: float) -> Response:
        pool = await self._pool(plan)
        pool.active += 1
        try:
            # Not a client: that would keep cookies, and send them with other users' requests.
            response = await pool.transport.handle_async_request(_encode(plan, progress))
            return await self._read(plan, response, started)
        finally:
            pool.active -= 1

    async def _read(self, plan: Sendable, response: httpx2.Response, started: float) -> Response:
        content = None
        if not is_streamed(plan, response.status_code):
            try:
                content = await _read_body(response, max_body_size(plan))
            finally:
                await response.aclose()
        seconds = time.monotonic() - started
        head = ResponseHead(response.status_code, response.reason_phrase, response.headers.raw)
        if plan.stream:
            return StreamedResponse(plan, head, content, seconds, _stream(response), response.aclose)
        return Response(plan, head, content, seconds)

    async def _pool(self, plan: Sendable) -> _Pool:
        """The connections of the running event loop that a request may use."""
        pools = self._pools.setdefault(asyncio.get_running_loop(), {})
        key = pool_key(plan) if plan.settings.needs_own_pool else None
        pool = pools.get(key)
        if pool is None:
            pool = pools[key] = _Pool(self._new_transport(key or PoolKey()))
            await anext(pool.closer)
            if len(pools) > MAX_CACHED:
                await _close_idle_pool(pools)
        return pool

    def _new_transport(self, key: PoolKey) -> httpx2.AsyncHTTPTransport:
        make_context = tls_context if key.certificate is None else key.certificate.context
        context = make_context(self._ca_bundle)
        limits = httpx2.Limits(max_connections=POOL_SIZE, max_keepalive_connections=100)
        if key.networks is not None:
            return _CheckedTransport(context, limits, self._lookups, key.networks)
        proxy = None if key.proxy is None else httpx2.Proxy(key.proxy.url, auth=key.proxy.login)
        return httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits, proxy=proxy)


class _Pool:
    """Connections, and the number of calls that use them."""

    __slots__ = ("active", "closer", "transport")

    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.transport = transport
        # asyncio.run() closes open async generators, and so the connections that nothing else closed.
        self.closer = _close_at_end(transport)
        self.active = 0


async def _close_at_end(transport: httpx2.AsyncHTTPTransport) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await transport.aclose()


async def _close_idle_pool(pools: _PoolDict) -> None:
    """Close the oldest pool that is not in use, except the shared one and the newest."""
    for key, pool in list(pools.items())[:-1]:
        if key is not None and not pool.active:
            await pools.pop(key).closer.aclose()
            return


class _Progress:
    """How far an attempt got, as httpcore2 traces it."""

    __slots__ = ("has_head", "is_tunnelling", "sent", "tunnel_status")

    def __init__(self) -> None:
        self.sent = False
        self.has_head = False
        self.is_tunnelling = False
        self.tunnel_status = 0

    async def trace(self, event: str, info: dict[str, object]) -> None:
        """Take note of an event."""
        match event, info:
            case "http11.send_request_headers.started", {"request": httpcore2.Request(method=method)}:
                self.is_tunnelling = method == b"CONNECT"
                self.sent = not self.is_tunnelling
            case "http11.receive_response_headers.complete", {"return_value": (_, int(status), *_)}:
                if self.is_tunnelling:
                    self.tunnel_status = status
                else:
                    self.has_head = True


class _CheckedTransport(httpx2.AsyncHTTPTransport):
    """Connects to the public internet and the given networks only.

    Connections are pooled by host name, and TLS checks the name; only the address is chosen here.
    """

    def __init__(
        self, context: ssl.SSLContext, limits: httpx2.Limits, lookups: Lookups, networks: tuple[str, ...]
    ) -> None:
        super().__init__(verify=context, trust_env=False, limits=limits)
        # httpx2 has no argument for the part of httpcore2 that opens sockets.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_CheckedBackend(lookups, networks),
        )


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens sockets to checked addresses only."""

    def __init__(self, lookups: Lookups, networks: tuple[str, ...]) -> None:
        self._inner = httpcore2.AnyIOBackend()
        self._lookups = lookups
        self._networks = networks

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of httpcore2
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that accepts.

        Raises:
            AddressRefusedError: the host resolves to a network that is not allowed; no socket was opened.
        """
        seconds = 30.0 if timeout is None else timeout
        try:
            found = await self._lookups.resolve_async(host, port, seconds)
        except socket.gaierror as error:
            raise httpcore2.ConnectError from error
        addresses = [address[0] for *_, address in found]
        check_addresses(addresses, self._networks)
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure


def _encode(plan: Sendable, progress: _Progress) -> httpx2.Request:
    """The request for httpx2, with the same target and headers that the sync transport sends."""
    seconds = httpx2.Timeout(plan.read_seconds, connect=plan.connect_seconds, pool=None)
    target = "/" + plan.url.split("/", 3)[3]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in plan.headers.values()]
    if plan.body is None and plan.method not in METHODS_WITHOUT_BODY:
        headers.append((b"Content-Length", b"0"))
    return httpx2.Request(
        plan.method,
        plan.url,
        headers=headers,
        content=plan.body if plan.body is None or isinstance(plan.body, bytes) else _read_pieces(plan.body),
        extensions={
            "trace": progress.trace,
            "timeout": seconds.as_dict(),
            "target": target.encode("ascii"),
        },
    )


async def _read_pieces(body: StreamedBody) -> AsyncGenerator[bytes]:
    """A file or iterable piece by piece, as httpx2 takes it."""
    read = getattr(body, "read", None)
    for piece in body if read is None else iter(lambda: read(CHUNK_SIZE) or None, None):
        yield piece.encode() if isinstance(piece, str) else piece


async def _read_body(response: httpx2.Response, max_bytes: int) -> bytes:
    announced = response.headers.get("content-length", "")
    if max_bytes and announced.isdigit() and int(announced) > max_bytes:
        raise _BodyTooLargeError
    chunks, size = [], 0
    async for chunk in response.aiter_bytes(CHUNK_SIZE):
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise _BodyTooLargeError
        chunks.append(chunk)
    return b"".join(chunks)


async def _stream(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """The decoded body as it arrives; raises StreamBroken."""
    try:
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                yield chunk
    except httpx2.TimeoutException:
        broken = StreamBroken("timeout")
    except (httpx2.HTTPError, OSError):
        broken = StreamBroken("truncated")
    else:
        return
    raise broken


def _failure(error: BaseException, host: str, progress: _Progress, *, is_late: bool) -> Failure:
    """The failure that a library's exception means, without its text: that may contain the URL."""
    if isinstance(error, _BodyTooLargeError):
        return Failure.of("too_large", host, sent=progress.sent)
    if not progress.sent:
        return _unsent_failure(error, host, progress)
    if is_late or isinstance(error, httpx2.TimeoutException | TimeoutError):
        return Failure.of("timeout", host, sent=True)
    if isinstance(error, httpx2.RemoteProtocolError):
        if progress.has_head:
            return Failure.of("truncated", host, sent=True)
        if not _is_parse_error(error):
            return Failure.of("reset", host, sent=True)
    elif isinstance(error, httpx2.NetworkError | OSError):
        return Failure.of("reset", host, sent=True)
    return Failure.of("protocol", host, sent=True, detail=type(error).__name__)


def _is_parse_error(error: httpx2.RemoteProtocolError) -> bool:
    """Whether h11, and not httpcore2 itself, found fault with the response.

    If the server closes the connection before it responds, httpcore2 raises the error itself.
    """
    *_, root = _causes(error)
    return not isinstance(root, httpcore2.RemoteProtocolError)


def _unsent_failure(error: BaseException, host: str, progress: _Progress) -> Failure:
    if progress.tunnel_status in REFUSALS:
        return Failure.of("proxy", host, sent=False)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return Failure.of("tls", host, sent=False, detail=cause.reason)
        if isinstance(cause, socket.gaierror):
            return Failure.of("dns", host, sent=False)
    return Failure.of("connect", host, sent=False)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
