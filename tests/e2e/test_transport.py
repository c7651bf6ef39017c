"""Every failure on a real socket has its reason, and connections are reused."""

from __future__ import annotations

import gc
import http.client
import io
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py.errors import TransportFailed
from nango_py.secret import Secret
from nango_py.transport.response import Response
from nango_py.transport.sendable import Failure
from nango_py.transport.sync_transport import Transport
from tests.support.both_transports import SENDS, failure_of, plan_for, reasons
from tests.support.fault_server import (
    CLOSE,
    HANG,
    READ,
    READ_HEAD,
    RESET,
    Drip,
    FaultServer,
    Step,
    Tls,
    black_hole,
    gzip_bomb,
    response,
)
from tests.support.made_values import KEY
from tests.support.nango_at_server import wait_until
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.both_transports import Send


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport that is closed afterwards."""
    made = Transport()
    yield made
    made.close()


def test_a_response_is_returned_whole(transport: Transport) -> None:
    """Status, headers and body are returned, and the request is sent as planned."""
    with FaultServer([READ, response(b'{"ok": true}', 201, {"X-Id": "7"})]) as server:
        result = transport.send(plan_for(server.url, "POST", "a b?x=1", json={"n": 1}), 5.0)
        (request,) = server.wait_for_requests(1)
    assert isinstance(result, Response)
    assert (result.status_code, result.json(), result.headers["x-id"]) == (201, {"ok": True}, "7")
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%20b?x=1 HTTP/1.1\r\n")
    assert body == b'{"n": 1}'
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert sorted(names) == sorted(set(names))
    assert f"Authorization: Key {KEY}".encode() in head


def closed_port() -> int:
    """A port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_refused_connection_was_never_sent(transport: Transport) -> None:
    """Reason connect: any method may be tried again."""
    failure = failure_of(transport, plan_for(f"http://127.0.0.1:{closed_port()}/", "POST", json={}))
    assert (failure.reason, failure.sent) == ("connect", False)


