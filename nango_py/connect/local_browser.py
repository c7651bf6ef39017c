"""Logins for scripts and desktop programs: the callback goes to a port on this machine (RFC 8252 7.3).

No server is needed. A small listener of the standard library takes one callback and stops.
"""

from __future__ import annotations

import errno
import html
import os
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

from nango_py.connect.failure import as_sentence
from nango_py.connect.login import Logins
from nango_py.errors import ConnectFailed, NangoError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.accounts import Accounts
    from nango_py.connect.outcome import LoginOutcome
    from nango_py.json_types import JsonObject
    from nango_py.protocols.after_login import Choice

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
CLIENT_TIMEOUT_SECONDS = 10.0
MAX_PARAMETERS = 100
USE_ANOTHER_URL = "--redirect-url http://127.0.0.1:PORT/oauth/callback"

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}
Page = tuple[HTTPStatus, str, str]
"""Status, title and content of a page; the content is HTML."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><h1>{title}</h1><div>{content}</div></body></html>
"""
NOT_HERE = "This address only receives logins."


class LoopbackRefused(NangoError):
    """This machine cannot receive the callback. The message says what to change."""


def log_in(
    accounts: Accounts,
    integration: str,
    user_id: str,
    *,
    show: Callable[[str], object],
    additional_config: JsonObject | None = None,
    redirect_url: str = "",
    seconds: float = 300.0,
    choices: Mapping[str, str] | None = None,
    ask: Callable[[Choice], str] | None = None,
) -> LoginOutcome | None:
    """Log a user in with a browser on this machine. Returns None if no callback arrived in time.

    Args:
        accounts: where the connection is stored.
        integration: one with a browser login.
        user_id: the owner of the connection.
        show: is called with the URL of the login page.
        additional_config: settings that the blueprint needs before the login.
        redirect_url: the callback URL on this machine, as registered at the provider; by default it is made
            from `config.oauth_server_root_url`. Port 0 takes any free port.
        seconds: how long to wait.
        choices: what to choose after the login, by the name of the choice.
        ask: returns the value of the candidate to choose; by default the page in the browser asks.

    Raises:
        LoopbackRefused: the URL does not point to this machine, or its port is in use.
        ConnectFailed: the login cannot start.
    """
    logins = Logins(accounts)
    url = redirect_url or logins.redirect_uri(accounts.services.configuration.integrations[integration])
    parts, port = parse_callback_url(url, is_given=bool(redirect_url))
    with Listener(parts, port, logins, integration, asks_in_browser=ask is None) as listener:
        config = additional_config
        url = logins.begin(
            integration, user_id, additional_config=config, redirect_uri=listener.url, choices=choices
        )
        show(url)
        outcome = listener.wait(seconds)
    while ask is not None and outcome is not None and outcome.choice is not None:
        outcome = logins.finish_choice(outcome.ticket, ask(outcome.choice), "")
    return outcome


def parse_callback_url(url: str, *, is_given: bool) -> tuple[SplitResult, int]:
    """The parts of a callback URL and its port, if this machine can listen there.

    Raises:
        LoopbackRefused: it cannot.
    """
    problem = ""
    try:
        parts = urlsplit(url)
        is_local = parts.hostname in LOOPBACK_HOSTS and "@" not in parts.netloc
        port = 80 if parts.port is None else parts.port
    except ValueError:
        problem = "is not a URL"
    else:
        if not is_local or parts.scheme != "http" or parts.query or parts.fragment:
            problem = "is not an http:// URL on this machine"
    if not problem:
        return parts, port
    if is_given:
        raise LoopbackRefused(f"{printable(url)} {problem}; use http://127.0.0.1:PORT/oauth/callback")
    raise LoopbackRefused(
        f"config.oauth_server_root_url makes the callback URL {printable(url)}, which {problem}; give one on "
        f"this machine that is registered at the provider: {USE_ANOTHER_URL}"
    )


def make_choice_form(choice: Choice, ticket: str) -> str:
    """A form in which the user chooses an account. Labels come from the provider, so they are text."""
    options = "".join(
        f'<option value="{html.escape(candidate.value)}"'
        f"{' selected' if candidate.value == choice.default else ''}>{html.escape(candidate.label)}</option>"
        for candidate in choice.candidates
    )
    return (
        f'<form><input type="hidden" name="state" value="{html.escape(ticket)}">'
        f'<select name="value" required size="10">{options}</select> <button>Connect</button></form>'
    )


