"""An integration and a connection, ready to call from asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - else asyncio.to_thread imports it within a call
import contextlib
import weakref
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from nango_py.engine.async_page_iterators import AsyncRecords, read_ahead_async
from nango_py.engine.file_executor import FileExecutor
from nango_py.engine.page_iterators import with_state
from nango_py.secret import await_without_frames
from nango_py.transport.response import Response, StreamedResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
    from concurrent.futures import Future
    from os import PathLike
    from typing import Unpack

    from nango_py.attempt import CallRecord
    from nango_py.clock import Clock
    from nango_py.engine.call_arguments import CallOptions, DownloadOptions
    from nango_py.engine.interfaces import ConnectionSource
    from nango_py.engine.paging import PageWalk, ParsedPage
    from nango_py.engine.paging_options import GraphQLCallOptions, GraphQLOptions, PagingOptions
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.upload import Progress, Source
    from nango_py.engine.verification import Verification
    from nango_py.json_types import JsonObject
    from nango_py.limits.limit_types import LimitStore, WindowView
    from nango_py.transport.async_transport import AsyncTransport
    from nango_py.transport.sendable import Failure, Sendable

P = ParamSpec("P")
R = TypeVar("R")


class _AsyncIO:
    """Sends and waits without blocking the event loop; what may block runs in a thread."""

    def __init__(
        self, transport: AsyncTransport, limits: LimitStore, sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self.limits = limits
        self._transport = transport
        self._sleep = sleep

    async def send(self, request: Sendable, seconds: float) -> Response | Failure:
        return await self._transport.send(request, seconds)

    async def wait(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def ask_store(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(function, *args, **kwargs)

    async def ask_limits(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the limit store; one that waits for a database or a server is called in a thread.

        A cancelled call waits for the thread to end; then the call gives its place back.
        """
        if not getattr(self.limits, "is_remote", False):
            return function(*args, **kwargs)
        thread = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            await _wait_until_done(thread)
            raise

    ask_whole = ask_limits

    async def join(self, work: Future[None], seconds: float) -> bool:
        waiter = asyncio.wrap_future(work)
        try:
            return bool((await asyncio.wait({waiter}, timeout=seconds))[0])
        finally:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                waiter.cancel()

    async def read(self, response: Response) -> None:
        await _as_stream(response).aread()

    async def copy(self, response: Response, write: Callable[[bytes], None]) -> None:
        stream = _as_stream(response)
        try:
            async for chunk in stream.aiter_content():
                write(chunk)
        finally:
            await stream.aclose()

    async def run_blocking(self, work: Callable[[], None]) -> None:
        thread = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            await _wait_until_done(thread)
            raise

    async def discard(self, response: Response) -> None:
        await _as_stream(response).aclose()


def _as_stream(response: Response) -> StreamedResponse:
    assert isinstance(response, StreamedResponse)  # noqa: S101 - what AsyncTransport returns
    return response


