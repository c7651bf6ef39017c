"""The tool server: the SDK's own client over stdio and HTTP, and clients that are not welcome."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from nango_py import Nango, NangoError
from nango_py.mcp import asgi
from nango_py.server.uvicorn_server import PunctualProtocol
from tests.support.action_product import KEY
from tests.support.tool_product import TOKEN, serving_tools, tool_product

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from nango_py import Toolbox
    from nango_py.mcp.asgi import ToolServer
    from tests.support.action_product import ActionProduct

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def product(tmp_path: Path) -> Iterator[ActionProduct]:
    """The shop."""
    with tool_product(tmp_path) as product:
        yield product


def app_of(product: ActionProduct, **options: Any) -> ToolServer:
    """A server whose tokens end with the user they belong to."""
    nango = product.nango

    def identify(token: str) -> Toolbox | None:
        head, _, user = token.rpartition("/")
        return nango.toolbox(user, **options) if head == TOKEN else None

    return nango.mcp_app(identify, path="/mcp")


async def use(url: str, work: Callable[[Client], Coroutine[Any, Any, Any]], user: str = "u") -> Any:
    """What the SDK's client gets from the server."""
    headers = {"Authorization": f"Bearer {TOKEN}/{user}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=30) as http_client,
        Client(streamable_http_client(url, http_client=http_client)) as client,
    ):
        return await work(client)


async def read_and_create(client: Client) -> tuple[list[str], Any, Any, Any]:
    """The names of the tools, and the results of three calls."""
    tools = await client.list_tools()
    found = await client.call_tool("search_actions", {"query": "list items"})
    item = await client.call_tool("call_action", {"action": "shop.get-item", "input": {"id": "7"}})
    created = await client.call_tool("call_action", {"action": "shop.create-item", "input": {"name": "a"}})
    return [tool.name for tool in tools.tools], *(
        (json.loads(result.content[0].text), result.is_error) for result in (found, item, created)
    )


def test_the_client_of_the_sdk_works_over_http(product: ActionProduct) -> None:
    """Tools are listed and called; the token decides about the user, and nothing is kept between requests."""
    with serving_tools(app_of(product)) as url:
        names, found, item, created = asyncio.run(use(url, read_and_create))
        missing = asyncio.run(use(url, read_and_create, "nobody"))[2]
    assert names == ["search_actions", "describe_action", "call_action"]
    assert found[0]["actions"][0]["action"] == "shop.list-items"
    assert item == ({"result": {"id": "7"}}, False)
    assert (created[0]["error"]["code"], created[1]) == ("not_allowed", True)
    assert (missing[0]["error"]["code"], missing[1]) == ("not_connected", True)
    assert len(product.sent) == 1


def test_both_generations_of_the_protocol_are_served(product: ActionProduct) -> None:
    """A client of 2025 that begins with initialize gets a result without a session."""
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "old", "version": "1"},
        },
    }
    with serving_tools(app_of(product)) as url:
        reply = post(url, json.dumps(request).encode())
        listed = post(url, json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).encode())
    assert (reply.status, reply.headers.get("mcp-session-id")) == (200, None)
    assert b'"serverInfo"' in reply.body
    assert (listed.status, b"search_actions" in listed.body) == (200, True)


