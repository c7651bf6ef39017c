"""integrations.yaml changes during a call: the call keeps its configuration, the next one has the new one."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, ProviderError
from tests.support.fault_server import READ, FaultServer, response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
ERROR = response(json.dumps({"v1": "in words of v1", "v2": "in words of v2"}).encode(), 400)
BUSY, GOOD, REFUSED = response(b"{}", 503), response(b"{}"), response(b"{}", 401)


def settings(url: str, version: str, **more: Any) -> dict[str, Any]:
    """An integration whose every part says its version; only v1 retries."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": f"{url}/{version}/",
            "headers": {"Authorization": "Key ${api_key}", "X-Version": version},
            "allow_http": True,
        },
        "retries": {"max_attempts": 2 if version == "v1" else 1, "backoff": {"base_seconds": 0.001}},
        "rate_limits": {"budgets": [{"key": version, "otherwise": ["1000/second"]}]},
        "errors": {"message": version},
        "pagination": {"kind": "page", "param": f"{version}_page", "records": "items"},
        **more,
    }


class Product:
    """A Nango with reload=True, and a file that can be changed.

    Args:
        folder: where integrations.yaml is.
        url: the API.
        more: settings of both versions.
    """

    def __init__(self, folder: Path, url: str, **more: Any) -> None:
        self._file = folder / "integrations.yaml"
        self._url = url.rstrip("/")
        self._more = more
        self._moments = itertools.count(1)
        self.write("v1")
        keys = base64.b64encode(b"k" * 32).decode()
        self.nango = Nango(
            self._file, database_url="sqlite:///:memory:", encryption_keys=keys, environ={}, reload=True
        )

    def write(self, version: str) -> None:
        """Change the file; its time differs, however quick the test is."""
        integrations = {"shop": settings(self._url, version, **self._more)}
        self._file.write_text(json.dumps({"integrations": integrations}))
        moment = next(self._moments) * 10**9
        os.utime(self._file, ns=(moment, moment))

    def call(self, kind: str, *, calls: int = 1, **options: Any) -> list[Any]:
        """The responses of several calls, one after the other."""

        async def call_async() -> list[Any]:
            executor = self.nango.async_executor("shop", "user-1")
            return [await executor.get("things", **options) for _ in range(calls)]

        if kind == "async":
            return asyncio.run(call_async())
        executor = self.nango.executor("shop", "user-1")
        return [executor.get("things", **options) for _ in range(calls)]

    def walk_twice(self, kind: str) -> list[list[Any]]:
        """The records of two walks, one after the other."""

        async def walk_async() -> list[list[Any]]:
            executor = self.nango.async_executor("shop", "user-1")
            return [[record async for record in executor.paginate("things")] for _ in range(2)]

        if kind == "async":
            return asyncio.run(walk_async())
        executor = self.nango.executor("shop", "user-1")
        return [list(executor.paginate("things")) for _ in range(2)]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Product]]:
    """Makes products with a connection."""
    made: list[Product] = []

    def make_product(url: str, credentials: Any = None, **more: Any) -> Product:
        product = Product(tmp_path, url, **more)
        made.append(product)
        product.nango.register_connection("shop", "user-1", credentials or {"api_key": "key_test_1234"})
        return product

    yield make_product
    for product in made:
        product.nango.close()


def versions(requests: list[bytes]) -> list[tuple[str, str]]:
    """The version in the path and in the header of each request."""
    return [
        (
            request.split(b"/", 2)[1].decode(),
            request.lower().partition(b"x-version: ")[2].partition(b"\r\n")[0].decode(),
        )
        for request in requests
    ]


@KINDS
def test_a_change_while_the_first_response_is_awaited(kind: str, make: Callable[..., Product]) -> None:
    """The retry is made, with the URL and headers of the old file, and the old number of attempts."""
    written = threading.Event()
    with FaultServer([READ, written, BUSY, READ, GOOD, READ, BUSY]) as server:
        product = make(server.url)

        def change() -> None:
            server.wait_for_requests(1)
            product.write("v2")
            written.set()

        thread = threading.Thread(target=change)
        thread.start()
        first, second = product.call(kind, calls=2)
        thread.join()
        requests = server.wait_for_requests(3)
    assert (first.status_code, len(first.attempts)) == (200, 2)
    assert (second.status_code, len(second.attempts)) == (503, 1)
    assert versions(requests) == [("v1", "v1"), ("v1", "v1"), ("v2", "v2")]


