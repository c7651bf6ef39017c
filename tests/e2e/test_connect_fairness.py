"""What one client, one user or one host can take from the others at the connect server."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.datastructures import Headers

from nango_py.server import uvicorn_server
from nango_py.server.request import ConnectRequest
from nango_py.server.site import (
    ATTEMPTS_PER_HOST_PER_MINUTE,
    LOGINS_PER_MINUTE,
    SUBMITS_PER_MINUTE,
    THREADS_PER_HOST,
    THREADS_PER_USER,
    Provider,
    Site,
)
from nango_py.server.uvicorn_server import MAX_PIPELINED, PunctualProtocol, make_server
from tests.support.connect_product import APP, Product, connect_server
from tests.support.fake_clock import ManualClock
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    import requests
    import uvicorn

    from nango_py import Nango
    from tests.support.provider_server import ProviderRequest, ProviderResponse

STYLE = b"GET /static/connect.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
GIT: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://${additional_config.host}/api/",
        "headers": {"Authorization": "Bearer ${api_key}"},
    },
    "connection_config": {
        "properties": {"host": {"type": "string", "format": "host"}},
        "required": ["host"],
    },
}


class Impatient(PunctualProtocol):
    """The protocol with short timeouts for responses, which reports the connections that it aborts."""

    response_seconds = 0.3
    aborted: threading.Semaphore

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the kernel take few bytes that the client has not read."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        super().connection_made(transport)

    def abort(self) -> None:
        """Close, and report it."""
        self.aborted.release()
        super().abort()


def serve_with(protocol: type[PunctualProtocol], **changes: Any) -> tuple[type[Impatient], Any]:
    """A protocol with these changes, and what makes a server with it."""
    made = type("Changed", (protocol,), {**changes, "aborted": threading.Semaphore(0)})

    def server(nango: Nango) -> uvicorn.Server:
        return make_server(nango.accounts, http=made)

    return made, server


@contextlib.contextmanager
def client_of(product: Product, said: bytes, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A client that takes few bytes at a time, and has sent something."""
    parts = urlsplit(product.url)
    with socket.socket() as client:
        client.settimeout(HANG_SECONDS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.bind((source, 0))
        client.connect((parts.hostname or "", parts.port or 0))
        client.sendall(said)
        yield client


def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65_536):
            content += part
    return content


