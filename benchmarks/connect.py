"""Whole logins a minute: session, start, consent, callback, exchange, stored; one server process, SQLite."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import http.client
import json
import multiprocessing
import re
import statistics
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from benchmarks.report import Goal, Table
from nango_py import Nango

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

THREADS = 8
KEY = base64.b64encode(bytes(range(32))).decode()
_NEXT = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')


def run(*, quick: bool) -> list[Table]:
    """Different users, one after another in each thread, each with a separate browser."""
    count = 40 if quick else 12_000
    with (
        tempfile.TemporaryDirectory() as folder,
        _provider() as provider,
        _served(provider, folder) as (url, nango),
    ):
        for number in range(THREADS):
            _journey(nango, url, f"warm-{number}")
        started = time.perf_counter()
        times = _journeys(nango, url, count)
        seconds = time.perf_counter() - started
        stored = len(nango.connections_for_integration("bench")) - THREADS
    a_minute = count / seconds * 60
    table = Table(
        f"{count:,} logins by {THREADS} browsers; one server process, one provider, one SQLite file",
        ("what", "a minute", "median ms", "99 % ms", "stored"),
    )
    times.sort()
    median, late = statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3
    table.add("whole logins", f"{a_minute:,.0f}", median, late, str(stored))
    table.notes = ["The browsers and the provider run on the same machine and take their part of it."]
    table.goals = [
        Goal("logins a minute", a_minute, 1_000, at_least=True),
        Goal("stored connections for each login", stored / count, 1.0, at_least=True),
    ]
    return [table]


def _journeys(nango: Nango, url: str, count: int) -> list[float]:
    """How long each login took."""
    times: list[float] = []
    numbers = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            started = time.perf_counter()
            _journey(nango, url, f"user-{number}")
            times.append(time.perf_counter() - started)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _journey(nango: Nango, url: str, user: str) -> None:
    """What a product, a browser and a provider do for one login."""
    session = nango.connect_session(user).token.reveal()
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    began = _ask("POST", f"{url}/oauth/connect/bench", urlencode({"session": session, "attempt": user}), form)
    found = _NEXT.search(began[2])
    if found is None:
        raise RuntimeError(f"the login did not begin: {began[0]}")
    _, headers, _ = _ask("GET", html.unescape(found[1]))
    status, _, _ = _ask("GET", headers["Location"], "", {"Cookie": began[1]["Set-Cookie"].partition(";")[0]})
    if status != http.HTTPStatus.OK:
        raise RuntimeError(f"the login did not end well: {status}")


def _ask(
    method: str, url: str, body: str = "", headers: dict[str, str] | None = None
) -> tuple[int, Any, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request(method, f"{parts.path}?{parts.query}", body, headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, response.headers, text


@contextlib.contextmanager
def _served(provider: str, folder: str) -> Iterator[tuple[str, Nango]]:
    """The connect server in a separate process, and the product's own Nango on the same database."""
    from nango_py.server.uvicorn_server import open_listener

    with open_listener("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        options = {
            "integrations": {
                "integrations": {"bench": _entry(provider)},
                "config": {"oauth_server_root_url": url},
            },
            "database_url": f"sqlite:///{folder}/nango.db",
            "encryption_keys": KEY,
        }
        with Nango(**options) as nango, _process(_serve, options, listener):
            yield url, nango


def _entry(provider: str) -> dict[str, Any]:
    return {
        "auth": {
            "auth_mode": "OAUTH2",
            "authorization_url": f"{provider}/authorize",
            "token_url": f"{provider}/token",
        },
        "oauth_client_id": "client",
        "oauth_client_secret": "client_secret_of_the_benchmark",
        "requests": {"base_url": f"{provider}/api/", "headers": {"Authorization": "Bearer ${access_token}"}},
    }


def _serve(ready: Connection, options: dict[str, Any], listener: Any) -> None:
    from nango_py.server.uvicorn_server import make_server

    with Nango(**options) as nango:
        server = make_server(nango.accounts)
        ready.send("ready")
        server.run(sockets=[listener])


@contextlib.contextmanager
def _provider() -> Iterator[str]:
    """An authorization server that approves every login, in a separate process."""
    with _process(_authorize) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _process(work: Any, *arguments: Any) -> Iterator[Any]:
    """A process that sends what it is ready with, and is ended after the block."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(there, *arguments), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _authorize(ready: Connection) -> None:
    asyncio.run(_answering(ready))


async def _answering(ready: Connection) -> None:
    server = await asyncio.start_server(_response, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Respond to requests until the client disconnects."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            target = head.split()[1]
            if target.startswith("/token"):
                body = json.dumps(
                    {"access_token": "token_1234567890", "token_type": "Bearer", "expires_in": 3600}
                )
                kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
                writer.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n\r\n{body}".encode())
            else:
                asked = dict(parse_qsl(urlsplit(target).query))
                back = f"{asked['redirect_uri']}?{urlencode({'code': 'code_1234', 'state': asked['state']})}"
                writer.write(f"HTTP/1.1 302 Found\r\nLocation: {back}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
    writer.close()
