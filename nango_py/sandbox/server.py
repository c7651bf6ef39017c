"""The sandbox as a server on 127.0.0.1, in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Self

from nango_py.argument_types import check_number, check_type
from nango_py.sandbox.api import SandboxOptions, SimulatedApi
from nango_py.sandbox.http_socket import Connection
from nango_py.sandbox.lists import make_list
from nango_py.sandbox.logins.endpoints import PREFIX
from nango_py.sandbox.responses import SandboxResponse, check_status
from nango_py.sandbox.routes import Replies, Route
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypedDict, Unpack

    from nango_py.clock import Clock
    from nango_py.json_types import JsonValue, Schema, Settings
    from nango_py.sandbox.budgets import CountingMode, LimitSpeed
    from nango_py.sandbox.faults import FaultPlan
    from nango_py.sandbox.ledger import Ledger
    from nango_py.sandbox.limit_headers import RetryAfter
    from nango_py.sandbox.logins.tokens import TokenRules
    from nango_py.sandbox.request_counts import Counted
    from nango_py.sandbox.routes import Handler, Reply, SandboxRequest

    class SandboxArguments(TypedDict, total=False):
        """The keyword arguments of `Sandbox`, which documents them."""

        credentials: Mapping[str, Mapping[str, object]] | None
        faults: FaultPlan | None
        responses: Mapping[tuple[str, str], Reply]
        pages: Mapping[str, int] | None
        strict: bool
        counting: CountingMode
        retry_after: RetryAfter
        retired: bool
        idempotency_header: str | None
        tokens: TokenRules
        signatures: bool
        accounts: int
        limits: LimitSpeed
        clock: Clock


_BACKLOG = 1024
_ACCEPT_ITERATIONS = 4


class Sandbox:
    """A local simulation of an API. A context manager, and thread-safe.

    It responds with 401 if a credential is missing, misplaced or unknown, with 429 above the rate limits,
    and otherwise with what the blueprint declares (its examples and its verification request) or the test
    supplies (`respond`, `handle`). Other paths are a 404, and other methods a 405. It injects faults and
    records every request in `ledger`.

    An exception of a handler is a 500, and is raised at the end of the `with` block.

    Attributes:
        api: the simulation, without its server.

    Args:
        settings: the merged settings of a blueprint or integration, with unrendered templates.
        port: port on 127.0.0.1; 0 for a free one.
        credentials: user id -> credentials. The ledger names the user; other credentials are rejected. None
            accepts any credential in the right place.
        faults: faults to inject.
        responses: (method, path) -> reply, as for `respond`.
        pages: path below the base path -> number of pages of three records, as with `paginate`.
        strict: False generates responses to paths that are neither declared nor supplied.
        counting: "fixed" windows (aligned to the clock, like Klaviyo's), "sliding" windows or "bucket".
        retry_after: format of Retry-After in a 429: "seconds", "decimals" or "http-date"; "body" for a
            sentence in the body only.
        retired: respond with 410; requires a blueprint with a `status.retires_on` in the past.
        idempotency_header: requests with a repeated value of this header get the first response again and
            are not processed. None is the blueprint's `retries.idempotency_header`; "" for none.
        tokens: how the tokens behave that the sandbox issues.
        signatures: False does not verify the signatures of calls, which cover the host.
        limits: "real", "fast" for windows sixty times shorter, or "none".
        accounts: how many accounts a login can choose from, for blueprints with `after_login`.
        clock: the time of windows, tokens and dates.

    Raises:
        TypeError: an argument is of another type.
        ValueError: the settings are invalid, or an option does not fit them.
    """

    def __init__(self, settings: Settings, *, port: int = 0, **options: Unpack[SandboxArguments]) -> None:
        check_type("settings", settings, Mapping, "the settings of an integration")
        if not (settings.get("requests") or {}).get("base_url"):
            raise ValueError("the settings have no requests.base_url")
        check_number("port", port, is_whole=True)
        self.api = SimulatedApi(settings, SandboxOptions(**options))
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested: asyncio.Event | None = None

    @property
    def base_url(self) -> str:
        """The URL on 127.0.0.1 that stands in for the blueprint's base_url."""
        if not self._port:
            raise RuntimeError("the sandbox is not started; use it as a context manager")
        return f"http://127.0.0.1:{self._port}{self.api.base_path}"

    @property
    def port(self) -> int:
        """The port; 0 before a free one is chosen."""
        return self._port

    @property
    def overrides(self) -> dict[str, object]:
        """The settings that lead an integration here: `Nango(overrides={name: sandbox.overrides})`.

        They are the base URL, the URLs of logins and tokens and, if it has none, the app's id and secret.
        """
        origin = f"http://127.0.0.1:{self._port}"
        requests: dict[str, object] = {"base_url": self.base_url}
        if self.api.bases:
            requests["bases"] = {name: origin + path for name, path in self.api.bases.items()}
        files = [self.api.files.origin.removeprefix("http://")]
        requests["download_hosts"] = files
        if self.api.uploads.is_elsewhere:
            requests["upload_hosts"] = files
        return {"requests": requests, **self.api.logins.overrides(origin)}

    @property
    def settings(self) -> Settings:
        """The settings that it was made from."""
        return self.api.settings

    @property
    def ledger(self) -> Ledger:
        """The received requests."""
        return self.api.ledger

    @property
    def login_ledger(self) -> Ledger:
        """The requests to login pages and token endpoints; their `endpoint` is `authorize`, `token` etc."""
        return self.api.login_ledger

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The largest number of requests in any window, for each account, key and limit."""
        return self.api.counts.counted

    @property
    def watch_url(self) -> str:
        """The page that shows requests and budgets while they change."""
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    def watch_with(self, others: Sequence[Sandbox]) -> None:
        """Show other sandboxes on the same page."""
        self.api.watched = (self.api, *(each.api for each in others))

    @property
    def downloads(self) -> Ledger:
        """The requests to the host of the files of `serve_file`."""
        return self.api.files.ledger

    @property
    def uploads(self) -> tuple[bytes, ...]:
        """The files that were uploaded in pieces and are complete."""
        return self.api.uploads.files

    def accept(self, user: str, credentials: Mapping[str, object]) -> None:
        """Set or replace the credentials of a user."""
        check_type("credentials", credentials, Mapping, "credentials by name")
        self.api.credentials.accept(user, credentials)
        self.api.logins.accept(user, reveal(credentials))

    def revoke(self, user: str) -> None:
        """Reject the credentials and tokens of a user from now on."""
        self.api.credentials.revoke(user)
        self.api.logins.revoke(user)

    def make_credentials(self, user: str) -> dict[str, object]:
        """Made-up credentials that belong to a user from now on, for `register_connection`.

        For the modes OAUTH2 and OAUTH1 they are new tokens, as after a login. They need no secret of yours.
        """
        made = self.api.logins.make_credentials(user, self.api.origin)
        if self.api.logins.oauth1 is None and "access_token" not in made:
            self.accept(user, made)
        return made

    def log_in(self, url: str, user: str = "user-1") -> str:
        """Do what a user does on the login page at this URL, and return the callback URL.

        Args:
            url: that of the provider's page, which the connect page or `nango connections connect` opens.
            user: who logs in; one of `credentials`, if the sandbox has any.

        Raises:
            ValueError: the URL is not that of a login here, or the request is refused.
        """
        return self.api.logins.decide(url, user)

    def decline(self, url: str) -> str:
        """The callback URL after a user declined on the login page; raises as `log_in`."""
        return self.api.logins.decide(url, "")

    def expire_tokens(self, user: str = "") -> None:
        """Let the access tokens of a user, or of all, expire now; refresh tokens stay valid."""
        self.api.logins.tokens.expire(user)

    def respond(
        self,
        method: str,
        path: str,
        *replies: Reply,
        json: JsonValue = None,
        text: str = "",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> None:
        """Set the response to a method and path. It precedes the blueprint's and those set before.

        Args:
            method: such as "GET", which serves HEAD too.
            path: below the base path; `{name}` and `*` stand for one segment, `**` for any rest.
            replies: for successive requests, instead of the arguments below: responses, error statuses, or
                the JSON of a 200. The last one repeats.
            json: the body.
            text: the body, if there is no JSON.
            status: of the response.
            headers: of the response.
            params: query parameters that the request must have.
        """
        check_type("text", text, str, "text")
        check_type("headers", {} if headers is None else headers, Mapping, "headers by name")
        if not replies:
            fields = dict(headers or {})
            if json is not None and "content-type" not in map(str.lower, fields):
                fields["Content-Type"] = self.api.responses.content_type
            replies = (SandboxResponse.of(json, status=status, text=text, headers=fields),)
        self.api.routes.add(Route.of(method, path, Replies(replies), params))

    def handle(
        self, method: str, path: str, *, params: Mapping[str, object] | None = None
    ) -> Callable[[Handler], Handler]:
        """A decorator for a function that responds to a method and path; arguments as in `respond`.

        The function takes a `SandboxRequest`, and returns a response, an error status, the JSON of a 200, or
        None for a 204. It runs in the sandbox's thread, so it must not call the sandbox itself.
        """

        def add(handler: Handler) -> Handler:
            self.api.routes.add(Route.of(method, path, handler, params))
            return handler

        return add

    def paginate(
        self,
        path: str,
        records: int | Sequence[JsonValue],
        *,
        method: str = "GET",
        page_size: int = 0,
        schema: Schema | None = None,
        seed: int = 1,
    ) -> list[JsonValue]:
        """Serve a list at a path, in pages as the blueprint's `pagination` says, and return its records.

        Args:
            path: as in `respond`.
            records: the records, or their number. Generated ones are like those of the blueprint's example
                for the path, with unique ids; without an example they have a `type` and an `id`.
            method: such as "POST" for a search.
            page_size: the largest page; by default the `size` of the blueprint, or 100.
            schema: a JSON Schema of the generated records.
            seed: other seeds give other records.

        Raises:
            TypeError: an argument is of another type.
            ValueError: a number is negative, or the sandbox cannot serve the blueprint's `pagination`, or
                not make such records.
        """
        check_type("path", path, str, "text")
        check_type("method", method, str, "text")
        is_list = isinstance(records, Sequence) and not isinstance(records, str | bytes)
        check_number("records", 0 if is_list else records, is_whole=True)
        check_number("page_size", page_size, is_whole=True)
        if schema is not None:
            check_type("schema", schema, Mapping, "a JSON Schema")
        served, made = make_list(
            self.api.settings, path, records,
            responses=self.api.responses, method=method, page_size=page_size, schema=schema, seed=seed,
        )  # fmt: skip
        for verb, each in dict.fromkeys(((method, path.strip("/")), *served.continuations(method, path))):
            self.api.routes.add(Route.of(verb, each, served))
        return made

    def serve_file(
        self, path: str, content: bytes, *, content_type: str = "application/octet-stream", status: int = 302
    ) -> None:
        """Serve a file that the API has on another host: a GET of the path redirects to a signed URL.

        The host of the file refuses requests with credentials, as storage services do.

        Args:
            path: as in `respond`.
            content: of the file.
            content_type: of the file.
            status: of the redirect.
        """
        check_type("content", content, (bytes, bytearray), "bytes")
        check_status(status)
        files = self.api.files

        def redirect(request: SandboxRequest) -> SandboxResponse:
            url = files.sign(request.path.rsplit("/", 1)[-1], content, content_type)
            return SandboxResponse(status, (("Location", url),))

        self.api.routes.add(Route.of("GET", path, redirect))

    def start(self) -> None:
        """Listen, and serve in a thread until `stop`.

        Raises:
            OSError: the port is in use.
        """
        if self._thread is not None:
            raise RuntimeError("the sandbox is already running")
        listener = socket.create_server(("127.0.0.1", self._port), backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        self.api.origin = f"http://127.0.0.1:{self._port}"
        files = socket.create_server(("127.0.0.1", 0))
        self.api.files.origin = f"http://127.0.0.1:{files.getsockname()[1]}"
        is_ready = threading.Event()
        serving = self._serve(listener, files, is_ready)
        self._thread = threading.Thread(
            target=asyncio.run, args=(serving,), name="nango-sandbox", daemon=True
        )
        self._thread.start()
        is_ready.wait()

    def stop(self) -> None:
        """Close all connections and the port, if the sandbox is running."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop_requested is None:
            return
        self._loop.call_soon_threadsafe(self._stop_requested.set)
        thread.join()

    def serve_forever(self) -> None:
        """Serve until KeyboardInterrupt, or until another thread calls `stop`."""
        if self._thread is None:
            self.start()
        thread = self._thread
        try:
            while thread is not None and thread.is_alive():
                thread.join(0.2)
        finally:
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self.api.handler_errors:
            raise self.api.handler_errors.pop(0)

    async def _serve(self, listener: socket.socket, files: socket.socket, is_ready: threading.Event) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._stop_requested = asyncio.Event()
        connections: set[Connection] = set()
        servers = [
            await loop.create_server(partial(Connection, handler, connections), sock=sock, backlog=_BACKLOG)
            for handler, sock in ((self.api, listener), (self.api.files, files))
        ]
        is_ready.set()
        await self._stop_requested.wait()
        # asyncio leaks connections that are being accepted while the server closes.
        for sock in (listener, files):
            loop.remove_reader(sock.fileno())
        for _ in range(_ACCEPT_ITERATIONS):
            await asyncio.sleep(0)
        for server in servers:
            server.close()
        while connections:
            for connection in tuple(connections):
                connection.abort()
            await asyncio.sleep(0)
        for server in servers:
            await server.wait_closed()