def test_a_name_that_does_not_resolve_was_never_sent(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reason dns; `.invalid` never resolves (RFC 6761), with or without a network."""

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    failure = failure_of(transport, plan_for("https://api.example.invalid/"))
    assert (failure.reason, failure.sent) == ("dns", False)
    assert "api.example.invalid" in failure.text


def test_a_black_hole_ends_with_the_connect_timeout(transport: Transport) -> None:
    """Without any reaction to SYN, connecting ends after connect_seconds."""
    with black_hole() as port:
        started = time.monotonic()
        failure = failure_of(transport, plan_for(f"http://127.0.0.1:{port}/", connect_seconds=0.3), 60.0)
        took = time.monotonic() - started
    assert (failure.reason, failure.sent) == ("connect", False)
    assert 0.25 <= took < HANG_SECONDS


def test_the_total_time_bounds_connecting_too(transport: Transport) -> None:
    """The rest of the deadline may be less than the connect timeout."""
    with black_hole() as port:
        started = time.monotonic()
        failure_of(transport, plan_for(f"http://127.0.0.1:{port}/", connect_seconds=60.0), 0.3)
        assert time.monotonic() - started < HANG_SECONDS


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: text/plain\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\n"
BROKEN: list[tuple[str, list[Any], str]] = [
    ("reset after the request", [READ, RESET], "reset"),
    ("closed after the request", [READ, CLOSE], "reset"),
    ("reset within the head", [READ, HEAD[:20], 0.05, RESET], "reset"),
    ("reset within the body", [READ, HEAD + b"x" * 10, 0.05, RESET], "reset"),
    ("closed within the body", [READ, HEAD + b"x" * 10, CLOSE], "truncated"),
    ("closed within a chunk", [READ, CHUNKED + b"5\r\nab", CLOSE], "truncated"),
    ("closed between chunks", [READ, CHUNKED + b"2\r\nab\r\n", CLOSE], "truncated"),
    ("closed within gzip", [READ, GZIPPED + gzip_bomb(100_000)[:50], CLOSE], "truncated"),
    ("no HTTP", [READ, b"220 smtp.example.test ESMTP\r\n", CLOSE], "protocol"),
    ("no status", [READ, b"HTTP/1.1 xyz OK\r\n\r\n", CLOSE], "protocol"),
    ("endless header line", [READ, b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, CLOSE], "protocol"),
    ("too many headers", [READ, b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 200 + b"\r\n", CLOSE], "protocol"),
    ("no gzip", [READ, response(b"plain text", headers={"Content-Encoding": "gzip"})], "protocol"),
    ("bad chunk size", [READ, CHUNKED + b"zz\r\nab\r\n0\r\n\r\n", CLOSE], "protocol"),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case[0])
@SENDS
def test_a_broken_response_has_its_reason(case: tuple[str, list[Any], str], send: Send) -> None:
    """The API may have seen the request, and no partial response is returned."""
    with FaultServer(case[1]) as server:
        (failure,) = send([plan_for(server.url)])
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.sent) == (case[2], True)
    assert KEY not in repr(failure)


def test_a_reset_before_the_request_is_read_may_have_been_seen(transport: Transport) -> None:
    """Bytes have left this machine, so the request counts as sent."""
    with FaultServer([0.05, RESET]) as server:
        failure = failure_of(transport, plan_for(server.url, "POST", data=b"x" * 100))
    assert (failure.reason, failure.sent) == ("reset", True)


SLOW: list[tuple[str, list[Any]]] = [
    ("silence", [READ, HANG]),
    ("a dripping head", [READ, Drip(HEAD * 10, 1, 0.03), HANG]),
    ("a dripping body", [READ, HEAD, Drip(b"x" * 100, 1, 0.03), HANG]),
    ("dripping chunks", [READ, CHUNKED, Drip(b"1\r\nx\r\n" * 100, 1, 0.03), HANG]),
    ("dripping gzip", [READ, GZIPPED, Drip(gzip_bomb(1 << 20)[:99], 1, 0.03), HANG]),
    ("endless interim responses", [READ, Drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 25, 0.03), HANG]),
]  # fmt: skip


@pytest.mark.parametrize("case", SLOW, ids=lambda case: case[0])
@SENDS
def test_a_slow_response_ends_with_the_total_time(case: tuple[str, list[Any]], send: Send) -> None:
    """However the bytes trickle in, the total time ends the attempt; the read timeout never would."""
    with FaultServer(case[1]) as server:
        started = time.monotonic()
        (failure,) = send([plan_for(server.url, read_seconds=60.0)], seconds=0.4)
        took = time.monotonic() - started
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.sent) == ("timeout", True)
    assert took < HANG_SECONDS


HANDSHAKES: dict[str, tuple[bool, list[Any]]] = {
    "silence instead of TLS": (False, [HANG]),
    "dripping TLS": (False, [Drip(b"\x16\x03\x03\x40\x00" + bytes(9000), 1, 0.03)]),
    "a silent proxy": (True, [HANG]),
    "a dripping proxy": (True, [READ, Drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90, 1, 0.03)]),
}


@pytest.mark.parametrize("name", HANDSHAKES)
@SENDS
def test_a_slow_handshake_ends_with_the_total_time(name: str, send: Send) -> None:
    """Neither TLS nor a proxy's tunnel takes longer, and the API has received nothing."""
    has_proxy, script = HANDSHAKES[name]
    with FaultServer(script) as server:
        address = f"127.0.0.1:{server.port}"
        proxy = Secret(f"http://{address}") if has_proxy else None
        host = "api.example.test" if has_proxy else address
        started = time.monotonic()
        (failure,) = send([plan_for(f"https://{host}/", connect_seconds=60.0, proxy=proxy)], seconds=0.4)
        assert time.monotonic() - started < HANG_SECONDS
    assert isinstance(failure, Failure)
    assert not failure.sent
    assert failure.reason in {"connect", "tls"}


def test_the_drip_would_go_on_with_a_read_timeout_alone() -> None:
    """The control: with a timeout per read the same body takes longer than the total time."""
    with FaultServer([READ, HEAD, Drip(b"x" * 100, 5, 0.05)]) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.4)
        started = time.monotonic()
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        assert time.monotonic() - started > 0.9


@SENDS
def test_silence_ends_with_the_read_timeout(send: Send) -> None:
    """At most read_seconds may pass between bytes; the total time is not waited for."""
    with FaultServer([READ, HEAD, HANG]) as server:
        started = time.monotonic()
        assert reasons(send([plan_for(server.url, read_seconds=0.3)], seconds=60.0)) == ["timeout"]
        assert time.monotonic() - started < HANG_SECONDS


@SENDS
def test_an_upload_may_take_longer_than_connecting(send: Send) -> None:
    """Sending is bounded by the total time, not by the connect or read timeout."""
    gate = threading.Event()
    threading.Timer(1.2, gate.set).start()
    with FaultServer([gate, READ, response(b"ok")]) as server:
        plan = plan_for(server.url, "PUT", data=b"x" * 8_000_000, connect_seconds=0.2, read_seconds=1.0)
        assert reasons(send([plan], seconds=20.0)) == ["response"]


@SENDS
def test_an_upload_to_a_server_that_stops_reading_ends_with_the_total_time(send: Send) -> None:
    """The caller is not blocked by the server."""
    never = threading.Event()
    with FaultServer([never]) as server:
        started = time.monotonic()
        (failure,) = send([plan_for(server.url, "PUT", data=b"x" * 20_000_000)], seconds=0.4)
        assert time.monotonic() - started < HANG_SECONDS
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.sent) == ("timeout", True)


