"""A running product: its Nango, its connect server on a real socket, login providers, people with browsers.

with connect_server(folder) as product:
    token = product.session("user-1")
    assert product.visitor().login(token, "mail").kind == "ok"
"""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import requests

from nango_py import Nango, Sandbox
from nango_py.clock import SYSTEM_CLOCK
from nango_py.server.uvicorn_server import make_server, open_listener
from tests.support.nango_at_server import WIDE
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import LoginProvider, consent
from tests.support.planted_secrets import Collector, listening
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    import logging
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import uvicorn

    from nango_py.clock import Clock

GOOD_KEY = "key_good_planted_0123456789"
SERVER_THREAD = "connect server"


@contextlib.contextmanager
def records_of_the_product() -> Iterator[Collector]:
    """Every record of the product's own threads and loggers, uvicorn's and Starlette's too, from DEBUG on.

    The test's own browser and its providers log too, in other threads; what they know is theirs.
    """
    handler = Collector()
    handler.addFilter(_is_of_the_product)
    with listening(handler):
        yield handler


def _is_of_the_product(record: logging.LogRecord) -> bool:
    ours = ("AnyIO worker thread", SERVER_THREAD)
    return (record.threadName or "").startswith(ours) or record.name.startswith("nango_py")


APP = "https://app.product.test"
"""The page of the product that may hear how logins end."""

SHOP: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://api.example.test/v1/",
        "headers": {"Authorization": "Key ${api_key}"},
        "allow_http": True,
    },
    "verification": {"method": "GET", "path": "me"},
    "examples": [
        {
            "call": {"method": "GET", "path": "me"},
            "credentials": {"api_key": "key_test_1"},
            "sends": {
                "url": "https://api.example.test/v1/me",
                "headers": {"Authorization": "Key key_test_1"},
            },
            "response": {"status": 200, "json": {"id": 1}},
        }
    ],
    "rate_limits": WIDE,
}
"""An integration with a key, whose API knows one good one."""


@dataclass
class Notice:
    """A small page of a login's window, as a browser understands it.

    Attributes:
        kind: `ok`, `failed` or `leaving`.
        message: what is posted to the opener, and `origin` the one that hears it.
        next_url: where the page goes on to by itself.
        tags: every element that is in it.
    """

    kind: str = ""
    message: dict[str, Any] | None = None
    origin: str = ""
    next_url: str = ""
    text: str = ""
    tags: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = Notice()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found.tags.append(tag)
        if tag == "body":
            self.found.kind = given.get("data-kind") or ""
            self.found.message = json.loads(given["data-message"] or "") if "data-message" in given else None
            self.found.origin = given.get("data-origin") or ""
        if tag == "meta" and given.get("http-equiv") == "refresh":
            self.found.next_url = (given.get("content") or "").partition("url=")[2]

    def handle_data(self, data: str) -> None:
        self.found.text += data


def notice_of(html: str) -> Notice:
    """What a small page says."""
    reader = _Reader()
    reader.feed(html)
    return reader.found


@dataclass
class Product:
    """What runs.

    Attributes:
        url: where the connect server is, its path prefix included.
        sandbox: the API behind `shop`.
        sibling: makes another Nango as other processes have it, on the same database.
        provider: the login provider behind `mail`; `provider1` the one behind `bird`, with OAuth 1.0a.
    """

    nango: Nango
    url: str
    server: uvicorn.Server
    provider: LoginProvider
    provider1: LoginProvider1
    sandbox: Sandbox
    sibling: Callable[[], Nango]

    def session(self, user: str = "user-1", integrations: list[str] | None = None, **more: Any) -> str:
        """The token of a new connect session."""
        return self.nango.connect_session(user, integrations, **more).token.reveal()

    def visitor(self) -> Visitor:
        """A user with a separate browser."""
        return Visitor(self.url)


class Visitor:
    """A browser without scripts: it keeps cookies, and follows what pages say."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, method: str, path: str, token: str = "", **options: Any) -> requests.Response:
        """One request below the server's address, with the session's token where one is given."""
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        if method == "GET" and path.startswith("/oauth/connect/"):
            headers = {"Sec-Fetch-Site": "same-origin", **headers}  # a click on a page of ours
        return self.http.request(
            method, self.url + path, headers=headers, timeout=30, allow_redirects=False, **options
        )

    def start(self, token: str, integration: str, **fields: Any) -> requests.Response:
        """Begin a login as the page does: a form, posted into the popup."""
        headers = {"Sec-Fetch-Site": "same-origin"}
        data = {"session": token, **fields}
        return self.ask("POST", f"/oauth/connect/{integration}", data=data, headers=headers)

    def login_url(self, token: str, integration: str, **fields: Any) -> str:
        """The login page of the provider to which the popup goes on."""
        response = self.start(token, integration, **fields)
        assert response.status_code == 200, response.text
        return notice_of(response.text).next_url

    def callback(self, url: str) -> requests.Response:
        """Come back from the provider."""
        return self.http.get(url, timeout=30, allow_redirects=False)

    def login(self, token: str, integration: str, decision: str = "allow", **fields: Any) -> Notice:
        """The whole journey, and the page at its end."""
        back = consent(self.login_url(token, integration, **fields), decision)
        return notice_of(self.callback(back).text)


@contextlib.contextmanager
def serving(server_of: Callable[[], uvicorn.Server], listener: socket.socket) -> Iterator[uvicorn.Server]:
    """A server in its own thread, until the end of the block."""
    server = server_of()
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, daemon=True, name=SERVER_THREAD
    )
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@contextlib.contextmanager
def connect_server(
    folder: Path,
    *,
    prefix: str = "",
    config: Mapping[str, Any] | None = None,
    integrations: Mapping[str, Any] | None = None,
    provider: Mapping[str, Any] | None = None,
    auth: Mapping[str, Any] | None = None,
    key: str = GOOD_KEY,
    clock: Clock = SYSTEM_CLOCK,
    server: Callable[[Nango], uvicorn.Server] = lambda nango: make_server(nango.accounts),
    **options: Any,
) -> Iterator[Product]:
    """A product with `mail` (OAuth 2), `bird` (OAuth 1.0a) and `shop` (a key, checked before it is stored).

    Args:
        folder: where its database lies.
        prefix: the path of oauth_server_root_url.
        config: changes of `config:`.
        integrations: more of them.
        provider: arguments of LoginProvider.
        auth: changes of the `auth:` of `mail`.
        key: the one that the API of `shop` accepts.
        clock: of the Nango.
        server: what serves it.
        options: more arguments of Nango.
    """
    listener = open_listener("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{prefix}"
    with (
        LoginProvider(**(provider or {})) as logins,
        LoginProvider1() as signed,
        Sandbox(SHOP, credentials={"anybody": {"api_key": key}}) as sandbox,
    ):
        shop = {**SHOP, "requests": {**SHOP["requests"], "base_url": sandbox.base_url}}
        entries = {"mail": logins.entry(auth), "bird": signed.entry(), "shop": shop, **(integrations or {})}
        said = {"oauth_server_root_url": url, "connect_origins": [APP], "product_name": "Acme"}
        given: dict[str, Any] = {
            "integrations": {"integrations": entries, "config": {**said, **(config or {})}},
            "database_url": f"sqlite:///{folder}/nango.db",
            "encryption_keys": ENCRYPTION_KEY,
            "environ": {},
            "clock": clock,
            **options,
        }
        with (
            Nango(**given) as nango,
            serving(lambda: server(nango), listener) as running,
        ):
            yield Product(nango, url, running, logins, signed, sandbox, lambda: Nango(**given))
