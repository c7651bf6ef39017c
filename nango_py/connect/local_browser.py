"""Logins for scripts and desktops: the callback comes to a port of this machine (RFC 8252 7.3).

No server is needed; one small listener of the standard library takes one callback and ends.
"""

from __future__ import annotations

import errno
import html
import os
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed, NangoError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.accounts import Accounts
    from nango_py.connect.outcome import LoginOutcome

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
SLOWEST_CLIENT_SECONDS = 10.0
MOST_PARAMETERS = 100

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}
Page = tuple[HTTPStatus, str, str]
"""Status, title and text of a page."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""


class LoopbackRefused(NangoError):
    """This machine cannot take the callback; the message says what to change."""


def log_in(
    accounts: Accounts,
    integration: str,
    user_id: str,
    *,
    show: Callable[[str], object],
    additional_config: Mapping[str, Any] | None = None,
    redirect_url: str = "",
    seconds: float = 300.0,
) -> LoginOutcome | None:
    """Log a user in with a browser on this machine; how it ended, None if nobody came back in time.

    Args:
        accounts: its store takes the connection.
        integration: one with a login by browser.
        user_id: whose connection it becomes.
        show: given the URL of the login page, for a browser.
        additional_config: what the blueprint asks for before the login.
        redirect_url: the callback's URL on this machine, as it is registered at the provider; the one of
            `config.oauth_server_root_url` by default. Port 0 takes any free port.
        seconds: how long to wait.

    Raises:
        LoopbackRefused: the URL is not of this machine, or its port is taken.
        ConnectFailed: the login cannot begin.
    """
    logins = Logins(accounts)
    url = redirect_url or logins.redirect_uri(accounts.services.configuration.integrations[integration])
    with Listener(*checked(url, is_given=bool(redirect_url)), logins, integration) as listener:
        settings = additional_config
        show(logins.begin(integration, user_id, additional_config=settings, redirect_uri=listener.url))
        return listener.wait(seconds)


def checked(url: str, *, is_given: bool) -> tuple[SplitResult, int]:
    """The parts of a callback's URL and its port, if this machine can listen there.

    Raises:
        LoopbackRefused: it is not.
    """
    problem = ""
    try:
        parts = urlsplit(url)
        is_ours = parts.hostname in LOOPBACK_HOSTS and "@" not in parts.netloc
        port = 80 if parts.port is None else parts.port
    except ValueError:
        problem = "is not a URL"
    else:
        if not is_ours or parts.scheme != "http" or parts.query or parts.fragment:
            problem = "is not an http:// address of this machine"
    if not problem:
        return parts, port
    if is_given:
        raise LoopbackRefused(f"{printable(url)} {problem}; write http://127.0.0.1:PORT/oauth/callback")
    raise LoopbackRefused(
        f"config.oauth_server_root_url makes the callback {printable(url)}, which {problem}; give a callback "
        "of this machine that is registered at the provider: --redirect-url http://127.0.0.1:PORT/oauth/callback"
    )


class Listener:
    """Listens at a callback's URL until the login's own callback has come.

    Attributes:
        url: where it listens.
    """

    def __init__(self, parts: SplitResult, port: int, logins: Logins, integration: str) -> None:
        self._logins = logins
        self._integration = integration
        self._done = threading.Event()
        self._outcome: LoginOutcome | None = None
        host = parts.hostname or ""
        self._servers = _servers(host, port, self)
        port = self._servers[0].server_address[1]
        self.path = parts.path or "/"
        self.netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.url = f"http://{parts.netloc if parts.port else self.netloc}{parts.path}"

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def wait(self, seconds: float) -> LoginOutcome | None:
        """How the login ended; None if its callback did not come in time."""
        self._done.wait(seconds)
        return self._outcome

    def response(self, target: str, host: str) -> tuple[Page, LoginOutcome | None]:
        """The response to a GET, and how the login ended, if it has.

        Any page can send a browser here, so what is not this login's callback ends nothing.
        """
        parts = urlsplit(target)
        if parts.path != self.path:
            return (HTTPStatus.NOT_FOUND, "Nothing here", "This address takes logins only."), None
        if host not in {self.netloc, self.netloc.removesuffix(":80")}:
            return (HTTPStatus.BAD_REQUEST, "Not for us", "The request names another host."), None
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        if len(dict(pairs)) != len(pairs):
            return (HTTPStatus.BAD_REQUEST, "Not connected", "A parameter stands there twice."), None
        try:
            outcome = self._logins.finish(dict(pairs), "", integration=self._integration)
        except ConnectFailed as error:
            return (HTTPStatus.BAD_REQUEST, "Not connected", f"{error}."), None
        if outcome.ok:
            return (HTTPStatus.OK, "Connected", "You can close this window."), outcome
        return (HTTPStatus.BAD_REQUEST, "Not connected", f"{outcome.message}."), outcome

    def end(self, outcome: LoginOutcome) -> None:
        """The browser has its page."""
        self._outcome = outcome
        self._done.set()


def _servers(host: str, port: int, listener: Listener) -> list[_Server]:
    """A listener for each address of the host: `localhost` may be either of two."""
    found = [_listening("::1" if ":" in host else "127.0.0.1", port, listener)]
    if host == "localhost" and socket.has_ipv6:
        try:
            found.append(_listening("::1", found[0].server_address[1], listener))
        except LoopbackRefused:
            found[0].server_close()
            raise
        except OSError:
            pass  # this machine has no IPv6
    return found


def _listening(address: str, port: int, listener: Listener) -> _Server:
    failed = ""
    try:
        return _Server(address, port, listener)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            failed = f"port {port} is taken, by another program or by `nango serve`; end that, or let"
        elif error.errno == errno.EACCES:
            failed = f"this account may not listen at port {port}; let"
        else:
            raise
    raise LoopbackRefused(
        f"{failed} the login come back elsewhere: --redirect-url http://127.0.0.1:PORT/oauth/callback"
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name == "posix"  # on Windows it would let two programs listen at one port

    def __init__(self, address: str, port: int, listener: Listener) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = listener
        super().__init__((address, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no news, and a traceback would show what it sent."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SLOWEST_CLIENT_SECONDS  # browsers open connections that they may need
    server: _Server

    def version_string(self) -> str:
        """Nothing of Python."""
        return "nango"

    def log_message(self, *_: Any) -> None:
        """The request's URL holds the code."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses, without repeating it."""
        self._page(HTTPStatus(code), "Not for us", "This address takes logins only.")

    def do_GET(self) -> None:
        """A callback, or something else that a browser asks for."""
        outcome = None
        try:
            page, outcome = self.server.listener.response(self.path, self.headers.get("Host", ""))
        except ValueError:  # too many parameters, or no URL
            page = HTTPStatus.BAD_REQUEST, "Not connected", "This is no callback."
        try:
            self._page(*page)
        finally:
            if outcome is not None:
                self.server.listener.end(outcome)

    def _page(self, status: HTTPStatus, title: str, text: str) -> None:
        raw = PAGE.format(title=html.escape(title), text=html.escape(text)).encode()
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
