"""An integration and a connection, ready to call from asyncio: the same rules, driven without blocking."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from nango_py.engine import explain as explaining
from nango_py.engine.base_executor import UNWANTED, BaseExecutor
from nango_py.engine.call import run
from nango_py.engine.commands import LIMIT_COMMANDS, Ask, Discard, Refresh, Send, Wait
from nango_py.engine.paging import ParsedPage, next_plan
from nango_py.engine.plan import Call
from nango_py.limits.limit_types import Granted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from os import PathLike

    from nango_py.attempt import Attempt
    from nango_py.connections.connection import Connection
    from nango_py.engine.call import Job, Steps
    from nango_py.engine.plan import Plan
    from nango_py.engine.verification import Verification
    from nango_py.limits.limit_types import WindowView
    from nango_py.transport.response import Response


class AsyncExecutor(BaseExecutor):
    """Runs authenticated, paced and retried calls for one connection; any number of tasks may share it.

    Answers are the same `requests.Response` objects that the sync executor gives, read completely; with
    `stream=True` read them by `async for chunk in response.aiter_content()`.
    """

    def __init__(self, *args: Any, sleep: Callable[[float], Awaitable[Any]] | None = None) -> None:
        super().__init__(*args)
        # A clock that is not the machine's own brings its own way to wait.
        own: Callable[[float], Awaitable[Any]] = getattr(self._clock, "async_sleep", asyncio.sleep)
        self._sleep = sleep or own
        self._last: weakref.WeakKeyDictionary[Any, list[Attempt]] = weakref.WeakKeyDictionary()

    async def get(self, path: str, **options: Any) -> Response:
        """GET a path below the base URL; options as in `Executor.request`."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Response:
        """POST to a path; it is sent twice only where that is safe (docs/retries.md)."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Response:
        """PUT to a path; options as in `Executor.request`."""
        return await self.request("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> Response:
        """PATCH a path; it is sent twice only where that is safe (docs/retries.md)."""
        return await self.request("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> Response:
        """DELETE a path; options as in `Executor.request`."""
        return await self.request("DELETE", path, **options)

    async def head(self, path: str, **options: Any) -> Response:
        """HEAD of a path; options as in `Executor.request`."""
        return await self.request("HEAD", path, **options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        raise_for_error: bool = False,
        deadline_seconds: float | None = None,
        **options: Any,
    ) -> Response:
        """Make a call and return the API's response; arguments and errors as in `Executor.request`.

        A cancelled call gives its place in the budgets back, or leaves it spent where it was sent.
        """
        plan = await self._ready_plan(Call(method, path, **options), deadline_seconds)
        job = self._job(plan, deadline_seconds)
        response: Response = await self._drive(job, raise_for_error=raise_for_error)
        return response

    async def download(
        self,
        path: str,
        target: str | PathLike[str],
        *,
        progress: Callable[[int, int | None], object] | None = None,
        max_response_bytes: int = 0,
        **options: Any,
    ) -> Response:
        """GET a file and write its decoded body to `target`; arguments and errors as in `Executor.download`.

        `progress` is called in the event loop.
        """
        from nango_py.engine.download import write_stream

        options |= {"stream": True, "max_response_bytes": max_response_bytes}
        response: Any = await self.request("GET", path, raise_for_error=True, **options)
        await write_stream(response, target, progress)
        return response  # type: ignore[no-any-return]

    async def paginate(
        self, path: str, *, method: str = "GET", max_pages: int | None = None, **options: Any
    ) -> AsyncIterator[Any]:
        """The records of all pages, one by one; errors as in `Executor.paginate`."""
        is_first = True
        async for page in self._walk(path, method, max_pages, options):
            for record in self._records(page, is_first=is_first):
                yield record
            is_first = False

    async def pages(
        self, path: str, *, method: str = "GET", max_pages: int | None = None, **options: Any
    ) -> AsyncIterator[Response]:
        """The responses of all pages, one by one."""
        async for page in self._walk(path, method, max_pages, options):
            yield page.response

    async def verify(self) -> Verification:
        """Whether the connection's credentials work; see `Executor.verify`."""
        attempts: list[Attempt] = []
        task = asyncio.current_task()
        if task is not None:
            self._last[task] = attempts
        found: Verification = await self._exhaust(self._verified(attempts))
        return found

    async def limits(self) -> tuple[WindowView, ...]:
        """How full the limits of this connection's quota are now; see `Executor.limits`."""
        return await asyncio.to_thread(self._live)

    def explain(self) -> str:
        """What happened in this task's last call, attempt by attempt, and which rule decided it."""
        return explaining.explain(self.attempts)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts of this task's last call, finished or failed."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop runs here
            task = None
        return () if task is None else tuple(self._last.get(task, ()))

    async def _ready_plan(self, call: Call, deadline_seconds: float | None = None) -> Plan:
        """The plan; a token that ends is renewed first, and the store is asked outside the event loop."""
        return self._plan(call, await self._ready_connection(deadline_seconds))

    async def _ready_connection(self, deadline_seconds: float | None = None) -> Connection:
        connection = self._read_connection.get_cached()
        if connection is None:
            connection = await asyncio.to_thread(self._read_connection)
        if self._is_due(connection):
            renewed: Connection = await self._finish_anyway(self._renewal(connection, deadline_seconds))
            return renewed
        return connection

    async def _walk(
        self, path: str, method: str, max_pages: int | None, options: dict[str, Any]
    ) -> AsyncIterator[ParsedPage]:
        plan: Plan | None = await self._ready_plan(Call(method, path, **self._first_options(options)))
        seen: set[int] = set()
        count = 0
        while plan is not None and (max_pages is None or count < max_pages):
            page = ParsedPage(await self._drive(self._job(plan), raise_for_error=True))
            yield page
            count += 1
            plan = next_plan(self._paginator(), page, plan, seen)
            if plan is not None:
                plan = self._kept_up(plan, await self._ready_connection())

    async def _drive(self, job: Job, *, raise_for_error: bool) -> Any:
        """Carry out what the call generator asks for, until it ends; what breaks is its to clean up."""
        task = asyncio.current_task()
        if task is not None:
            self._last[task] = job.attempts
        response = await self._exhaust(run(job))
        if raise_for_error and job.attempts[-1].action in UNWANTED and job.plan.stream:
            await response.aread()
        return self._finished(response, job, raise_for_error=raise_for_error)

    async def _exhaust(self, steps: Steps) -> Any:
        """Run steps to their end; what breaks a command is the steps' to clean up after."""
        try:
            command = next(steps)
            while True:
                try:
                    result = await self._carry_out(command)
                except BaseException as error:  # noqa: BLE001 - handed on, cancellation included
                    command = steps.throw(error)
                else:
                    command = steps.send(result)
        except StopIteration as end:
            return end.value

    async def _finish_anyway(self, steps: Steps) -> Any:
        """Run steps in a task of their own: a token on its way is stored though its caller is gone."""
        task = asyncio.ensure_future(self._exhaust(steps))
        tasks = self._route.life.tasks

        def ended(task: asyncio.Future[Any]) -> None:
            tasks.discard(task)
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not complain where nobody waits any more

        tasks.add(task)
        task.add_done_callback(ended)
        return await asyncio.shield(task)

    async def _carry_out(self, command: Any) -> Any:
        if isinstance(command, LIMIT_COMMANDS):
            return await self._ask(command.ask, self._limits)
        match command:
            case Send():
                return await self._transport.send(command.plan, command.seconds)
            case Wait():
                return await self._sleep(command.seconds)
            case Ask():
                return await asyncio.to_thread(command.question, *command.arguments)
            case Refresh():
                return await self._finish_anyway(command.steps)
            case Discard():
                return await command.response.aclose()
        raise AssertionError(f"unknown command {command!r}")

    async def _ask(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        """Ask the limit store; one that waits for a database or a server does so in a thread.

        A booking is never lost to a cancellation: the thread is waited for, then the call ends.
        """
        if not getattr(self._limits, "is_remote", False):
            return ask(*arguments)
        asked = asyncio.ensure_future(asyncio.to_thread(ask, *arguments))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await _outlived(asked)
            granted = None if asked.cancelled() or asked.exception() else asked.result()
            if isinstance(granted, Granted):
                await _outlived(
                    asyncio.ensure_future(asyncio.to_thread(self._limits.release, granted.ticket))
                )
            raise


async def _outlived(asked: asyncio.Future[Any]) -> None:
    """Return when the store has answered, however often this task is cancelled meanwhile."""
    while not asked.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({asked})
