"""What a Nango opens when it is first needed: the store, the network, the budgets, the life of tokens."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from nango_py.errors import NangoError
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nango_py.clock import Clock
    from nango_py.config.model import Config, Configuration
    from nango_py.connections.cache import ConnectionCache
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.limits.learning import Learning
    from nango_py.limits.limit_types import LimitStore
    from nango_py.tokens.renewal import TokenLife
    from nango_py.transport.async_transport import AsyncTransport
    from nango_py.transport.sync_transport import Transport

FIRST_AFTER = 10.0
"""Seconds for which a program runs before it looks for others like it; short ones pay nothing for that."""


class Services:
    """The shared parts of all executors, each made once. Safe to share between threads.

    Args:
        configuration: what the files say now.
        folder: where `.nango/` is, unless a database URL says otherwise.
        database_url: the one that was given for the database, or None for the configured one.
        environ: the environment, for encryption keys.
        keys: encryption keys that were given; they count more than those of the environment.
        ca_bundle: a file of trusted certificates, or None.
        clock: the time.
    """

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        folder: Path,
        database_url: Secret | None,
        environ: Mapping[str, str],
        keys: Secret | None,
        ca_bundle: str | None,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._folder = folder
        self._database_url = database_url
        self._environ = environ
        self._keys = keys
        self._ca_bundle = ca_bundle
        self.clock = clock
        self._watch_at = clock.monotonic() + FIRST_AFTER
        self._has_warned = False
        self._lock = threading.RLock()
        self._made: dict[str, Any] = {}

    @property
    def store(self) -> ConnectionStore:
        """The connection store.

        Raises:
            StorageError: it cannot be opened, or the encryption key is missing or wrong.
        """
        return self._get("store", self._open_store)  # type: ignore[no-any-return]

    @property
    def stored(self) -> ConnectionCache:
        """The connections that were used last, looked at again once a second."""
        from nango_py.connections.cache import ConnectionCache

        return self._get("stored", lambda: ConnectionCache(lambda: self.store, self.clock, self._in_use))  # type: ignore[no-any-return]

    @property
    def transport(self) -> Transport:
        """The network connections of sync executors."""
        from nango_py.transport.sync_transport import Transport

        return self._get("transport", partial(Transport, self._ca_bundle))  # type: ignore[no-any-return]

    @property
    def async_transport(self) -> AsyncTransport:
        """The network connections of async executors.

        Raises:
            NangoError: the extra `async` is not installed.
        """
        return self._get("async_transport", self._open_async_transport)  # type: ignore[no-any-return]

    @property
    def limits(self) -> LimitStore:
        """The budgets, where `config.rate_limit_store` keeps them."""
        return self._get("limits", self._open_limits)  # type: ignore[no-any-return]

    @property
    def learning(self) -> Learning:
        """What answers have told of limits."""
        from nango_py.limits.learning import Learning

        return self._get("learning", partial(Learning, self.clock))  # type: ignore[no-any-return]

    @property
    def life(self) -> TokenLife:
        """The renewals of tokens."""
        from nango_py.tokens.renewal import TokenLife

        return self._get("life", lambda: TokenLife(lambda: self.store, self._remember, self.clock))  # type: ignore[no-any-return]

    def _in_use(self, integration: str) -> None:
        """Warn once where another process counts the same budgets in a memory of its own."""
        if self.clock.monotonic() < self._watch_at:
            return
        from nango_py.connections.processes import Processes

        processes = self._get("processes", lambda: Processes(lambda: self.store, self.clock))
        if not processes.is_due(integration):
            return
        declared = self._configuration().integrations.get(integration)
        counts = declared is not None and (declared.settings.get("rate_limits") or {}).get("budgets")
        if not counts or self._config().rate_limit_store != "memory":
            return
        if not processes.has_others(integration) or self._has_warned:
            return
        self._has_warned = True
        import logging

        logging.getLogger("nango_py.limits").warning(
            "several processes call %s, and each counts its rate limits in its own memory, so together they "
            "may exceed them; set config.rate_limit_store: sql (or redis://...)",
            integration,
        )

    def _config(self) -> Config:
        return self._configuration().config

    def _remember(self, connection: Connection) -> None:
        self.stored.keep(connection)

    def close(self) -> None:
        """Close database and network connections; what is needed later is opened again."""
        with self._lock:
            store = self._made.pop("store", None)
            self._made.pop("stored", None)
            transport = self._made.get("transport")  # kept: executors made before have it too
        if store is not None:
            store.close()
        if transport is not None:
            transport.close()

    async def aclose(self) -> None:
        """Close what the running event loop uses, and everything else, after its renewals of tokens."""
        try:
            life = self._made.get("life")
            if life is not None:
                await life.finished()
            transport = self._made.get("async_transport")
            if transport is not None:
                await transport.aclose()
        finally:
            self.close()

    def _get(self, name: str, make: Callable[[], Any]) -> Any:
        made = self._made.get(name)
        if made is None:
            with self._lock:
                made = self._made.get(name)
                if made is None:
                    made = self._made[name] = make()
        return made

    def _url(self) -> Secret:
        """The database's URL. It may hold a password, so no frame keeps it as text."""
        if self._database_url is not None:
            return self._database_url
        configured = self._config().database_url
        return Secret(configured or f"sqlite:///{self._folder / '.nango' / 'nango.db'}")

    def _open_store(self) -> ConnectionStore:
        from nango_py.connections.keys import load_keyring, with_keys
        from nango_py.connections.store import open_store, sqlite_folder

        url = self._url()
        folder = sqlite_folder(url.reveal()) or self._folder / ".nango"
        return open_store(url, load_keyring(with_keys(self._environ, self._keys), folder), self.clock)

    def _open_limits(self) -> LimitStore:
        from nango_py.limits.stores.opening import open_limits

        return open_limits(Secret(self._config().rate_limit_store), self._url(), self.clock)

    def _open_async_transport(self) -> AsyncTransport:
        try:
            from nango_py.transport.async_transport import AsyncTransport
        except ModuleNotFoundError as error:
            raise NangoError("async calls need httpx2: pip install 'nango-py[async]'") from error
        return AsyncTransport(self._ca_bundle)
