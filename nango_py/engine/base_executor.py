"""What the sync and the async executor have in common: plans, jobs, pages and explanations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from nango_py.auth.base import get_auth_mode
from nango_py.engine.bound_settings import bind_settings
from nango_py.engine.call import Job, run
from nango_py.engine.commands import Ask, Refresh
from nango_py.engine.plan import Call, Plan, make_plan
from nango_py.engine.replan import with_credentials_of
from nango_py.engine.request_encoding import to_pairs
from nango_py.errors import ConfigError, Position, Problem, TransportFailed, printable
from nango_py.record import replaced
from nango_py.secret import Secret, reveal
from nango_py.tokens.refusals import check_usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.attempt import Attempt
    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.call import Steps
    from nango_py.engine.paging import ParsedPage
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.limits.limit_types import LimitStore, WindowView
    from nango_py.pagination.base import Paginator
    from nango_py.tokens.expiry import Span


UNWANTED = frozenset({"fail", "refresh"})
"""How the last attempt of a call ends whose answer is an error; `refresh` where nothing could be renewed."""


class ConnectionSource(Protocol):
    """Where the stored connection comes from."""

    def __call__(self) -> Connection:
        """The connection as it is stored now; may ask the store."""

    def get_cached(self) -> Connection | None:
        """The connection where it is known well enough without asking the store, else None."""


class BaseExecutor:
    """An integration and a connection; its subclasses send.

    Args:
        route: gives the integration's compiled rules as they are now.
        read_connection: gives the connection as it is stored now.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_current_route",
        "_limits",
        "_looked_at",
        "_read_connection",
        "_stamp",
        "_transport",
    )

    def __init__(
        self,
        route: Callable[[], IntegrationRuntime],
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
        self._stamp: BoundRequestSettings | None = None
        self._looked_at: tuple[Connection | None, Span | None] = (None, None)
        connection, mode = read_connection(), get_auth_mode(route().integration.auth_mode)
        if mode.is_ready(connection.credentials):
            self._stamp = bind_settings(route().integration, connection)

    def plan(self, method: str, path: str, **options: Any) -> Plan:
        """The request that a call would send, without sending it; `print(plan)` masks credentials.

        Where the first call has yet to fetch a token, a made-up one stands in its place.
        """
        call, connection = Call(method, path, **options), self._read_connection()
        mode = get_auth_mode(self._route.integration.auth_mode)
        if mode.is_ready(connection.credentials):
            return self._plan(call, connection)
        credentials = {**connection.credentials, mode.token_variable: Secret("token_of_the_first_call")}
        planned = replaced(connection, credentials=credentials)
        route = self._route
        stamp = bind_settings(route.integration, planned)
        return make_plan(call, stamp, route.integration.requests, route.retries.idempotency_header)

    def _live(self) -> tuple[WindowView, ...]:
        from nango_py.limits.usage import usage_view

        return usage_view(self._limits, self._route.scope(self._stamp_of(self._read_connection())))

    @property
    def base_url(self) -> str:
        """Where this connection's paths are taken from; shown nowhere, as it may hold a credential."""
        return self._stamp_of(self._read_connection()).base_url

    @property
    def _route(self) -> IntegrationRuntime:
        return self._current_route()

    def _plan(self, call: Call, connection: Connection) -> Plan:
        route = self._route
        stamp = self._stamp_of(connection)
        return make_plan(call, stamp, route.integration.requests, route.retries.idempotency_header)

    def _stamp_of(self, connection: Connection) -> BoundRequestSettings:
        integration, stamp = self._route.integration, self._stamp
        if stamp is None or connection is not stamp.connection or integration is not stamp.integration:
            self._stamp = stamp = bind_settings(integration, connection)
        return stamp

    def _is_due(self, connection: Connection) -> bool:
        """Whether the token is to be renewed before it is used.

        Raises:
            CredentialsError: the provider has refused for good; the user must connect again.
        """
        looked_at, span = self._looked_at
        if connection is not looked_at:
            check_usable(connection)
            span = self._span(connection)
            self._looked_at = (connection, span)
        return span is not None and self._route.life.memory.is_past(span, span.due)

    def _span(self, connection: Connection) -> Span | None:
        """The life of the connection's token; None where it cannot be renewed."""
        integration = self._route.integration
        mode = get_auth_mode(integration.auth_mode)
        if not mode.can_renew(reveal(connection.credentials), integration.settings["auth"]):
            return None
        return self._route.life.memory.span(integration, connection)

    def _renewal(self, connection: Connection, deadline_seconds: float | None = None) -> Steps:
        """The steps to a newer connection, or to the one there is while its token lives.

        Raises:
            TransportFailed: the token endpoint cannot be reached, and the old token has ended.
        """
        route = self._route
        seconds = route.retries.deadline_seconds if deadline_seconds is None else deadline_seconds
        renewed = yield from route.life.renewal(route, connection, self._clock.monotonic() + seconds)
        if renewed is not None:
            return renewed
        if route.life.memory.has_ended(route.integration, connection):
            text = f"{connection.integration}: no new token can be had at present, and the old one has ended"
            raise TransportFailed(text, reason="token")
        return connection

    def _job(
        self, plan: Plan, deadline_seconds: float | None = None, *, returns_limited: bool = False
    ) -> Job:
        route = self._route
        return Job(
            plan, route.retries, self._clock, route.spend, route.report, route.outage_of(plan.stamp),
            route.events, route.limit_headers, route.lesson,
            deadline_seconds=deadline_seconds, returns_limited=returns_limited,
            renewal=self._forced_renewal, renewable=self._is_renewable, restamp=self._restamped,
            hold=route.hold,
        )  # fmt: skip

    def _verified(self, attempts: list[Attempt]) -> Steps:
        """The steps of a verification; the attempts of its call are put down in the list."""
        from nango_py.engine.verification import NO_VERDICT, SECONDS, Check

        check = Check(self._route)
        undeclared = check.undeclared()
        if undeclared is not None:
            return undeclared
        ends = self._clock.monotonic() + SECONDS
        try:
            connection = yield Ask(self._read_connection)
            if self._is_due(connection):
                connection = yield Refresh(self._renewal(connection, SECONDS))
            left = max(1.0, ends - self._clock.monotonic())
            job = self._job(check.plan(self._stamp_of(connection)), left)
            job.policy, job.attempts = check.policy, attempts
            response = yield from run(job)
        except NO_VERDICT as error:
            return check.failed(error)
        return check.judged(response, job.plan)

    def _is_renewable(self, plan: Plan) -> bool:
        stamp = plan.stamp
        credentials = reveal(stamp.connection.credentials)
        return stamp.mode.answers_challenges or stamp.mode.can_renew(credentials, stamp.auth_settings)

    def _forced_renewal(self, plan: Plan, deadline: float) -> Steps | None:
        """The steps to a token newer than the one of a refused plan; None where there is no way to one."""
        stamp, route = plan.stamp, self._route
        if not stamp.mode.can_renew(reveal(stamp.connection.credentials), stamp.auth_settings):
            return None
        if route.life.memory.is_forced(stamp.connection):
            return None
        return route.life.renewal(route, stamp.connection, deadline, forced=True)

    def _kept_up(self, plan: Plan, connection: Connection) -> Plan:
        """A plan that was made of an earlier one, with the credentials of today."""
        return plan if connection is plan.stamp.connection else self._restamped(plan, connection)

    def _restamped(self, plan: Plan, connection: Connection) -> Plan:
        return with_credentials_of(plan, self._stamp_of(connection))

    def _finished(self, response: Any, job: Job, *, raise_for_error: bool) -> Any:
        """The response with its story; a bad one as an error where that is wanted."""
        response.attempts = tuple(job.attempts)
        response.hint = self._route.hint
        if raise_for_error and job.attempts[-1].action in UNWANTED:
            raise self._route.provider_error(response, job.plan)
        return response

    def _paginator(self) -> Paginator:
        route = self._route
        if route.paginator is None:
            place = Position(route.integration.name)
            help_ = "add pagination: {kind: ...} to the blueprint or the entry"
            raise ConfigError([Problem(place, "E501", "the blueprint names no pagination", help=help_)])
        return route.paginator

    def _records(self, page: ParsedPage, *, is_first: bool) -> list[Any]:
        """The records of a page.

        Raises:
            ConfigError: the first one has some, and not where the blueprint says.
        """
        paginator = self._paginator()
        other_paths = paginator.suggest_records_paths(page) if is_first else ()
        if not other_paths:
            return paginator.records(page)
        wanted = (
            f'pagination.records "{paginator.records_path}"' if paginator.records_path else "the body itself"
        )
        found = ", ".join(map(printable, other_paths[:5]))
        what = f"{wanted} is no list in this response; it has one at {found}"
        help_ = "set pagination.records in the blueprint or the entry; `[]` behind || stands for none"
        raise ConfigError([Problem(Position(self._route.integration.name), "E502", what, help=help_)])

    def _first_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of the first page's call: the caller's parameters win over the paginator's."""
        given = to_pairs(options.get("params"))
        names = {name for name, _ in given}
        added = tuple(pair for pair in self._paginator().first_params() if pair[0] not in names)
        return {**options, "params": added + given}
