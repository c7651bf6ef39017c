"""What becomes of connections, by both transports: bounds, cancellation, and errors that stay inside."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from nango_py.transport import async_transport, pools, sync_transport
from nango_py.transport.async_transport import AsyncTransport
from nango_py.transport.response import Response
from nango_py.transport.sendable import Failure
from nango_py.transport.sync_transport import Transport
from tests.support.both_transports import SENDS, plan_for, reasons
from tests.support.fault_server import HANG, READ, FaultServer, response
from tests.support.host_names import addresses_of
from tests.support.nango_at_server import calling, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.both_transports import Send

WAYS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


class ManyHosts:
    """One server for any number of host names.

    Attributes:
        open: the connections that are open now.
        accepted: the number of those that there have been.
    """

    def __init__(self) -> None:
        self.open: set[socket.socket] = set()
        self.accepted = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def hang_up(self) -> None:
        """Close all connections."""
        with self._lock:
            for stream in self.open:
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                with self._lock:
                    self.open.add(stream)
                    self.accepted += 1
                self._start(self._serve, stream)

    def _serve(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while stream.recv(65536):
                stream.sendall(response(b"ok"))
        with self._lock:
            self.open.discard(stream)
        stream.close()


class Calls:
    """Calls by one of the transports, in an event loop that stays between them."""

    def __init__(self, *, is_async: bool) -> None:
        look_up = addresses_of("127.0.0.1")
        self._loop = asyncio.new_event_loop() if is_async else None
        self.transport: Any = AsyncTransport(None, look_up) if is_async else Transport(None, look_up)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._loop is None:
            self.transport.close()
        else:
            self._loop.run_until_complete(self.transport.aclose())
            self._loop.close()
        gc.collect()

    def send(self, url: str, **options: Any) -> Response | Failure:
        """Make a call."""
        sent = self.transport.send(plan_for(url, **options), 10.0)
        return sent if self._loop is None else self._loop.run_until_complete(sent)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait while the event loop runs."""
        if self._loop is None:
            wait_until(is_so)
        else:
            self._loop.run_until_complete(asyncio.to_thread(wait_until, is_so))


@WAYS
def test_five_hundred_hosts_leave_two_hundred_connections(is_async: bool) -> None:  # noqa: FBT001
    """The bound holds over all hosts, and the most recently used ones are kept."""
    with ManyHosts() as server, Calls(is_async=is_async) as calls:
        for number in range(500):
            outcome = calls.send(f"http://tenant-{number}.example.test:{server.port}/")
            assert isinstance(outcome, Response)
            if number % 50 == 0:
                # The kernel lists connections one by one while others are closing.
                calls.wait_until(lambda: count_connections(server.port, ESTABLISHED) <= pools.MAX_IDLE + 1)
        assert server.accepted == 500
        for number in range(400, 500):
            calls.send(f"http://tenant-{number}.example.test:{server.port}/")
        assert server.accepted == 500


ESTABLISHED, CLOSE_WAIT = "01", "08"


def count_connections(port: int, state: str) -> int:
    """The connections of this machine to a port that are in a state, as the kernel names it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == state and int(row[2].rpartition(":")[2], 16) == port for row in rows)


@WAYS
def test_connections_that_their_servers_closed_are_closed_too(is_async: bool) -> None:  # noqa: FBT001
    """Without another call: none stays half closed."""
    with ManyHosts() as server, Calls(is_async=is_async) as calls:
        for number in range(20):
            calls.send(f"http://tenant-{number}.example.test:{server.port}/")
        assert len(server.open) == 20
        server.hang_up()
        calls.wait_until(lambda: not server.open and count_connections(server.port, CLOSE_WAIT) == 0)


@WAYS
def test_idle_connections_are_closed_when_they_are_old(
    is_async: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without another call."""
    monkeypatch.setattr(pools, "MAX_IDLE_SECONDS", 0.2)
    for module in (sync_transport, async_transport):
        monkeypatch.setattr(module, "SWEEP_SECONDS", 0.05)
    with ManyHosts() as server, Calls(is_async=is_async) as calls:
        calls.send(f"http://tenant.example.test:{server.port}/")
        calls.wait_until(lambda: not server.open)


@WAYS
def test_a_stream_that_was_read_gives_its_connection_back(is_async: bool) -> None:  # noqa: FBT001
    """And one that was not read to its end does not."""

    async def read(streamed: Any) -> bytes:
        return await streamed.aread()  # type: ignore[no-any-return]

    with FaultServer([READ, response(b"one"), READ, response(b"two"), HANG]) as server:
        with Calls(is_async=is_async) as calls:
            for expected in (b"one", b"two"):
                streamed: Any = calls.send(server.url, stream=True)
                if calls._loop is None:
                    assert streamed.content == expected
                else:
                    assert calls._loop.run_until_complete(read(streamed)) == expected
        assert server.connections == 1


