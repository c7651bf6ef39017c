"""The fault server does what its scripts say."""

from __future__ import annotations

import gc
import http.client
import os
import socket
import ssl
import threading
import time
import zlib

import pytest

from tests.support.fault_server import (
    CLOSE,
    HANG,
    READ,
    RESET,
    Drip,
    FaultServer,
    Tls,
    black_hole,
    gzip_bomb,
    response,
)


def received(
    server: FaultServer, data: bytes = b"GET / HTTP/1.1\r\n\r\n", timeout_seconds: float = 10.0
) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout_seconds) as client:
        client.sendall(data)
        got = b""
        while chunk := client.recv(65_536):
            got += chunk
        return got


def test_connections_run_their_scripts_in_turn() -> None:
    """The first connection gets the first script, all after the last get the last."""
    with FaultServer([READ, response(b"one")], [READ, response(b"two", 503, {"X": "y"})]) as server:
        responses = [received(server, b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab") for _ in range(3)]
        assert server.connections == 3
        assert server.wait_for_requests(3) == [b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"] * 3
    assert responses[0] == b"HTTP/1.1 200 Whatever\r\nContent-Length: 3\r\n\r\none"
    assert responses[1] == responses[2] == b"HTTP/1.1 503 Whatever\r\nContent-Length: 3\r\nX: y\r\n\r\ntwo"


def test_a_reset_is_a_reset() -> None:
    """The client sees ECONNRESET and not an end of file, also after part of a response."""
    with (
        FaultServer([READ, response(b"hello")[:-2], 0.05, RESET]) as server,
        pytest.raises(ConnectionResetError),
    ):
        received(server)


def test_a_short_body_ends_early() -> None:
    """A close before the announced length is an incomplete read."""
    with FaultServer([READ, response(b"short", headers={"Content-Length": "100"}), CLOSE]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()


def test_interim_answers_and_huge_heads_are_bytes_too() -> None:
    """1xx responses precede the final one, and a head may have any size."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    with FaultServer([READ, interim, response(b"x", headers={"X-Big": "a" * 300_000})]) as server:
        got = received(server)
    assert got.startswith(interim + b"HTTP/1.1 200")
    assert len(got) > 300_000


def test_a_drip_is_slow_and_whole() -> None:
    """Head and body come in pieces, each after its pause."""
    with FaultServer([READ, Drip(response(b"0123456789"), bytes_at_once=16, seconds=0.01)]) as server:
        begin = time.monotonic()
        got = received(server)
        took = time.monotonic() - begin
    assert got == response(b"0123456789")
    assert took >= (len(got) // 16) * 0.01


def test_an_event_holds_an_answer_back() -> None:
    """Nothing is sent until the test says so."""
    go = threading.Event()
    with FaultServer([READ, go, response(b"late")]) as server:
        with pytest.raises(TimeoutError):
            received(server, timeout_seconds=0.05)
        go.set()
        assert received(server).endswith(b"late")


def test_a_hanging_connection_waits_for_the_client() -> None:
    """No byte comes, and the server stops nevertheless."""
    with FaultServer([HANG]) as server, pytest.raises(TimeoutError):
        received(server, timeout_seconds=0.05)


def test_a_black_hole_answers_no_connection() -> None:
    """Connecting neither succeeds nor is refused."""
    with black_hole() as port, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.1)


def test_a_gzip_bomb_is_small_on_the_wire() -> None:
    """About a thousandth of what it decodes to."""
    bomb = gzip_bomb(20 * 1024 * 1024)
    assert len(bomb) < 25_000
    decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
    total = 0
    data = bomb
    while data:
        total += len(decoder.decompress(data, 1_000_000))
        data = decoder.unconsumed_tail
    assert total == 20 * 1024 * 1024


def test_tls_is_spoken_with_its_own_certificate() -> None:
    """Who trusts the certificate is served, under an https address."""
    with FaultServer([READ, response(b"safe")], tls=Tls()) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/"
        trusting = ssl.create_default_context(cafile=str(server.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=trusting)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"safe"
        connection.close()


@pytest.mark.parametrize(
    ("tls", "is_trusted", "reason"),
    [
        pytest.param(Tls(), False, "self-signed", id="unknown"),
        pytest.param(Tls(names=("elsewhere.test",)), True, "IP address mismatch", id="wrong name"),
        pytest.param(Tls(is_expired=True), True, "expired", id="expired"),
    ],
)
def test_a_certificate_can_be_wrong(tls: Tls, reason: str, *, is_trusted: bool) -> None:
    """A client that checks refuses it and says why, and the server goes on."""
    with FaultServer([READ, response(b"safe")], tls=tls) as server:
        context = ssl.create_default_context(cafile=str(server.certificate) if is_trusted else None)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context)
        for _ in range(2):
            with pytest.raises(ssl.SSLCertVerificationError, match=reason):
                connection.request("GET", "/")
            connection.close()
        assert server.requests == []


def test_stopping_leaves_nothing_behind() -> None:
    """No thread and no file descriptor is left, whatever the connections were doing."""
    gc.collect()  # what earlier tests left is not counted
    before, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with FaultServer([HANG], [60.0], [threading.Event()], [Drip(b"x" * 100, 1, 60)], [READ]) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(6)]
    for client in clients:
        client.close()
    gc.collect()
    assert set(threading.enumerate()) <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208