def test_a_response_that_is_not_read_times_out(tmp_path: Path) -> None:
    """A client that asks and never reads loses its connection; one that reads gets everything."""
    protocol, server = serve_with(Impatient)
    with connect_server(tmp_path, server=server) as product:
        with client_of(product, STYLE * MAX_PIPELINED):
            assert protocol.aborted.acquire(timeout=HANG_SECONDS)
        with client_of(product, STYLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as client:
            assert read_all(client).endswith(b"}\n")
        assert not protocol.aborted.acquire(blocking=False)


def test_clients_that_do_not_read_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many of them the oldest is closed long before its timeout, and others are served."""
    monkeypatch.setattr(uvicorn_server, "MAX_STALLED", 3)
    protocol, server = serve_with(Impatient, response_seconds=600.0)
    with connect_server(tmp_path, server=server) as product, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(client_of(product, STYLE * MAX_PIPELINED))
        assert protocol.aborted.acquire(timeout=HANG_SECONDS)
        assert protocol.aborted.acquire(timeout=HANG_SECONDS)
        assert product.visitor().ask("GET", "/connect").status_code == 200


@pytest.mark.parametrize(("http", "most"), [(None, MAX_PIPELINED), ("h11", 40)], ids=["ours", "uvicorn's"])
def test_pipelines_are_short(tmp_path: Path, http: str | None, most: int) -> None:
    """The connection closes after a few requests that were sent without reading; uvicorn serves them all."""

    def server(nango: Nango) -> uvicorn.Server:
        return make_server(nango.accounts, **({"http": http} if http else {}))

    last = STYLE.replace(b"GET", b"HEAD").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with (
        connect_server(tmp_path, server=server) as product,
        client_of(product, STYLE.replace(b"GET", b"HEAD") * 39 + last) as client,
    ):
        assert read_all(client).count(b"200 OK") == most


def test_one_address_has_a_share_of_the_connections(tmp_path: Path) -> None:
    """The connections of one address are bounded: idle ones of this address make room, and no others."""
    _, server = serve_with(Impatient, max_per_address=3)
    last = STYLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with connect_server(tmp_path, server=server) as product, contextlib.ExitStack() as stack:
        other = stack.enter_context(client_of(product, b"GET", source="127.0.0.2"))
        clients = [stack.enter_context(client_of(product, b"GET")) for _ in range(3)]
        with client_of(product, last) as client:
            assert b" 200 OK" in read_all(client)
        assert read_all(clients[0]) == b""
        for survivor in (other, clients[1], clients[2]):
            survivor.sendall(last.removeprefix(b"GET"))
            assert b" 200 OK" in read_all(survivor)


def test_a_busy_address_gets_no_more_connections(tmp_path: Path) -> None:
    """If all connections of an address wait for our responses, a new one is refused."""
    _, server = serve_with(Impatient, max_per_address=2)
    with HangingProvider() as slow:
        entries = {"slow": slow.entry()}
        with connect_server(tmp_path, server=server, integrations=entries) as product:
            visitors = [product.visitor() for _ in range(2)]
            backs = []
            for number, visitor in enumerate(visitors):
                backs.append(consent(visitor.login_url(product.session(f"user-{number}"), "slow")))
            threads = [
                threading.Thread(target=visitor.callback, args=(back,))
                for visitor, back in zip(visitors, backs, strict=True)
            ]
            for thread in threads:
                thread.start()
            for _ in threads:
                assert slow.held.acquire(timeout=HANG_SECONDS)
            with client_of(product, STYLE) as client:
                assert read_all(client) == b""
            slow.hold.set()
            for thread in threads:
                thread.join(HANG_SECONDS)
            assert len(product.nango.connections_for_integration("slow")) == 2


def test_an_address_is_a_subscriber() -> None:
    """An IPv6 subscriber has a whole /64, and IPv4 in IPv6 is the IPv4 address."""
    network = uvicorn_server.network_of
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") != network("192.0.2.2")
    assert network("") == ""


class HangingProvider(LoginProvider):
    """A provider whose token endpoint holds what arrives while `is_hanging`, until `hold` is set."""

    is_hanging = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hold, self.held = threading.Event(), threading.Semaphore(0)

    def token(self, incoming: ProviderRequest) -> ProviderResponse:
        """Hang, or respond as always."""
        if self.is_hanging:
            self.held.release()
            self.hold.wait(60)
        return super().token(incoming)


def test_a_hanging_account_delays_no_other_user(tmp_path: Path) -> None:
    """One user's logins occupy few threads of an integration, however many sessions they have."""
    with HangingProvider() as slow, connect_server(tmp_path, integrations={"slow": slow.entry()}) as product:
        visitors = [product.visitor() for _ in range(30)]
        backs = [consent(visitor.login_url(product.session("mallory"), "slow")) for visitor in visitors]
        threads = [
            threading.Thread(target=visitor.callback, args=(back,))
            for visitor, back in zip(visitors, backs, strict=True)
        ]
        for thread in threads:
            thread.start()
        for _ in range(THREADS_PER_USER):
            assert slow.held.acquire(timeout=HANG_SECONDS)
        slow.is_hanging = False
        assert product.visitor().login(product.session("ada"), "slow").kind == "ok"
        assert not slow.held.acquire(blocking=False)
        slow.hold.set()
        for thread in threads:
            thread.join(HANG_SECONDS)


def test_a_host_that_users_name_has_its_own_threads() -> None:
    """What a request may wait for is its user, then the host that the user names, then the integration."""
    limits = dict(Provider("git", "ada", "git.example.com").limits())
    assert list(limits.values())[:2] == [THREADS_PER_USER, THREADS_PER_HOST]
    assert THREADS_PER_USER < THREADS_PER_HOST < list(limits.values())[2]
    other = dict(Provider("git", "bob", "git.example.com").limits())
    assert len(limits.keys() & other.keys()) == 2
    assert len(Provider("mail", "ada").limits()) == 2


@pytest.mark.parametrize("authorization", ["", "Basic eDp5", "Bearer {other}"])
def test_no_header_moves_a_login_to_another_user(tmp_path: Path, authorization: str) -> None:
    """Logins wait at the place of the session that they use: with a header or a host as it was pasted."""
    with connect_server(tmp_path, integrations={"git": GIT}) as product:
        site = Site(product.nango.accounts)
        value = authorization.format(other=product.session("other"))
        headers = Headers({"authorization": value, "content-type": "application/x-www-form-urlencoded"})
        config = json.dumps({"host": "https://GIT.example.com/x"})
        body = urlencode({"session": product.session("ada"), "config": config}).encode()
        form = ConnectRequest("POST", "git", False, site.address, headers, {}, "", body)  # noqa: FBT003
        assert site.find_provider(form) == Provider("git", "ada", "git.example.com")
        state = parse_qs(urlsplit(product.visitor().login_url(product.session("ada"), "mail")).query)[
            "state"
        ][0]
        callback = ConnectRequest("GET", "", False, site.address, headers, {}, f"state={state}", b"")  # noqa: FBT003
        assert site.find_provider(callback) == Provider("mail", "ada")


def test_tries_are_counted_for_the_user(tmp_path: Path) -> None:
    """A new session does not reset the allowance for forms and logins; another user has a separate one."""

    def submit(user: str) -> int:
        token = product.session(user)
        typed = {"credentials": {"api_key": "key_wrong_0123456789"}}
        return product.visitor().ask("POST", "/connect/integrations/shop", token, json=typed).status_code

    with connect_server(tmp_path, clock=ManualClock()) as product:
        statuses = [submit("mallory") for _ in range(SUBMITS_PER_MINUTE + 2)]
        assert statuses == [422] * SUBMITS_PER_MINUTE + [429] * 2
        assert submit("ada") == 422
        starts = [
            product.visitor().start(product.session("mallory"), "mail").status_code
            for _ in range(LOGINS_PER_MINUTE + 2)
        ]
        assert starts == [200] * LOGINS_PER_MINUTE + [429] * 2


def test_tries_are_counted_for_the_host(tmp_path: Path) -> None:
    """All users together try keys at one host only so often; another host has its own count."""

    def submit(number: int, host: str) -> requests.Response:
        token = product.session(f"user-{number}")
        typed = {"credentials": {"api_key": "k" * 20}, "additional_config": {"host": host}}
        return product.visitor().ask("POST", "/connect/integrations/git", token, json=typed)

    with connect_server(tmp_path, integrations={"git": GIT}, clock=ManualClock()) as product:
        names = [
            "git.example.com",
            "GIT.example.com",
            " https://git.example.com/",
            "git.example.com/api\u200b",
        ]
        first = [submit(number, names[number % 4]) for number in range(ATTEMPTS_PER_HOST_PER_MINUTE + 1)]
        assert {response.status_code for response in first[:-1]} == {200}
        assert first[-1].json()["error"]["code"] == "too_many"
        assert submit(0, "git.example.org").status_code == 200


LINKS = {"same-origin": 303, "none": 303, "same-site": 200, "cross-site": 200, "": 200, "odd": 200}


@pytest.mark.parametrize(("site", "status"), LINKS.items())
def test_only_own_clicks_go_on_without_a_question(tmp_path: Path, site: str, status: int) -> None:
    """Links of other pages, and of browsers that do not say whose, need another click (S15)."""
    with connect_server(tmp_path) as product:
        params = {"session": product.session()}
        headers = {"Sec-Fetch-Site": site or None}
        response = product.visitor().ask("GET", "/oauth/connect/mail", params=params, headers=headers)
        assert response.status_code == status
        assert ("http-equiv" in response.text) is False
        assert ('class="button"' in response.text) is (status == 200)


@pytest.mark.parametrize(
    ("headers", "buttons"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 0),
        ({"Origin": APP}, 0),
        ({"Origin": APP, "Sec-Fetch-Site": "cross-site"}, 0),
        ({"Origin": "null"}, 1),
        ({}, 1),
    ],
)
def test_only_own_forms_go_on_without_a_question(
    tmp_path: Path, headers: dict[str, str], buttons: int
) -> None:
    """A form without an origin, in a browser without Sec-Fetch-Site, needs another click (S15)."""
    with connect_server(tmp_path) as product:
        data = {"session": product.session()}
        response = product.visitor().ask("POST", "/oauth/connect/mail", data=data, headers=headers)
        assert response.status_code == 200
        assert response.text.count("http-equiv") == 1 - buttons
        assert response.text.count('class="button"') == buttons