@WAYS
def test_a_forked_child_has_connections_of_its_own(is_async: bool) -> None:  # noqa: FBT001
    """Parent and child do not read each other's responses, and the child closes none of its parent's."""
    scripts = [READ, response(b"one"), READ, response(b"two"), HANG], [READ, response(b"child")]
    with FaultServer(*scripts) as server, Calls(is_async=is_async) as calls:
        assert calls.send(server.url).text == "one"  # type: ignore[union-attr]
        child = os.fork()
        if child == 0:
            code = 1
            try:
                if is_async:
                    sent = calls.transport.send(plan_for(server.url), 5.0)
                    code = 0 if asyncio.run(sent).text == "child" else 2
                else:
                    calls.transport.close()
                    code = 0 if calls.transport.send(plan_for(server.url), 5.0).text == "child" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert calls.send(server.url).text == "two"  # type: ignore[union-attr]
        assert server.connections == 2


@pytest.mark.parametrize("is_shut_down", [True, False])
def test_event_loops_that_have_ended_are_forgotten(is_shut_down: bool) -> None:  # noqa: FBT001
    """Those of asyncio.run() at once, others with the next loop."""
    transport = AsyncTransport()

    def call_once() -> weakref.ref[asyncio.AbstractEventLoop]:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(transport.send(plan_for(server.url), 5.0))
        if is_shut_down:
            loop.run_until_complete(loop.shutdown_asyncgens())
        else:
            for wires in transport._loops.values():
                for wire in list(wires._open):
                    wire.close()
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        return weakref.ref(loop)

    with FaultServer([READ, response(b"ok"), HANG]) as server:
        loops = [call_once() for _ in range(3)]
        gc.collect()
        assert [loop() is None for loop in loops] == [True, True, is_shut_down]
        assert len(transport._loops) == (0 if is_shut_down else 1)
        if not is_shut_down:
            transport._loops.clear()


@pytest.mark.parametrize("moment", ["head", "body", "upload"])
def test_a_cancelled_call_closes_its_connection(moment: str) -> None:
    """Whatever it was waiting for."""
    script = {
        "head": [READ, HANG],
        "body": [READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234", HANG],
        "upload": [threading.Event()],
    }[moment]
    options = {"method": "PUT", "data": bytes(20_000_000)} if moment == "upload" else {}

    async def work() -> None:
        transport = AsyncTransport()
        call = asyncio.create_task(transport.send(plan_for(server.url, **options), 30.0))
        await asyncio.to_thread(wait_until, lambda: server.requests or moment == "upload")
        await asyncio.to_thread(wait_until, lambda: server.connections)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        (wires,) = transport._loops.values()
        await asyncio.sleep(0)
        assert (len(wires.idle), len(wires._open)) == (0, 0)
        await transport.aclose()

    with FaultServer(script) as server:
        asyncio.run(work())


def test_more_calls_than_places_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is given back by every call, also by one that failed."""
    monkeypatch.setattr(async_transport, "MAX_ACTIVE", 2)

    async def work() -> list[Any]:
        transport = AsyncTransport()
        plans = [plan_for(server.url if number % 3 else "http://127.0.0.1:1/") for number in range(12)]
        try:
            return await asyncio.gather(*(transport.send(plan, 20.0) for plan in plans))
        finally:
            await transport.aclose()

    with FaultServer([READ, response(b"ok")] * 20) as server:
        found = asyncio.run(work())
        assert reasons(found).count("response") == 8
        assert server.connections <= 2


ODD: dict[str, dict[str, Any]] = {
    "a host of 300 characters": {"url": f"http://{'a' * 300}.test/"},
    "a label of 70 characters": {"url": f"http://{'a' * 70}.test/"},
    "an empty label": {"url": "http://a..test/"},
    "a closed port": {"url": "http://127.0.0.1:1/"},
}


@pytest.mark.parametrize("name", ODD)
@SENDS
def test_what_the_system_refuses_is_a_failure_of_ours(name: str, send: Send) -> None:
    """No exception of a library leaves a transport."""
    assert reasons(send([plan_for(**ODD[name])]))[0] in {"dns", "connect"}


@SENDS
def test_without_file_descriptors_there_is_no_connection(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a failure like any other."""

    def no_socket(*_: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(sync_transport, "open_socket", no_socket)
    monkeypatch.setattr(async_transport, "open_wire", no_socket)
    (failure,) = send([plan_for("http://127.0.0.1:1/")])
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.sent) == ("connect", False)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(
    "written", ["/caf\xe9", "/caf\xc3\xa9", "/caf%C3%A9", "http://127.0.0.1:{}/caf\xc3\xa9?q=\xc3\xa9"]
)
def test_a_location_is_followed_byte_by_byte(way: str, written: str) -> None:
    """Servers write UTF-8 or Latin-1 there; neither is encoded twice."""
    with FaultServer([READ, b"", READ, response(b"ok"), HANG]) as server, calling(server.url) as nango:
        location = written.format(server.port).encode("latin-1")
        moved = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
        server._scripts[0] = [READ, moved, READ, response(b"ok"), HANG]
        if way == "sync":
            nango.executor("shop", "user-1").get("things")
        else:
            asyncio.run(get_async(nango))
        target = server.wait_for_requests(2)[1].split(b" ")[1]
    latin = b"\xe9" in location
    assert target.partition(b"?")[0] == (b"/caf%E9" if latin else b"/caf%C3%A9")
    assert b"%C3%83" not in target


async def get_async(nango: Any) -> None:
    """A call by asyncio."""
    async with nango:
        await nango.async_executor("shop", "user-1").get("things")
