"""An API that keeps what it is sent, and calls of both executors."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest

from nango_py import Nango
from tests.support.nango_at_server import WIDE
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping


Answer = tuple[int, dict[str, str], Any]
"""Status, headers and body."""

APP = {"oauth_client_id": "app-id", "oauth_client_secret": "planted-app-secret"}


class Seen(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    certificate: dict[str, Any]


class Api:
    """A server whose responses come from a function."""

    def __init__(self, judge: Callable[[Seen], Answer], context: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self._judge = judge
        self._context = context

    def __enter__(self) -> Self:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                """Record the request, and respond with the result of the function."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                find = getattr(self.connection, "getpeercert", dict)
                headers = {name.lower(): value for name, value in self.headers.items()}
                one = Seen(self.command, self.path, headers, body, find() or {})
                api.seen.append(one)
                status, extra, found = api._judge(one)
                data = json.dumps(found).encode()
                self.send_response(status)
                for name, value in {**extra, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PUT = do_GET  # noqa: N815 - the names of http.server

            def log_message(self, *_: Any) -> None:
                """Nothing: the requests are recorded."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                """Nothing: a test lets TLS refuse a client."""

            def finish_request(self, request: Any, client_address: Any) -> None:
                """Do the TLS handshake in the thread of the connection."""
                if api._context is None:
                    super().finish_request(request, client_address)
                    return
                with api._context.wrap_socket(request, server_side=True) as shielded:
                    super().finish_request(shielded, client_address)

        self._server = Server(("127.0.0.1", 0), Handler)
        scheme = "http" if self._context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def nango(
        self,
        mode: str,
        headers: Mapping[str, str] | None = None,
        *,
        ca_bundle: Any = None,
        clock: Any = None,
        **auth: Any,
    ) -> Nango:
        """A product with the integration `it` at this server, below /api/."""
        timed = {} if clock is None else {"clock": clock}
        entry: dict[str, Any] = {
            "auth": {"auth_mode": mode, **auth},
            "requests": {"base_url": f"{self.url}/api/", "headers": dict(headers or {}), "allow_http": True},
            "rate_limits": WIDE,
            "retries": {"max_attempts": 1},
        }
        if mode in {"OAUTH1", "OAUTH2", "OAUTH2_JWT"}:
            entry |= APP
        return Nango(
            {"it": entry}, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={},
            ca_bundle=ca_bundle, **timed,
        )  # fmt: skip


def call(nango: Nango, kind: str, *calls: tuple[str, str, dict[str, Any]], user: str = "u1") -> list[int]:
    """The statuses of calls by the sync or the async executor."""
    if kind == "sync":
        executor = nango.executor("it", user)
        return [executor.request(method, path, **options).status_code for method, path, options in calls]

    async def main() -> list[int]:
        executor = nango.async_executor("it", user)
        try:
            return [
                (await executor.request(method, path, **options)).status_code
                for method, path, options in calls
            ]
        finally:
            await nango.services.async_transport.aclose()

    return asyncio.run(main())


BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
GET: tuple[str, str, dict[str, Any]] = ("GET", "things", {"params": {"q": "a b/c"}})
POST: tuple[str, str, dict[str, Any]] = ("POST", "things", {"json": {"n": 1}})