async def _wait_until_done(future: asyncio.Future[R]) -> None:
    """Wait for a future, however often this task is cancelled."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({future})


class AsyncExecutor(FileExecutor[Coroutine[Any, Any, Response]]):
    """Makes authenticated, paced and retried calls for one connection; any number of tasks may share it.

    Responses are the `requests.Response` objects that the sync executor returns, read completely; with
    `stream=True` read them by `async for chunk in response.aiter_content()`.
    """

    def __init__(
        self,
        get_runtime: Callable[[], IntegrationRuntime],
        read_connection: ConnectionSource,
        transport: AsyncTransport,
        limits: LimitStore,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        # A clock that is not the system's has its own way to wait.
        own_sleep: Callable[[float], Awaitable[object]] = getattr(clock, "async_sleep", asyncio.sleep)
        io = _AsyncIO(transport, limits, sleep or own_sleep)
        super().__init__(get_runtime, read_connection, io)
        self._last: weakref.WeakKeyDictionary[asyncio.Task[Any], CallRecord] = weakref.WeakKeyDictionary()

    def _state(self) -> dict[str, object]:
        return {**super()._state(), "_last": weakref.WeakKeyDictionary()}

    async def request(
        self,
        method: str,
        path: str,
        *,
        raise_for_error: bool = False,
        deadline_seconds: float | None = None,
        **options: Unpack[CallOptions],
    ) -> Response:
        """Make a call and return the API's response; arguments and errors as in `Executor.request`.

        A cancelled call releases its place in the budgets, or leaves it spent if the request was sent.
        """
        return await await_without_frames(
            self.request_steps(
                method, path, options, raise_for_error=raise_for_error, deadline_seconds=deadline_seconds
            )
        )

    async def download(
        self,
        path: str,
        target: str | PathLike[str],
        *,
        progress: Callable[[int, int | None], object] | None = None,
        max_response_bytes: int = 0,
        deadline_seconds: float | None = None,
        **options: Unpack[DownloadOptions],
    ) -> Response:
        """GET a file and write its decoded body to `target`; arguments and errors as in `Executor.download`.

        `progress` is called in the event loop.
        """
        call: CallOptions = {**options, "stream": True, "max_response_bytes": max_response_bytes}
        return await self._download(path, call, target, progress, deadline_seconds)

    async def upload(
        self,
        path: str,
        file: Source,
        *,
        method: str = "POST",
        progress: Progress | None = None,
        deadline_seconds: float | None = None,
        **options: Unpack[CallOptions],
    ) -> Response:
        """Upload a file in pieces; arguments and errors as in `Executor.upload`.

        The file is read in a thread, and `progress` is called in the event loop.
        """
        return await await_without_frames(
            self._upload(method, path, file, options, progress, deadline_seconds)
        )

    def paginate(self, path: str, **options: Unpack[PagingOptions]) -> AsyncRecords:
        """The records of all pages, one by one; arguments and errors as in `Executor.paginate`.

        With `prefetch=1` the next page is requested by a task while you use this one.
        """
        walk = self.start_walk(path, options)
        return AsyncRecords(walk, self._pages(walk))

    def pages(self, path: str, **options: Unpack[PagingOptions]) -> AsyncIterator[Response]:
        """The responses of all pages, one by one; see `Executor.pages`."""
        return self._responses(self.start_walk(path, options, reads_records=False))

    async def graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        operation_name: str | None = None,
        **options: Unpack[GraphQLCallOptions],
    ) -> JsonObject:
        """Send a GraphQL request and return the `data` of the response; see `Executor.graphql`."""
        return await await_without_frames(self.graphql_steps(query, variables, operation_name, options))

    def paginate_graphql(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        **options: Unpack[GraphQLOptions],
    ) -> AsyncRecords:
        """The records of all pages of a GraphQL connection; see `Executor.paginate_graphql`."""
        walk = self.start_graphql_walk(query, variables, options)
        return AsyncRecords(walk, self._pages(walk))

    async def _responses(self, walk: PageWalk) -> AsyncIterator[Response]:
        async with contextlib.aclosing(self._pages(walk)) as pages:
            async for page in pages:
                yield with_state(page)

    async def _pages(self, walk: PageWalk) -> AsyncGenerator[ParsedPage, None]:
        async def fetch() -> ParsedPage | None:
            return await await_without_frames(self.next_page(walk))

        if not walk.options.prefetch:
            while (page := await fetch()) is not None:
                yield page
            return
        ahead = read_ahead_async(fetch, lambda: self._remember(walk.last_call))
        async with contextlib.aclosing(ahead) as pages:
            async for page in pages:
                yield page

    async def verify(self) -> Verification:
        """Whether the connection's credentials work; see `Executor.verify`."""
        return await await_without_frames(self._verify())

    async def limits(self) -> tuple[WindowView, ...]:
        """How much of this connection's quota is used now; see `Executor.limits`."""
        return await asyncio.to_thread(self._usage)

    def _last_call(self) -> CallRecord | None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop is running
            return None
        return None if task is None else self._last.get(task)

    async def send_url(self, method: str, url: str, **options: Unpack[CallOptions]) -> Response:
        """Make a call to an absolute URL; see `Executor.send_url`."""
        return await await_without_frames(self._request_url(method, url, options))

    def _remember(self, call: CallRecord) -> None:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a list may be made before an event loop runs
            return
        if task is not None:
            self._last[task] = call