def peak_kilobytes() -> int:
    """The peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_decompression_bomb_is_refused_with_bounded_memory() -> None:
    """204 KB that decode to 200 MB are refused at the limit; measured in a child process."""
    code = """
import resource, sys
from nango_py.transport.sync_transport import Transport
from tests.support.made_values import a_plan, bound_settings, an_integration
transport = Transport()
plan = a_plan(settings=bound_settings(an_integration(sys.argv[1], max_response_bytes=20_000_000)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcome = transport.send(plan, 20.0)
print(outcome.reason, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    with FaultServer([READ, response(gzip_bomb(), headers={"Content-Encoding": "gzip"})]) as server:
        completed = subprocess.run(
            [sys.executable, "-c", code, server.url], capture_output=True, text=True, check=True
        )
    reason, kilobytes = completed.stdout.split()
    assert reason == "too_large"
    assert int(kilobytes) < 80_000


def test_an_announced_size_over_the_cap_is_refused_without_reading(transport: Transport) -> None:
    """The failure comes before the body."""
    with FaultServer([READ, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", HANG]) as server:
        failure = failure_of(transport, plan_for(server.url))
    assert failure.reason == "too_large"


def test_a_body_without_a_size_is_cut_off_at_the_cap(transport: Transport) -> None:
    """Decoded bytes are counted as they arrive."""
    with FaultServer([READ, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3000, CLOSE]) as server:
        failure = failure_of(transport, plan_for(server.url, max_response_bytes=2000))
        assert failure.reason == "too_large"
        result = transport.send(plan_for(server.url, max_response_bytes=3000), 5.0)
        assert isinstance(result, Response)
        assert len(result.content) == 3000
        unlimited = transport.send(plan_for(server.url, max_response_bytes=0), 5.0)
        assert isinstance(unlimited, Response)


def test_gzip_and_deflate_are_decoded(transport: Transport) -> None:
    """The content is decoded as by requests."""
    with FaultServer([READ, response(gzip_bomb(1000), headers={"Content-Encoding": "gzip"})]) as server:
        result = transport.send(plan_for(server.url), 5.0)
    assert isinstance(result, Response)
    assert result.content == bytes(1000)


def test_connections_are_reused(transport: Transport) -> None:
    """A hundred consecutive calls use one connection."""
    with FaultServer([READ, response(b"ok")] * 100 + [HANG]) as server:
        plan = plan_for(server.url)
        for _ in range(100):
            assert isinstance(transport.send(plan, 5.0), Response)
        assert server.connections == 1


def test_a_connection_that_the_server_closed_is_replaced(transport: Transport) -> None:
    """A connection that was closed while idle causes no failure."""
    with FaultServer([READ, response(b"ok")]) as server:
        for _ in range(3):
            assert isinstance(transport.send(plan_for(server.url, "POST", json={}), 5.0), Response)
            wait_until(lambda: not server._open)
        assert server.connections == 3


def test_connection_close_is_obeyed(transport: Transport) -> None:
    """The connection is not reused."""
    with FaultServer([READ, response(b"ok", headers={"Connection": "close"}), HANG]) as server:
        for _ in range(2):
            assert isinstance(transport.send(plan_for(server.url), 5.0), Response)
        assert server.connections == 2


def test_responses_without_body_leave_the_connection_usable(transport: Transport) -> None:
    """Responses to HEAD, and those with 204 and 304, have no body, whatever they announce."""
    script = [READ, HEAD, READ, response(b"", 204), READ, response(b"", 304), READ, response(b"ok"), HANG]
    with FaultServer(script) as server:
        outcomes = [
            transport.send(plan_for(server.url, method), 5.0) for method in ("HEAD", "GET", "GET", "GET")
        ]
        assert [outcome.status_code for outcome in outcomes if isinstance(outcome, Response)] == [
            200,
            204,
            304,
            200,
        ]
        assert server.connections == 1


@pytest.mark.parametrize("tls", [None, Tls()], ids=["plain", "tls"])
@pytest.mark.parametrize("body", ["bytes", "iterator", "file"])
@pytest.mark.parametrize("end", [HANG, CLOSE], ids=["open", "closed"])
@SENDS
def test_an_early_response_to_a_large_upload_is_returned(send: Send, tls: Any, body: str, end: Step) -> None:
    """A server may refuse before it has read the body; the request is sent once, and not to its end."""
    made = {
        "bytes": lambda: bytes(30_000_000),
        "iterator": lambda: (bytes(100_000) for _ in range(300)),
        "file": lambda: io.BytesIO(bytes(30_000_000)),
    }
    early = response(b"too large", 413)
    with FaultServer([READ_HEAD, b"HTTP/1.1 103 Hints\r\n\r\n" + early, end], tls=tls) as server:
        plans = [plan_for(server.url, "PUT", data=made[body]()) for _ in range(2)]
        outcomes = send(plans, ca_bundle=str(server.certificate) if tls else None)
    assert [getattr(outcome, "status_code", outcome) for outcome in outcomes] == [413, 413]
    assert server.connections == 2


def test_a_stream_may_be_read_after_the_total_time(transport: Transport) -> None:
    """The deadline applies to the head only; chunks are available as they arrive."""
    gate = threading.Event()
    with FaultServer([READ, HEAD + b"x" * 50, gate, b"y" * 50]) as server:
        result = transport.send(plan_for(server.url, stream=True), 0.3)
        assert isinstance(result, Response)
        chunks = result.iter_content(50)
        assert next(chunks) == b"x" * 50
        threading.Timer(0.4, gate.set).start()
        assert b"".join(chunks) == b"y" * 50
        result.close()


STREAMS: list[tuple[str, list[Any], str]] = [
    ("broken off", [READ, HEAD + b"x" * 50, CLOSE], "truncated"),
    ("reset", [READ, HEAD + b"x" * 50, 0.05, RESET], "truncated"),
    ("silent", [READ, HEAD + b"x" * 50, HANG], "timeout"),
    ("too large", [READ, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300, CLOSE], "too_large"),
]


@pytest.mark.parametrize(
    ("script", "reason"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS]
)
def test_a_stream_that_fails_raises_an_error_of_both_libraries(
    transport: Transport, script: list[Any], reason: str
) -> None:
    """An incomplete body is an error, which is a TransportFailed and a RequestException."""
    with FaultServer(script) as server:
        plan = plan_for(server.url, stream=True, read_seconds=0.3, max_response_bytes=200)
        result = transport.send(plan, 2.0)
        assert isinstance(result, Response)
        with pytest.raises(TransportFailed) as caught:
            b"".join(result.iter_content(10))
    assert caught.value.reason == reason
    assert isinstance(caught.value, requests.RequestException)
    assert caught.value.__context__ is None
    assert result._release is None


def test_an_iterator_is_sent_in_chunks_and_its_own_error_is_kept(transport: Transport) -> None:
    """An exception of the caller's generator is raised unchanged, without frames that hold the request."""
    with FaultServer([READ, response(b"ok"), HANG]) as server:

        def parts() -> Iterator[bytes]:
            yield b"part"
            raise LookupError("the file is gone")

        with pytest.raises(LookupError, match="the file is gone") as caught:
            transport.send(plan_for(server.url, "PUT", data=parts()), 5.0)
    trace = caught.value.__traceback__
    functions = []
    while trace is not None:
        functions.append(trace.tb_frame.f_code.co_name)
        held = [repr(value) for value in trace.tb_frame.f_locals.values()]
        assert KEY not in " ".join(held), functions
        trace = trace.tb_next
    assert functions[-2:] == ["send", "parts"]


def open_files() -> int:
    """The number of open file descriptors."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_descriptor_is_lost() -> None:
    """After two thousand calls, successful or not, only the pool's connections are open."""
    good = [READ, response(b"ok")] * 50
    scripts: list[Any] = [good, [READ, RESET], [READ, HEAD, CLOSE], [READ, b"junk\r\n"], [RESET]]
    with FaultServer(*scripts * 40, [*good] * 4) as server:
        transport = Transport()
        plan = plan_for(server.url)
        transport.send(plan, 5.0)
        before = open_files()
        kinds = [type(transport.send(plan, 5.0)) for _ in range(2000)]
        refused = plan_for(f"http://127.0.0.1:{closed_port()}/")
        kinds += [type(transport.send(refused, 5.0)) for _ in range(200)]
        assert {Response, Failure} <= set(kinds)
        transport.close()
        assert open_files() <= before + 4


def test_a_forked_child_has_connections_of_its_own(transport: Transport) -> None:
    """After a fork, parent and child do not read each other's responses."""
    with FaultServer(
        [READ, response(b"one"), READ, response(b"two"), HANG], [READ, response(b"child")]
    ) as server:
        plan = plan_for(server.url)
        assert transport.send(plan, 5.0).text == "one"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if transport.send(plan, 5.0).text == "child" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert transport.send(plan, 5.0).text == "two"
        assert server.connections == 2


def test_many_threads_share_a_transport(transport: Transport) -> None:
    """Every thread gets the response to its own request."""
    with FaultServer([READ, response(b"ok")] * 400) as server:
        plan = plan_for(server.url)
        texts: list[str] = []

        def work() -> None:
            texts.extend(transport.send(plan, 5.0).text for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert texts == ["ok"] * 320
        assert server.connections <= 32