class Listener:
    """Listens at a callback URL until the callback of its login arrives.

    Attributes:
        url: where it listens.
    """

    def __init__(
        self,
        parts: SplitResult,
        port: int,
        logins: Logins,
        integration: str,
        *,
        asks_in_browser: bool = True,
    ) -> None:
        self._logins = logins
        self._integration = integration
        self._asks_in_browser = asks_in_browser
        self._done = threading.Event()
        self._outcome: LoginOutcome | None = None
        host = parts.hostname or ""
        self._servers = _open_servers(host, port, self)
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
        """How the login ended, or None if no callback arrived in time."""
        self._done.wait(seconds)
        return self._outcome

    def respond(self, target: str, host: str) -> tuple[Page, LoginOutcome | None]:
        """The page for a GET, and how the login ended, if it did.

        Any page can send a browser here, so only the callback of this login ends the wait.
        """
        parts = urlsplit(target)
        if parts.path != self.path:
            return (HTTPStatus.NOT_FOUND, "Page not found", NOT_HERE), None
        if host not in {self.netloc, self.netloc.removesuffix(":80")}:
            return (HTTPStatus.BAD_REQUEST, "Wrong host", "The request names another host."), None
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        if len(dict(pairs)) != len(pairs):
            return (HTTPStatus.BAD_REQUEST, "Not connected", "A parameter is repeated."), None
        try:
            outcome = self._finish(dict(pairs))
        except ConnectFailed as error:
            return (HTTPStatus.BAD_REQUEST, "Not connected", html.escape(as_sentence(str(error)))), None
        if outcome.choice is not None and self._asks_in_browser:
            form = make_choice_form(outcome.choice, outcome.ticket)
            return (HTTPStatus.OK, outcome.choice.title, form), None
        if outcome.choice is not None:
            text = "Go on in the program that opened this page."
            return (HTTPStatus.OK, "Choose an account", text), outcome
        if outcome.ok:
            return (HTTPStatus.OK, "Connected", "You can close this window."), outcome
        return (HTTPStatus.BAD_REQUEST, "Not connected", html.escape(as_sentence(outcome.message))), outcome

    def _finish(self, query: dict[str, str]) -> LoginOutcome:
        """Go on with the login: with the provider's callback, or with the form of a choice."""
        if query.keys() == {"state", "value"}:
            return self._logins.finish_choice(query["state"], query["value"], "")
        return self._logins.finish(query, "", integration=self._integration)

    def end(self, outcome: LoginOutcome) -> None:
        """Stop waiting."""
        self._outcome = outcome
        self._done.set()


def _open_servers(host: str, port: int, listener: Listener) -> list[_Server]:
    """A server for each address of the host. `localhost` may mean two."""
    servers = [_open_server("::1" if ":" in host else "127.0.0.1", port, listener)]
    if host == "localhost" and socket.has_ipv6:
        try:
            servers.append(_open_server("::1", servers[0].server_address[1], listener))
        except LoopbackRefused:
            servers[0].server_close()
            raise
        except OSError:
            pass  # this machine has no IPv6
    return servers


def _open_server(address: str, port: int, listener: Listener) -> _Server:
    try:
        return _Server(address, port, listener)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = f"port {port} is in use by another program, perhaps `nango serve`; stop it"
        elif error.errno == errno.EACCES:
            problem = f"this account is not allowed to listen on port {port}; allow it"
        else:
            raise
    raise LoopbackRefused(f"{problem}, or use another port: {USE_ANOTHER_URL}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name == "posix"  # on Windows it would let two programs listen on one port

    def __init__(self, address: str, port: int, listener: Listener) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = listener
        super().__init__((address, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore it. Browsers close connections, and a traceback would show what was sent."""


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_TIMEOUT_SECONDS  # browsers open connections that they may never use
    server: _Server

    def version_string(self) -> str:
        """The Server header, without the version of Python."""
        return "nango"

    def log_message(self, *_: object) -> None:
        """Log nothing, because the URL holds the code."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request without quoting it."""
        self._send_page(HTTPStatus(code), "Not supported", NOT_HERE)

    def do_GET(self) -> None:
        """Respond to a callback, or to another request of the browser."""
        outcome = None
        try:
            page, outcome = self.server.listener.respond(self.path, self.headers.get("Host", ""))
        except ValueError:  # too many parameters, or not a URL
            page = HTTPStatus.BAD_REQUEST, "Not connected", "This is not a callback."
        try:
            self._send_page(*page)
        finally:
            if outcome is not None:
                self.server.listener.end(outcome)

    def _send_page(self, status: HTTPStatus, title: str, content: str) -> None:
        body = PAGE.format(title=html.escape(title), content=content).encode("utf-8", "replace")
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
