"""uvicorn with bounds, for `nango serve`."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from nango_py.server.asgi import ConnectServer
from nango_py.server.slow_clients import LARGEST_HEADERS, PunctualProtocol

if TYPE_CHECKING:
    from nango_py.accounts import Accounts

MOST_CONNECTIONS = 900
"""Below the 1,024 open files that a process may have by default; beyond it the response is 503."""

DRAIN_SECONDS = 60
"""What requests under way get when the server ends: longer than a login's exchange may take."""


def make_server(accounts: Accounts, **more: Any) -> uvicorn.Server:
    """A server for the connect pages of a product; `run(sockets=[...])` serves until a signal.

    Its log is that of `nango_py.server`: uvicorn's own would show the query of a callback.
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
        "limit_concurrency": MOST_CONNECTIONS,
        "h11_max_incomplete_event_size": LARGEST_HEADERS,
        "timeout_graceful_shutdown": DRAIN_SECONDS,
        **more,
    }
    return uvicorn.Server(uvicorn.Config(ConnectServer(accounts), **options))


def listening(host: str, port: int) -> socket.socket:
    """A socket at the address; port 0 takes a free one.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=512)
    # asyncio sets it only where a socket names its protocol; without it a response's body waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
