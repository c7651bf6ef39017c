"""The async transport: many calls at once, event loops, and what must not leak."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import TransportFailed
from nango_py.transport.async_transport import AsyncTransport
from tests.support.async_calls import run, wait_for
from tests.support.fault_server import HANG, READ, FaultServer, Tls, response
from tests.support.nango_at_server import KEY, a_sandbox, calling, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from nango_py.engine.async_executor import AsyncExecutor


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """A socket that was not closed warns when it is collected, and a warning is an error."""
    gc.freeze()  # what there was before costs nothing to look through
    yield
    gc.collect()


@contextlib.asynccontextmanager
async def gathering(number: int) -> AsyncIterator[str]:
    """A server that responds only after `number` requests have arrived."""
    arrived, all_arrived = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        await reader.readuntil(b"\r\n\r\n")
        arrived += 1
        if arrived == number:
            all_arrived.set()
        await all_arrived.wait()
        writer.write(response(b"together", headers={"Connection": "close"}))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=number)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def test_a_thousand_calls_are_in_flight_at_once() -> None:
    """No response is sent before all requests have arrived, so all of them are in flight together."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    number = min(1000, (max(soft, wanted) - 300) // 2)

    async def work() -> None:
        async with gathering(number) as url:
            # Without a budget the first call would go alone, to learn the API's limits.
            plenty = {"budgets": [{"key": "all", "otherwise": ["100000/second"]}]}
            with calling(url, rate_limits=plenty) as nango:
                executor = nango.async_executor("shop", "user-1")
                # A busy machine may need its time to connect them all.
                calls = [executor.get("things", timeout=60) for _ in range(number)]
                found = await asyncio.gather(*calls)
                await nango.aclose()
        assert {one.text for one in found} == {"together"}
        assert sum(len(one.attempts) for one in found) == number

    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        asyncio.run(work())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pages_are_those_of_the_sync_executor() -> None:
    """Records and responses of all pages are the same, and max_pages is obeyed."""

    async def work(executor: AsyncExecutor) -> tuple[list[Any], int]:
        records = [record["id"] async for record in executor.paginate("things", params={"a": "b"})]
        pages = [page.status_code async for page in executor.pages("things", max_pages=2)]
        return records, len(pages)

    with a_sandbox(pages={"things": 4}) as sandbox, calling(sandbox.base_url) as nango:
        expected = [record["id"] for record in nango.executor("shop", "user-1").paginate("things")]
        assert len(expected) == 12
        assert run(nango, work) == (expected, 2)


def test_event_loops_one_after_the_other_need_no_closing() -> None:
    """Connections are closed at the end of their event loop, and the next loop opens new ones."""
    with (
        FaultServer([READ, response(b"ok"), READ, response(b"ok"), READ]) as server,
        calling(server.url) as nango,
    ):
        executor = nango.async_executor("shop", "user-1")

        async def twice() -> None:
            for _ in range(2):
                assert (await executor.get("things")).text == "ok"

        for loops in (1, 2, 3):
            asyncio.run(twice())
            gc.collect()
            wait_until(lambda: not server._open)
            assert server.connections == loops


def test_event_loops_of_several_threads_may_begin_at_once() -> None:
    """While one looks for loops that have ended, another thread begins its first call."""
    transport = AsyncTransport()

    class Crowded(asyncio.SelectorEventLoop):
        is_watched = False

        def is_closed(self) -> bool:
            if self.is_watched:
                self.is_watched = False
                thread = threading.Thread(target=lambda: kept.append(first_call(asyncio.new_event_loop())))
                thread.start()
                thread.join()
            return super().is_closed()

    def first_call(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        loop.run_until_complete(transport.wires_of_loop())
        return loop

    kept: list[asyncio.AbstractEventLoop] = [crowded := first_call(Crowded())]
    crowded.is_watched = True  # type: ignore[attr-defined]
    kept.append(first_call(asyncio.new_event_loop()))
    assert len(transport._loops) == len(kept) == 3
    for loop in kept:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    assert not transport._loops


def test_a_connection_that_the_server_closed_is_not_reused() -> None:
    """A POST is sent once, on a new connection."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.get("things")
        await wait_for(lambda: not server._open)
        assert len((await executor.post("things")).attempts) == 1

    with FaultServer([READ, response(b"ok")]) as server, calling(server.url) as nango:
        run(nango, work)
        assert server.connections == 2


def test_each_task_explains_its_own_call() -> None:
    """Tasks do not see the attempts of other tasks; outside of tasks there are no attempts."""

    async def one(executor: AsyncExecutor, path: str) -> str:
        await executor.get(path)
        return f"{path} {executor.attempts[0].endpoint} {executor.explain().count('attempt')}"

    async def work(executor: AsyncExecutor) -> None:
        texts = await asyncio.gather(*(one(executor, f"things/{number}") for number in range(5)))
        assert texts == [f"things/{number} things/{number} 1" for number in range(5)]

    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        executor = nango.async_executor("shop", "user-1")
        run(nango, work)
        assert executor.attempts == ()
        assert executor.explain() == "nothing was sent"


# --- what must never leak


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_cookie_reaches_no_other_call(name: str) -> None:
    """Cookies are not kept, because the next call may be for another user."""
    headers = {"Set-Cookie": "session=user-1; Path=/"}
    with (
        FaultServer([READ, response(headers=headers), READ, response()]) as server,
        calling(server.url) as nango,
    ):
        if name == "sync":
            for _ in range(2):
                nango.executor("shop", "user-1").get("things")
        else:

            async def work(executor: AsyncExecutor) -> None:
                assert (await executor.get("things")).cookies["session"] == "user-1"
                await executor.get("things")

            run(nango, work)
        assert server.connections == 1
        assert not any(b"cookie" in request.lower() for request in server.requests)


def test_the_environment_s_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would see the key."""
    with FaultServer([READ, HANG]) as proxy, a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        run(nango, lambda executor: executor.get("things"))
        assert proxy.connections == 0


@pytest.mark.parametrize("key", [KEY, "k9"])
def test_no_log_of_any_library_holds_the_key(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """The key is masked at DEBUG, in a query, and even if it is too short to be masked by value."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.get("things", params={"a": "b"})
        await executor.get("gone")

    requests = {"headers": {}, "params": {"api_key": "${api_key}"}}
    script = [READ, response(b"ok"), READ, response(b"", 404)]
    with (
        caplog.at_level(logging.DEBUG),
        FaultServer(script) as server,
        calling(server.url, requests=requests) as nango,
    ):
        nango.update_connection_credentials("shop", "user-1", {"api_key": key})
        run(nango, work)
        assert all(f"api_key={key}".encode() in request for request in server.requests)
    assert caplog.records
    assert f"api_key={key}" not in caplog.text
    assert len(key) < 6 or key not in caplog.text


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        pytest.param(Tls(), "", id="trusted"),
        pytest.param(Tls(names=("example.test",)), "tls", id="another name"),
        pytest.param(Tls(is_expired=True), "tls", id="expired"),
    ],
)
def test_certificates_are_always_checked(tls: Tls, reason: str) -> None:
    """A certificate of ca_bundle is trusted for its names and until it expires."""

    async def work(executor: AsyncExecutor) -> str:
        try:
            return "" if (await executor.get("things")).text == "ok" else "wrong"
        except TransportFailed as error:
            return error.reason

    with FaultServer([READ, response(b"ok")], tls=tls) as server:
        with calling(server.url, ca_bundle=server.certificate) as nango:
            assert run(nango, work) == reason
        assert bool(server.requests) == (not reason)
