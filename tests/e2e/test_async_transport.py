"""Async sockets: streams, cancellation, event loops, and what must never leak."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import resource
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import NangoError, ProviderError, StorageError, TransportFailed
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import HANG, READ, FaultServer, Tls, response
from tests.support.nango_at_server import KEY, QUICK, a_sandbox, calling, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from nango_py import Nango
    from nango_py.engine.async_executor import AsyncExecutor

ONE_A_MINUTE = {"budgets": [{"key": "all", "otherwise": ["1/minute"]}]}


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """A socket that nobody closed warns when it is collected, and a warning is an error."""
    yield
    gc.collect()


def run(nango: Nango, work: Callable[[AsyncExecutor], Coroutine[Any, Any, Any]]) -> Any:
    """Run the work with an executor in an event loop of its own."""

    async def whole() -> Any:
        async with nango:
            return await work(nango.async_executor("shop", "user-1"))

    return asyncio.run(whole())


def used(executor: AsyncExecutor) -> float:
    """How much of the budget is spent."""
    spends, _ = executor._get_runtime().spends_of(executor.plan("GET", "things"))
    views = executor._io.limits.view([spend.key for spend in spends])
    return sum(view.used for view in views)


def booked(executor: AsyncExecutor) -> int:
    """How many calls wait for a place in a budget."""
    limits: Any = executor._io.limits
    return sum(len(meter.booked) for meter in limits._book.meters.values())


async def cancelled(task: asyncio.Task[Any], times: int = 1) -> None:
    """Cancel a task, more than once where that is asked, and see it end so."""
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def until(is_so: Callable[[], object]) -> None:
    """Wait for a condition without holding up the loop."""
    await asyncio.to_thread(wait_until, is_so)


# --- streams


def test_a_stream_is_read_piece_by_piece() -> None:
    """The first piece is there before the server has sent the last."""
    more = threading.Event()
    whole = response(b"first" + b"later" * 1000)

    async def work(executor: AsyncExecutor) -> bytes:
        found = await executor.get("things", stream=True)
        pieces = found.aiter_content()
        first = await anext(pieces)
        assert first.startswith(b"first")
        assert len(first) < 5005
        more.set()
        return first + b"".join([piece async for piece in pieces])

    cut = len(whole) - 4000
    with FaultServer([READ, whole[:cut], more, whole[cut:]]) as server, calling(server.url) as nango:
        assert run(nango, work) == b"first" + b"later" * 1000


def test_a_stream_can_be_read_at_once() -> None:
    """After aread() the response is like any other."""

    async def work(executor: AsyncExecutor) -> None:
        async with await executor.get("things", stream=True) as found:
            with pytest.raises(RuntimeError, match="aread"):
                found.json()
            with pytest.raises(RuntimeError, match="aclose"):
                found.close()
            assert await found.aread() == b'{"a": 1}'
            assert found.json() == {"a": 1}
            assert [piece async for piece in found.aiter_content(3)] == [b'{"a', b'": ', b"1}"]
            found.close()

    with FaultServer([READ, response(b'{"a": 1}')]) as server, calling(server.url) as nango:
        run(nango, work)


def test_closing_a_stream_early_frees_its_socket() -> None:
    """The server sees the connection end."""

    async def work(executor: AsyncExecutor) -> None:
        found = await executor.get("things", stream=True)
        async for _ in found.aiter_content():
            break
        await found.aclose()
        await until(lambda: not server._open)

    with FaultServer([READ, response(b"x" * 100)[:-50], HANG]) as server, calling(server.url) as nango:
        run(nango, work)


@pytest.mark.parametrize(
    ("script", "options", "reason"),
    [
        pytest.param([READ, response(b"x" * 100)], {"max_response_bytes": 99}, "too_large", id="too large"),
        pytest.param([READ, response(b"x" * 100)[:-1]], {}, "truncated", id="truncated"),
        pytest.param([READ, response(b"x" * 100)[:-1], HANG], {"timeout": 0.1}, "timeout", id="silent"),
    ],
)
def test_a_broken_stream_says_how(script: Any, options: Any, reason: str) -> None:
    """A typed error comes after the pieces that were good, and the socket is free."""

    async def work(executor: AsyncExecutor) -> None:
        found = await executor.get("things", stream=True, **options)
        with pytest.raises(TransportFailed) as raised:
            await found.aread()
        assert raised.value.reason == reason
        assert raised.value.__context__ is None
        await until(lambda: not server._open)

    with FaultServer(script) as server, calling(server.url) as nango:
        run(nango, work)


def test_a_stream_s_cap_can_be_lifted() -> None:
    """max_response_bytes=0 takes any size."""

    async def work(executor: AsyncExecutor) -> int:
        found = await executor.get("things", stream=True, max_response_bytes=0)
        return len(await found.aread())

    with FaultServer([READ, response(b"x" * 5000)]) as server:
        requests = {"max_response_bytes": 1000}
        with calling(server.url, requests=requests) as nango:
            assert run(nango, work) == 5000


def test_a_refused_stream_is_tried_again_and_read() -> None:
    """An error's body is read at once, so that rules can look at it and its socket is used again."""
    rules = [{"when": {"status": 409, "body_contains": "soon"}, "do": "retry"}]

    async def work(executor: AsyncExecutor) -> None:
        found = await executor.get("things", stream=True)
        assert await found.aread() == b"good"
        assert [attempt.status for attempt in found.attempts] == [409, 503, 200]
        with pytest.raises(ProviderError, match="no such thing"):
            await executor.get("things", stream=True, raise_for_error=True)

    script = [
        READ, response(b"soon", 409), READ, response(b"", 503), READ, response(b"good"),
        READ, response(b'{"error": {"message": "no such thing"}}', 404),
    ]  # fmt: skip
    with (
        FaultServer(script) as server,
        calling(server.url, retries={"rules": rules, "backoff": QUICK}) as nango,
    ):
        run(nango, work)
        assert server.connections == 1


