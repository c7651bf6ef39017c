"""An integration and a connection, ready to call: the sync executor."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

from nango_py.engine import explain as explaining
from nango_py.engine.base_executor import BaseExecutor
from nango_py.engine.call import run
from nango_py.engine.commands import LIMIT_COMMANDS, Ask, Discard, Refresh, Send, Wait
from nango_py.engine.paging import ParsedPage, next_plan
from nango_py.engine.plan import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from nango_py.attempt import Attempt
    from nango_py.connections.connection import Connection
    from nango_py.engine.call import Job, Steps
    from nango_py.engine.plan import Plan
    from nango_py.engine.verification import Verification
    from nango_py.limits.limit_types import WindowView
    from nango_py.transport.response import Response


class LastCalls(threading.local):
    """The last calls of each thread. Kept here: of ten thousand executors, few are asked to explain."""

    def __init__(self) -> None:
        self.made: deque[tuple[weakref.ref[Executor], list[Attempt]]] = deque(maxlen=64)

    def of(self, executor: Executor) -> list[Attempt]:
        """The attempts of this thread's last call by an executor, [] where it is long ago."""
        return next((attempts for made, attempts in reversed(self.made) if made() is executor), [])


LAST_CALLS = LastCalls()


class Executor(BaseExecutor):
    """Runs authenticated, paced and retried calls for one connection; safe to share between threads.

    Any response of the API is returned as a `requests.Response`, a 404 and (when retrying is over) a 500 too.
    """

    __slots__ = ()

    def get(self, path: str, **options: Any) -> Response:
        """GET a path below the base URL; options as in `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        """POST to a path; it is sent twice only where that is safe (docs/retries.md)."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        """PUT to a path; options as in `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Response:
        """PATCH a path; it is sent twice only where that is safe (docs/retries.md)."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        """DELETE a path; options as in `request`."""
        return self.request("DELETE", path, **options)

    def head(self, path: str, **options: Any) -> Response:
        """HEAD of a path; options as in `request`."""
        return self.request("HEAD", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        raise_for_error: bool = False,
        deadline_seconds: float | None = None,
        **options: Any,
    ) -> Response:
        """Make a call and return the API's response.

        Args:
            method: any HTTP method.
            path: below the blueprint's base URL, such as `v1/metrics`; may hold a query.
            raise_for_error: raise ProviderError for a bad response, read as the blueprint's `errors` say.
            deadline_seconds: the time for everything, waits included; the blueprint's by default.
            options: params, json, data, files, headers, timeout and stream as `requests` takes them,
                idempotency_key, sent under the header that the blueprint declares, and max_response_bytes
                (0 for any size).

        Raises:
            InvalidRequest: the path leaves the API, or a header or body is not one; nothing was sent.
            TransportFailed: no response came, and trying again was not allowed or did not help.
            RateLimited: a limit cannot be waited out within the deadline; see retry_at.
            DeadlineExceeded: the time for everything is over.
            ProviderError: only with raise_for_error.
        """
        job = self._job(self.ready_plan(method, path, deadline_seconds, **options), deadline_seconds)
        response: Response = self._drive(job, raise_for_error=raise_for_error)
        return response

    def download(
        self,
        path: str,
        target: str | PathLike[str],
        *,
        progress: Callable[[int, int | None], object] | None = None,
        max_response_bytes: int = 0,
        **options: Any,
    ) -> Response:
        """GET a file and write its decoded body to `target`, which appears only when it is complete.

        Args:
            path: below the base URL.
            target: a file; an existing one is replaced.
            progress: called with the bytes written so far, and the size that was announced or None.
            max_response_bytes: the largest body to accept; 0, the default here, means any size.
            options: as in `request`.

        Raises:
            ProviderError: the API answered with an error; nothing was written.
            TransportFailed: the body broke off or is too large; nothing was written.
        """
        from nango_py.engine.download import write_body

        options |= {"stream": True, "max_response_bytes": max_response_bytes}
        response = self.request("GET", path, raise_for_error=True, **options)
        write_body(response, target, progress)
        return response

    def paginate(
        self, path: str, *, method: str = "GET", max_pages: int | None = None, **options: Any
    ) -> Iterator[Any]:
        """The records of all pages, one by one; each page is a call of its own with all of its care.

        Raises:
            ConfigError: the blueprint names no pagination, or the first page's records are not where it says.
            ProviderError: a page was answered with an error.
            RequestFailed: a page repeats itself, or a next link leaves the API.
        """
        is_first = True
        for page in self._walk(path, method, max_pages, options):
            yield from self._records(page, is_first=is_first)
            is_first = False

    def pages(
        self, path: str, *, method: str = "GET", max_pages: int | None = None, **options: Any
    ) -> Iterator[Response]:
        """The responses of all pages, one by one."""
        for page in self._walk(path, method, max_pages, options):
            yield page.response

    def verify(self) -> Verification:
        """Whether the connection's credentials work, as the blueprint's `verification` call says.

        Takes at most 15 seconds and two attempts, beside the renewal of a token that has ended.

        Raises:
            ConnectionNotFound: the connection was deleted.
            ConfigError: the connection's additional_config does not fit the call's templates.
        """
        attempts: list[Attempt] = []
        LAST_CALLS.made.append((weakref.ref(self), attempts))
        found: Verification = self._exhaust(self._verified(attempts))
        return found

    def limits(self) -> tuple[WindowView, ...]:
        """How full the limits of this connection's quota are now, whoever used them.

        Each has `key` (the budget's own), `window`, `limit`, `used`, `left`, `resets_in` and `gate` (seconds,
        0 while it is open). Limits of which nothing is used are left out. With `rate_limit_store: memory`
        only this process is seen.
        """
        return self._live()

    def explain(self) -> str:
        """What happened in this thread's last call, attempt by attempt, and which rule decided it."""
        return explaining.explain(self.attempts)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts of this thread's last call, finished or failed."""
        return tuple(LAST_CALLS.of(self))

    @property
    def base_url(self) -> str:
        """Where this connection's paths are taken from; a first token is fetched where that takes one."""
        return self._stamp_of(self._ready_connection()).base_url

    def ready_plan(
        self, method: str, path: str, deadline_seconds: float | None = None, **options: Any
    ) -> Plan:
        """The plan of a call that is about to be sent: a token that ends is renewed first."""
        return self._plan(Call(method, path, **options), self._ready_connection(deadline_seconds))

    def _ready_connection(self, deadline_seconds: float | None = None) -> Connection:
        connection = self._read_connection()
        if self._is_due(connection):
            connection = self._exhaust(self._renewal(connection, deadline_seconds))
        return connection

    def send_plan(self, plan: Plan, *, returns_limited: bool = False) -> Response:
        """Run a call whose plan is made already; sessions come in here."""
        response: Response = self._drive(self._job(plan, returns_limited=returns_limited))
        return response

    def _walk(
        self, path: str, method: str, max_pages: int | None, options: dict[str, Any]
    ) -> Iterator[ParsedPage]:
        plan: Plan | None = self.ready_plan(method, path, **self._first_options(options))
        seen: set[int] = set()
        count = 0
        while plan is not None and (max_pages is None or count < max_pages):
            page = ParsedPage(self._drive(self._job(plan), raise_for_error=True))
            yield page
            count += 1
            plan = next_plan(self._paginator(), page, plan, seen)
            if plan is not None:
                plan = self._kept_up(plan, self._ready_connection())

    def _drive(self, job: Job, *, raise_for_error: bool = False) -> Any:
        """Carry out what the call generator asks for, until it ends; what breaks is its to clean up."""
        LAST_CALLS.made.append((weakref.ref(self), job.attempts))
        return self._finished(self._exhaust(run(job)), job, raise_for_error=raise_for_error)

    def _exhaust(self, steps: Steps) -> Any:
        """Run steps to their end; what breaks a command is the steps' to clean up after."""
        try:
            command = next(steps)
            while True:
                try:
                    result = self._carry_out(command)
                except BaseException as error:  # noqa: BLE001 - handed on, interruption included
                    command = steps.throw(error)
                else:
                    command = steps.send(result)
        except StopIteration as end:
            return end.value

    def _carry_out(self, command: Any) -> Any:
        if isinstance(command, LIMIT_COMMANDS):
            return command.ask(self._limits)
        match command:
            case Send():
                return self._transport.send(command.plan, command.seconds)
            case Wait():
                return self._clock.sleep(command.seconds)
            case Ask():
                return command.question(*command.arguments)
            case Refresh():
                return self._exhaust(command.steps)
            case Discard():
                return command.response.close()
        raise AssertionError(f"unknown command {command!r}")
