"""An integration and a connection, ready to call: the sync executor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from nango_py.engine import explain as explaining
from nango_py.engine.call import Job, run
from nango_py.engine.commands import Acquire, CloseGate, Confirm, Release, Send, Settle, Wait
from nango_py.engine.paging import next_plan
from nango_py.engine.plan import Call, Plan, make_plan
from nango_py.engine.query import pairs_of
from nango_py.engine.stamp import stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.clock import Clock
    from nango_py.connections.model import Connection
    from nango_py.engine.call import Steps
    from nango_py.engine.commands import Attempt
    from nango_py.engine.http.response import Response
    from nango_py.engine.http.transport import Transport
    from nango_py.engine.route import Route
    from nango_py.engine.stamp import Stamp
    from nango_py.limits.model import LimitStore


class Executor:
    """Runs authenticated, paced and retried calls for one connection; safe to share between threads.

    Any answer of the API is returned as a `requests.Response`, a 404 and (when retrying is over) a 500 too.

    Args:
        route: gives the integration's compiled rules as they are now.
        read_connection: gives the connection as it is stored now.
    """

    def __init__(
        self,
        route: Callable[[], Route],
        read_connection: Callable[[], Connection],
        transport: Transport,
        limits: LimitStore,
        clock: Clock,
    ) -> None:
        self._current_route = route
        self._read_connection = read_connection
        self._transport = transport
        self._limits = limits
        self._clock = clock
        self._last = threading.local()
        self._stamp = stamp_of(route().integration, read_connection())

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
        """Make a call and return the API's answer.

        Args:
            method: any HTTP method.
            path: below the blueprint's base URL, such as `v1/metrics`; may hold a query.
            raise_for_error: raise ProviderError for a bad answer, read as the blueprint's `errors` say.
            deadline_seconds: the time for everything, waits included; the blueprint's by default.
            options: params, json, data, files, headers, timeout and stream as `requests` takes them, and
                idempotency_key, sent under the header that the blueprint declares.

        Raises:
            InvalidRequest: the path leaves the API, or a header or body is not one; nothing was sent.
            TransportFailed: no answer came, and trying again was not allowed or did not help.
            RateLimited: a limit cannot be waited out within the deadline; see retry_at.
            DeadlineExceeded: the time for everything is over.
            ProviderError: only with raise_for_error.
        """
        plan = self.plan(method, path, **options)
        answer = self._drive(plan, deadline_seconds)
        if raise_for_error and answer.attempts[-1].action == "fail":
            raise self._route.provider_error(answer, plan)
        return answer

    def plan(self, method: str, path: str, **options: Any) -> Plan:
        """The request that a call would send, without sending it; `print(plan)` masks credentials."""
        route = self._route
        return make_plan(
            Call(method, path, **options),
            self._fresh_stamp(),
            route.integration.requests,
            route.retries.idempotency_header,
        )

    def paginate(
        self, path: str, *, method: str = "GET", max_pages: int | None = None, **options: Any
    ) -> Iterator[Any]:
        """The records of all pages, one by one; each page is a call of its own with all of its care.

        Raises:
            ConfigError: the blueprint names no pagination.
            ProviderError: a page was answered with an error.
            RequestFailed: a page repeats itself, or a next link leaves the API.
        """
        for answer in self.pages(path, method=method, max_pages=max_pages, **options):
            yield from self._paginator().records(answer)

    def pages(
        self, path: str, *, method: str = "GET", max_pages: int | None = None, **options: Any
    ) -> Iterator[Response]:
        """The answers of all pages, one by one."""
        paginator = self._paginator()
        given = pairs_of(options.get("params"))
        names = {name for name, _ in given}
        options["params"] = tuple(pair for pair in paginator.first_params() if pair[0] not in names) + given
        plan: Plan | None = self.plan(method, path, **options)
        seen: set[int] = set()
        count = 0
        while plan is not None and (max_pages is None or count < max_pages):
            answer = self._drive(plan, None)
            if answer.attempts[-1].action == "fail":
                raise self._route.provider_error(answer, plan)
            yield answer
            count += 1
            plan = next_plan(paginator, answer, plan, seen)

    def explain(self) -> str:
        """What happened in this thread's last call, attempt by attempt, and which rule decided it."""
        return explaining.explain(getattr(self._last, "attempts", ()))

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts of this thread's last call, finished or failed."""
        return tuple(getattr(self._last, "attempts", ()))

    def send_plan(self, plan: Plan, *, returns_limited: bool = False) -> Response:
        """Run a call whose plan is made already; sessions come in here."""
        return self._drive(plan, None, returns_limited=returns_limited)

    @property
    def _route(self) -> Route:
        return self._current_route()

    def _paginator(self) -> Any:
        from nango_py.errors import ConfigError, Position, Problem

        if self._route.paginator is None:
            position = Position(self._route.integration.name)
            raise ConfigError(
                [
                    Problem(
                        position, "E501", "the blueprint names no pagination", "add pagination: {kind: ...}"
                    )
                ]
            )
        return self._route.paginator

    def _fresh_stamp(self) -> Stamp:
        connection, integration = self._read_connection(), self._route.integration
        stamp = self._stamp
        if connection is not stamp.connection or integration is not stamp.integration:
            self._stamp = stamp = stamp_of(integration, connection)
        return stamp

    def _drive(
        self, plan: Plan, deadline_seconds: float | None, *, returns_limited: bool = False
    ) -> Response:
        """Carry out what the call generator asks for, until it ends."""
        route = self._route
        job = Job(
            plan, route.retries, self._clock, route.spend, route.report, route.outage, route.events,
            route.limit_headers,
            deadline_seconds=deadline_seconds, returns_limited=returns_limited,
        )  # fmt: skip
        self._last.attempts = job.attempts
        answer: Response = self._exhaust(run(job))
        answer.attempts = tuple(job.attempts)
        answer.hint = route.hint
        return answer

    def _exhaust(self, steps: Steps) -> Any:
        """Run the steps to their end; what breaks a command is the steps' to clean up after."""
        try:
            command = next(steps)
            while True:
                try:
                    result = self._carry_out(command)
                except BaseException as error:  # noqa: BLE001 - handed on, cancellation included
                    command = steps.throw(error)
                else:
                    command = steps.send(result)
        except StopIteration as end:
            return end.value

    def _carry_out(self, command: Any) -> Any:
        match command:
            case Send():
                return self._transport.send(command.plan, command.seconds)
            case Acquire():
                return self._limits.acquire(command.spends, command.gates, command.patience)
            case Settle():
                return self._limits.settle(command.ticket)
            case Wait():
                return self._clock.sleep(command.seconds)
            case Confirm():
                return self._limits.confirm(command.ticket)
            case Release():
                return self._limits.release(command.ticket)
            case CloseGate():
                return self._limits.close_gate(command.gates, command.seconds)
        raise AssertionError(f"unknown command {command!r}")
