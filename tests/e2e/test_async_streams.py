"""Streamed responses and uploads under asyncio."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from nango_py.errors import ProviderError, TransportFailed
from tests.support.async_calls import run, wait_for
from tests.support.fault_server import HANG, READ, FaultServer, response
from tests.support.nango_at_server import QUICK, a_sandbox, calling, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango
    from nango_py.engine.async_executor import AsyncExecutor


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """A socket that was not closed warns when it is collected, and a warning is an error."""
    gc.freeze()  # what there was before costs nothing to look through
    yield
    gc.collect()


def test_a_stream_is_read_piece_by_piece() -> None:
    """The first piece is available before the server has sent the last one."""
    more = threading.Event()
    whole = response(b"first" + b"later" * 1000)

    async def work(executor: AsyncExecutor) -> bytes:
        streamed = await executor.get("things", stream=True)
        pieces = streamed.aiter_content()
        first = await anext(pieces)
        assert first.startswith(b"first")
        assert len(first) < 5005
        more.set()
        return first + b"".join([piece async for piece in pieces])

    cut = len(whole) - 4000
    with FaultServer([READ, whole[:cut], more, whole[cut:]]) as server, calling(server.url) as nango:
        assert run(nango, work) == b"first" + b"later" * 1000


def test_a_stream_can_be_read_whole() -> None:
    """After aread() the response behaves like one that was not streamed."""

    async def work(executor: AsyncExecutor) -> None:
        async with await executor.get("things", stream=True) as streamed:
            with pytest.raises(RuntimeError, match="aread"):
                streamed.json()
            with pytest.raises(RuntimeError, match="aclose"):
                streamed.close()
            assert await streamed.aread() == b'{"a": 1}'
            assert streamed.json() == {"a": 1}
            assert [piece async for piece in streamed.aiter_content(3)] == [b'{"a', b'": ', b"1}"]
            streamed.close()

    with FaultServer([READ, response(b'{"a": 1}')]) as server, calling(server.url) as nango:
        run(nango, work)


def test_a_reader_that_stopped_leaves_no_shorter_body() -> None:
    """What another reader, or a cancelled one, has taken is missing, so reading on is an error."""
    more = threading.Event()
    whole = response(b"first" + b"later" * 1000)

    async def cancel(streamed: Any) -> None:
        reader = asyncio.ensure_future(streamed.aread())
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    async def stop(streamed: Any) -> None:
        async for _ in streamed.aiter_content(5):
            break

    async def work(executor: AsyncExecutor) -> None:
        for begin in (cancel, stop):
            async with await executor.get("things", stream=True) as streamed:
                await begin(streamed)
                for read in (streamed.aread, lambda streamed=streamed: anext(streamed.aiter_content())):
                    with pytest.raises(RuntimeError, match="once"):
                        await read()
        async with await executor.get("things", stream=True) as streamed:
            first = asyncio.ensure_future(streamed.aread())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="once"):
                await streamed.aread()
            more.set()
            assert await first == whole.partition(b"\r\n\r\n")[2]

    cut = len(whole) - 4000
    halves = [[READ, whole[:cut], HANG]] * 2
    with (
        FaultServer(*halves, [READ, whole[:cut], more, whole[cut:]]) as server,
        calling(server.url) as nango,
    ):
        run(nango, work)


def test_closing_a_stream_early_frees_its_socket() -> None:
    """The server sees the end of the connection."""

    async def work(executor: AsyncExecutor) -> None:
        streamed = await executor.get("things", stream=True)
        async for _ in streamed.aiter_content():
            break
        await streamed.aclose()
        await wait_for(lambda: not server._open)

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
def test_a_broken_stream_has_its_reason(script: Any, options: Any, reason: str) -> None:
    """A TransportFailed follows the pieces that arrived, and the socket is closed."""

    async def work(executor: AsyncExecutor) -> None:
        streamed = await executor.get("things", stream=True, **options)
        with pytest.raises(TransportFailed) as raised:
            await streamed.aread()
        assert raised.value.reason == reason
        assert raised.value.__context__ is None
        await wait_for(lambda: not server._open)

    with FaultServer(script) as server, calling(server.url) as nango:
        run(nango, work)


def test_the_limit_of_a_stream_can_be_lifted() -> None:
    """max_response_bytes=0 accepts any size."""

    async def work(executor: AsyncExecutor) -> int:
        streamed = await executor.get("things", stream=True, max_response_bytes=0)
        return len(await streamed.aread())

    with FaultServer([READ, response(b"x" * 5000)]) as server:
        requests = {"max_response_bytes": 1000}
        with calling(server.url, requests=requests) as nango:
            assert run(nango, work) == 5000


def test_an_error_response_to_a_streamed_call_is_read_and_retried() -> None:
    """The body of an error is read at once, so that rules can match it and its connection is reused."""
    rules = [{"when": {"status": 409, "body_contains": "soon"}, "do": "retry"}]

    async def work(executor: AsyncExecutor) -> None:
        streamed = await executor.get("things", stream=True)
        assert await streamed.aread() == b"good"
        assert [attempt.status for attempt in streamed.attempts] == [409, 503, 200]
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


def test_a_streamed_response_that_a_rule_retries_is_closed() -> None:
    """The connection of the first response is not left open."""
    rules = [{"when": {"status": 200, "header": "X-Again"}, "do": "retry"}]

    async def work(executor: AsyncExecutor) -> None:
        streamed = await executor.get("things", stream=True)
        assert await streamed.aread() == b"good"

    scripts = [[READ, response(b"x" * 9, headers={"X-Again": "1"})[:-1], HANG], [READ, response(b"good")]]
    with (
        FaultServer(*scripts) as server,
        calling(server.url, retries={"rules": rules, "backoff": QUICK}) as nango,
    ):
        run(nango, work)
        wait_until(lambda: not server._open)


def test_the_stream_of_httpx_goes_on_where_it_was_left() -> None:
    """SDKs iterate it again, after the last record that they want, to empty the connection."""
    more = threading.Event()
    whole = response(b"first" + b"later" * 1000)

    async def work(nango: Nango, url: str) -> list[bytes]:
        transport = nango.async_httpx_transport("shop", "user-1")
        async with (
            httpx2.AsyncClient(transport=transport) as client,
            client.stream("GET", f"{url}things") as streamed,
        ):
            first = await anext(aiter(streamed.stream))
            more.set()
            rest, nothing = [b"".join([piece async for piece in streamed.stream]) for _ in range(2)]
            return [first + rest, nothing]

    cut = len(whole) - 4000
    with FaultServer([READ, whole[:cut], more, whole[cut:]]) as server, calling(server.url) as nango:
        assert asyncio.run(work(nango, server.url)) == [b"first" + b"later" * 1000, b""]


def test_an_upload_may_come_from_a_generator() -> None:
    """Its pieces are sent one by one; text is sent as UTF-8."""

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
