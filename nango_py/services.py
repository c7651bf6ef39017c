"""The parts that everything in a running Nango shares: store, network, rate limits, tokens, runtimes."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from nango_py.connections.cache import CachedConnection, ConnectionCache
from nango_py.connections.processes import Processes
from nango_py.connections.validation import check_identity
from nango_py.engine.events import Events
from nango_py.errors import TapeError, UnknownIntegration
from nango_py.forks import forget_in_children
from nango_py.secret import Secret
from nango_py.tokens.refresher import LeasedTokenRefresher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.clock import Clock
    from nango_py.config.files import ConfigFiles
    from nango_py.config.model import Configuration, Integration
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.limits.learning import Learning
    from nango_py.limits.limit_types import LimitStore
    from nango_py.transport.async_transport import AsyncTransport
    from nango_py.transport.sync_transport import Transport
    from nango_py.transport.tape import Tape

Part = TypeVar("Part")

FIRST_PROCESS_CHECK_SECONDS = 10.0
"""Uptime before a process looks for others that share its quotas. Short programs never pay for the check."""


class Lazy(Generic[Part]):
    """A value created on first use, once for all threads."""

    __slots__ = ("__weakref__", "_create", "_lock", "current")

    def __init__(self, create: Callable[[], Part]) -> None:
        self._create = create
        self.current: Part | None = None
        self.forget_inherited()
        forget_in_children(self)

    def forget_inherited(self) -> None:
        """See `Forkable`; a value that was being created is created again."""
        self._lock = threading.RLock()

    def get(self) -> Part:
        """The value, created now if this is its first use."""
        value = self.current
        if value is None:
            with self._lock:
                value = self.current
                if value is None:
                    value = self.current = self._create()
        return value

    def discard(self) -> Part | None:
        """Forget the value, so that the next use creates a new one, and return it."""
        with self._lock:
            value, self.current = self.current, None
        return value


class Services:
    """The shared parts of one Nango. Files and connections are opened on first use. Thread-safe.

    Args:
        files: integrations.yaml and the blueprints.
        database_url: None for the configured database.
        environ: environment variables, for encryption keys.
        keys: encryption keys that take precedence over the environment.
        ca_bundle: a file of trusted certificates, or None for the default ones.
        clock: the time.

    Attributes:
        events: the callbacks registered for events.
        cache: recently used connections, checked for changes once a second.
    """

    def __init__(
        self,
        files: ConfigFiles,
        database_url: Secret | None,
        environ: Mapping[str, str],
        keys: Secret | None,
        ca_bundle: str | None,
        clock: Clock,
    ) -> None:
        self._files = files
        self._database_url = database_url
        self._environ = environ
        self._keys = keys
        self._ca_bundle = ca_bundle
        self.clock = clock
        self.events = Events()
        self._tape: Tape | None = None
        self.forget_inherited()
        forget_in_children(self)
        self._runtimes: dict[str, IntegrationRuntime] = {}
        self._runtime_sources: dict[str, Callable[[], IntegrationRuntime]] = {}
        self._store = Lazy(self._open_store)
        self._transport = Lazy(self._open_transport)
        self._async_transport = Lazy(self._open_async_transport)
        self._limits = Lazy(self._open_limits)
        self._learning = Lazy(self._open_learning)
        self._processes = Lazy(lambda: Processes(self._store.get, clock))  # it counts from its creation
        self.cache = ConnectionCache(self._store.get, clock, self._warn_if_limits_are_not_shared)
        self._tokens = Lazy(self._open_tokens)
        self._next_process_check = clock.monotonic() + FIRST_PROCESS_CHECK_SECONDS
        self._has_warned = self._is_closed = False

    def forget_inherited(self) -> None:
        """See `Forkable`."""
        self._lock = threading.Lock()

    @property
    def configuration(self) -> Configuration:
        """The checked configuration; with reload=True, of the files as they are now."""
        return self._files.current()

    @property
    def store(self) -> ConnectionStore:
        """The connection store.

        Raises:
            StorageError: the database cannot be opened, or the encryption key is missing or wrong.
        """
        self._is_closed = False
        return self._store.get()

    @property
    def transport(self) -> Transport:
        """The network connections of sync executors."""
        return self._transport.get()

    @property
    def async_transport(self) -> AsyncTransport:
        """The network connections of async executors.

        Raises:
            NangoError: the extra `async` is not installed.
        """
        return self._async_transport.get()

    @property
    def tokens(self) -> LeasedTokenRefresher:
        """Token refreshes."""
        return self._tokens.get()

    @property
    def limits(self) -> LimitStore:
        """The rate limit counters, in the store that `config.rate_limit_store` names."""
        return self._limits.get()

    @property
    def learning(self) -> Learning:
        """What this process has learned of rate limits from responses."""
        return self._learning.get()

    def use_tape(self, tape: Tape | None) -> None:
        """Send all requests by a tape, or by the network again for None.

        Raises:
            TapeError: another tape is in use.
        """
        if tape is not None and self._tape is not None:
            raise TapeError("another tape is in use; end its block first")
        self._tape = tape
        for each in (self._transport.current, self._async_transport.current):
            if each is not None:
                each.use_tape(tape)

    def integration(self, name: str) -> Integration:
        """The integration of that name.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
        """
        configuration = self.configuration
        integration = configuration.integrations.get(name)
        if integration is None:
            known = configuration.integrations
            raise UnknownIntegration(name, known, hint=f"declared in {configuration.source}")
        return integration

    def runtime(self, name: str) -> IntegrationRuntime:
        """The compiled rules of an integration, compiled again after a reload changed them.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
        """
        self._is_closed = False
        integration = self.integration(name)
        runtime = self._runtimes.get(name)
        if runtime is not None and runtime.integration is integration:
            return runtime
        from nango_py.engine.runtime import IntegrationRuntime

        with self._lock:
            runtime = self._runtimes.get(name)
            if runtime is None or runtime.integration is not integration:
                runtime = IntegrationRuntime(integration, self.clock, self.events, self.learning, self.tokens)
                self._runtimes[name] = runtime
        return runtime

    def sources(self, name: str, user_id: str) -> tuple[Callable[[], IntegrationRuntime], CachedConnection]:
        """Functions that return an integration's runtime, and a user's connection, as they are now.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            TypeError: the user id is not text.
            StorageError: no database would keep it.
        """
        self.integration(name)
        check_identity(name, user_id)
        runtime = self._runtime_sources.setdefault(name, partial(self.runtime, name))
        return runtime, self.cache.source(name, user_id)

    def refresh(self, connection: Connection, *, only_if_due: bool = False) -> Connection:
        """The connection with a new token; itself if its token cannot be refreshed, or need not be.

        Raises:
            CredentialsError: the provider refuses; the user must connect again.
        """
        from nango_py.engine.executor import make_sync_io
        from nango_py.engine.interfaces import run_sync

        runtime, tokens, clock = self.runtime(connection.integration), self.tokens, self.clock
        lifetime = tokens.lifetime(runtime.integration, connection)
        if lifetime is None or (only_if_due and not tokens.is_due(lifetime)):
            return connection
        io = make_sync_io(self.transport, self.limits, clock)
        deadline = clock.monotonic() + 2 * tokens.tools.request_seconds
        return run_sync(tokens.refresh(runtime, connection, deadline, io)) or connection

    def close(self) -> None:
        """Close database and network connections. Later calls open them again.

        So do refreshes that go on; what they open is closed when they end.
        """
        self._is_closed = True
        self.cache.clear()
        store = self._store.discard()
        if store is not None:
            store.close()
        transport = self._transport.current  # kept, because existing executors refer to it
        if transport is not None:
            transport.close()
        for job in () if self._tokens.current is None else self._tokens.current.running_refreshes():
            job.add_done_callback(self._close_after)

    def _close_after(self, _: object) -> None:
        if self._is_closed:  # nothing has been called since
            self.close()

    async def aclose(self) -> None:
        """Wait for token refreshes, then close all connections."""
        import asyncio

        try:
            if self._tokens.current is not None:
                await asyncio.to_thread(self._tokens.current.wait_for_jobs)
            if self._async_transport.current is not None:
                await self._async_transport.current.aclose()
        finally:
            self.close()

    def _warn_if_limits_are_not_shared(self, integration: str) -> None:
        """Warn once if another process calls the same API and both count its rate limits in memory."""
        if self.clock.monotonic() < self._next_process_check:
            return
        processes = self._processes.get()
        if not processes.is_due(integration):
            return
        configuration = self.configuration
        declared = configuration.integrations.get(integration)
        has_limits = declared is not None and (declared.settings.get("rate_limits") or {}).get("budgets")
        if not has_limits or configuration.config.rate_limit_store != "memory":
            return
        if not processes.has_others(integration) or self._has_warned:
            return
        self._has_warned = True
        import logging

        logging.getLogger("nango_py.limits").warning(
            "several processes call %s and each counts its rate limits in its own memory, so together they "
            "may exceed them; set config.rate_limit_store to sql or redis://...",
            integration,
        )

    @property
    def database_url(self) -> Secret:
        """The URL of the database. It may hold a password, so no frame keeps it as text."""
        if self._database_url is not None:
            return self._database_url
        configured = self.configuration.config.database_url
        return Secret(configured or f"sqlite:///{self._files.folder / '.nango' / 'nango.db'}")

    def _open_store(self) -> ConnectionStore:
        from nango_py.connections.keys import find_key_file, load_keyring, with_keys
        from nango_py.connections.store import open_store
        from nango_py.database.opening import sqlite_file

        url = self.database_url
        file = sqlite_file(url.reveal())
        place = self._files.folder / ".nango" if file is None else find_key_file(file)
        return open_store(url, load_keyring(with_keys(self._environ, self._keys), place), self.clock)

    def _open_transport(self) -> Transport:
        from nango_py.transport.sync_transport import Transport

        transport = Transport(self._ca_bundle)
        transport.use_tape(self._tape)
        return transport

    def _open_tokens(self) -> LeasedTokenRefresher:
        seconds = self.configuration.config.token_timeout_seconds
        self._transport.get()  # imported now, also for async executors: an import within a call may fail
        return LeasedTokenRefresher(self._store.get, self._transport.get, self.cache.put, self.clock, seconds)

    def _open_async_transport(self) -> AsyncTransport:
        from nango_py.transport.async_transport import AsyncTransport

        transport = AsyncTransport(self._ca_bundle)
        transport.use_tape(self._tape)
        return transport

    def _open_learning(self) -> Learning:
        from nango_py.limits.stores.opening import process_memory

        return process_memory(self.database_url, self.clock).learning

    def _open_limits(self) -> LimitStore:
        from nango_py.limits.stores.opening import open_limits

        url = Secret(self.configuration.config.rate_limit_store)
        return open_limits(url, self.database_url, self.clock)
