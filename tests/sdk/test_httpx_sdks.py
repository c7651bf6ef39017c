"""Real SDKs on httpx and httpx2, sync and async: the same results and requests as with a plain client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import httpx2
import notion_client
import openai
import pytest

from nango_py import InvalidRequest, RateLimited, TransportFailed
from tests.sdk.sdk_product import KEY, SDK_KEY, connected
from tests.support.fault_server import READ, FaultServer
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.support.recording_server import Received

LIBRARIES = [httpx, httpx2]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
COMPLETION = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
}  # fmt: skip
MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
    "stop_sequence": None, "content": [{"type": "text", "text": "hello"}],
    "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip
EVENTS = (("Content-Type", "text/event-stream"),)


def events(*data: Any, named: bool = False) -> tuple[bytes, ...]:
    """Server-sent events, one chunk each."""
    return tuple(
        (f"event: {one['type']}\n" if named else "").encode() + b"data: " + json.dumps(one).encode() + b"\n\n"
        for one in data
    )


def chunk(text: str) -> dict[str, Any]:
    """A part of a streamed completion."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def respond(received: Received) -> Any:
    """The APIs of the SDKs here."""
    asked = json.loads(received.body or b"{}")
    path = received.target.partition("?")[0]
    if path == "/v1/chat/completions":
        if asked.get("stream"):
            return Reply((*events(chunk("hel"), chunk("lo")), b"data: [DONE]\n\n"), headers=EVENTS)
        return COMPLETION
    if path == "/v1/messages":
        if not asked.get("stream"):
            return MESSAGE
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}}
        start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        begin = {"type": "message_start", "message": {**MESSAGE, "content": []}}
        return Reply(events(begin, start, delta, {"type": "message_stop"}, named=True), headers=EVENTS)
    if path == "/v1/users":
        return {"object": "list", "results": [{"object": "user", "id": "u"}], "has_more": False}
    return Reply({"object": "error", "status": 404, "code": "object_not_found", "message": "no"}, 404)


def _use_openai(url: str, client: Any) -> object:
    api = openai.OpenAI(api_key=SDK_KEY, base_url=f"{url}v1", http_client=client, max_retries=0)
    answer = api.chat.completions.create(**CHAT).choices[0].message.content
    parts = [part.choices[0].delta.content for part in api.chat.completions.create(**CHAT, stream=True)]
    with pytest.raises(openai.NotFoundError):
        api.models.retrieve("missing")
    return answer, parts


async def _use_openai_async(url: str, client: Any) -> object:
    api = openai.AsyncOpenAI(api_key=SDK_KEY, base_url=f"{url}v1", http_client=client, max_retries=0)
    answer = (await api.chat.completions.create(**CHAT)).choices[0].message.content
    stream = await api.chat.completions.create(**CHAT, stream=True)
    return answer, [part.choices[0].delta.content async for part in stream]


def _use_anthropic(url: str, client: Any) -> object:
    api = anthropic.Anthropic(api_key=SDK_KEY, base_url=url, http_client=client, max_retries=0)
    answer = api.messages.create(max_tokens=9, **CHAT).content[0].text
    parts = [event.type for event in api.messages.create(max_tokens=9, stream=True, **CHAT)]
    return answer, parts


async def _use_anthropic_async(url: str, client: Any) -> object:
    api = anthropic.AsyncAnthropic(api_key=SDK_KEY, base_url=url, http_client=client, max_retries=0)
    answer = (await api.messages.create(max_tokens=9, **CHAT)).content[0].text
    stream = await api.messages.create(max_tokens=9, stream=True, **CHAT)
    return answer, [event.type async for event in stream]


def _use_notion(url: str, client: Any) -> object:
    api = notion_client.Client(auth=SDK_KEY, client=client, base_url=url.rstrip("/"))
    with pytest.raises(notion_client.APIResponseError):
        api.pages.retrieve("missing")
    return api.users.list()["results"]


async def _use_notion_async(url: str, client: Any) -> object:
    api = notion_client.AsyncClient(auth=SDK_KEY, client=client, base_url=url.rstrip("/"))
    return (await api.users.list())["results"]


BEARER = {"Authorization": "Bearer ${api_key}"}
SDKS: dict[str, tuple[Any, Callable[..., object], Callable[..., Awaitable[object]], dict[str, str]]] = {
    "openai": (httpx2, _use_openai, _use_openai_async, BEARER),
    "anthropic": (httpx2, _use_anthropic, _use_anthropic_async, {"X-Api-Key": "${api_key}"}),
    "notion-client": (httpx, _use_notion, _use_notion_async, BEARER),
}
LEFT_OUT = {"connection", "host", "authorization", "x-api-key", "x-stainless-raw-response", "idempotency-key"}


