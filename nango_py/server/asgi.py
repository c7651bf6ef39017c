"""The connect server as an ASGI application. Starlette routes; every request passes the same checks."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from nango_py.connect.words import choose_words
from nango_py.errors import ConnectFailed, printable
from nango_py.server import handlers
from nango_py.server.request import read_request
from nango_py.server.responses import (
    LOGGER,
    Refusal,
    html_refusal,
    json_refusal,
    list_methods,
    make_refusal,
)
from nango_py.server.security_headers import PREFLIGHT, Kind, cors_headers, security_headers
from nango_py.server.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Message, Receive, Scope, Send

    from nango_py.accounts import Accounts
    from nango_py.server.origins import PublicAddress
    from nango_py.server.request import ConnectRequest

    Handler = Callable[[Site, ConnectRequest], Response]

Result = TypeVar("Result")

THREADS = 16
"""Threads for handlers that only use the connection store."""

PROVIDER_THREADS = 32
"""Threads for handlers that wait for a provider, so that a slow provider does not block the pages."""

MAX_WAITING = 256
"""Requests that may queue for a thread before further ones are refused."""


class Endpoint:
    """What one path responds with.

    Attributes:
        kind: decides the security headers.
        handlers: by HTTP method. They run in threads, but for those of files in memory.
        methods: the supported methods. HEAD is supported for files only: it must not start or finish a login.
        calls_provider: whether handlers may wait for a provider.
    """

    def __init__(self, kind: Kind, *, calls_provider: bool = False, **handlers: Handler) -> None:
        self.kind = kind
        self.calls_provider = calls_provider
        self.handlers = dict(handlers)
        if kind in {"page", "script"}:
            self.handlers["HEAD"] = handlers["GET"]
        self.methods = {*self.handlers, "OPTIONS"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request that was routed here."""
        server: ConnectServer = scope["app"]
        response = await server.respond(self, Request(scope, receive))
        await response(scope, receive, send)


ENDPOINTS = {
    "/connect": Endpoint("page", GET=handlers.show_page),
    "/connect/session": Endpoint("data", GET=handlers.list_session),
    "/connect/integrations/{name}": Endpoint(
        "data", calls_provider=True, POST=handlers.connect, DELETE=handlers.disconnect
    ),
    "/connect/attempts/{name}": Endpoint("data", GET=handlers.get_attempt),
    "/oauth/connect/{name}": Endpoint(
        "notice", calls_provider=True, GET=handlers.start_login, POST=handlers.start_login
    ),
    "/oauth/callback": Endpoint("notice", calls_provider=True, GET=handlers.finish_login),
    "/oauth/callback/{name}": Endpoint("notice", calls_provider=True, GET=handlers.finish_login),
    "/client.json": Endpoint("data", GET=handlers.show_client_document),
    "/oauth/choice": Endpoint("notice", calls_provider=True, POST=handlers.finish_choice),
    "/static/{name}": Endpoint("script", GET=handlers.send_file),
    "/nango-connect.js": Endpoint("script", GET=handlers.send_file),
}


def make_router(prefix: str) -> Router:
    """The routes, below `prefix` and, for a proxy that strips the prefix, without it."""
    routes = []
    for root in dict.fromkeys((prefix, "")):
        for path, endpoint in ENDPOINTS.items():
            route = Route(root + path, endpoint)
            route.methods = endpoint.methods  # Route(methods=...) would add HEAD to every GET
            routes.append(route)
    return Router(routes, redirect_slashes=False)