class Reply:
    """A response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


def post(url: str, body: bytes = b"{}", method: str = "POST", path: str = "", **headers: str | None) -> Reply:
    """Send a request with the headers of a client; None leaves one out."""
    parts = urlsplit(url)
    given: dict[str, str | None] = {
        "Host": parts.netloc,
        "Authorization": f"Bearer {TOKEN}/u",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **headers,
    }
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.putrequest(method, path or parts.path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body if len(body) <= asgi.MAX_BODY_BYTES else None)
        return Reply(connection.getresponse())
    finally:
        connection.close()


LIST = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
REFUSED: list[tuple[int, dict[str, Any]]] = [
    (401, {"Authorization": None}),
    (401, {"Authorization": "Bearer wrong"}),
    (401, {"Authorization": "Bearer "}),
    (401, {"Authorization": f"Basic {TOKEN}/u"}),
    (401, {"Authorization": f"{TOKEN}/u"}),
    (421, {"Host": "evil.test"}),
    (421, {"Host": "127.0.0.1.evil.test"}),
    (421, {"Host": "evil.test:127.0.0.1"}),
    (400, {"Host": None}),
    (403, {"Origin": "https://evil.test"}),
    (403, {"Origin": "null"}),
    (403, {"Origin": "http://localhost.evil.test"}),
    (405, {"method": "GET"}),
    (405, {"method": "DELETE"}),
    (405, {"method": "OPTIONS"}),
    (404, {"path": "/mcp/../admin"}),
    (404, {"path": "/other"}),
    (413, {"body": b" " * (asgi.MAX_BODY_BYTES + 1)}),
    (400, {"body": b"[" * 1000}),
    (400, {"Content-Type": "text/plain"}),
    (400, {"body": b"not json"}),
]


def test_unwelcome_requests_are_refused(product: ActionProduct, caplog: pytest.LogCaptureFixture) -> None:
    """Token, Host, Origin, method, path, size and form are checked; the control with good ones is served."""
    with serving_tools(app_of(product)) as url:
        for status, options in REFUSED:
            given = {"body": LIST, **options}
            reply = post(url, **given)
            assert reply.status == status, options
            assert TOKEN.encode() not in reply.body
        assert post(url, LIST).status == 200
    assert product.sent == []
    assert TOKEN not in caplog.text


def test_repeated_headers_are_refused(product: ActionProduct) -> None:
    """Two Authorization headers could be read differently by a proxy."""
    with serving_tools(app_of(product)) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        connection.putrequest("POST", "/mcp")
        for token in ("wrong", f"{TOKEN}/u"):
            connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        assert connection.getresponse().status == 400
        connection.close()


def test_an_identify_that_fails_serves_nobody(
    product: ActionProduct, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception is logged by name only."""

    def identify(token: str) -> Toolbox | None:
        raise LookupError(token)

    with serving_tools(product.nango.mcp_app(identify)) as url:
        reply = post(url, LIST)
    assert reply.status == 500
    assert "LookupError" in caplog.text
    assert TOKEN not in caplog.text + reply.body.decode()


def test_an_async_identify_and_named_hosts_work(product: ActionProduct) -> None:
    """A product names its hosts and the origins of its pages."""

    async def identify(token: str) -> Toolbox | None:
        await asyncio.sleep(0)
        return product.nango.toolbox("u") if token == TOKEN else None

    app = product.nango.mcp_app(identify, hosts=["tools.product.test"], origins=["https://product.test"])
    good = {"Host": "tools.product.test:8443", "Authorization": f"Bearer {TOKEN}"}
    with serving_tools(app) as url:
        assert post(url, LIST, Origin="https://product.test", **good).status == 200
        assert post(url, LIST, Origin="https://other.test", **good).status == 403
        assert post(url, LIST, **{**good, "Host": "127.0.0.1"}).status == 421


@pytest.mark.parametrize(
    ("make", "path"),
    [(lambda app: Route("/tools", app), "/tools"), (lambda app: Mount("/ai/tools", app), "/ai/tools/")],
    ids=["route", "mount"],
)
def test_the_server_is_part_of_an_application(make: Any, path: str, product: ActionProduct) -> None:
    """Routes and mounts of Starlette, and so of FastAPI, pass requests on, whatever the path is called."""
    tools = product.nango.mcp_app(lambda token: product.nango.toolbox("u") if token == f"{TOKEN}/u" else None)
    with serving_tools(Starlette(routes=[make(tools)])) as url:
        names = asyncio.run(use(url.removesuffix("/mcp") + path, read_and_create))[0]
    assert names[0] == "search_actions"


def test_slow_clients_do_not_block_others(product: ActionProduct) -> None:
    """Beside a hundred clients that do not finish their requests a healthy one is served."""

    class Quick(PunctualProtocol):
        request_seconds = 1.5

    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}/u\r\n"
    said = [b"", b"POST /mcp HT", f"{head}Content-Length: 9\r\n\r\n{{".encode()]
    with serving_tools(app_of(product), http=Quick) as url:
        parts = urlsplit(url)
        clients = []
        for number in range(100):
            client = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
            client.sendall(said[number % 3])
            clients.append(client)
        assert post(url, LIST).status == 200
        for client in clients:
            with client:
                while client.recv(4096):  # until the server closes the connection
                    pass
        assert post(url, LIST).status == 200


def test_a_call_ends_when_its_client_goes(product: ActionProduct) -> None:
    """A client that closes its connection cancels the action, which sends nothing more."""
    arrived, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def wait(_: Any) -> dict[str, Any]:
        arrived.set()
        may_end.wait(30)
        return {"items": []}

    product.sandbox.handle("GET", "items")(wait)
    product.nango.on("action_finished", lambda _: ended.set())
    call = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "call_action", "arguments": {"action": "shop.list-items"},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            },
        },
    }  # fmt: skip
    body = json.dumps(call).encode()
    with serving_tools(app_of(product)) as url:
        parts = urlsplit(url)
        client = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}/u\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: call_action\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        assert arrived.wait(30)
        client.close()
        assert ended.wait(30)
        may_end.set()


