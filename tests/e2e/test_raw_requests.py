"""Requests as no browser writes them, over sockets, to the servers of `nango serve` and `nango mcp`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from nango_py.mcp import asgi
from nango_py.server.asgi import ConnectServer, path_for_log
from nango_py.server.uvicorn_server import PunctualProtocol
from tests.support.connect_product import GOOD_KEY, Product, connect_server, records_of_the_product
from tests.support.oauth2_login_provider import consent
from tests.support.tool_product import TOKEN, serving_tools, tool_product

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py import Nango

NEXT = b"GET /connect HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
FORM = (
    b"POST /oauth/connect/mail HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """A product with a connect server."""
    with connect_server(tmp_path) as product:
        yield product


@contextlib.contextmanager
def client_of(url: str) -> Iterator[socket.socket]:
    """A connection to a server."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    """What arrives until the server closes the connection."""
    received = b""
    while part := client.recv(65_536):
        received += part
    return received


def statuses(received: bytes) -> list[int]:
    """The statuses of all responses, whose bodies have no line that looks like one."""
    return [int(part[1:4]) for part in received.split(b"HTTP/1.1")[1:]]


TWO_LENGTHS = [
    b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("lengths", TWO_LENGTHS)
def test_request_with_two_lengths_ends_the_connection(product: Product, lengths: bytes) -> None:
    """It is refused, and what follows it is not another request (RFC 9112 section 6.1)."""
    with client_of(product.url) as client:
        client.sendall(FORM + lengths + NEXT)
        assert statuses(read_all(client)) == [400]


def test_uvicorn_alone_would_go_on(tmp_path: Path) -> None:
    """Control: without the check, the rest is served as a second request."""

    def plain(nango: Nango) -> uvicorn.Server:
        app = ConnectServer(nango.accounts)
        return uvicorn.Server(uvicorn.Config(app, http=PunctualProtocol, log_config=None, lifespan="off"))

    with connect_server(tmp_path, server=plain) as product, client_of(product.url) as client:
        client.sendall(FORM + TWO_LENGTHS[0] + NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert statuses(read_all(client)) == [401, 200]


def test_tool_server_refuses_two_lengths(tmp_path: Path) -> None:
    """Alike, before the token is checked."""
    with tool_product(tmp_path) as product:
        app = product.nango.mcp_app(lambda _: None, path="/mcp")
        with serving_tools(app) as url, client_of(url) as client:
            client.sendall(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n" + TWO_LENGTHS[0] + NEXT)
            assert statuses(read_all(client)) == [400]


CHUNKED = b" HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
INVALID_BODIES = {
    "at once": (b"GET /connect" + CHUNKED + b"zz\r\n", b"", [400]),
    "of a request that is not read": (b"GET /nowhere" + CHUNKED + b"zz\r\n", b"", [400]),
    "after a chunk": (b"POST /oauth/choice" + CHUNKED + b"1\r\na\r\nzz\r\n", b"", [400]),
    "after the response": (b"GET /nowhere" + CHUNKED, b"zz\r\n", [404]),
    "after the end": (b"GET /nowhere" + CHUNKED + b"0\r\n\r\n", b"\x00\r\n\r\n", [404, 400]),
}


@pytest.mark.parametrize("name", INVALID_BODIES)
def test_invalid_body_leaves_no_traceback(product: Product, name: str) -> None:
    """One response or none, the end of the connection, and no error in the log that a client could fill."""
    first, then, expected = INVALID_BODIES[name]
    with records_of_the_product() as records:
        with client_of(product.url) as client:
            client.sendall(first)
            received = client.recv(65_536) if then else b""
            client.sendall(then)
            received += read_all(client)
        assert product.visitor().ask("GET", "/connect").status_code == 200
    assert statuses(received) == expected
    assert [line for line in records.lines if line.startswith("ERROR")] == []


@pytest.mark.parametrize(
    ("ending", "status", "is_kept"),
    [
        ({"type": "http.disconnect"}, 400, True),
        ({"type": "http.request", "body": b"67890", "more_body": False}, 200, False),
    ],
)
def test_incomplete_request_changes_nothing(
    product: Product,
    ending: Any,
    status: int,
    is_kept: bool,  # noqa: FBT001
) -> None:
    """A request to disconnect whose body is cut off is not carried out; the control is a whole one."""
    product.nango.register_connection("shop", "user-1", {"api_key": GOOD_KEY})
    scope: Any = {
        "type": "http", "method": "DELETE", "path": "/connect/integrations/shop", "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1"), (b"authorization", f"Bearer {product.session()}".encode()),
            (b"content-length", b"10"),
        ],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": b"12345", "more_body": True}, ending]
    sent = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message.get("status"))

    asyncio.run(ConnectServer(product.nango.accounts)(scope, receive, send))
    assert sent[0] == status
    assert bool(product.nango.connections_for_user("user-1")) is is_kept


@pytest.mark.parametrize(
    ("before", "kind"),
    [(b"", "ok"), (b"\t ", "ok"), (b"\xa0", "failed"), (b"\x85", "failed"), (b"=", "failed")],
)
def test_name_of_a_cookie_is_exact(product: Product, before: bytes, kind: str) -> None:
    """White space of other encodings is a part of it: sibling domains can set such a cookie (`__Host-`)."""
    visitor = product.visitor()
    back = urlsplit(consent(visitor.login_url(product.session(), "mail"), "allow"))
    ((name, value),) = visitor.http.cookies.items()
    head = f"GET {back.path}?{back.query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n".encode()
    with client_of(product.url) as client:
        client.sendall(head + b"Cookie: a=b;" + before + f"{name}={value}\r\n\r\n".encode())
        assert f'data-kind="{kind}"'.encode() in read_all(client)


DEEP = '{"credentials": {"a": "\u2200"}, "additional_config": ' + "[" * 5000 + "]" * 5000 + "}"
"""The character has a byte that is a quotation mark in ASCII."""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32-be"])
def test_deeply_nested_json_is_a_bad_request_in_any_encoding(product: Product, encoding: str) -> None:
    """JSON is UTF-8 (RFC 8259 section 8.1); others are read, if they are not nested deeply."""
    headers = {"Content-Type": "application/json"}
    token = product.session()
    for text, status in ((DEEP, 400), (json.dumps({"credentials": {"api_key": GOOD_KEY}}), 200)):
        response = product.visitor().ask(
            "POST", "/connect/integrations/shop", token, data=text.encode(encoding), headers=headers
        )
        assert response.status_code == status


SECRET = "planted-secret-0123456789"
PATHS = {
    f"/connect%23session={SECRET}": "/connect...",
    f"/nango/connect/%23session={SECRET}": "/nango/connect/...",
    f"/oauth/callback%3Fcode={SECRET}&state=x": "/oauth/callback...",
    f"/oauth/callback/mail%3Fcode={SECRET}": "/oauth/callback/mail...",
    f"/oauth/callback&code={SECRET}": "/oauth/callback...",
    f"/connect;session={SECRET}": "/connect...",
    f"/oauth/callback%0Acode%3D{SECRET}": "/oauth/callback...",
    "/connect/attempts/a-b_c.1~": "/connect/attempts/a-b_c.1~",
}


def test_no_secret_in_a_path_is_logged(product: Product) -> None:
    """A link or callback that was encoded once more has its secret in the path, which is 404."""
    with records_of_the_product() as records:
        for path in PATHS:
            assert product.visitor().ask("GET", path).status_code in {400, 401, 404}
    lines = "\n".join(records.lines)
    assert SECRET not in lines
    for shown in PATHS.values():
        assert f"GET {shown} 40" in lines


def test_path_in_the_log_is_short() -> None:
    """Control characters are not in it, and it ends somewhere."""
    assert path_for_log("/connect\x1b[2J") == "/connect..."
    assert len(path_for_log("/" + "a" * 100_000)) < 200


def test_requests_that_are_being_read_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose body arrives slowly holds a place too, so that memory is bounded."""
    monkeypatch.setattr(asgi, "MAX_RUNNING", 2)
    app = asgi.ToolServer(lambda _: object(), path="/mcp")  # type: ignore[arg-type, return-value]
    scope: Any = {
        "type": "http", "method": "POST", "path": "/mcp",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())],
    }  # fmt: skip

    async def work() -> tuple[list[int], list[int]]:
        sent: asyncio.Queue[int] = asyncio.Queue()
        may_go_on = asyncio.Event()

        async def receive() -> Any:
            await may_go_on.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                await sent.put(message["status"])

        tasks = [asyncio.create_task(app(scope, receive, send)) for _ in range(5)]
        busy = [await sent.get() for _ in range(3)]
        may_go_on.set()
        await asyncio.gather(*tasks)
        await app(scope, receive, send)
        return busy, [await sent.get() for _ in range(3)]

    busy, later = asyncio.run(asyncio.wait_for(work(), 30))
    assert busy == [503, 503, 503]
    assert later == [400, 400, 400]
