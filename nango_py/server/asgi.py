"""The connect server as an ASGI application: the checks of every request and response."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from nango_py.errors import ConnectFailed, printable
from nango_py.record import record
from nango_py.server import data_routes as data
from nango_py.server import login_routes as logins
from nango_py.server.error_responses import LOGGER, Refusal, make_refusal
from nango_py.server.http_responses import file_response, html_refusal, html_response, json_refusal, redirect
from nango_py.server.request import read
from nango_py.server.security_headers import PREFLIGHT, Kind, cors_headers, security_headers
from nango_py.server.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.accounts import Accounts
    from nango_py.server.origins import PublicAddress
    from nango_py.server.request import ConnectRequest

    Work = Callable[[Site, ConnectRequest], Response]

Result = TypeVar("Result")

THREADS = 16
"""For what is answered from the store."""

SLOW_THREADS = 32
"""For what waits for a provider, so that a slow one does not hold up the pages."""

THREADS_OF_ONE = 24
"""Of these, for one provider: one that hangs leaves some to the logins of the others."""

MOST_WAITING = 256
"""Requests that may wait for a thread, or for their turn at a provider."""


@record
class Spot:
    """What is at an address: the work by method, and whether it waits for a provider."""

    path: re.Pattern[str]
    kind: Kind
    works: dict[str, Work]
    is_slow: bool

    @property
    def allows(self) -> str:
        """The Allow header."""
        return ", ".join([*self.works, "OPTIONS"])


def _spot(path: str, kind: Kind, *, is_slow: bool = False, **works: Work) -> Spot:
    pattern = re.compile(re.escape(path).replace(r"\{name\}", r"(?P<name>[^/]{1,100})"))
    if kind in {"page", "script"}:
        works["HEAD"] = works["GET"]
    return Spot(pattern, kind, works, is_slow)


def _page(site: Site, asked: ConnectRequest) -> Response:
    better = asked.doors.better_name(asked.host)
    if better:
        return redirect(f"{better}{asked.doors.prefix}/connect")
    return html_response(site.static.page("connect.html"))


def _file(site: Site, asked: ConnectRequest, name: str = "") -> Response:
    found = site.static.find(name or asked.names["name"])
    if found is None:
        raise Refusal(404, "not_found", "there is no such file")
    return file_response(
        found, asked_version=asked.query.partition("v=")[2], has_it=found.version in asked.known
    )


SPOTS = (
    _spot("/connect", "page", GET=_page),
    _spot("/connect/session", "data", GET=data.session),
    _spot("/connect/integrations/{name}", "data", is_slow=True, POST=data.connect, DELETE=data.disconnect),
    _spot("/connect/attempts/{name}", "data", GET=data.attempt),
    _spot("/oauth/connect/{name}", "notice", is_slow=True, GET=logins.start, POST=logins.start),
    _spot("/oauth/callback", "notice", is_slow=True, GET=logins.callback),
    _spot("/oauth/callback/{name}", "notice", is_slow=True, GET=logins.callback),
    _spot("/static/{name}", "script", GET=_file),
    _spot("/nango-connect.js", "script", GET=partial(_file, name="nango-connect.js")),
)
FIRST_PARTS = ("connect", "oauth", "static", "nango-connect.js")
NOWHERE = Spot(re.compile("(?!)"), "data", {}, is_slow=False)


class ConnectServer:
    """The application. One serves one event loop; see `Nango.asgi_app`."""

    def __init__(self, accounts: Accounts) -> None:
        self._site = Site(accounts)
        self._limiters: dict[str, anyio.CapacityLimiter] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, as ASGI says it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        started = time.perf_counter()
        doors = self._site.doors
        path = own_path(scope, doors.prefix)
        found = ((spot, spot.path.fullmatch(path)) for spot in SPOTS)
        spot, match = next(((spot, match) for spot, match in found if match), (NOWHERE, None))
        request = Request({**scope, "path_params": match.groupdict() if match else {}}, receive)
        response = await self._response(spot, request, doors)
        for name, value in security_headers(spot.kind, doors).items():
            if name.lower() not in response.headers:
                response.headers[name] = value
        if spot.kind in {"data", "script"}:
            response.headers["Vary"] = "Origin"
            response.headers.update(cors_headers(request.headers.get("origin", ""), doors))
        if request.method == "HEAD":
            response.body = b""
        milliseconds = (time.perf_counter() - started) * 1000
        LOGGER.info(
            "%s %s %d %d ms",
            printable(request.method, 10),
            printable(path),
            response.status_code,
            milliseconds,
        )
        await response(scope, receive, send)

    async def _response(self, spot: Spot, request: Request, doors: PublicAddress) -> Response:
        try:
            if not doors.knows(request.headers.get("host", "")):
                raise Refusal(421, "wrong_host", "this server does not answer for that host")  # noqa: TRY301
            if request.method == "OPTIONS" and spot.works:
                return _options(spot, request, doors)
            return await self._done(spot, request, doors)
        except Exception as error:  # noqa: BLE001 - nothing of an unforeseen one may reach the browser
            refusal = make_refusal(error)
        is_page = spot.kind in {"page", "notice"} if spot.works else _wants_page(request)
        return html_refusal(refusal, self._site.pages) if is_page else json_refusal(refusal)

    async def _done(self, spot: Spot, request: Request, doors: PublicAddress) -> Response:
        if not spot.works:
            raise Refusal(404, "not_found", "there is nothing at this address")
        work = spot.works.get(request.method)
        if work is None:
            raise Refusal(405, "wrong_method", "this cannot be asked here", headers={"Allow": spot.allows})
        asked = await read(request, doors)
        if request.method in {"POST", "DELETE"} and not self._site.is_ours(asked):
            raise ConnectFailed("not_allowed", "this page may not connect accounts here")
        if not spot.is_slow:
            return await self._threaded(work, asked)
        name = await self._threaded(Site.provider, asked)
        async with self._limiter(f"of {name}", THREADS_OF_ONE):
            return await self._threaded(work, asked, "slow", SLOW_THREADS)

    async def _threaded(
        self,
        work: Callable[[Site, ConnectRequest], Result],
        asked: ConnectRequest,
        pool: str = "quick",
        threads: int = THREADS,
    ) -> Result:
        limiter = self._limiter(pool, threads)
        return await anyio.to_thread.run_sync(work, self._site, asked, limiter=limiter)

    def _limiter(self, pool: str, threads: int) -> anyio.CapacityLimiter:
        """What lets so many in at once; made in the event loop that asks first.

        Raises:
            ConnectFailed: `busy`: too many wait already.
        """
        limiter = self._limiters.get(pool)
        if limiter is None:
            limiter = self._limiters[pool] = anyio.CapacityLimiter(threads)
        if limiter.statistics().tasks_waiting >= MOST_WAITING:
            raise ConnectFailed("busy", "too much is under way; try again in a minute")
        return limiter


def own_path(scope: Any, prefix: str) -> str:
    """The path below ours: whether we are mounted, served directly, or behind a proxy that cut the prefix."""
    root, path = scope.get("root_path", ""), scope["path"]
    # A proxy may have cut off what the outermost application knows as its own root, and only that.
    for cut in (root, root.removeprefix(scope.get("app_root_path", ""))):
        if cut and path.startswith(cut):
            path = path[len(cut) :]
            break
    if prefix and not root.endswith(prefix) and path.startswith(f"{prefix}/"):
        inner = path[len(prefix) :]
        if inner.split("/")[1] in FIRST_PARTS:
            return str(inner)
    return str(path)


def _options(spot: Spot, request: Request, doors: PublicAddress) -> Response:
    is_preflight = spot.kind == "data" and "access-control-request-method" in request.headers
    allowed = cors_headers(request.headers.get("origin", ""), doors)
    return Response(b"", 204, {"Allow": spot.allows, **(PREFLIGHT if is_preflight and allowed else {})})


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
