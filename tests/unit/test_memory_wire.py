"""Requests within the process reach a sandbox as those of sockets do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nango_py import Sandbox
from nango_py.blueprint_tests.bench import PORT, Redirected
from nango_py.blueprint_tests.memory_wire import send_in_memory
from nango_py.sandbox import FaultPlan, SandboxResponse
from nango_py.sandbox.faults import Fault
from nango_py.transport.response import Response
from nango_py.transport.sendable import Failure
from nango_py.transport.sync_transport import Transport
from tests.support.sandbox_product import SHOP


class Planned:
    """A request."""

    method, stream, max_bytes = "POST", False, 0
    connect_seconds = read_seconds = 5.0
    masked_url, masked_headers = "", {"authorization": "Key ..."}

    def __init__(self, body: Any) -> None:
        self.body = body
        self.headers = {"authorization": ("Authorization", "Key k")}


class Once(FaultPlan):
    """One fault, at the first request."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(0, {})
        self.faults = list(faults)

    def next(self, endpoint: str) -> Fault | None:
        """The next fault."""
        return self.faults.pop(0) if self.faults else None


def send_both(sandbox: Sandbox, body: Any) -> list[tuple[Any, ...]]:
    """What a request brings in memory and over a socket."""
    found: list[tuple[Any, ...]] = []
    transport = Transport()
    with sandbox:
        request: Any = Redirected(Planned(body), f"{sandbox.base_url}things")  # type: ignore[arg-type]
        for result in (send_in_memory(sandbox.api, request), transport.send(request, 30.0)):
            if isinstance(result, Failure):
                found.append((result.reason, result.sent))
            else:
                assert isinstance(result, Response)
                found.append((result.status_code, result.content, result.headers["Content-Type"]))
    transport.close()
    return found


@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_a_response_is_that_of_a_socket(size: int) -> None:
    """Bodies that are sent at once and in pieces arrive whole, and so does the response."""
    sandbox = Sandbox(SHOP)
    sandbox.handle("POST", "things")(lambda request: {"size": len(request.body), "text": "é" * size})
    memory, socket = send_both(sandbox, bytes(size) or None)
    assert memory == socket
    assert memory[0] == 200
    assert json.loads(memory[1])["size"] == size


@pytest.mark.parametrize(
    ("kind", "reason"), [("reset_before", "reset"), ("reset_after", "reset"), ("truncate", "truncated")]
)
def test_a_broken_connection_is_that_of_a_socket(kind: str, reason: str) -> None:
    """The failure has the same name, and the request is no longer in flight afterwards."""
    limits = {"budgets": [{"key": "all", "max_in_flight": 1}]}
    sandbox = Sandbox({**SHOP, "rate_limits": limits}, faults=Once(Fault(kind), Fault(kind)))
    sandbox.respond("POST", "things", SandboxResponse.of({"id": 1}))
    assert send_both(sandbox, b"x") == [(reason, True)] * 2
    assert send_both(sandbox, b"x")[0][0] == 200


def test_a_response_that_never_comes_is_a_timeout() -> None:
    """The sandbox only acts when it receives something, so that waiting would not end."""
    sandbox = Sandbox(SHOP, port=PORT, faults=Once(Fault("timeout")))
    request: Any = Redirected(Planned(None), f"{sandbox.base_url}things")  # type: ignore[arg-type]
    failure = send_in_memory(sandbox.api, request)
    assert isinstance(failure, Failure)
    assert failure.reason == "timeout"
