"""The connect server under clients that are slow, providers that are slow, and its own end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from nango_py import Nango
from nango_py.server import uvicorn_server
from nango_py.server.asgi import PROVIDER_THREADS
from nango_py.server.site import THREADS_PER_PROVIDER
from nango_py.server.uvicorn_server import make_server, open_listener
from tests.support.connect_product import GOOD_KEY, Product, Visitor, connect_server, notice_of
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    import uvicorn

    from tests.support.provider_server import ProviderRequest, ProviderResponse

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def crowd(product: Product, size: int, said: bytes) -> Iterator[list[socket.socket]]:
    """Clients that have said so much, and say no more."""
    parts = urlsplit(product.url)
    clients = []
    try:
        for _ in range(size):
            client = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
            client.sendall(said)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


def waited(product: Product, rounds: int = 20) -> float:
    """How long a healthy client, with a connection of its own each time, waits; each request is served.

    The middle of them, since the machine of a test has other things to do.
    """
    waits = []
    for _ in range(rounds):
        started = time.perf_counter()
        assert product.visitor().ask("GET", "/connect").status_code == 200
        waits.append(time.perf_counter() - started)
    return sorted(waits)[rounds // 2]


HALF_A_FORM = (
    b"POST /oauth/connect/mail HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9000\r\n\r\nsession="
)
SLOW = [b"", b"GET /connect HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", HALF_A_FORM]


@pytest.mark.parametrize("said", SLOW, ids=["silence", "half-headers", "half-body"])
def test_slow_clients_do_not_block_others(tmp_path: Path, said: bytes) -> None:
    """J7: beside three hundred clients with incomplete requests a healthy one is served at once."""
    with connect_server(tmp_path) as product, crowd(product, 300, said) as clients:
        assert waited(product) < 1
        assert _heard(clients[0]) == b""  # the oldest made room


def test_an_incomplete_request_times_out(tmp_path: Path) -> None:
    """J7: ten seconds are allowed for a complete request; here it is half a second."""
    with connect_server(tmp_path, server=_hasty) as product:
        for said in SLOW:
            with crowd(product, 1, said) as (client,):
                assert _heard(client) == b""
        with crowd(product, 1, b"GET /connect HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") as (client,):
            assert b" 200 OK" in client.recv(1000)


def test_uvicorn_alone_would_wait(tmp_path: Path) -> None:
    """The control of J7: uvicorn's own protocol does not time out."""

    def plain(nango: Nango) -> uvicorn.Server:
        return make_server(nango.accounts, http="h11")

    with connect_server(tmp_path, server=plain) as product, crowd(product, 1, b"GET /conn") as (client,):
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)


class _Hasty(uvicorn_server.PunctualProtocol):
    request_seconds = 0.5


def _hasty(nango: Nango) -> uvicorn.Server:
    return make_server(nango.accounts, http=_Hasty)


def _heard(client: socket.socket) -> bytes:
    try:
        return client.recv(1000)
    except ConnectionResetError:
        return b""


class SlowProvider(LoginProvider):
    """A provider whose token endpoint waits until the test lets it continue."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gate, self.arrived = threading.Event(), threading.Semaphore(0)

    def token(self, asked: ProviderRequest) -> ProviderResponse:
        """Wait, then respond as usual."""
        self.arrived.release()
        self.gate.wait(60)
        return super().token(asked)


def test_a_slow_provider_does_not_block_the_pages(tmp_path: Path) -> None:
    """More logins than threads wait for one provider; pages and other logins do not."""
    with SlowProvider() as slow, connect_server(tmp_path, integrations={"slow": slow.entry()}) as product:
        backs = []
        for number in range(PROVIDER_THREADS + 4):
            visitor = product.visitor()
            backs.append((visitor, consent(visitor.login_url(product.session(f"user-{number}"), "slow"))))
        threads = [threading.Thread(target=visitor.callback, args=(back,)) for visitor, back in backs]
        for thread in threads:
            thread.start()
        for _ in range(THREADS_PER_PROVIDER):
            assert slow.arrived.acquire(timeout=60)
        token = product.session()
        assert waited(product) < 1
        assert product.visitor().ask("GET", "/connect/session", token).status_code == 200
        assert product.visitor().login(token, "mail").kind == "ok"
        typed = {"credentials": {"api_key": GOOD_KEY}}
        response = product.visitor().ask("POST", "/connect/integrations/shop", token, json=typed)
        assert response.status_code == 200
        assert not slow.arrived.acquire(blocking=False)
        slow.gate.set()
        for thread in threads:
            thread.join(30)
        assert len(product.nango.connections_for_integration("slow")) == PROVIDER_THREADS + 4


SERVE = """
import json, socket, sys
from nango_py import Nango
from nango_py.server.uvicorn_server import make_server
integrations, database, key, descriptor = json.loads(sys.argv[1])
with Nango(integrations, database_url=database, encryption_keys=key, environ={}) as nango:
    nango.finish_renewals_on_sigterm()
    server, listener = make_server(nango.accounts), socket.socket(fileno=descriptor)
    print("ready", flush=True)
    server.run(sockets=[listener])
"""


@pytest.mark.parametrize("user", ["ada", "bob", "cleo"])
def test_sigterm_lets_a_login_finish(tmp_path: Path, user: str) -> None:
    """J9: a process that is stopped during an exchange stores the tokens and shows the result first."""
    listener = open_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listener, SlowProvider(rotation="strict") as slow:
        integrations = {"integrations": {"slow": slow.entry()}, "config": {"oauth_server_root_url": url}}
        database = f"sqlite:///{tmp_path}/nango.db"
        given = json.dumps([integrations, database, ENCRYPTION_KEY, listener.fileno()])
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", SERVE, given]
        with (
            Nango(integrations, database_url=database, encryption_keys=ENCRYPTION_KEY, environ={}) as nango,
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()]
            ) as process,
        ):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            visitor = Visitor(url)
            back = consent(visitor.login_url(nango.connect_session(user).token.reveal(), "slow"))
            ends: list[str] = []
            thread = threading.Thread(target=lambda: ends.append(visitor.callback(back).text))
            thread.start()
            assert slow.arrived.acquire(timeout=60)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)
            slow.gate.set()
            thread.join(30)
            assert process.wait(60) == -signal.SIGTERM
            assert notice_of(ends[0]).kind == "ok"
            assert nango.executor("slow", user).get("things").status_code == 200
