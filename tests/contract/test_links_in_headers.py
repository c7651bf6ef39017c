"""URLs in headers are sent as they came: bytes beyond ASCII are percent-encoded once, in UTF-8 or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fault_server import READ, FaultServer, response
from tests.support.sandbox_product import SHOP, a_nango

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nango_py import Nango

TARGETS: dict[bytes, bytes] = {
    "?name=é&p=2".encode(): b"?name=%C3%A9&p=2",
    b"?name=%C3%A9&p=2": b"?name=%C3%A9&p=2",
    "/café/ü?p=2".encode(): b"/caf%C3%A9/%C3%BC?p=2",
    "?p=2&name=à".encode(): b"?p=2&name=%C3%A0",  # ends with the byte of a no-break space in ISO-8859-1
    "?p=2&name=\u0445".encode(): b"?p=2&name=%D1%85",  # ends with the byte of a line separator
    "?p=2&name=\U0001f600".encode(): b"?p=2&name=%F0%9F%98%80",
    b"?name=\xe9&p=2": b"?name=%E9&p=2",  # ISO-8859-1
    "?name=日本&other=%E6%97%A5&p=2".encode(): b"?name=%E6%97%A5%E6%9C%AC&other=%E6%97%A5&p=2",
}


def page_with(target: bytes) -> bytes:
    """A first page whose Link header has a target."""
    return b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nLink: <%b>; rel="next"\r\n\r\n[1]' % target


def redirect_to(target: bytes) -> bytes:
    """A redirect."""
    return b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % target


def page_with_header(target: bytes) -> bytes:
    """A first page with the URL of the next one in a header."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Next: %b\r\n\r\n[1]" % target


BLOCKS = {
    page_with: {"kind": "link_header"},
    redirect_to: {"kind": "link_header"},
    page_with_header: {"kind": "next", "next": {"from": {"header": "X-Next"}, "to": {"url": True}}},
}


def walk(nango: Nango) -> list[Any]:
    """All records, once for each target."""
    return [list(nango.executor("shop", "u").paginate("list")) for _ in TARGETS]


def walk_async(nango: Nango) -> list[Any]:
    """The same for asyncio."""

    async def work() -> list[Any]:
        async with nango:
            executor = nango.async_executor("shop", "u")
            return [[record async for record in executor.paginate("list")] for _ in TARGETS]

    return asyncio.run(work())


@pytest.mark.parametrize("first", BLOCKS)
@pytest.mark.parametrize("act", [walk, walk_async])
def test_bytes_of_a_link_are_encoded_once(
    tmp_path: Path, act: Callable[[Nango], Any], first: Callable[[bytes], bytes]
) -> None:
    """In a Link header as in a Location or another header, relative to the first page."""
    settings = {**SHOP, "pagination": BLOCKS[first]}
    script = [step for target in TARGETS for step in (READ, first(target), READ, response(b"[2]"))]
    with FaultServer(script) as server, a_nango(tmp_path, server.url, settings) as nango:
        nango.register_connection("shop", "u", {"api_key": "some_key_1"})
        assert act(nango) == [[2] if first is redirect_to else [1, 2]] * len(TARGETS)
    lines = [request.split(b"\r\n")[0] for request in server.requests[1::2]]
    expected = [path if path.startswith(b"/") else b"/list" + path for path in TARGETS.values()]
    assert lines == [b"GET %b HTTP/1.1" % path for path in expected]
