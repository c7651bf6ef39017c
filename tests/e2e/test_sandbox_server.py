"""The HTTP server of the sandbox, from start to stop."""

from __future__ import annotations

import gc
import os
import socket
import threading

import pytest

from nango_py.sandbox import Fault, FaultPlan, Sandbox
from tests.support.sandbox_calls import OPEN, get, raw


def test_http_1_1_is_supported() -> None:
    """Chunked bodies, pipelining, Expect, HEAD and HTTP/1.0 work."""
    with Sandbox(OPEN, strict=False) as sandbox:
        get(sandbox, "x", method="POST", data=iter([b"one", b"two"]))
        assert sandbox.ledger.received[0].body == b"onetwo"
        responses = raw(
            sandbox, b"GET /v1/a HTTP/1.1\r\n\r\n\r\nGET /v1/b HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
        assert responses.count(b"HTTP/1.1 200 OK") == 2
        assert get(sandbox, "x", method="HEAD").content == b""
        assert raw(sandbox, b"GET /v1/a HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
        expecting = (
            b"POST /v1/a HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        assert raw(sandbox, expecting).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /v1/ HTTP/2\r\n\r\n", b"400"),
        (b"GET /v1/ HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /v1/ HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /v1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-6\r\nabc\r\n", b"400"),
        (b"POST /v1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", b"400"),
        (b"POST /v1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\nabc\r\n", b"413"),
        (b"POST /v1/ HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
        (b"GET /v1/ HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
        (b"POST /v1/ HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    ],
)
def test_malformed_requests_are_rejected(data: bytes, status: bytes) -> None:
    """A malformed request gets an error and is not in the ledger."""
    with Sandbox(OPEN, strict=False) as sandbox:
        assert raw(sandbox, data).startswith(b"HTTP/1.1 " + status)
        assert len(sandbox.ledger) == 0


def test_waiting_times_out() -> None:
    """wait_for and wait_for_fault raise TimeoutError."""
    with Sandbox(OPEN, strict=False) as sandbox:
        with pytest.raises(TimeoutError, match="0 of 1"):
            sandbox.ledger.wait_for(1, timeout_seconds=0.01)
        with pytest.raises(TimeoutError, match="0 of 1 delay"):
            sandbox.ledger.wait_for_fault("delay", timeout_seconds=0.01)


def test_stopping_releases_everything() -> None:
    """After stop no thread or file descriptor is left, even with requests in flight."""
    plan_entries = ["timeout", Fault("delay", seconds=60), Fault("drip", seconds=60)]
    gc.collect()  # release objects of earlier tests
    before, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with Sandbox(OPEN, strict=False, faults=FaultPlan.script(plan_entries)) as sandbox:
            clients = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(5)]
            for client in clients[:3]:
                client.sendall(b"GET /v1/x HTTP/1.1\r\n\r\n")
            clients[3].sendall(b"GET /v1/half HTT")
            sandbox.ledger.wait_for(3)
        for client in clients:
            client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sandbox.port))
        sandbox.stop()
    gc.collect()
    assert set(threading.enumerate()) <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208


def test_it_can_be_served_until_stopped() -> None:
    """serve_forever blocks until another thread calls stop; only a started sandbox has a base URL."""
    sandbox = Sandbox(OPEN, strict=False)
    with pytest.raises(RuntimeError, match="not started"):
        _ = sandbox.base_url
    sandbox.start()
    with pytest.raises(RuntimeError, match="running"):
        sandbox.start()
    serving = threading.Thread(target=sandbox.serve_forever)
    serving.start()
    assert get(sandbox).status_code == 200
    sandbox.stop()
    serving.join(10)
    assert not serving.is_alive()
