"""What the sync and the async executor share: everything but how to send and wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from urllib.parse import urlsplit

from nango_py.auth.base import mode_of
from nango_py.database.base import database_time
from nango_py.engine.bound_settings import bind_settings
from nango_py.engine.call import ApiCall
from nango_py.engine.call_arguments import Call, check_deadline, make_call
from nango_py.engine.call_start import CallStart
from nango_py.engine.graphql import make_document, read_data, split_list, with_safety
from nango_py.engine.library_requests import (
    check_library_path,
    hide_location,
    library_headers,
    library_plan,
)
from nango_py.engine.log import explain
from nango_py.engine.paging import PageWalk
from nango_py.engine.paging_options import split_options
from nango_py.engine.plan import Plan, make_plan, move_to_url
from nango_py.engine.verification import NO_VERDICT, SECONDS, Check
from nango_py.errors import InvalidRequest, TransportFailed, unknown_name
from nango_py.limits.usage import usage_view
from nango_py.record import replaced
from nango_py.secret import Secret, without_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self, Unpack

    from nango_py.attempt import Attempt, CallRecord
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.call_arguments import CallOptions, RequestOptions
    from nango_py.engine.graphql import GraphQLList
    from nango_py.engine.interfaces import CallIO, ConnectionSource, TokenLifetime
    from nango_py.engine.paging import ParsedPage
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.verification import Verification
    from nango_py.json_types import JsonObject
    from nango_py.limits.limit_types import WindowView
    from nango_py.transport.response import Response

UNWANTED = frozenset({"fail", "refresh"})
"""How the last attempt of a call ends if its response is an error; `refresh` if there was no newer token."""

Result = TypeVar("Result")
"""What a call returns: a response, or a coroutine that brings one."""


class BaseExecutor(ABC, Generic[Result]):
    """An integration and a connection; its subclasses send.

    Each call takes the integration's runtime once, so that with `Nango(reload=True)` a call, and a walk over
    pages, has one configuration from beginning to end.

    Args:
        get_runtime: gives the integration's compiled configuration as it is now.
        read_connection: gives the connection as it is stored now.
        io: how to send and wait.
    """

    __slots__ = ("__weakref__", "_base", "_bound", "_get_runtime", "_io", "_read_connection", "_token")

    @without_frames
    def __init__(
        self,
        get_runtime: Callable[[], IntegrationRuntime],
        read_connection: ConnectionSource,
        io: CallIO,
    ) -> None:
        self._get_runtime = get_runtime
        self._read_connection = read_connection
        self._io = io
        self._base = ""
        self._bound: BoundRequestSettings | None = None
        self._token: tuple[Connection, Integration, TokenLifetime | None] | None = None
        runtime, connection = get_runtime(), read_connection()
        if mode_of(runtime.integration).is_ready(connection.credentials):
            self._bind(runtime, connection)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} holds credentials and cannot be pickled; pass integration and user_id, "
            "and call nango.executor() where it is used"
        )

    def get(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """GET a path below the base URL; options as in `request`."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """POST to a path; retried only if that is safe (docs/retries.md)."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """PUT to a path; options as in `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """PATCH a path; retried only if that is safe (docs/retries.md)."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """DELETE a path; options as in `request`."""
        return self.request("DELETE", path, **options)

    def head(self, path: str, **options: Unpack[RequestOptions]) -> Result:
        """HEAD of a path; options as in `request`."""
        return self.request("HEAD", path, **options)

    def at(self, base: str) -> Self:
        """The same executor for paths below another base URL of the API.

        Args:
            base: a name of the blueprint's `requests.bases`.

        Raises:
            InvalidRequest: the blueprint has no base of that name.
        """
        known = [name for name, _ in self._get_runtime().integration.requests.bases]
        if base not in known:
            raise InvalidRequest(unknown_name("base", str(base), known))
        other = type(self).__new__(type(self))
        for name, value in {**self._state(), "_base": base}.items():
            setattr(other, name, value)
        return other

    def _state(self) -> dict[str, object]:
        """What an executor of the same connection has too."""
        return {name: getattr(self, name) for name in BaseExecutor.__slots__ if name != "__weakref__"}

    @abstractmethod
    def request(self, method: str, path: str, **options: Unpack[RequestOptions]) -> Result:
        """Make a call."""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts of the last call of this thread or task, successful or not."""
        call = self._last_call()
        return () if call is None else tuple(call.attempts)

    def explain(self) -> str:
        """What happened in the last call of this thread or task.

        A line for each attempt, with the rule that decided, and a line for how the call ended, with its id.
        """
        call = self._last_call()
        if call is None:
            return explain(())
        return explain(call.attempts, f"call {call.call_id}: {call.ending}" if call.ending else "")

    @without_frames
    def plan(self, method: str, path: str, **options: Unpack[CallOptions]) -> Plan:
        """The request that a call would send, without sending it; `print(plan)` masks credentials.

        If the first call has yet to fetch a token, a placeholder stands in for it.
        """
        call = self._add_base(make_call(method, path, options))
        runtime, connection = self._get_runtime(), self._read_connection()
        mode = mode_of(runtime.integration)
        if mode.is_ready(connection.credentials):
            return make_plan(call, self._bind(runtime, connection))
        credentials = {**connection.credentials, mode.token_variable: Secret("token_of_the_first_call")}
        settings = bind_settings(
            runtime.integration, replaced(connection, credentials=credentials), runtime.clock
        )
        return make_plan(call, settings)

    @property
    @without_frames
    def base_url(self) -> str:
        """The URL that paths are relative to. Do not show it: it may hold a credential."""
        return self._bind(self._get_runtime(), self._read_connection()).bases[self._base]

    def _bind(self, runtime: IntegrationRuntime, connection: Connection) -> BoundRequestSettings:
        integration, bound = runtime.integration, self._bound
        if bound is None or connection is not bound.connection or integration is not bound.integration:
            self._bound = bound = bind_settings(integration, connection, runtime.clock)
        return bound

    def _add_base(self, call: Call) -> Call:
        return replaced(call, base=self._base) if self._base else call

    @without_frames
    def _usage(self) -> tuple[WindowView, ...]:
        runtime = self._get_runtime()
        return usage_view(self._io.limits, *runtime.scopes_of(self._bind(runtime, self._read_connection())))

    @abstractmethod
    def _last_call(self) -> CallRecord | None:
        """The last call of this thread or task; None if there was none, or if it is too long ago."""

    @abstractmethod
    def _remember(self, call: CallRecord) -> None:
        """Keep the record of a call that begins, for `attempts` and `explain`."""

    def _start(self, method: str, path: str) -> CallStart:
        """A call that begins."""
        secrets = () if self._bound is None else self._bound.secrets
        start = CallStart(self._read_connection.identity, method, path, secrets)
        self._remember(start.record)
        return start

    async def request_steps(
        self,
        method: str,
        path: str,
        options: Mapping[str, Any],
        *,
        raise_for_error: bool = False,
        deadline_seconds: float | None = None,
    ) -> Response:
        """The steps of `request`, the same for threads and asyncio."""
        call = await self._prepare(method, path, options, deadline_seconds)
        return await self._run(call, raise_for_error=raise_for_error)

    async def _prepare(
        self,
        method: str,
        path: str,
        options: Mapping[str, Any],
        deadline_seconds: float | None,
        adapt: Callable[[Plan], Plan] | None = None,
    ) -> ApiCall:
        """A call that is ready to be run; `adapt` changes its plan."""
        with self._start(method, path) as start:
            call = self._add_base(make_call(method, path, options))
            check_deadline(deadline_seconds)
            runtime = start.use(self._get_runtime())

            def plan_for(settings: BoundRequestSettings) -> Plan:
                plan = make_plan(call, settings)
                return plan if adapt is None else adapt(plan)

            return await self._make_api_call(start, runtime, deadline_seconds, plan_for)

    async def _make_api_call(
        self,
        start: CallStart,
        runtime: IntegrationRuntime,
        deadline_seconds: float | None,
        plan_for: Callable[[BoundRequestSettings], Plan],
        *,
        returns_limited: bool = False,
        follows_redirects: bool = True,
    ) -> ApiCall:
        """A call with the plan for the connection's settings. Its deadline includes a token refresh."""
        clock = runtime.clock
        seconds = runtime.retries.deadline_seconds if deadline_seconds is None else deadline_seconds
        ends = clock.monotonic() + seconds
        connection = await self._usable_connection(runtime, seconds)
        plan = plan_for(self._bind(runtime, connection))
        left = max(0.0, ends - clock.monotonic())
        return ApiCall(
            plan, runtime, self._io, start.record, deadline_seconds=left, returns_limited=returns_limited,
            follows_redirects=follows_redirects,
        )  # fmt: skip

    async def _request_url(self, method: str, url: str, options: Mapping[str, Any]) -> Response:
        """Make a call to an absolute URL, for an HTTP library.

        Raises:
            InvalidRequest: the URL belongs to another API, or its path has a dot segment.
        """
        with self._start(method, "") as start:
            runtime = start.use(self._get_runtime())
            plan_for = partial(self._library_plan, make_call(method, "", options), url)
            call = await self._make_api_call(
                start, runtime, None, plan_for, returns_limited=True, follows_redirects=False
            )
            settings = call.plan.settings
        response = await self._run(call)
        hide_location(response.raw.headers, settings)
        return response

    def _library_plan(self, call: Call, url: str, settings: BoundRequestSettings) -> Plan:
        name, shown = settings.shown_base_of(url)
        path = url[len(shown) :] if url.startswith(shown) else ""
        given = call.headers or {}
        call = replaced(call, path=path, base=name, headers=library_headers(given, settings))
        plan = make_plan(call, settings)
        if not path and url != shown:
            reached = settings.reach(settings.bases[name], url)
            if reached is None:
                raise InvalidRequest(f"credentials of this connection are sent only to {shown}")
            check_library_path("", urlsplit(reached).path)
            plan = move_to_url(plan, reached)
        return library_plan(plan, given)

    async def _run(self, call: ApiCall, *, raise_for_error: bool = False) -> Response:
        """Run a call; an error response is raised if that is wanted."""
        response = await call.run()
        response.attempts = tuple(call.attempts)
        response.hint = call.runtime.end_of_life
        if raise_for_error and call.attempts[-1].action in UNWANTED:
            if call.plan.stream:
                await self._io.read(response)
            raise call.runtime.provider_error(response, call.plan)
        return response

    async def _usable_connection(self, runtime: IntegrationRuntime, seconds: float) -> Connection:
        """The stored connection; a token that is about to expire is refreshed first."""
        connection = self._read_connection.get_cached()
        if connection is None:
            with database_time(seconds):
                connection = await self._io.ask_store(self._read_connection)
        if self._is_due(runtime, connection):
            return await self._refresh(runtime, connection, seconds)
        return connection

    def _is_due(self, runtime: IntegrationRuntime, connection: Connection) -> bool:
        """Whether to refresh the token before using it.

        Raises:
            CredentialsError: the provider has refused the credentials; the user must connect again.
        """
        tokens, integration, known = runtime.tokens, runtime.integration, self._token
        if tokens is None:
            return False
        if known is None or known[0] is not connection or known[1] is not integration:
            self._token = known = (connection, integration, tokens.lifetime(integration, connection))
        lifetime = known[2]
        return lifetime is not None and tokens.is_due(lifetime)

    async def _refresh(
        self, runtime: IntegrationRuntime, connection: Connection, seconds: float
    ) -> Connection:
        """A connection with a newer token, or this one while its token is valid.

        Raises:
            TransportFailed: the token cannot be refreshed at present, and has expired.
        """
        tokens = runtime.tokens
        if tokens is None:
            return connection
        refreshed = await tokens.refresh(runtime, connection, runtime.clock.monotonic() + seconds, self._io)
        if refreshed is not None:
            return refreshed
        if tokens.has_expired(runtime.integration, connection):
            text = f"{connection.integration}: the token has expired and cannot be refreshed at present"
            raise TransportFailed(text, reason="token")
        return connection

    @without_frames
    def start_walk(
        self,
        path: str,
        options: Mapping[str, Any],
        *,
        reads_records: bool = True,
        of_graphql: GraphQLList | None = None,
    ) -> PageWalk:
        """A walk over the pages of a list that `next_page` requests; arguments as in `paginate`."""
        method = options.get("method", "GET")
        with self._start(method, path) as start:
            runtime = start.use(self._get_runtime())
            of_walk, of_call = split_options(options)
            call = self._add_base(make_call(method, path, of_call))
            connection = self._read_connection.get_cached() or self._read_connection()
            call = runtime.with_body(call, connection)
            return PageWalk(
                runtime, call, connection, of_walk, reads_records=reads_records, of_graphql=of_graphql
            )

    async def next_page(self, walk: PageWalk) -> ParsedPage | None:
        """The next page of a walk, or None after the last."""
        if not walk.has_next():
            return None
        with self._start(walk.call.method, walk.call.path) as start:
            walk.last_call = start.record
            runtime = start.use(walk.runtime)
            call = await self._make_api_call(start, runtime, walk.options.deadline_seconds, walk.plan)
        response = await self._run(call)
        is_error = call.attempts[-1].action in UNWANTED and not walk.accepts(response)
        if walk.of_graphql is not None:
            read_data(response, call.plan, runtime.provider_error, is_error=is_error)
        elif is_error:
            raise runtime.provider_error(response, call.plan)
        return walk.add_page(response)

    async def graphql_steps(
        self, query: object, variables: object, operation_name: object, options: Mapping[str, Any]
    ) -> JsonObject:
        """The steps of `graphql`; a query may be sent twice, a mutation not."""
        document = make_document(query, variables, operation_name)
        of_call = {**options, "json": document.body}
        deadline_seconds = of_call.pop("deadline_seconds", None)
        path = self._get_runtime().integration.requests.graphql_path
        adapt = partial(with_safety, document=document)
        call = await self._prepare("POST", path, of_call, deadline_seconds, adapt)
        response = await self._run(call)
        is_error = call.attempts[-1].action in UNWANTED
        return read_data(response, call.plan, call.runtime.provider_error, is_error=is_error)

    @without_frames
    def start_graphql_walk(self, query: object, variables: object, options: Mapping[str, Any]) -> PageWalk:
        """A walk over the pages of a GraphQL connection; arguments as in `paginate_graphql`."""
        of_graphql, of_call = split_list(query, variables, options)
        return self.start_walk(
            self._get_runtime().integration.requests.graphql_path, of_call, of_graphql=of_graphql
        )

    async def _verify(self) -> Verification:
        """Make the blueprint's verification call and judge its response."""
        runtime = self._get_runtime()
        check = Check(runtime)
        undeclared = check.judge_missing_call()
        if undeclared is not None:
            return undeclared
        ends = runtime.clock.monotonic() + SECONDS
        try:
            with self._start(check.method, check.path) as start:
                start.use(runtime)
                with database_time(SECONDS):
                    connection = await self._io.ask_store(self._read_connection)
                if self._is_due(runtime, connection):
                    connection = await self._refresh(runtime, connection, SECONDS)
                seconds = max(1.0, ends - runtime.clock.monotonic())
                plan = check.plan(self._bind(runtime, connection))
                call = ApiCall(
                    plan, runtime, self._io, start.record, policy=check.policy, deadline_seconds=seconds
                )
            response = await call.run()
        except NO_VERDICT as error:
            return check.judge_failure(error)
        return check.judge(response, call.plan)
