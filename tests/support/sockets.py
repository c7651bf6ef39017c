"""Small things of the network that several end-to-end tests need."""

from __future__ import annotations

import socket


def closed_port() -> int:
    """A port of 127.0.0.1 on which no program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