@KINDS
def test_a_change_between_a_503_and_its_retry(kind: str, make: Callable[..., Product]) -> None:
    """The retry belongs to the call that began under the old file."""
    with FaultServer([READ, BUSY, READ, GOOD, READ, GOOD]) as server:
        product = make(server.url)
        product.nango.on("retry", lambda _: product.write("v2"))
        first, second = product.call(kind, calls=2)
        requests = server.wait_for_requests(3)
    assert [attempt.status for attempt in first.attempts] == [503, 200]
    assert [attempt.status for attempt in second.attempts] == [200]
    assert versions(requests) == [("v1", "v1"), ("v1", "v1"), ("v2", "v2")]


@KINDS
def test_a_change_before_an_error_is_read(kind: str, make: Callable[..., Product]) -> None:
    """The error message is read as the file said when the call began."""
    with FaultServer([READ, ERROR, READ, ERROR]) as server:
        product = make(server.url)
        product.nango.on("attempt", lambda _: product.write("v2"))
        messages = []
        for _ in range(2):
            with pytest.raises(ProviderError) as caught:
                product.call(kind, raise_for_error=True)
            messages.append(caught.value.provider_message)
    assert messages == ["in words of v1", "in words of v2"]


@KINDS
def test_a_change_before_a_refused_token_is_refreshed(kind: str, make: Callable[..., Product]) -> None:
    """The request is repeated with the new token, and with the URL and headers of the old file."""
    tokens = [
        response(json.dumps({"access_token": f"token_test_{number}"}).encode()) for number in range(1, 3)
    ]
    scripts = [[READ, tokens[0], READ, REFUSED, READ, tokens[1], READ, GOOD, READ, GOOD]]
    if kind == "async":  # tokens are refreshed in a thread, over its sockets
        scripts = [[READ, tokens[0], READ, tokens[1]], [READ, REFUSED, READ, GOOD, READ, GOOD]]
    with FaultServer(*scripts) as server:
        requests = {
            version: {
                **settings(server.url.rstrip("/"), version)["requests"],
                "headers": {"Authorization": "Bearer ${access_token}", "X-Version": version},
            }
            for version in ("v1", "v2")
        }
        auth = {"auth_mode": "OAUTH2_CC", "token_url": f"{server.url}token"}
        product = make(
            server.url, {"client_id": "a", "client_secret": "b"}, auth=auth, requests=requests["v1"]
        )

        def change(_: object) -> None:
            product._more["requests"] = requests["v2"]
            product.write("v2")

        product.nango.on("attempt", change)
        product.call(kind, calls=2)
        seen = server.wait_for_requests(5)
    assert [request.split()[0] for request in seen] == [b"POST", b"GET", b"POST", b"GET", b"GET"]
    assert versions([seen[1], seen[3], seen[4]]) == [("v1", "v1"), ("v1", "v1"), ("v2", "v2")]
    assert b"token_test_2" in seen[3]


@KINDS
def test_a_change_between_two_pages(kind: str, make: Callable[..., Product]) -> None:
    """A walk keeps its configuration to its last page; the next walk has the new one."""
    pages = [response(json.dumps({"items": items}).encode()) for items in ([1], [2], [], [3], [])]
    with FaultServer([step for page in pages for step in (READ, page)]) as server:
        product = make(server.url)
        product.nango.on("attempt", lambda _: product.write("v2"))
        assert product.walk_twice(kind) == [[1, 2], [3]]
        requests = server.wait_for_requests(5)
    assert [version for version, _ in versions(requests)] == ["v1", "v1", "v1", "v2", "v2"]
    assert b"v1_page=3" in requests[2]
    assert b"v2_page=2" in requests[4]
