"""What the sync and the async executor have in common: plans, jobs, pages and explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nango_py.engine.call import Job
from nango_py.engine.plan import Call, Plan, make_plan
from nango_py.engine.query import pairs_of
from nango_py.engine.stamp import stamp_of
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.model import Connection
    from nango_py.engine.route import Route
    from nango_py.engine.stamp import Stamp
    from nango_py.limits.model import LimitStore
    from nango_py.pagination.base import Paginator


class ConnectionSource(Protocol):
    """Where the stored connection comes from."""

    def __call__(self) -> Connection:
        """The connection as it is stored now; may ask the store."""

    def fresh(self) -> Connection | None:
        """The connection where it is known well enough without asking the store, else None."""


class Caller:
    """An integration and a connection; its subclasses send.

    Args:
        route: gives the integration's compiled rules as they are now.
        read_connection: gives the connection as it is stored now.
    """

    def __init__(
        self,
        route: Callable[[], Route],
        read_connection: ConnectionSource,
        transport: Any,
        limits: LimitStore,
        clock: Clock,
    ) -> None:
        self._current_route = route
        self._read_connection = read_connection
        self._transport = transport
        self._limits = limits
        self._clock = clock
        self._stamp = stamp_of(route().integration, read_connection())

    def plan(self, method: str, path: str, **options: Any) -> Plan:
        """The request that a call would send, without sending it; `print(plan)` masks credentials."""
        return self._plan(Call(method, path, **options), self._read_connection())

    @property
    def base_url(self) -> str:
        """Where this connection's paths are taken from; shown nowhere, as it may hold a credential."""
        return self._stamp_of(self._route, self._read_connection()).base_url

    @property
    def _route(self) -> Route:
        return self._current_route()

    def _plan(self, call: Call, connection: Connection) -> Plan:
        route = self._route
        stamp = self._stamp_of(route, connection)
        return make_plan(call, stamp, route.integration.requests, route.retries.idempotency_header)

    def _stamp_of(self, route: Route, connection: Connection) -> Stamp:
        stamp = self._stamp
        if connection is not stamp.connection or route.integration is not stamp.integration:
            self._stamp = stamp = stamp_of(route.integration, connection)
        return stamp

    def _job(
        self, plan: Plan, deadline_seconds: float | None = None, *, returns_limited: bool = False
    ) -> Job:
        route = self._route
        return Job(
            plan, route.retries, self._clock, route.spend, route.report, route.outage, route.events,
            route.limit_headers, route.lesson,
            deadline_seconds=deadline_seconds, returns_limited=returns_limited,
        )  # fmt: skip

    def _finished(self, answer: Any, job: Job, *, raise_for_error: bool) -> Any:
        """The answer with its story; a bad one as an error where that is wanted."""
        answer.attempts = tuple(job.attempts)
        answer.hint = self._route.hint
        if raise_for_error and job.attempts[-1].action == "fail":
            raise self._route.provider_error(answer, job.plan)
        return answer

    def _paginator(self) -> Paginator:
        route = self._route
        if route.paginator is None:
            place = Position(route.integration.name)
            help_ = "add pagination: {kind: ...} to the blueprint or the entry"
            raise ConfigError([Problem(place, "E501", "the blueprint names no pagination", help=help_)])
        return route.paginator

    def _first_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of the first page's call: the caller's parameters win over the paginator's."""
        given = pairs_of(options.get("params"))
        names = {name for name, _ in given}
        added = tuple(pair for pair in self._paginator().first_params() if pair[0] not in names)
        return {**options, "params": added + given}
