"""An integration and a connection, ready to call: the sync executor."""

from __future__ import annotations

import sys
import threading
import warnings
import weakref
from collections import deque
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from nango_py.auth.base import mode_of
from nango_py.engine.file_executor import FileExecutor
from nango_py.engine.interfaces import run_sync
from nango_py.engine.page_iterators import Records, read_ahead, with_state
from nango_py.engine.place import run_whole
from nango_py.secret import without_frames
from nango_py.transport.response import CHUNK_SIZE, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from concurrent.futures import Future
    from os import PathLike
    from typing import Unpack

    from nango_py.attempt import CallRecord
    from nango_py.clock import Clock
    from nango_py.engine.bound_settings import Origin
    from nango_py.engine.call_arguments import CallOptions, DownloadOptions
    from nango_py.engine.interfaces import CallIO, ConnectionSource
    from nango_py.engine.paging import PageWalk, ParsedPage
    from nango_py.engine.paging_options import GraphQLCallOptions, GraphQLOptions, PagingOptions
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.upload import Progress, Source
    from nango_py.engine.verification import Verification
    from nango_py.json_types import JsonObject
    from nango_py.limits.limit_types import LimitStore, WindowView
    from nango_py.transport.sendable import Failure, Sendable

P = ParamSpec("P")
R = TypeVar("R")


class Sender(Protocol):
    """Sends in the caller's thread; `Transport` does."""

    def send(self, plan: Sendable, seconds: float) -> Response | Failure:
        """Send a request once, within a time."""


