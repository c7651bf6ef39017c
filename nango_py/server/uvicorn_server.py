"""uvicorn with limits for slow clients, for `nango serve`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nango_py.server.asgi import ConnectServer

if TYPE_CHECKING:
    import asyncio

    from uvicorn.server import ServerState

    from nango_py.accounts import Accounts

REQUEST_SECONDS = 10.0
"""For a complete request, from its first byte or the start of the connection to the end of its body."""

MAX_INCOMPLETE = 256
"""Connections with an incomplete request. The oldest is closed when there is one more."""

MAX_HEADER_BYTES = 32_768

MAX_CONNECTIONS = 900
"""Further requests get 503. A process may usually have 1,024 open files."""

SHUTDOWN_SECONDS = 60
"""For requests in flight when the server stops; longer than a token exchange may take."""

_incomplete: WeakKeyDictionary[ServerState, dict[PunctualProtocol, None]] = WeakKeyDictionary()


class PunctualProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a timeout for requests; uvicorn itself waits forever."""

    request_seconds = REQUEST_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._all_incomplete = _incomplete.setdefault(self.server_state, {})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Process some bytes, and stop the timeout if they complete the request."""
        super().data_received(data)
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._start_timer()
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if self._timer is not None:
            return
        self._timer = self.loop.call_later(self.request_seconds, self._abort)
        self._all_incomplete[self] = None
        if len(self._all_incomplete) > MAX_INCOMPLETE:
            next(iter(self._all_incomplete))._abort()  # noqa: SLF001 - of this class

    def _stop_timer(self) -> None:
        self._all_incomplete.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort(self) -> None:
        self._stop_timer()
        self.transport.abort()


def make_server(accounts: Accounts, **more: Any) -> uvicorn.Server:
    """A server for the connect page; `run(sockets=[...])` serves until a signal arrives.

    It logs to `nango_py.server`, because uvicorn's own access log would show the query of a callback.
    """
    options: dict[str, Any] = {
        "http": PunctualProtocol,
        "ws": "none",
        "lifespan": "off",
        "interface": "asgi3",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "limit_concurrency": MAX_CONNECTIONS,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "timeout_graceful_shutdown": SHUTDOWN_SECONDS,
        **more,
    }
    return uvicorn.Server(uvicorn.Config(ConnectServer(accounts), **options))


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the port is in use, or the address does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)
    # asyncio sets it only on sockets with an explicit protocol; without it a response's body waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
