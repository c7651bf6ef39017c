"""class Nango: the integrations of one product and the connections of its users."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from nango_py.accounts import Accounts
from nango_py.clock import SYSTEM_CLOCK
from nango_py.secret import Secret, without_frames
from nango_py.services import Services

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.engine.async_executor import AsyncExecutor
    from nango_py.engine.events import Event
    from nango_py.engine.executor import Executor
    from nango_py.engine.requests_session import Session
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.engine.verification import Verification
    from nango_py.limits.limit_types import LimitStore

    ASGIApplication = Callable[
        [Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
    ]


class Nango(Accounts):
    """The integrations that integrations.yaml declares, and the connections stored for them.

    Safe to share between threads, usable as a context manager, and usable again after a fork.

    Args:
        integrations: the path of integrations.yaml (in the current folder by default), or the same
            content as a mapping, with or without its `integrations:` key.
        blueprints: a folder of blueprints; `blueprints/` beside integrations.yaml by default.
        database_url: `sqlite:///path` or `postgresql://...`; `config.database_url` by default, else
            `.nango/nango.db` beside integrations.yaml.
        encryption_keys: base64 keys of 32 bytes, the active one first; NANGO_ENCRYPTION_KEYS or the key
            file beside the database by default.
        overrides: settings per integration merged over integrations.yaml, such as another base URL.
        environ: what `${UPPER_CASE}` names are read from; the process's environment by default.
        reload: re-read files when they change; for development.
        ca_bundle: a file of trusted TLS certificates instead of certifi's.
        clock: the time, for tests.

    Raises:
        ConfigError: a file is wrong; all problems are named at once.
    """

    @without_frames
    def __init__(
        self,
        integrations: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        blueprints: str | os.PathLike[str] | None = None,
        database_url: str | None = None,
        encryption_keys: Iterable[str] | str | None = None,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        environ: Mapping[str, str] | None = None,
        reload: bool = False,
        ca_bundle: str | os.PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        from nango_py.config.files import Files
        from nango_py.connections.config_cache import ConfigCacheOpener
        from nango_py.connections.keys import join_keys
        from nango_py.engine.events import Events

        environ = os.environ if environ is None else environ
        keys = join_keys(encryption_keys)
        cache = ConfigCacheOpener(database_url, environ, keys)
        self._files = Files(integrations, blueprints, overrides, environ, reload=reload, cache=cache)
        self._resources = Services(
            lambda: self.configuration,
            self._files.folder,
            None if database_url is None else Secret(database_url),
            environ,
            keys,
            None if ca_bundle is None else os.fspath(ca_bundle),
            clock,
        )
        self.events = Events()
        self._lock = threading.Lock()
        self._routes: dict[str, tuple[Integration, IntegrationRuntime]] = {}
        self._sources: dict[str, Callable[[], IntegrationRuntime]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what the running event loop uses, and everything else, after renewals under way in it."""
        await self._resources.aclose()

    def close(self) -> None:
        """Close database and network connections; what is called later opens them again."""
        self._resources.close()

    def executor(self, integration: str, user_id: str) -> Executor:
        """Calls for one connection: `.get(path)`, `.post(path, json=...)`, `.paginate(path)`.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            ConnectionNotFound: this user has no connection.
            ConfigError: the connection's additional_config does not fit the blueprint's templates.
        """
        from nango_py.engine.executor import Executor

        parts = self._resources
        source = parts.stored.source(integration, user_id)
        return Executor(self._route_of(integration), source, parts.transport, parts.limits, parts.clock)

    def async_executor(self, integration: str, user_id: str) -> AsyncExecutor:
        """The same calls for asyncio: `await executor.get(path)`; needs the extra `async`.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            ConnectionNotFound: this user has no connection.
        """
        from nango_py.engine.async_executor import AsyncExecutor

        parts = self._resources
        source, transport = parts.stored.source(integration, user_id), parts.async_transport
        return AsyncExecutor(self._route_of(integration), source, transport, parts.limits, parts.clock)

    @without_frames
    def verify_credentials(
        self,
        integration: str,
        user_id: str,
        credentials: Mapping[str, Any],
        additional_config: Mapping[str, Any] | None = None,
    ) -> Verification:
        """Whether credentials work that are not stored, as the blueprint's `verification` call says.

        Nothing is stored. A first token is fetched where the auth mode takes one. Arguments, and errors for
        credentials and settings of the wrong form, as in `register_connection`.
        """
        checked, settings = self._checked(integration, user_id, credentials, additional_config)
        from nango_py.connections.rows import unstored_connection
        from nango_py.tokens.unstored import verify_unstored

        parts = self._resources
        connection = unstored_connection(integration, user_id, checked, settings, parts.clock.now())
        return verify_unstored(
            self._route_of(integration), connection, parts.transport, parts.limits, parts.clock
        )

    def delete_connection(self, integration: str, user_id: str, *, revoke: bool = True) -> None:
        """Delete a connection and its credentials, and tell the provider where the blueprint says how.

        The connection is gone for good before the provider is asked. A provider that refuses, or does not
        answer within ten seconds, is logged and told as the event `not_revoked`, and is no error.

        Args:
            integration: any name; one that is declared no longer is deleted without telling anybody.
            user_id: whose connection it is.
            revoke: False leaves the tokens valid, for a connection that moves elsewhere.

        Raises:
            ConnectionNotFound: this user has none.
        """
        from nango_py.tokens import revocation

        parts = self._resources
        declared = self.configuration.integrations.get(integration) if revoke else None
        route = None
        if declared is not None and revocation.is_declared(declared):
            route = self._route(integration)
            revocation.settle(self.store, integration, user_id, parts.clock)
        deleted = self.store.delete(integration, user_id)
        parts.stored.forget(integration, user_id)
        if route is not None and deleted is not None:
            others = partial(self._integrations_of, user_id)
            revocation.revoke(route, deleted, parts.transport, parts.clock, others)

    def on(self, event: str, callback: Callable[[Event], Any]) -> Callable[[], None]:
        """Call `callback` with each event of a kind; the response takes it off again.

        Args:
            event: `attempt`, `wait`, `retry`, `gate`, `giving_up`, `needs_reauth`, `not_revoked`, `connected`
                or `connect_failed`.
            callback: takes a frozen record (`nango_py.Event`); what it raises is logged and does no harm.

        Raises:
            ValueError: there is no such kind of event.
        """
        return self.events.on(event, callback)

    def finish_renewals_on_sigterm(self, seconds: float = 30.0) -> None:
        """Have SIGTERM end this process only after the token renewals that are under way in it.

        A provider that replaces refresh tokens has forgotten the old one by then, and the new one must be
        stored. What the signal did before is done afterwards: by default the process ends. For programs that
        handle SIGTERM themselves and finish their calls, this is not needed.

        Args:
            seconds: the longest wait.

        Raises:
            ValueError: this is not the main thread.
        """
        from nango_py.tokens.shutdown import SHUTDOWN

        SHUTDOWN.install(seconds)

    def session(self, integration: str, user_id: str) -> Session:
        """A `requests.Session` that authenticates, paces and retries, for SDKs that accept one."""
        from nango_py.engine.requests_session import Session

        return Session(self.executor(integration, user_id))

    def asgi_app(self) -> ASGIApplication:
        """The connect server as an ASGI application, to be mounted in your own; needs the extra `server`.

        It answers below the path of `config.oauth_server_root_url`, if that has one, whether it is served by
        itself or mounted there: `Mount("/nango", nango.asgi_app())`. See docs/connect.md.

        Raises:
            NangoError: Starlette is not installed.
            ConfigError: a file is wrong.
        """
        from nango_py.server import make_app

        return make_app(self)

    @property
    def limits(self) -> LimitStore:
        """The budgets that all executors share, where `config.rate_limit_store` keeps them."""
        return self._resources.limits

    def _integrations_of(self, user_id: str) -> list[Integration | None]:
        """What a user is connected to; None for what is declared no longer."""
        declared = self.configuration.integrations
        return [declared.get(view["integration"]) for view in self.store.for_user(user_id)]

    def _route_of(self, name: str) -> Callable[[], IntegrationRuntime]:
        """What gives the rules of an integration as they are now; one object for all its executors."""
        self._integration(name)
        return self._sources.setdefault(name, partial(self._route, name))

    def _route(self, name: str) -> IntegrationRuntime:
        """The compiled rules of an integration; made anew when a reload changed it."""
        integration = self._integration(name)
        known = self._routes.get(name)
        if known is not None and known[0] is integration:
            return known[1]
        from nango_py.engine.runtime import IntegrationRuntime

        with self._lock:
            parts = self._resources
            route = IntegrationRuntime(integration, parts.clock, self.events, parts.learning, parts.life)
            self._routes[name] = (integration, route)
        return route
