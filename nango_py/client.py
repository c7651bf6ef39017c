"""class Nango: the integrations of a product and the connections of its users."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn, Self

from nango_py.accounts import Accounts
from nango_py.action_methods import ActionMethods
from nango_py.clock import SYSTEM_CLOCK
from nango_py.secret import Secret, without_frames
from nango_py.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from nango_py.clock import Clock
    from nango_py.config.model import Configuration
    from nango_py.connect.login import Logins
    from nango_py.connections.connect_sessions import ConnectSession, SessionClaims
    from nango_py.connections.connection import PublicView
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.async_executor import AsyncExecutor
    from nango_py.engine.events import Event, Events
    from nango_py.engine.executor import Executor
    from nango_py.engine.requests_adapter import Adapter, Session
    from nango_py.engine.verification import Verification
    from nango_py.json_types import Settings
    from nango_py.limits.limit_types import LimitStore
    from nango_py.server.asgi import ConnectServer
    from nango_py.transfer.importing import Importer
    from nango_py.transfer.report import ImportReport


class Nango(ActionMethods):
    """The integrations declared in integrations.yaml, and the connections stored for them.

    Safe to share between threads, usable as a context manager, and usable after a fork.

    Args:
        integrations: the path of integrations.yaml (in the current folder by default), or the same
            content as a mapping, with or without its `integrations:` key.
        blueprints: a folder of blueprints; `blueprints/` beside integrations.yaml by default.
        database_url: `sqlite:///path` or `postgresql://...`; by default `config.database_url`, else
            `.nango/nango.db` beside integrations.yaml.
        encryption_keys: base64 keys of 32 bytes, the active one first; by default NANGO_ENCRYPTION_KEYS or
            the key file beside the database.
        overrides: settings per integration merged over integrations.yaml, such as another base URL.
        environ: where `${UPPER_CASE}` names are looked up; the environment of the process by default.
        reload: reread files when they change; for development.
        ca_bundle: a file of trusted TLS certificates instead of certifi's.
        clock: the clock, for tests.

    Raises:
        ConfigError: a file is invalid; the error lists every problem.
    """

    @without_frames
    def __init__(
        self, integrations: str | os.PathLike[str] | Settings | None = None, *,
        blueprints: str | os.PathLike[str] | None = None, database_url: str | None = None,
        encryption_keys: Iterable[str] | str | None = None, overrides: Mapping[str, Settings] | None = None,
        environ: Mapping[str, str] | None = None, reload: bool = False,
        ca_bundle: str | os.PathLike[str] | None = None, clock: Clock = SYSTEM_CLOCK,
    ) -> None:  # fmt: skip
        from nango_py.config.files import ConfigFiles
        from nango_py.connections.config_cache import ConfigCacheOpener
        from nango_py.connections.keys import join_keys

        environ = os.environ if environ is None else environ
        keys = join_keys(encryption_keys)
        cache = ConfigCacheOpener(database_url, environ, keys)
        files = ConfigFiles(integrations, blueprints, overrides, environ, reload=reload, cache=cache)
        url = None if database_url is None else Secret(database_url)
        ca_bundle = None if ca_bundle is None else os.fspath(ca_bundle)
        services = Services(files, url, environ, keys, ca_bundle, clock)
        super().__init__(Accounts(services), reload=reload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Nango holds keys and sockets and cannot be pickled; open one in each process")

    def close(self) -> None:
        """Close database and network connections. Later calls open them again."""
        self.services.close()

    async def aclose(self) -> None:
        """Wait for token refreshes in the running event loop, then close all connections."""
        await self.services.aclose()

    @property
    def configuration(self) -> Configuration:
        """The checked configuration; with reload=True, of the files as they are now."""
        return self.services.configuration

    @property
    def store(self) -> ConnectionStore:
        """The connection store, opened on first use; raises StorageError if that is impossible."""
        return self.services.store

    @property
    def limits(self) -> LimitStore:
        """The rate limit counters that all executors share, in the store of `config.rate_limit_store`."""
        return self.services.limits

    @property
    def logins(self) -> Logins:
        """Logins without the connect page, and choices between the accounts of a login."""
        from nango_py.connect.login import Logins

        return Logins(self.accounts)

    @property
    def events(self) -> Events:
        """The registered callbacks; see `on`."""
        return self.services.events

    def executor(self, integration: str, user_id: str) -> Executor:
        """An executor for one connection: `.get(path)`, `.post(path, json=...)`, `.paginate(path)`.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            ConnectionNotFound: the user has no connection.
            ConfigError: the connection's additional_config does not fit the blueprint's templates.
        """
        from nango_py.engine.executor import Executor

        services, sources = self.services, self.services.sources(integration, user_id)
        return Executor(*sources, services.transport, services.limits, services.clock)

    def async_executor(self, integration: str, user_id: str) -> AsyncExecutor:
        """The same for asyncio: `await executor.get(path)`. Needs the extra `async`.

        Raises the errors of `executor`.
        """
        from nango_py.engine.async_executor import AsyncExecutor

        services, sources = self.services, self.services.sources(integration, user_id)
        return AsyncExecutor(*sources, services.async_transport, services.limits, services.clock)

    def session(self, integration: str, user_id: str) -> Session:
        """A `requests.Session` whose calls to the API are authenticated, paced and retried, for SDKs.

        An ordinary session with `adapter` mounted; a path without a host is relative to the base URL. Raises
        the errors of `executor`.
        """
        from nango_py.engine.requests_adapter import Session

        return Session(self.adapter(integration, user_id))

    def adapter(self, integration: str, user_id: str) -> Adapter:
        """A transport adapter of requests, for SDKs that make their own session: `adapter.mount_on(session)`.

        Raises the errors of `executor`.
        """
        from nango_py.engine.executor import Executor
        from nango_py.engine.requests_adapter import Adapter
        from nango_py.engine.requests_transport import RequestsTransport

        services, sources = self.services, self.services.sources(integration, user_id)
        transport = RequestsTransport(services.transport)
        return Adapter(Executor(*sources, transport, services.limits, services.clock), transport)

    def httpx_transport(self, integration: str, user_id: str) -> Any:
        """A transport for `httpx.Client` and `httpx2.Client` that authenticates, paces and retries.

        Typed Any, because it fits the BaseTransport of both. Raises the errors of `executor`.
        """
        from nango_py.engine.httpx_transports import HttpxTransport

        return HttpxTransport(self.executor(integration, user_id))

    def async_httpx_transport(self, integration: str, user_id: str) -> Any:
        """The same for `httpx.AsyncClient` and `httpx2.AsyncClient`. Needs the extra `async`."""
        from nango_py.engine.httpx_transports import AsyncHttpxTransport

        return AsyncHttpxTransport(self.async_executor(integration, user_id))

    @without_frames
    def register_connection(
        self, integration: str, user_id: str, credentials: Mapping[str, object],
        additional_config: Mapping[str, object] | None = None, *, replace: bool = False,
    ) -> PublicView:  # fmt: skip
        """Store one user's credentials, encrypted, and return the public view of the connection.

        Args:
            integration: a name declared in integrations.yaml.
            user_id: your own identifier of the user, any text up to 1 KiB.
            credentials: the fields of the integration's auth mode (docs/integrations.md).
            additional_config: JSON values for templates, such as a subdomain.
            replace: overwrite an existing connection and make it active again; it keeps its uuid and
                date_created.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            CredentialsError: a field is missing, unknown or of the wrong type; the message names it.
            ConfigError: additional_config does not match the blueprint's connection_config.
            ConnectionAlreadyExists: the user has a connection and replace is False; it is unchanged.
            StorageError: the write failed; nothing was stored.
        """
        return self.accounts.register(integration, user_id, credentials, additional_config, replace=replace)

    @without_frames
    def verify_credentials(
        self, integration: str, user_id: str, credentials: Mapping[str, object],
        additional_config: Mapping[str, object] | None = None,
    ) -> Verification:  # fmt: skip
        """Test credentials with the blueprint's `verification` call, without storing them.

        If the auth mode uses tokens, a first one is requested. Arguments are those of `register_connection`,
        and so are the errors for malformed credentials and settings.
        """
        return self.accounts.verify(integration, user_id, credentials, additional_config)

    @without_frames
    def update_connection_credentials(
        self, integration: str, user_id: str, credentials: Mapping[str, object]
    ) -> PublicView:
        """Replace the credentials of a connection; raises the errors of `register_connection`."""
        return self.accounts.update_credentials(integration, user_id, credentials)

    def update_connection_config(
        self, integration: str, user_id: str, additional_config: Mapping[str, object]
    ) -> PublicView:
        """Replace the additional_config of a connection.

        Raises:
            ConnectionNotFound: the user has no connection.
        """
        return self.accounts.update_config(integration, user_id, additional_config)

    def delete_connection(self, integration: str, user_id: str, *, revoke: bool = True) -> None:
        """Delete a connection with its credentials, and revoke its tokens if the blueprint says how.

        The connection is deleted before the provider is asked. If the provider refuses, or does not respond
        within ten seconds, the failure is logged and emitted as the event `not_revoked`; no error is raised.

        Args:
            integration: any name. If it is no longer declared, nothing is revoked.
            user_id: the owner of the connection.
            revoke: False leaves the tokens valid, for a connection that moves elsewhere.

        Raises:
            ConnectionNotFound: the user has no connection.
        """
        self.accounts.delete(integration, user_id, revoke=revoke)

    def connection(self, integration: str, user_id: str) -> PublicView:
        """The public view: uuid, integration, user_id, dates, status and additional_config; no credentials.

        `refresh_expires_at` is when the login ends unless a token is refreshed before; None if unknown. Lists
        of connections do not have it, because it is read from the encrypted credentials.

        `status` is `active`, `needs_reauth` if the provider no longer accepts the credentials, or
        `needs_choice` if the user has logged in and an account has to be chosen; see `logins`.

        Raises:
            ConnectionNotFound: the user has no connection.
        """
        return self.accounts.get(integration, user_id)

    def connections_for_user(self, user_id: str) -> list[PublicView]:
        """The public views of a user's connections; [] if there are none."""
        return self.accounts.list_for_user(user_id)

    def connections_for_integration(self, integration: str) -> list[PublicView]:
        """The public views of an integration's connections, oldest first; [] if there are none.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
        """
        return self.accounts.list_for_integration(integration)

    def iter_connections(
        self, integration: str | None = None, *, after: tuple[str, str] | None = None
    ) -> Iterator[PublicView]:
        """The public views of the connections, by integration and user id, read 500 at a time.

        Args:
            integration: only its connections; by default all that are stored.
            after: integration and user id of the connection to continue after; by default from the first.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            ValueError: `after` is a connection of another integration.
        """
        return self.accounts.iterate(integration, after)

    def connect_session(
        self, user_id: str, integrations: Iterable[str] | None = None, *, lifetime_seconds: float = 1800,
        origin: str = "", user_label: str = "", return_url: str = "", language: str = "",
        choices: Mapping[str, Mapping[str, str]] | None = None,
    ) -> ConnectSession:  # fmt: skip
        """A link to the connect page, where one user may connect accounts.

        Args:
            user_id: the user who will own the connections.
            integrations: those that may be connected; all declared ones by default.
            lifetime_seconds: from one minute to a day.
            origin: the one of `config.connect_origins` that receives results; any of them by default.
            user_label: what the page calls the user, such as an email address.
            return_url: the page of your product that the connect page links back to. It is shown as it is:
                do not pass on what a browser sent.
            language: `en`, `de` or `fr`; by default the best of the browser's languages.
            choices: what to choose after a login, instead of the user, by integration and by name:
                `{"jira": {"cloud_id": "1324a887-45db-1bf4-1e99-ef0ff456d421"}}`.

        Raises:
            UnknownIntegration: integrations.yaml does not declare one of them.
            ValueError: the lifetime, the origin, the return URL, the language or a choice is not allowed.
            TypeError: an argument has the wrong type.
        """
        return self.accounts.create_session(
            user_id, integrations, lifetime_seconds=lifetime_seconds, origin=origin, user_label=user_label,
            return_url=return_url, language=language, choices=choices,
        )  # fmt: skip

    @without_frames
    def read_session(self, token: str) -> SessionClaims:
        """The claims in a session's token; raises ConnectFailed (`session_invalid`, `session_expired`)."""
        return self.accounts.read_session(token)

    @without_frames
    def export_connections(
        self, target: str | os.PathLike[str] | BinaryIO, key: str | Secret, *,
        integration: str | None = None, user_id: str | None = None,
    ) -> int:  # fmt: skip
        """Write connections to a file encrypted with `key`, and return how many (docs/moving.md).

        Args:
            target: a path, written atomically and readable by its owner only (0600), or a file opened for
                writing bytes. An older export at the path is replaced; any other file is not.
            key: 32 random bytes in base64, as `nango keys generate` prints them.
            integration: export only its connections.
            user_id: export only this user's connections.

        Raises:
            UnknownIntegration: integrations.yaml does not declare it.
            StorageError: the key is invalid, or the file cannot be written.
            TamperError: a stored connection was altered; no file was written.
        """
        from nango_py.transfer.exporting import write_export

        if integration is not None:
            self.services.integration(integration)
        return write_export(self.store, target, key, integration or "", user_id or "")

    @without_frames
    def import_connections(
        self, source: str | os.PathLike[str] | BinaryIO, key: str | Secret, *,
        on_existing: str = "refuse", dry_run: bool = False,
    ) -> ImportReport:  # fmt: skip
        """Store the connections of an export. The whole file is checked before anything is written.

        Identical connections that are stored already are left alone, so an interrupted import is finished
        by running it again.

        Args:
            source: a path, or a file opened for reading bytes.
            key: the key that the file was exported with.
            on_existing: what to do if the user has a different connection: "refuse" the whole import,
                "skip" this connection, or "replace" the stored one.
            dry_run: only check and count; the report lists the conflicts.

        Raises:
            ConfigError: an integration is not declared, credentials do not fit its auth mode, or a user has
                another connection. The error lists all of them; nothing was written.
            TamperError: the file was altered or truncated; nothing was written.
            StorageError: the key is wrong, the file is not an export, or the database failed.
        """
        from nango_py.transfer.importing import import_export

        try:
            return import_export(self._importer(on_existing, dry_run=dry_run), source, key)
        finally:
            self.services.cache.clear()

    @without_frames
    def import_from_nango(
        self, path: str | os.PathLike[str], *,
        names: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None,
        user_from: str = "connection_id", on_existing: str = "refuse", dry_run: bool = False,
    ) -> ImportReport:  # fmt: skip
        """Store connections saved from Nango's `GET /connections/:id`.

        Raises the errors of `import_connections`.

        Args:
            path: a file with one response, an array of them or one per line, or a folder of such files.
            names: the integration here by provider_config_key there, if they differ.
            fields: the name in additional_config here by "integration.name" of connection_config there, if
                they differ in more than case and underscores.
            user_from: which field becomes the user_id: "connection_id" or "end_user".
            on_existing: as in `import_connections`.
            dry_run: as in `import_connections`.
        """
        from nango_py.transfer.nango.translation import import_nango

        importer = self._importer(on_existing, dry_run=dry_run)
        try:
            return import_nango(importer, path, names or {}, fields or {}, user_from)
        finally:
            self.services.cache.clear()

    def _importer(self, on_existing: str, *, dry_run: bool) -> Importer:
        from nango_py.transfer.importing import Importer

        return Importer(self.store, self.configuration, on_existing, dry_run)

    def record(self, path: str | os.PathLike[str]) -> AbstractContextManager[None]:
        """Record the calls of a `with` block to a tape, without secrets (docs/testing.md).

        Raises:
            TapeError: another tape is in use; or, at the end, the file cannot be written.
        """
        from nango_py.tapes.recording import recording

        return recording(self.services, path)

    def replay(self, path: str | os.PathLike[str]) -> AbstractContextManager[None]:
        """Respond to the calls of a `with` block from a tape; nothing is sent.

        Raises:
            TapeError: the file is not a tape, a call is not on it, or calls are left over at the end.
        """
        from nango_py.tapes.recording import replaying

        return replaying(self.services, path)

    def on(self, event: str, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call `callback` for each event of a kind. Returns a function that removes the callback.

        Args:
            event: a kind of docs/retries.md, such as `attempt` or `action_finished`.
            callback: receives a frozen `nango_py.Event`. Exceptions that it raises are logged and ignored.

        Raises:
            ValueError: there is no such kind of event.
        """
        return self.services.events.on(event, callback)

    def finish_renewals_on_sigterm(self, seconds: float = 30.0) -> None:
        """On SIGTERM, let token refreshes in flight finish before the process ends.

        A provider that rotates refresh tokens has already invalidated the old one, so the new one must be
        stored. The previous signal handler runs afterwards; by default the process ends.

        Args:
            seconds: the longest wait.

        Raises:
            ValueError: this is not the main thread.
        """
        from nango_py.tokens.shutdown import SHUTDOWN

        SHUTDOWN.install(seconds)

    def asgi_app(self) -> ConnectServer:
        """The connect server as an ASGI application to mount in your own. Needs the extra `server`.

        If `config.oauth_server_root_url` has a path, the application responds below it, whether it is served
        on its own or mounted there: `Mount("/nango", nango.asgi_app())`. See docs/connect.md.

        Raises:
            NangoError: Starlette is not installed.
            ConfigError: a file is invalid.
        """
        from nango_py.server import open_connect_server

        return open_connect_server(self.accounts)