def test_a_streamed_answer_that_a_rule_retries_is_closed() -> None:
    """The first good response's socket is not left behind."""
    rules = [{"when": {"status": 200, "header": "X-Again"}, "do": "retry"}]

    async def work(executor: AsyncExecutor) -> None:
        found = await executor.get("things", stream=True)
        assert await found.aread() == b"good"

    scripts = [[READ, response(b"x" * 9, headers={"X-Again": "1"})[:-1], HANG], [READ, response(b"good")]]
    with (
        FaultServer(*scripts) as server,
        calling(server.url, retries={"rules": rules, "backoff": QUICK}) as nango,
    ):
        run(nango, work)
        wait_until(lambda: not server._open)


def test_an_upload_may_come_from_a_generator() -> None:
    """Its pieces are sent as they are made; text is sent as UTF-8."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.put("things", data=(piece for piece in (b"one ", "zwölf")))

    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        run(nango, work)
        assert sandbox.ledger.received[0].body == "one zwölf".encode()


def test_an_upload_may_be_a_text_file() -> None:
    """A file that was opened as text ends where it ends, and is sent as UTF-8."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.put("things", data=io.StringIO("one zwölf"))

    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        run(nango, work)
        assert sandbox.ledger.received[0].body == "one zwölf".encode()


# --- cancellation


