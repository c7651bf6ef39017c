"""uvicorn with limits for slow clients, for `nango serve`."""

from __future__ import annotations

import socket
from collections import Counter
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nango_py.server.asgi import ConnectServer
from nango_py.server.responses import Refusal, json_refusal

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Receive, Scope, Send
    from uvicorn.server import ServerState

    from nango_py.accounts import Accounts

REQUEST_SECONDS = 10.0
"""For a complete request, from its first byte or the start of the connection to the end of its body."""

RESPONSE_SECONDS = 30.0
"""For a complete response, from the first byte that the client does not read at once to the last one."""

MAX_STALLED = 256
"""Connections that wait for their client: for the rest of a request, or until it reads a response.

If there is one more, the oldest of the address that has most of them is closed.
"""

MAX_PIPELINED = 8
"""Requests that a client may send before it has read the responses; the connection closes after them."""

MAX_PER_ADDRESS = 450
"""Connections from one address (IPv6: one /64), half of all. A reverse proxy is one address too.

If there is one more, the oldest one in which nothing happens is closed, or the new one if there is none.
"""

MAX_HEADER_BYTES = 32_768

MAX_CONNECTIONS = 900
"""Further requests get 503. A process may usually have 1,024 open files."""

SHUTDOWN_SECONDS = 60
"""For requests in flight when the server stops; longer than a token exchange may take."""


class PunctualProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with timeouts for requests and responses; uvicorn itself waits forever."""

    request_seconds = REQUEST_SECONDS
    response_seconds = RESPONSE_SECONDS
    max_per_address = MAX_PER_ADDRESS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._clients = _clients.setdefault(self.server_state, Clients())
        self._pipelined = 0
        self.address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self.address = network_of(self.client[0] if self.client else "")
        connections = self._clients.add(self)
        if len(connections) > self.max_per_address:
            idle = next((each for each in connections if each.is_idle), self)
            idle.abort()
            if idle is self:
                return
        transport.set_write_buffer_limits(high=0)  # so that `pause_writing` reports every unread byte
        self._start_timer(self.request_seconds)

    def data_received(self, data: bytes) -> None:
        """Process some bytes, and stop the timeout if they complete the request."""
        self._pipelined = 0
        super().data_received(data)
        if self.flow.write_paused or self.transport.is_closing():
            return
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._start_timer(self.request_seconds)
        else:
            self._stop_timer()

    def handle_events(self) -> None:
        """Process the requests that have arrived, up to `MAX_PIPELINED` of them."""
        self._pipelined += 1
        if self._pipelined > MAX_PIPELINED:
            self.transport.close()
            return
        super().handle_events()

    def send_400_response(self, msg: str) -> None:
        """Refuse an invalid request, or close the connection if its response has begun.

        uvicorn would send two responses, which h11 refuses with a traceback in the log.
        """
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Start the timeout of a response that the client does not read."""
        super().pause_writing()
        self._stop_timer()
        self._start_timer(self.response_seconds)

    def resume_writing(self) -> None:
        """Stop the timeout: the client has read everything. It may owe the rest of its next request."""
        super().resume_writing()
        self._stop_timer()
        if self.timeout_keep_alive_task is None and self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            self._start_timer(self.request_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timer()
        self._clients.remove(self)
        super().connection_lost(exc)
        self._stop_timer()

    @property
    def is_idle(self) -> bool:
        """Whether the connection waits for its client: for a request, or until it reads a response."""
        return self in self._clients.stalled or self.timeout_keep_alive_task is not None

    def abort(self) -> None:
        """Close the connection without waiting for the client."""
        self._stop_timer()
        self.transport.abort()

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self.abort)
            self._clients.add_stalled(self)

    def _stop_timer(self) -> None:
        self._clients.stalled.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Clients:
    """The connections of one server by address.

    Attributes:
        stalled: those that wait for their client, the oldest first.
    """

    def __init__(self) -> None:
        self.stalled: dict[PunctualProtocol, None] = {}
        self._connections: dict[str, dict[PunctualProtocol, None]] = {}

    def add(self, connection: PunctualProtocol) -> dict[PunctualProtocol, None]:
        """Note a connection, and return those of its address, the oldest first."""
        connections = self._connections.setdefault(connection.address, {})
        connections[connection] = None
        return connections

    def remove(self, connection: PunctualProtocol) -> None:
        """Forget a connection that is closed."""
        connections = self._connections.get(connection.address, {})
        connections.pop(connection, None)
        if not connections:
            self._connections.pop(connection.address, None)

    def add_stalled(self, connection: PunctualProtocol) -> None:
        """Note a connection that waits for its client, and close another one if there are too many."""
        self.stalled[connection] = None
        if len(self.stalled) > MAX_STALLED:
            ((busiest, _),) = Counter(each.address for each in self.stalled).most_common(1)
            next(each for each in self.stalled if each.address == busiest).abort()


_clients: WeakKeyDictionary[ServerState, Clients] = WeakKeyDictionary()


def network_of(address: str) -> str:
    """The address, or the /64 of an IPv6 address, which one subscriber has whole."""
    try:
        number = ip_address(address)
    except ValueError:
        return address
    if number.version == 4:  # noqa: PLR2004 - IPv4
        return address
    mapped = number.ipv4_mapped
    return str(mapped) if mapped else str(ip_network((int(number), 64), strict=False))


def make_server(accounts: Accounts, **more: Any) -> uvicorn.Server:
    """A server for the connect page; `run(sockets=[...])` serves until a signal arrives."""
    return make_app_server(ConnectServer(accounts), **more)


def make_app_server(app: Any, **more: Any) -> uvicorn.Server:
    """A server for an ASGI application, with the same limits.

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
    return uvicorn.Server(uvicorn.Config(refuse_two_lengths(app), **options))


def refuse_two_lengths(app: Any) -> Any:
    """The application, without requests that have both Content-Length and Transfer-Encoding.

    A proxy and this server could disagree where such a request ends, and the rest would be another one:
    request smuggling (RFC 9112 section 6.1). The connection is closed, too.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if {name for name, _ in scope.get("headers", ())} >= {b"content-length", b"transfer-encoding"}:
            what = "a request has either Content-Length or Transfer-Encoding"
            headers = {"Connection": "close", "Cache-Control": "no-store"}
            headers["X-Content-Type-Options"] = "nosniff"
            refusal = Refusal(400, "bad_request", what, headers=headers)
            await json_refusal(refusal)(scope, receive, send)
            return
        await app(scope, receive, send)

    return serve


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
