"""A site of somebody else: pages with any text and headers, and a ledger of what was asked of it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


class Elsewhere:
    """Serves pages on 127.0.0.1; a context manager.

    Args:
        host: how its addresses call this machine: `127.0.0.1`, or `localhost` and `*.localhost` for what
            browsers take as another site.

    Attributes:
        origin: its own, as in `http://localhost:49152`.
        lines: the request lines that came, with the Referer of each.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.lines: list[tuple[str, str]] = []
        self._pages: dict[str, tuple[str, Mapping[str, str]]] = {"/favicon.ico": ("", {})}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.origin = f"http://{host}:{self._server.server_port}"

    def page(self, body: str, headers: Mapping[str, str] | None = None) -> str:
        """The address of a new page with this body."""
        path = f"/page-{len(self._pages)}"
        self._pages[path] = (f"<!doctype html><html lang=en><title>Elsewhere</title>{body}", headers or {})
        return self.origin + path

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        lines, pages = self.lines, self._pages

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines.append((self.requestline, self.headers.get("Referer", "")))
                text, headers = pages.get(self.path.partition("?")[0], ("", {}))
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(text.encode())))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
