"""The server side of test providers: requests, responses, and one method for each route."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass
class ProviderResponse:
    """The response of a route; the status 0 closes the connection without one."""

    status: int
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """Where a redirect goes; Authlib's issuer extension reads and writes it."""
        return self.headers.get("Location", "")

    @location.setter
    def location(self, url: str) -> None:
        self.headers["Location"] = url


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


class Served:
    """A server on 127.0.0.1, port 0, with one method for each route."""

    routes: ClassVar[dict[str, str]] = {}

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def unix_time(self) -> float:
        """The provider's time, for the Date header."""
        return time.time()

    def response(self, incoming: ProviderRequest) -> ProviderResponse:
        """The response of the route, 404 where there is none."""
        for prefix, name in self.routes.items():
            if incoming.path == prefix or incoming.path.startswith(f"{prefix}/"):
                response: ProviderResponse = getattr(self, name)(incoming)
                return response
        return ProviderResponse(404, "not found")


@dataclass
class ProviderRequest:
    """A request that came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return query_of(self.target)

    @property
    def form(self) -> dict[str, str]:
        """The parameters of a form body, or of one in JSON, as some providers want it."""
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        if kind == "application/json":
            return dict(json.loads(self.body))
        is_form = kind == "application/x-www-form-urlencoded"
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True)) if is_form else {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    owner: Served

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not report clients that disconnected."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: Any) -> None:
        """The ledger is enough."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The provider's time, which may differ from ours."""
        return super().date_time_string(int(self.server.owner.unix_time()))

    def do_GET(self) -> None:
        """Any request."""
        headers = dict(self.headers.items())
        incoming = ProviderRequest(self.command, self.path, headers, self._read_body())
        response = self.server.owner.response(incoming)
        if not response.status:
            self.close_connection = True
            return
        body, kind = response.body, "text/plain"
        if isinstance(body, dict | list):
            body, kind = json.dumps(body), "application/json"
        raw = body if isinstance(body, bytes) else str(body or "").encode()
        self.send_response(response.status)
        usual = {"Content-Type": kind, "Content-Length": str(len(raw))}
        for name, value in {**usual, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self) -> None:
        """The same with a body."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """The same with another method."""
        self.do_GET()
