"""One refresh of one connection's token, in a thread where nothing that happens to its callers reaches it.

A signal handler that raises, a cancelled task and an event loop that ends stop a caller, never the exchange:
a provider that rotates refresh tokens has already forgotten the old one.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.connections.owners import new_owner
from nango_py.errors import CredentialsError, StorageError, TamperError, printable
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.tokens.shutdown import SHUTDOWN
from nango_py.tokens.token_requests import refreshed_config, request_credentials, token_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection
    from nango_py.connections.lease import Leases
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.interfaces import IntegrationView
    from nango_py.json_types import Credentials
    from nango_py.tokens.endpoints import TokenEndpoint
    from nango_py.tokens.schedule import RefreshSchedule
    from nango_py.transport.sync_transport import Transport

LEASE_MARGIN_SECONDS = 10.0
"""By how much a lease outlives the token requests that it is for."""

EXPIRED = "its token has expired, and nothing can refresh it"
"""Why a connection ends without a refusal of its token endpoint."""

DONE, BUSY, UNAVAILABLE, REJECTED = "done", "busy", "unavailable", "rejected"
"""How a job ends: the result is final; another process refreshes the token; the endpoint cannot be asked; the
application is rejected."""


class RefreshTools:
    """What refresh jobs share.

    Args:
        get_store: returns the connection store.
        get_transport: returns what sends token requests.
        remember: called with each connection that a refresh ends with.
        schedule: when not to refresh.
        clock: the time.
        request_seconds: the time for all token requests of one refresh together.

    Attributes:
        lease_seconds: how long other machines wait for a process that died during a refresh.
    """

    def __init__(
        self,
        get_store: Callable[[], ConnectionStore],
        get_transport: Callable[[], Transport],
        remember: Callable[[Connection], None],
        schedule: RefreshSchedule,
        clock: Clock,
        request_seconds: float,
    ) -> None:
        self.request_seconds = request_seconds
        self.lease_seconds = request_seconds + LEASE_MARGIN_SECONDS
        self.get_store = get_store
        self.get_transport = get_transport
        self.remember = remember
        self.schedule = schedule
        self.clock = clock


class RefreshJob:
    """A refresh, and its result.

    Attributes:
        connection: whose token is refreshed, as the caller knew it.
        is_done: completed when the rest is final; its own result is always None.
        outcome: one of DONE, BUSY, UNAVAILABLE and REJECTED.
        result: with DONE, the newer connection.
        is_granted: whether the provider has granted the token of `result` now. It may be the old one again.
        error: with DONE, why there is none.
        can_be_repeated: with UNAVAILABLE, whether another request is safe and may succeed soon.
    """

    def __init__(
        self, runtime: IntegrationView, connection: Connection, endpoint: TokenEndpoint, tools: RefreshTools
    ) -> None:
        self.connection = connection
        self.is_done: Future[None] = Future()
        self.is_done.set_running_or_notify_cancel()  # so that no waiting task can cancel it
        self.outcome = DONE
        self.result: Connection | None = None
        self.error: BaseException | None = None
        self.can_be_repeated = True
        self.is_granted = False
        self._runtime = runtime
        self._key = connection.integration, connection.user_id
        self._endpoint = endpoint
        self._tools = tools
        self._owner = new_owner()
        self._has_lease = False
        self._kept: Connection | None = None

    def run(self) -> None:
        """Refresh the token. Nothing is raised."""
        try:
            self.result = self._refresh_with_lease()
            if self.result is not None:
                check_status(self.result)
                self._tools.remember(self.result)
        except BaseException as error:  # noqa: BLE001 - it is raised to the callers
            # The frames below sent requests that hold credentials; error trackers print what frames hold.
            self.error = error.with_traceback(None)

    def _refresh_with_lease(self) -> Connection | None:
        """Acquire the lease and refresh, or return what another process has stored."""
        store, seen = self._tools.get_store(), self.connection
        if not store.leases.acquire(seen, self._owner, self._tools.lease_seconds):
            current = store.get(*self._key)
            if self._is_newer(current):
                return current
            self.outcome = BUSY
            return None
        self._has_lease = True
        try:
            current = store.get(*self._key)
            return current if self._is_newer(current) else self._request_and_store(current)
        finally:
            if self._has_lease:
                with contextlib.suppress(StorageError):  # the lease expires; the result matters more
                    self._tools.get_store().leases.release(seen, self._owner)

    def _request_and_store(self, current: Connection) -> Connection | None:
        """Get new credentials and store them; None if the provider cannot be asked at present."""
        tools, refusal = self._tools, None
        if not SHUTDOWN.begin():
            self.outcome = BUSY
            return None
        try:
            context = token_context(self._runtime.integration, current, tools.clock.now())
            transport = tools.get_transport()
            try:
                credentials = request_credentials(
                    context,
                    tools.clock,
                    tools.request_seconds,
                    transport,
                    self._endpoint.take_repeat,
                    partial(self._store_kept, current),
                )
            except TokenUnavailable as error:
                self._note_unavailable(self._kept or current, error)
                return None
            except TokenRefused as error:
                refusal = error.with_traceback(None)
            else:
                self._endpoint.record_grant()
                tools.schedule.reset_backoff(current)
                return self._store_credentials(current, credentials)
            return self._handle_refusal(self._kept or current, refusal)
        finally:
            SHUTDOWN.finish()

    def _note_unavailable(self, current: Connection, error: TokenUnavailable) -> None:
        self.outcome = UNAVAILABLE
        is_unspent = error.is_unspent or self._kept is not None
        is_safe = is_unspent or not current.credentials.get("refresh_token")
        self.can_be_repeated = is_safe and not error.is_lasting
        self._endpoint.record_failure(current.uuid, error.retry_after)
        self._tools.schedule.back_off(current, error.retry_after)
        self._runtime.report_token(current, "token not refreshed", str(error))

    def _handle_refusal(self, current: Connection, refusal: TokenRefused) -> Connection | None:
        """Mark a connection whose grant has ended; a rejected application may be corrected later."""
        runtime, tools, endpoint = self._runtime, self._tools, self._endpoint
        ends = refusal.ends_connection
        if ends and not refusal.is_certain:
            ends = endpoint.is_believable(current.uuid)
        if not ends:
            self.outcome = REJECTED
            endpoint.record_failure(current.uuid, rejection=str(refusal))
            tools.schedule.back_off(current, None, rejection=str(refusal))
            runtime.report_token(current, "application rejected", str(refusal))
            return None
        endpoint.record_response()
        tools.schedule.reset_backoff(current)
        tools.schedule.record_refusal(current, refusal.reason)
        stored = self._write(lambda leases: leases.mark_needs_reauth(current, self._owner))
        if stored is None:
            return self._read_newer()
        tools.remember(stored)
        runtime.report_token(stored, NEEDS_REAUTH, refusal.reason)
        raise needs_reauth(stored, refusal.reason)

    def _is_newer(self, current: Connection) -> bool:
        """Whether there are other credentials than when the connection was read, and they are sufficient."""
        check_status(current, self._tools.schedule.refusal(current))
        is_ready = mode_of(self._runtime.integration).is_ready(current.credentials)
        return is_ready and is_changed(current, self.connection)

    def _read_newer(self) -> Connection | None:
        """The stored connection after the lease was lost; BUSY if its new owner is still refreshing."""
        found = self._tools.get_store().get(*self._key)
        if self._is_newer(found):
            return found
        self.outcome = BUSY
        return None

    def _store_kept(self, current: Connection, credentials: Credentials) -> None:
        """Store what a refresh token was exchanged for, though a later request of the refresh fails.

        The connection has no access token then, so its next call refreshes it.
        """
        stored = self._write(lambda leases: leases.store_refreshed(current, self._owner, credentials))
        if stored is not None:
            self._kept = stored
            self._tools.remember(stored)
            leases = self._tools.get_store().leases
            self._has_lease = leases.acquire(stored, self._owner, self._tools.lease_seconds)

    def _store_credentials(self, current: Connection, credentials: Credentials) -> Connection | None:
        """Write new credentials, and return the connection as it is stored then."""
        while True:
            stored = self._write(partial(self._store, current, credentials))
            if stored is not None:
                self.is_granted = True
                self._runtime.report_token(stored, "token refreshed")
                return stored
            found = self._tools.get_store().get(*self._key)
            if self._is_newer(found) or found.generation == current.generation:
                # The lease was lost, or the credentials were replaced; the stored ones are the newer ones.
                return self._read_newer()
            current = found  # only settings were changed, which must not lose a token

    def _store(self, current: Connection, credentials: Credentials, leases: Leases) -> Connection | None:
        config = refreshed_config(self._runtime.integration, current, credentials)
        return leases.store_refreshed(current, self._owner, credentials, config)

    def _write(self, write: Callable[[Leases], Connection | None]) -> Connection | None:
        """Write what the provider decided; retried while the store fails, as it cannot be asked again."""
        clock, pause = self._tools.clock, 0.05
        until = clock.monotonic() + self._tools.request_seconds
        while True:
            try:
                stored = write(self._tools.get_store().leases)
            except TamperError:
                raise
            except StorageError:
                if clock.monotonic() + pause > until:
                    raise
            else:
                self._has_lease = self._has_lease and stored is None  # the write releases the lease
                return stored
            clock.sleep(pause)
            pause = min(pause * 2, 2.0)


def is_changed(current: Connection, seen: Connection) -> bool:
    """Whether two states of a connection have different credentials."""
    return current.uuid != seen.uuid or current.credentials != seen.credentials


def check_status(connection: Connection, reason: str = "") -> None:
    """Raise a CredentialsError if the user must connect again."""
    if connection.status == NEEDS_REAUTH:
        raise needs_reauth(connection, reason)


def needs_reauth(connection: Connection, reason: str = "") -> CredentialsError:
    """The error if a connection's credentials are refused."""
    name = f"{connection.integration}/{printable(connection.user_id)}"
    text = f"{name}: the provider no longer accepts these credentials{f' ({reason})' if reason else ''}"
    return CredentialsError(
        f"{text}; the user must connect again",
        integration=connection.integration,
        user_id=connection.user_id,
    )


def application_rejected(connection: Connection, reason: str) -> CredentialsError:
    """The error if the application's own credentials are rejected, which its users cannot correct."""
    name = connection.integration
    text = (
        f"{name}: the provider rejects the application: {reason}; correct the integration's own credentials"
    )
    return CredentialsError(text, integration=name, user_id=connection.user_id)
