"""DNS lookups end in time, do not pile up, and block neither event loops nor other hosts."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import threading
import time
from typing import Any

import pytest

from nango_py.transport.async_transport import AsyncTransport
from nango_py.transport.lookups import MAX_CONCURRENT, Lookups
from nango_py.transport.sync_transport import Transport
from tests.support.both_transports import reasons, send_async, send_sync
from tests.support.fault_server import READ, FaultServer, response
from tests.support.host_names import (
    PUBLIC,
    a_plan_to,
    addresses_of,
)
from tests.support.nango_at_server import wait_until
from tests.support.time_limits import HANG_SECONDS

NAME = "git.example.test"


def test_a_lookup_that_hangs_ends_with_the_connect_timeout() -> None:
    """The system has no timeout for lookups, but the call has; the request counts as not sent."""
    release = threading.Event()

    def hanging(_host: str, _port: int) -> list[Any]:
        release.wait(60)
        return []

    with contextlib.closing(Transport(None, hanging)) as transport:
        started = time.monotonic()
        outcome = transport.send(a_plan_to("api.example.test", guarded=False), 0.3)
        took = time.monotonic() - started
        release.set()
    assert reasons([outcome]) == ["dns"]
    assert not outcome.sent  # type: ignore[union-attr]  # a failure, as the line above says
    assert took < HANG_SECONDS


def test_an_event_loop_is_not_blocked_by_a_lookup() -> None:
    """Under asyncio a lookup that hangs ends with the attempt, too."""
    release = threading.Event()

    async def whole() -> tuple[str, float]:
        transport = AsyncTransport(None, lambda *_: release.wait(60) and [])
        started = time.monotonic()
        outcome = await transport.send(a_plan_to(NAME), 0.3)
        took = time.monotonic() - started
        release.set()
        await transport.aclose()
        return outcome.reason, took

    reason, took = asyncio.run(whole())
    assert (reason, took < HANG_SECONDS) == ("connect", True)


def test_hosts_of_users_that_hang_do_not_block_others() -> None:
    """However many names of users never resolve, a configured host is still looked up."""
    release = threading.Event()

    def look_up(host: str, port: int) -> list[Any]:
        if host != "api.example.test":
            release.wait(60)
        return addresses_of("127.0.0.1")(host, port)

    with (
        FaultServer([READ, response(b"{}")]) as server,
        contextlib.closing(Transport(None, look_up)) as transport,
    ):
        for number in range(MAX_CONCURRENT + 1):
            failed = transport.send(a_plan_to(f"h{number}.example.test"), 0.001)
            assert reasons([failed]) == ["dns"]
        plan = a_plan_to(f"api.example.test:{server.port}", scheme="http", guarded=False)
        assert reasons([transport.send(plan, 3.0)]) == ["response"]
        release.set()
    wait_until(lambda: "nango-dns" not in {thread.name for thread in threading.enumerate()})


def test_lookups_use_no_threads_of_the_event_loop() -> None:
    """Lookups that hang use none of the threads that asyncio has for other work."""
    release = threading.Event()

    async def whole() -> str:
        transport = AsyncTransport(None, lambda *_: release.wait(60) and [])
        before = set(threading.enumerate())
        plans = [a_plan_to(f"h{number}.example.test") for number in range(50)]
        waiting = [asyncio.create_task(transport.send(plan, 5.0)) for plan in plans]
        await asyncio.sleep(0)
        threads = {thread.name for thread in set(threading.enumerate()) - before}
        said = await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 2)
        release.set()
        await asyncio.gather(*waiting)
        await transport.aclose()
        assert not any(name.startswith("asyncio_") for name in threads)
        return said

    assert asyncio.run(whole()) == "free"


def test_concurrent_lookups_of_one_name_are_one() -> None:
    """Sixteen concurrent callers share a lookup, and all get its result."""
    release, asked = threading.Event(), []

    def look_up(host: str, port: int) -> list[Any]:
        asked.append(host)
        release.wait(60)
        return addresses_of(PUBLIC)(host, port)

    lookups, found = Lookups(look_up), []
    callers = [
        threading.Thread(target=lambda: found.append(lookups.resolve("a.example", 443, 20.0)))
        for _ in range(16)
    ]
    for caller in callers:
        caller.start()
    wait_until(lambda: asked)
    release.set()
    for caller in callers:
        caller.join()
    assert len(found) == 16
    assert len(asked) < 16
    assert all(response[0][4] == (PUBLIC, 443) for response in found)


def test_lookups_that_hang_do_not_pile_up() -> None:
    """Beyond a number of concurrent lookups, another one is refused and starts no thread."""
    release = threading.Event()
    lookups = Lookups(lambda *_: release.wait(60) and [])
    try:
        for number in range(MAX_CONCURRENT):
            with pytest.raises(socket.gaierror):
                lookups.resolve(f"h{number}.example", 443, 0.0)
        threads = set(threading.enumerate())
        with pytest.raises(socket.gaierror, match="too many"):
            lookups.resolve("one.more.example", 443, 5.0)
        assert set(threading.enumerate()) <= threads
    finally:
        release.set()
    wait_until(lambda: not lookups._running)


def test_a_forked_child_starts_its_own_lookup() -> None:
    """A lookup in a thread of the parent never ends in its child, which starts another."""
    release = threading.Event()
    parent = os.getpid()

    def look_up(host: str, port: int) -> list[Any]:
        if os.getpid() == parent:
            release.wait(60)
        return addresses_of(PUBLIC)(host, port)

    lookups = Lookups(look_up)
    with pytest.raises(socket.gaierror):
        lookups.resolve("a.example", 443, 0.0)
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(
        target=lambda: theirs.send(lookups.resolve("a.example", 443, 5.0)[0][4][0])
    )
    child.start()
    assert ours.poll(10)
    assert ours.recv() == PUBLIC
    child.join()
    release.set()


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "x"), UnicodeError("x"), OSError("x")])
def test_a_lookup_that_fails_has_the_reason_dns(error: Exception) -> None:
    """All exceptions of the resolver mean that the name could not be resolved."""

    def failing(_host: str, _port: int) -> list[Any]:
        raise error

    for send in (send_sync, send_async):
        assert reasons(send([a_plan_to(NAME)], failing)) == ["dns"]
