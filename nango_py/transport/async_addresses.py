"""Async connections to hosts that users name: resolved once, checked, and made to a checked address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from nango_py.transport.addresses import check_addresses

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from nango_py.transport.lookups import AddressInfo, Lookups


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """A pool whose connections lead to the public internet and to some networks, and nowhere else.

    Connections are kept by name, and TLS checks the name; only the address comes from here.

    Args:
        networks: what names may lead to beside the public internet.
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
            network_backend=CheckedBackend(lookups, networks),
        )


class CheckedBackend(httpcore2.AsyncNetworkBackend):
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
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connected stream; the first address that answers is taken.

        Raises:
            AddressRefusedError: the name leads where it may not; no socket was opened.
        """
        seconds = 30.0 if timeout is None else timeout
        try:
            found = await look_up(self._lookups, host, port, seconds)
        except socket.gaierror as error:
            raise httpcore2.ConnectError from error
        addresses = [str(address[0]) for *_, address in found]
        check_addresses(addresses, self._networks)
        failed: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        """Wait, between attempts to connect that the pool makes of its own."""
        await self._inner.sleep(seconds)


async def look_up(lookups: Lookups, host: str, port: int, seconds: float) -> list[AddressInfo]:
    """The addresses of a host. Neither the loop nor one of its threads waits for the system.

    Raises:
        socket.gaierror: there are none, or none came in time.
    """
    question, loop, done = lookups.question(host, port), asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(done.set)

    question.then(tell)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), seconds)
    return question.result()
