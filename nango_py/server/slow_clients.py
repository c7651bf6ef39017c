"""HTTP for clients that are slow on purpose: a request that does not come whole, and soon, is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.server import ServerState

REQUEST_SECONDS = 10.0
"""For a whole request, from its first byte, or the connection's beginning, to the last byte of its body."""

MOST_UNFINISHED = 256
"""Connections whose request has not come whole; the oldest makes room for one more."""

LARGEST_HEADERS = 32_768

_unfinished: WeakKeyDictionary[ServerState, dict[PunctualProtocol, None]] = WeakKeyDictionary()


class PunctualProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to the time that a request may take to come.

    uvicorn itself waits for ever for the first request of a connection, and for the rest of each.
    """

    request_seconds = REQUEST_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._others = _unfinished.setdefault(self.server_state, {})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client is here and has said nothing."""
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or all of it."""
        super().data_received(data)
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._await_request()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        if self._timer is not None:
            return
        self._timer = self.loop.call_later(self.request_seconds, self._drop)
        self._others[self] = None
        if len(self._others) > MOST_UNFINISHED:
            next(iter(self._others))._drop()  # noqa: SLF001 - of this class

    def _stop_waiting(self) -> None:
        self._others.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self) -> None:
        self._stop_waiting()
        self.transport.abort()
