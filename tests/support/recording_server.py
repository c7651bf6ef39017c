"""A server on loopback that records requests and gives prepared responses."""

from __future__ import annotations

import json as jsonlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Received(NamedTuple):
    """One request as it arrived; `headers` by lower-case name."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """One response; `body` may be JSON, bytes, or a tuple of bytes that are sent in chunks."""

    body: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class RecordingServer:
    """Responds to each request with what a function makes of it.

    Args:
        respond: takes a Received; returns a Reply, or a body alone.
    """

    def __init__(self, respond: Callable[[Received], Any]) -> None:
        self.received: list[Received] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self, respond))
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler_of(server: RecordingServer, respond: Callable[[Received], Any]) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"recorder": server, "make_reply": staticmethod(respond)})


class _Handler(BaseHTTPRequestHandler):
    recorder: RecordingServer
    make_reply: Callable[[Received], Any]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _respond(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, self._read_body(headers))
        self.recorder.received.append(received)
        reply = self.make_reply(received)
        self._send(reply if isinstance(reply, Reply) else Reply(reply))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _respond  # noqa: N815

    def _read_body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, reply: Reply) -> None:
        body, names = reply.body, {name.lower() for name, _ in reply.headers}
        pieces = body if isinstance(body, tuple) else None
        if pieces is None and not isinstance(body, bytes):
            body = b"" if body is None else jsonlib.dumps(body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if "content-type" not in names:
            self.send_header("Content-Type", "application/json")
        if pieces is not None:
            self.send_header("Transfer-Encoding", "chunked")
        elif "content-length" not in names:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if pieces is None else b"".join(map(_chunk, (*pieces, b""))))

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