class ConnectServer:
    """The application; see `Nango.asgi_app`. One instance serves one event loop."""

    def __init__(self, accounts: Accounts) -> None:
        self._site = Site(accounts)
        self._limiters: dict[str, anyio.CapacityLimiter] = {}
        self._routers: dict[str, Router] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, as ASGI defines it."""
        address = self._site.address
        router = self._routers.get(address.prefix)
        if router is None:  # the first request, or the first after a reload
            router = make_router(address.prefix)
            self._routers = {address.prefix: router}
        if scope["type"] != "http":
            await router(scope, receive, send)
            return
        # Names in the path are ours alone, whatever the path of an outer Mount was called.
        scope = {**scope, "app": self, "path_params": {}, "root_path": visible_root_path(scope)}
        scope.pop("endpoint", None)
        sender = _Sender(scope, send, address)
        try:
            if not address.is_own_host(Request(scope).headers.get("host", "")):
                raise Refusal(421, "wrong_host", "this server does not serve that host")  # noqa: TRY301
            await router(scope, receive, sender)
        except Exception as error:
            if sender.has_started:
                raise
            refusal = make_refusal(error)  # an unexpected error must not reach the browser or other logs
        else:
            return
        sender.is_html = sender.expects_html()
        words = choose_words(Request(scope).headers.get("accept-language", ""))
        response = html_refusal(refusal, self._site.pages, words) if sender.is_html else json_refusal(refusal)
        await response(scope, receive, sender)

    async def respond(self, endpoint: Endpoint, request: Request) -> Response:
        """The response of a handler, which runs in a thread."""
        address = self._site.address
        if request.method == "OPTIONS":
            return _respond_to_options(endpoint, request, address)
        connect_request = await read_request(request, address, is_data=endpoint.kind == "data")
        if request.method in {"POST", "DELETE"} and not self._site.accepts_sender(connect_request):
            raise ConnectFailed("not_allowed", "this page is not allowed to connect accounts")
        handler = endpoint.handlers[request.method]
        if endpoint.kind in {"page", "script"}:  # files in memory, sent however busy threads are
            return handler(self._site, connect_request)
        if not endpoint.calls_provider:
            return await self._run_in_thread(handler, connect_request)
        provider = await self._run_in_thread(Site.find_provider, connect_request)
        async with contextlib.AsyncExitStack() as stack:
            for name, threads in provider.limits():
                await stack.enter_async_context(self._place(name, threads))
            return await self._run_in_thread(handler, connect_request, "providers", PROVIDER_THREADS)

    async def _run_in_thread(
        self,
        function: Callable[[Site, ConnectRequest], Result],
        request: ConnectRequest,
        pool: str = "store",
        threads: int = THREADS,
    ) -> Result:
        limiter = self._limiter(pool, threads)
        return await anyio.to_thread.run_sync(function, self._site, request, limiter=limiter)

    @contextlib.asynccontextmanager
    async def _place(self, name: str, threads: int) -> AsyncIterator[None]:
        """A place among those that may wait for one user, host or provider."""
        limiter = self._limiter(name, threads)
        try:
            async with limiter:
                yield
        finally:
            counts = limiter.statistics()
            if not counts.borrowed_tokens and not counts.tasks_waiting:
                self._limiters.pop(name, None)

    def _limiter(self, pool: str, threads: int) -> anyio.CapacityLimiter:
        """The limiter of a pool, created in the event loop that uses it first.

        Raises:
            ConnectFailed: `busy`: too many requests are waiting.
        """
        limiter = self._limiters.get(pool)
        if limiter is None:
            limiter = self._limiters[pool] = anyio.CapacityLimiter(threads)
        if limiter.statistics().tasks_waiting >= MAX_WAITING:
            raise ConnectFailed("busy", "the service is busy; try again in a minute")
        return limiter


class _Sender:
    """Sends one response with its security headers, and logs it."""

    def __init__(self, scope: Scope, send: Send, address: PublicAddress) -> None:
        self._scope = scope
        self._send = send
        self._address = address
        self._started_at = time.perf_counter()
        self.is_html = False
        self.has_started = False

    def expects_html(self) -> bool:
        """Whether an error is shown as a page: at the addresses of pages, and to browsers that got lost."""
        endpoint = self._scope.get("endpoint")
        if isinstance(endpoint, Endpoint):
            return endpoint.kind in {"page", "notice"}
        return "text/html" in Request(self._scope).headers.get("accept", "")

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            self._add_headers(MutableHeaders(scope=message))
            self._log(message["status"])
        elif self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    def _add_headers(self, headers: MutableHeaders) -> None:
        endpoint = self._scope.get("endpoint")
        fallback: Kind = "notice" if self.is_html else "data"
        kind = endpoint.kind if isinstance(endpoint, Endpoint) else fallback
        for name, value in security_headers(kind, self._address).items():
            headers.setdefault(name, value)
        if kind in {"data", "script"}:
            headers["Vary"] = "Origin"
            headers.update(cors_headers(Request(self._scope).headers.get("origin", ""), self._address))

    def _log(self, status: int) -> None:
        method, path = printable(self._scope["method"], 10), path_for_log(self._scope["path"])
        milliseconds = (time.perf_counter() - self._started_at) * 1000
        LOGGER.info("%s %s %d %d ms", method, path, status, milliseconds)


def path_for_log(path: str) -> str:
    """The path up to a character that no path of ours has.

    A link or a callback whose `#` or `?` a mail program or provider has encoded has its secret in the path.
    """
    plain = re.split(r"[^\w./*~-]", path, maxsplit=1, flags=re.ASCII)[0]
    return printable(plain) if plain == path else f"{printable(plain)}..."


def visible_root_path(scope: Scope) -> str:
    """The root path, without the part that a proxy has already stripped from the path."""
    root: str = scope.get("root_path", "")
    return root if scope["path"].startswith(root) else root.removeprefix(scope.get("app_root_path", ""))


def _respond_to_options(endpoint: Endpoint, request: Request, address: PublicAddress) -> Response:
    is_preflight = endpoint.kind == "data" and "access-control-request-method" in request.headers
    is_allowed = bool(cors_headers(request.headers.get("origin", ""), address))
    headers = PREFLIGHT if is_preflight and is_allowed else {}
    return Response(b"", 204, {"Allow": list_methods(endpoint.methods), **headers})