class _SyncIO:
    """Sends and waits in the caller's thread; its coroutines never suspend."""

    __slots__ = ("_clock", "_transport", "limits")

    def __init__(self, transport: Sender, limits: LimitStore, clock: Clock) -> None:
        self.limits = limits
        self._transport = transport
        self._clock = clock

    async def send(self, request: Sendable, seconds: float) -> Response | Failure:
        return self._transport.send(request, seconds)

    async def wait(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    async def ask_store(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    async def ask_limits(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    async def join(self, work: Future[None], seconds: float) -> bool:
        return bool(wait((work,), seconds).done)

    async def ask_whole(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        if not getattr(self.limits, "is_remote", False):
            return function(*args, **kwargs)  # the store in memory loses nothing
        return run_whole(function, *args, **kwargs)

    async def read(self, response: Response) -> None:
        """Do nothing: a sync response is read when its content is first used."""

    async def copy(self, response: Response, write: Callable[[bytes], None]) -> None:
        try:
            for chunk in response.iter_content(CHUNK_SIZE):
                write(chunk)
        finally:
            response.close()

    async def run_blocking(self, work: Callable[[], None]) -> None:
        work()

    async def discard(self, response: Response) -> None:
        response.close()


def make_sync_io(transport: Sender, limits: LimitStore, clock: Clock) -> CallIO:
    """What sends and waits in the caller's thread."""
    return _SyncIO(transport, limits, clock)


_has_warned = False


def warn_about_event_loop() -> None:
    """Warn once if the calling thread runs an event loop, which a sync call stops until its end.

    The cells of a notebook run in an event loop that has nothing else to do.
    """
    global _has_warned  # noqa: PLW0603
    asyncio = sys.modules.get("asyncio")
    if _has_warned or asyncio is None or asyncio._get_running_loop() is None:  # noqa: SLF001 - documented, and cheap
        return
    if "ipykernel" in sys.modules:
        return
    _has_warned = True
    warnings.warn(
        "a sync executor was called in a running event loop, which it stops for the whole call; "
        "use nango.async_executor(), or asyncio.to_thread()",
        RuntimeWarning,
        stacklevel=3,
    )


class LastCalls(threading.local):
    """The last calls of each thread. Kept here: of ten thousand executors, few are asked to explain."""

    def __init__(self) -> None:
        self.calls: deque[tuple[weakref.ref[Executor], CallRecord]] = deque(maxlen=64)

    def last_of(self, executor: Executor) -> CallRecord | None:
        """This thread's last call by an executor; None if it is too long ago."""
        return next((call for made_by, call in reversed(self.calls) if made_by() is executor), None)


LAST_CALLS = LastCalls()


class Executor(FileExecutor[Response]):
    """Makes authenticated, paced and retried calls for one connection; safe to share between threads.

    Any response of the API is returned as a `requests.Response`, also a 404, and a 500 after the last retry.
    """

    __slots__ = ()

    def __init__(
        self,
        get_runtime: Callable[[], IntegrationRuntime],
        read_connection: ConnectionSource,
        transport: Sender,
        limits: LimitStore,
        clock: Clock,
    ) -> None:
        super().__init__(get_runtime, read_connection, _SyncIO(transport, limits, clock))

    def request(
        self,
        method: str,
        path: str,
        *,
        raise_for_error: bool = False,
        deadline_seconds: float | None = None,
        **options: Unpack[CallOptions],
    ) -> Response:
        """Make a call and return the API's response.

        Args:
            method: any HTTP method.
            path: below the blueprint's base URL, such as `v1/metrics`; may have a query.
            raise_for_error: raise ProviderError for an error response, read as the blueprint's `errors` say.
            deadline_seconds: the time for everything, waits included; the blueprint's by default.
            options: params, json, data, files, headers, timeout and stream as `requests` takes them,
                idempotency_key, sent where the blueprint declares, body, sent as JSON or as a form as the
                blueprint says, and max_response_bytes
                (0 for no limit).

        Raises:
            InvalidRequest: the path leaves the API, or a header or the body is invalid; nothing was sent.
            TransportFailed: there was no response, and retrying was not allowed or did not help.
            RateLimited: a limit cannot be waited out within the deadline; see retry_at.
            DeadlineExceeded: the time for everything is over.
            ProviderError: only with raise_for_error.
        """
        warn_about_event_loop()
        return run_sync(
            self.request_steps(
                method, path, options, raise_for_error=raise_for_error, deadline_seconds=deadline_seconds
            )
        )

    def download(
        self,
        path: str,
        target: str | PathLike[str],
        *,
        progress: Callable[[int, int | None], object] | None = None,
        max_response_bytes: int = 0,
        deadline_seconds: float | None = None,
        **options: Unpack[DownloadOptions],
    ) -> Response:
        """GET a file and write its decoded body to `target`, which appears only when it is complete.

        A download that breaks off is begun again, or continued if the server offers byte ranges and an ETag.

        Args:
            path: below the base URL.
            target: a file; an existing one is replaced.
            progress: called with the bytes written so far, and the announced size or None.
            max_response_bytes: maximum size of the body; 0, the default here, for no limit.
            deadline_seconds: the time to the first byte, as in `request`; nothing is begun again after it.
            options: as in `request`.

        Raises:
            ProviderError: the API returned an error, or a response without the file (204, 304, a redirect to
                another host); nothing was written.
            TransportFailed: the body is incomplete or too large; nothing was written.
            OSError: the file cannot be written.
        """
        warn_about_event_loop()
        call: CallOptions = {**options, "stream": True, "max_response_bytes": max_response_bytes}
        return run_sync(self._download(path, call, target, progress, deadline_seconds))

    def upload(
        self,
        path: str,
        file: Source,
        *,
        method: str = "POST",
        progress: Progress | None = None,
        deadline_seconds: float | None = None,
        **options: Unpack[CallOptions],
    ) -> Response:
        """Upload a file in pieces, as `upload` in the blueprint's `endpoints` says; the last response.

        After a lost response or a server error the API is asked how much has arrived, and the upload goes on
        there.

        Args:
            path: of the call that begins the upload, below the base URL.
            file: its path, bytes, or a file that is open for reading bytes; it is sent from where it stands.
            method: of that call.
            progress: called with the bytes that have arrived, and the size.
            deadline_seconds: the time for each request, as in `request`.
            options: of the call that begins the upload, as in `request`.

        Raises:
            InvalidRequest: the blueprint has no `upload` for the call, or the file cannot be read.
            ProviderError: the API refuses the upload or a piece.
            TransportFailed: repeated failures without progress.
            RequestFailed: the API sends the pieces to another host than those of `requests.upload_hosts`, or
                does not say what has arrived.
        """
        warn_about_event_loop()
        return run_sync(self._upload(method, path, file, options, progress, deadline_seconds))

    def paginate(self, path: str, **options: Unpack[PagingOptions]) -> Records:
        """The records of all pages, one by one; each page is a call with its own retries and limits.

        Args:
            path: below the blueprint's base URL.
            options: those of `request`, where paging parameters go into `json` if it is given, and

                - method: any HTTP method, `GET` by default.
                - page_size: records per page, instead of the blueprint's `pagination.size`.
                - max_pages, max_records: where to stop at the latest.
                - max_seconds: seconds after which no further page is requested.
                - prefetch: 1 requests the next page, in a thread, while you use this one.
                - pagination: settings merged over the blueprint's `pagination`, for this list.
                - state: `state` of an earlier iterator of the same list, to go on after it.
                - deadline_seconds: the time for each page, waits included; the blueprint's by default.

        Returns:
            An iterator; its `state` is where to go on after the last record, as JSON.

        Raises:
            ConfigError: the blueprint has no pagination, `pagination` is wrong, or the first page's records
                are not where it says.
            InvalidRequest: an option is invalid, or the state is one of another list; nothing was sent.
            ProviderError: the API returned an error for a page, or a page that cannot be understood.
            RequestFailed: a page repeats itself, or a link to the next one leaves the API.
        """
        walk = self.start_walk(path, options)
        return Records(walk, self._pages(walk))

    def pages(self, path: str, **options: Unpack[PagingOptions]) -> Iterator[Response]:
        """The responses of all pages, one by one; arguments and errors as in `paginate`.

        The `state` of each response is where to go on after that page.
        """
        return map(with_state, self._pages(self.start_walk(path, options, reads_records=False)))

    def graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        **options: Unpack[GraphQLCallOptions],
    ) -> JsonObject:
        """Send a GraphQL request and return the `data` of the response.

        A query is retried like a GET; a mutation is not sent twice unless the API supports idempotency keys.
        Errors in a response with status 200 go through the blueprint's `retries.rules` too.

        Args:
            query: the document. It is sent by POST to `requests.graphql_path`, by default `graphql`.
            variables: the variables of the operation.
            operation_name: which operation of a document that has several.
            options: headers, timeout, idempotency_key, max_response_bytes and deadline_seconds as in
                `request`.

        Raises:
            ProviderError: the response has errors, also beside data; `code`, `place` and `provider_message`
                are those of the first one, and `response` has the rest.
            InvalidRequest: the document has no such operation; nothing was sent.
            RequestFailed: as in `request`.
        """
        warn_about_event_loop()
        return run_sync(self.graphql_steps(query, variables, operation_name, options))

    def paginate_graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        **options: Unpack[GraphQLOptions],
    ) -> Records:
        """The records of all pages of a GraphQL connection, one by one.

        The blueprint's `pagination` says where the records and the cursor are; without one for GraphQL they
        are where Relay specifies them (`nodes` or `edges`, `pageInfo.endCursor`, `pageInfo.hasNextPage`).

        Args:
            query: the document. Its cursor variable may be null: it is not given for the first page.
            variables: the variables of the first page.
            options: those of `paginate`, and

                - at: the dotted path of the connection in `data`, such as `viewer.repositories`; by default
                  the first connection directly below `data`.
                - cursor_variable: the variable that takes the cursor, `after` by default.
                - operation_name: as in `graphql`.

                `page_size` is sent as the variable `first`, unless `pagination.size` says otherwise.

        Raises:
            ProviderError: as in `graphql`, or a page cannot be understood.
            RequestFailed: as in `paginate`.
        """
        walk = self.start_graphql_walk(query, variables, options)
        return Records(walk, self._pages(walk))

    def _pages(self, walk: PageWalk) -> Generator[ParsedPage, None, None]:
        warn_about_event_loop()
        if not walk.options.prefetch:
            while (page := run_sync(self.next_page(walk))) is not None:
                yield page
            return
        yield from read_ahead(lambda: run_sync(self.next_page(walk)), lambda: self._remember(walk.last_call))

    def verify(self) -> Verification:
        """Whether the connection's credentials work, according to the blueprint's `verification` call.

        Takes at most 15 seconds and two attempts, besides the refresh of an expired token.

        Raises:
            ConnectionNotFound: the connection was deleted.
            ConfigError: the connection's additional_config does not fit the call's templates.
        """
        warn_about_event_loop()
        return run_sync(self._verify())

    def limits(self) -> tuple[WindowView, ...]:
        """How much of this connection's quota is used now, by anyone.

        Each has `key` (the budget's), `window`, `limit`, `used`, `left`, `resets_in` and `gate` (seconds, 0
        while it is open). Unused limits are left out. With `rate_limit_store: memory` only the calls of this
        process are counted.
        """
        return self._usage()

    @without_frames
    def library_base(self) -> tuple[str, frozenset[Origin]]:
        """The base URL with credentials masked, and the origins of the API. May fetch a first token."""
        runtime, connection = self._get_runtime(), self._read_connection()
        if not mode_of(runtime.integration).is_ready(connection.credentials):
            # The URL may depend on the token.
            connection = run_sync(self._usable_connection(runtime, runtime.retries.deadline_seconds))
        settings = self._bind(runtime, connection)
        return settings.masked_base(self._base), settings.origins

    def send_url(self, method: str, url: str, **options: Unpack[CallOptions]) -> Response:
        """Make a call to an absolute URL, for an HTTP library: a 3xx or a final 429 is returned."""
        warn_about_event_loop()
        return run_sync(self._request_url(method, url, options))

    def _last_call(self) -> CallRecord | None:
        return LAST_CALLS.last_of(self)

    def _remember(self, call: CallRecord) -> None:
        LAST_CALLS.calls.append((weakref.ref(self), call))