def shape(received: Received) -> tuple[object, ...]:
    """What must be the same: everything but the credential and what the sender decides."""
    headers = {
        name: value.replace(KEY, SDK_KEY) for name, value in received.headers.items() if name not in LEFT_OUT
    }
    return received.method, received.target, headers, received.body


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", SDKS)
def test_an_sdk_works_as_with_a_plain_client(name: str, is_async: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Results, streams and requests are equal, with the connection's credential in place of the SDK's."""
    library, use, use_async, headers = SDKS[name]

    async def run_async(url: str, transport: Any) -> object:
        async with library.AsyncClient(transport=transport) as client:
            return await use_async(url, client)

    def run(url: str, nango: Any) -> object:
        if is_async:
            transport = nango.async_httpx_transport("api", "user-1") if nango else None
            return asyncio.run(run_async(url, transport))
        with library.Client(transport=nango.httpx_transport("api", "user-1") if nango else None) as client:
            return use(url, client)

    with RecordingServer(respond) as server:
        expected = run(server.url, None)
        plain = [shape(received) for received in server.received]
        server.received.clear()
        block = {"base_url": server.url, "allow_http": True, "headers": headers}
        with connected(tmp_path, server.url, requests=block) as nango:
            found = run(server.url, nango)
        ours = list(server.received)
    assert found == expected
    for received, wanted in zip(ours, plain, strict=True):
        assert shape(received) == wanted
    assert plain
    assert all(KEY in repr(received) for received in ours)
    assert SDK_KEY not in repr(ours)


def call(library: Any, nango: Any, url: str, *, is_async: bool, **options: Any) -> Any:
    """One GET by a client."""

    async def get() -> Any:
        transport = nango.async_httpx_transport("api", "user-1")
        async with library.AsyncClient(transport=transport) as client:
            return await client.get(url, **options)

    if is_async:
        return asyncio.run(get())
    with library.Client(transport=nango.httpx_transport("api", "user-1")) as client:
        return client.get(url, **options)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("library", LIBRARIES, ids=["httpx", "httpx2"])
def test_errors_are_those_of_the_library_and_ours(library: Any, is_async: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """Each is catchable as both, names its request and shows no credential."""
    once = {"max_attempts": 1}
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
    for number, (steps, kind, ours) in enumerate((
        ([READ, cut], library.RemoteProtocolError, TransportFailed),
        ([READ, 10.0], library.ReadTimeout, TransportFailed),
        ([READ], library.NetworkError, TransportFailed),
    )):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        with FaultServer(steps) as server, connected(folder, server.url, retries=once) as nango:
            with pytest.raises(kind) as caught:
                call(library, nango, f"{server.url}x", is_async=is_async, timeout=0.2)
            assert isinstance(caught.value, ours)
            assert str(caught.value.request.url) == f"{server.url}x"
            assert caught.value.__context__ is None
            assert KEY not in repr([caught.value, caught.value.request.headers])
    limited = {"budgets": [{"key": "all", "otherwise": ["1/hour"]}]}
    with RecordingServer(respond) as api, RecordingServer(respond) as other:
        nango = connected(tmp_path, api.url, retries={"deadline_seconds": 1}, rate_limits=limited)
        with nango:
            assert call(library, nango, f"{api.url}v1/users", is_async=is_async).status_code == 200
            with pytest.raises(library.TransportError) as caught:
                call(library, nango, f"{api.url}v1/users", is_async=is_async)
            assert isinstance(caught.value, RateLimited)
            for url in (f"{other.url}x", f"{api.url}v1/%2e%2e/admin"):
                with pytest.raises(library.TransportError) as caught:
                    call(library, nango, url, is_async=is_async)
                assert isinstance(caught.value, InvalidRequest)
        assert (len(api.received), len(other.received)) == (1, 0)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("library", LIBRARIES, ids=["httpx", "httpx2"])
def test_redirects_stay_with_the_client(library: Any, is_async: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A 3xx is returned, or followed by the client; compressed bodies are decoded once."""
    import gzip

    def moving(received: Received) -> Any:
        if received.target == "/old":
            return Reply(status=302, headers=(("Location", "/new"),))
        return Reply(gzip.compress(b'{"n": 1}'), headers=(("Content-Encoding", "gzip"),))

    with RecordingServer(moving) as server, connected(tmp_path, server.url) as nango:
        assert call(library, nango, f"{server.url}old", is_async=is_async).status_code == 302
        found = call(library, nango, f"{server.url}old", is_async=is_async, follow_redirects=True)
        assert (found.json(), [old.status_code for old in found.history]) == ({"n": 1}, [302])
