"""What a transport sends by instead of the network: a tape that records or replays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nango_py.transport.response import Response
    from nango_py.transport.sendable import Failure, Sendable


class Tape(Protocol):
    """Sends requests for both transports."""

    def send(
        self, request: Sendable, seconds: float, send: Callable[[Sendable, float], Response | Failure]
    ) -> Response | Failure:
        """The outcome of a request; `send` asks the network."""

    async def send_async(
        self,
        request: Sendable,
        seconds: float,
        send: Callable[[Sendable, float], Awaitable[Response | Failure]],
    ) -> Response | Failure:
        """The same under asyncio."""