def test_a_cancelled_wait_gives_its_place_back() -> None:
    """Who stops waiting for a budget leaves no booking behind."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.get("things")
        waiting = asyncio.create_task(executor.get("things"))
        await until(lambda: booked(executor))
        await cancelled(waiting)
        assert (booked(executor), used(executor)) == (0, 1)

    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)
        assert len(sandbox.ledger) == 1


def test_a_cancelled_sending_stays_spent_and_ends() -> None:
    """The API may have counted it, so its place is free when the window has passed, and no later."""
    clock = ManualClock()

    async def work(executor: AsyncExecutor) -> None:
        call = asyncio.create_task(executor.get("things"))
        await until(lambda: server.requests)
        await cancelled(call)
        assert used(executor) == 1
        await until(lambda: not server._open)
        clock.advance(60.001)
        assert used(executor) == 0

    with (
        FaultServer([READ, HANG]) as server,
        calling(server.url, clock=clock, rate_limits=ONE_A_MINUTE) as nango,
    ):
        run(nango, work)


class RemoteLimits(MemoryLimits):
    """A store that answers from another thread, as a database would, and only when it is let.

    Attributes:
        held: the method that waits for `go`.
    """

    is_remote = True

    def __init__(self, clock: Any, held: str = "") -> None:
        super().__init__(clock)
        self.held = held
        self.entered, self.go = threading.Event(), threading.Event()
        self.threads: set[str] = set()
        self.breaks = False

    def _hold(self, name: str) -> None:
        self.threads.add(threading.current_thread().name)
        if name == self.held:
            self.entered.set()
            self.go.wait(10)
        if self.breaks:
            raise StorageError("the store is away")

    def acquire(self, *args: Any) -> Any:
        """Book, then be slow to say so."""
        found = super().acquire(*args)
        self._hold("acquire")
        return found

    def confirm(self, ticket: Any) -> float:
        """Confirm, then be slow to say so."""
        found = super().confirm(ticket)
        self._hold("confirm")
        return found

    def settle(self, ticket: Any) -> None:
        """Be slow, then settle."""
        self._hold("settle")
        super().settle(ticket)


@pytest.mark.parametrize(("held", "left"), [("acquire", 0), ("confirm", 0), ("settle", 1)])
@pytest.mark.parametrize("times", [1, 3])
def test_a_call_cancelled_while_a_remote_store_answers_loses_nothing(
    held: str, left: int, times: int
) -> None:
    """A booking that the store has made is given back; one that was sent is settled first."""
    clock = ManualClock()
    limits = RemoteLimits(clock, held)

    async def work(executor: AsyncExecutor) -> None:
        executor._io.limits = limits
        if held == "confirm":
            _, gates = executor._get_runtime().spends_of(executor.plan("GET", "things"))
            limits.close_gate(gates, 5.0)
        call = asyncio.create_task(executor.get("things"))
        await until(limits.entered.is_set)
        threading.Timer(0.05, limits.go.set).start()
        await cancelled(call, times)
        assert used(executor) == left
        clock.advance(60.001)
        assert used(executor) == 0

    with a_sandbox() as sandbox, calling(sandbox.base_url, clock=clock, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)
        assert len(sandbox.ledger) == left


def test_a_store_that_breaks_while_a_call_is_cancelled_does_not_hide_the_cancellation() -> None:
    """The task ends as cancelled."""
    limits = RemoteLimits(ManualClock(), "acquire")
    limits.breaks = True

    async def work(executor: AsyncExecutor) -> None:
        executor._io.limits = limits
        call = asyncio.create_task(executor.get("things"))
        await until(limits.entered.is_set)
        threading.Timer(0.05, limits.go.set).start()
        await cancelled(call)

    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)


def test_a_remote_store_is_asked_outside_the_event_loop() -> None:
    """Its waits hold nobody up."""
    limits = RemoteLimits(ManualClock())

    async def work(executor: AsyncExecutor) -> None:
        executor._io.limits = limits
        await executor.get("things")

    with a_sandbox() as sandbox, calling(sandbox.base_url, rate_limits=ONE_A_MINUTE) as nango:
        run(nango, work)
    assert limits.threads
    assert threading.main_thread().name not in limits.threads


# --- many calls, pages, loops


@contextlib.asynccontextmanager
async def gathering(number: int) -> AsyncIterator[str]:
    """A server that answers nobody before `number` requests have come."""
    come, everybody = 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal come
        await reader.readuntil(b"\r\n\r\n")
        come += 1
        if come == number:
            everybody.set()
        await everybody.wait()
        writer.write(response(b"together", headers={"Connection": "close"}))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=number)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def test_a_thousand_calls_are_in_flight_at_once() -> None:
    """None is answered before all have come, so all of them are on their way together."""
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


def test_pages_are_the_same_as_the_sync_executor_s() -> None:
    """Records and answers of all pages, and max_pages."""

    async def work(executor: AsyncExecutor) -> tuple[list[Any], int]:
        records = [record["id"] async for record in executor.paginate("things", params={"a": "b"})]
        pages = [page.status_code async for page in executor.pages("things", max_pages=2)]
        return records, len(pages)

    with a_sandbox(pages={"things": 4}) as sandbox, calling(sandbox.base_url) as nango:
        expected = [record["id"] for record in nango.executor("shop", "user-1").paginate("things")]
        assert len(expected) == 12
        assert run(nango, work) == (expected, 2)


def test_event_loops_one_after_the_other_need_no_closing() -> None:
    """What a loop leaves open is closed at its end, and the next one gets connections of its own."""
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


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """A POST after it is sent once, on a new connection."""

    async def work(executor: AsyncExecutor) -> None:
        await executor.get("things")
        await until(lambda: not server._open)
        assert len((await executor.post("things")).attempts) == 1

    with FaultServer([READ, response(b"ok")]) as server, calling(server.url) as nango:
        run(nango, work)
        assert server.connections == 2


def test_each_task_explains_its_own_call() -> None:
    """Tasks that share an executor do not see each other's attempts; outside of tasks there are none."""

    async def one(executor: AsyncExecutor, path: str) -> str:
        await executor.get(path)
        return f"{path} {executor.attempts[0].endpoint} {executor.explain().count('attempt')}"

    async def work(executor: AsyncExecutor) -> None:
        told = await asyncio.gather(*(one(executor, f"things/{number}") for number in range(5)))
        assert told == [f"things/{number} things/{number} 1" for number in range(5)]

    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        executor = nango.async_executor("shop", "user-1")
        run(nango, work)
        assert executor.attempts == ()
        assert executor.explain() == "nothing was sent"


def test_without_httpx2_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra's name, and everything else goes on."""
    monkeypatch.delitem(sys.modules, "nango_py.transport.async_transport", raising=False)
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        with pytest.raises(NangoError, match=r"pip install 'nango-py\[async\]'"):
            nango.async_executor("shop", "user-1")
        assert nango.executor("shop", "user-1").get("things").status_code == 200


# --- what must never leak


@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_cookie_reaches_no_other_call(name: str) -> None:
    """An API client keeps none: the next call may be another user's."""
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
    """A proxy would see the key."""
    with FaultServer([READ, HANG]) as proxy, a_sandbox() as sandbox, calling(sandbox.base_url) as nango:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        run(nango, lambda executor: executor.get("things"))
        assert proxy.connections == 0


@pytest.mark.parametrize("key", [KEY, "k9"])
def test_no_log_of_any_library_holds_the_key(key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not even in a query, at DEBUG, with a key too short to be masked by value."""

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
    assert "httpcore2" in {record.name.partition(".")[0] for record in caplog.records}
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
    """A CA bundle of one's own is trusted for its names and its time, and no further."""

    async def work(executor: AsyncExecutor) -> str:
        try:
            return "" if (await executor.get("things")).text == "ok" else "wrong"
        except TransportFailed as error:
            return error.reason

    with FaultServer([READ, response(b"ok")], tls=tls) as server:
        with calling(server.url, ca_bundle=server.certificate) as nango:
            assert run(nango, work) == reason
        assert bool(server.requests) == (not reason)