def test_too_many_requests_are_refused(product: ActionProduct, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones get 503 while others run."""
    arrived, may_end = threading.Event(), threading.Event()

    def wait(_: Any) -> dict[str, Any]:
        arrived.set()
        may_end.wait(30)
        return {"items": []}

    product.sandbox.handle("GET", "items")(wait)

    async def work(client: Client) -> Any:
        return await client.call_tool("call_action", {"action": "shop.list-items"})

    with serving_tools(app_of(product)) as url, ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: asyncio.run(use(url, work)))
        try:
            assert arrived.wait(30)
            monkeypatch.setattr(asgi, "MAX_RUNNING", 1)
            assert post(url, LIST).status == 503
        finally:
            monkeypatch.setattr(asgi, "MAX_RUNNING", 64)  # the client goes on before the server has ended
            may_end.set()
        assert not running.result(30).is_error
        assert post(url, LIST).status == 200


def write_project(folder: Path, product: ActionProduct) -> dict[str, str]:
    """A folder for the command, with the product's database, and the environment of the command."""
    entry = {**product.nango.configuration.integrations["shop"].settings}
    text = json.dumps({"integrations": {"shop": _plain(entry)}})
    (folder / "integrations.yaml").write_text(text)
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**keep, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}


def _plain(value: Any) -> Any:
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.fixture
def project(product: ActionProduct, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with integrations.yaml and a connection, and the environment of commands in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    environment = write_project(folder, product)
    with Nango(folder / "integrations.yaml") as nango:
        nango.register_connection("shop", "u", {"api_key": KEY})
    return folder, environment


def test_the_client_of_the_sdk_works_over_stdio(
    product: ActionProduct, project: tuple[Path, dict[str, str]]
) -> None:
    """`nango mcp` serves the client that starts it; what it logs goes to standard error."""
    folder, environment = project
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "nango_py", "-v", "mcp", "--user", "u", "--allow", "shop.create-item"],
        cwd=str(folder),
        env=environment,
    )

    async def work() -> Any:
        async with Client(server) as client:
            return await read_and_create(client)

    names, found, item, created = asyncio.run(work())
    assert names == ["search_actions", "describe_action", "call_action"]
    assert {each["action"] for each in found[0]["actions"]} >= {"shop.list-items"}
    assert item == ({"result": {"id": "7"}}, False)
    assert created == ({"result": "new-1"}, False)
    assert [request.method for request in product.sent] == ["GET", "POST"]


def test_the_command_serves_http_on_this_machine_only(project: tuple[Path, dict[str, str]]) -> None:
    """It listens on 127.0.0.1, asks for the token of the environment, and ends on SIGTERM."""
    folder, environment = project
    command = [sys.executable, "-m", "nango_py", "mcp", "--user", "u", "--http", "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "NANGO_MCP_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "http://127.0.0.1:" in line
        assert TOKEN not in line
        url = line.split(" at ")[1].split()[0]
        assert post(url, LIST, Authorization=f"Bearer {TOKEN}").status == 200
        assert post(url, LIST, Authorization=f"Bearer {TOKEN}x").status == 401
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode in {0, -15}


@pytest.mark.parametrize(
    ("words", "token", "named"),
    [
        (("--http",), "", "NANGO_MCP_TOKEN"),
        (("--http",), "short", "NANGO_MCP_TOKEN"),
        (("--http", "--host", "0.0.0.0"), TOKEN, "--public-host"),  # noqa: S104 - refused
        (("--allow", "shop.no-such"), "", "shop.no-such"),
    ],
)
def test_the_command_refuses_what_is_not_safe(
    words: tuple[str, ...], token: str, named: str, product: ActionProduct, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """HTTP needs a long token, other machines need a name for the server, and patterns must name actions."""
    from nango_py.cli import main

    write_project(tmp_path, product)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANGO_MCP_TOKEN", token)
    assert main(["mcp", "--user", "u", *words]) == 2
    assert named in capsys.readouterr().err


def test_the_protocol_needs_its_extra(product: ActionProduct, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK the error says what to install."""
    monkeypatch.delitem(sys.modules, "nango_py.mcp.sdk", raising=False)
    monkeypatch.setitem(sys.modules, "mcp.server.lowlevel.server", None)
    with pytest.raises(NangoError, match=r"nango-py\[mcp\]"):
        product.nango.mcp_app(lambda _: None)
