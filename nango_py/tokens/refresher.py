"""Token refresh: before expiry, once for any number of callers, and without losing a token.

- One refresh at a time for a connection, over threads, tasks, processes and machines. In a process the first
  caller refreshes and the others wait; between processes a lease decides (`nango_py.connections.lease`).
- The lease outlives the deadline of the token requests, and a write after the lease was lost is refused.
- New credentials are durable before they are used.
- A crash between request and write leaves the old refresh token, which the next caller tries once; the
  provider's reply to that is final.
- A final refusal marks the connection `needs_reauth`, unless a newer token was stored in the meantime.
  Everything else is temporary, and the old token is used until it expires.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from typing import TYPE_CHECKING, ParamSpec

from nango_py.auth.base import get_auth_mode
from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.errors import (
    CredentialsError,
    DeadlineExceeded,
    NangoError,
    StorageError,
    TamperError,
    printable,
)
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.secret import reveal
from nango_py.tokens.schedule import RefreshSchedule
from nango_py.tokens.shutdown import SHUTDOWN
from nango_py.tokens.token_requests import request_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.interfaces import CallIO, IntegrationView, Tasks, TokenLifetime
    from nango_py.json_types import Credentials

    ConnectionKey = tuple[str, str]  # integration and user

P = ParamSpec("P")

TOKEN_REQUEST_SECONDS = 20.0
LEASE_SECONDS = TOKEN_REQUEST_SECONDS + 10.0
OTHER_PROCESS_SECONDS = 1.0
"""How long not to ask again for a lease that another process holds, while the old token is valid."""


class RefreshAttempt:
    """One caller's attempt to refresh a connection's token, and its result.

    Attributes:
        must_wait: whether to wait for other callers; False while the old token is valid.
        owner: the name under which it acquires the lease.
        has_lease: whether it holds the lease.
        has_waited: whether another caller refreshed the token before.
        is_finished: whether `result` and `refusal` are final.
        result: the newer connection, if there is one.
        refusal: the message of a final refusal by the provider, or None.
    """

    def __init__(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        must_wait: bool,
    ) -> None:
        self.runtime = runtime
        self.connection = connection
        self.key: ConnectionKey = (connection.integration, connection.user_id)
        self.deadline = deadline
        self.must_wait = must_wait
        self.io = io
        self.owner = uuid.uuid4().hex
        self.has_lease = False
        self.has_waited = False
        self.is_finished = False
        self.result: Connection | None = None
        self.refusal: str | None = None


class LeasedTokenRefresher:
    """Refreshes the tokens of stored connections; safe to share between threads and tasks.

    Args:
        get_store: returns the connection store.
        remember: called with each connection that a refresh ends with.
        clock: the time.

    Attributes:
        request_seconds: the time for all token requests of one refresh together.
        lease_seconds: how long others wait for a process that died during a refresh; more than
            `request_seconds`.
        schedule: when tokens expire, and which not to refresh at present.
        tasks: the refreshes that run in event loops.
    """

    def __init__(
        self, get_store: Callable[[], ConnectionStore], remember: Callable[[Connection], None], clock: Clock
    ) -> None:
        self.request_seconds = TOKEN_REQUEST_SECONDS
        self.lease_seconds = LEASE_SECONDS
        self.schedule = RefreshSchedule(clock)
        self.tasks: Tasks = set()
        self._get_store = get_store
        self._remember = remember
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._leaders: dict[ConnectionKey, RefreshAttempt] = {}

    async def wait_for_tasks(self) -> None:
        """Return when all refreshes that run in this event loop have ended."""
        import asyncio

        loop = asyncio.get_running_loop()
        tasks = [task for task in tuple(self.tasks) if task.get_loop() is loop]
        if tasks:
            await asyncio.wait(tasks, timeout=self.lease_seconds)

    def lifetime(self, integration: Integration, connection: Connection) -> TokenLifetime | None:
        """The lifetime of the connection's token, as in `TokenRefresher`."""
        _check_status(connection)
        mode = get_auth_mode(integration.auth_mode)
        if not mode.can_refresh(reveal(connection.credentials), integration.settings["auth"]):
            return None
        return self.schedule.lifetime(integration, connection)

    def is_due(self, lifetime: TokenLifetime) -> bool:
        """Whether to refresh the token before using it."""
        return self.schedule.is_past(lifetime, lifetime.refresh_at)

    def has_expired(self, integration: Integration, connection: Connection) -> bool:
        """Whether the token can no longer be used."""
        return self.schedule.is_expired(integration, connection)

    def can_refresh(self, settings: BoundRequestSettings) -> bool:
        """Whether the auth mode can replace a refused token."""
        credentials = reveal(settings.connection.credentials)
        return settings.mode.can_refresh(credentials, settings.auth_settings)

    async def refresh(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        is_refused: bool = False,
    ) -> Connection | None:
        """A newer connection or None, as in `TokenRefresher`; finished even if the caller is cancelled.

        While the old token is valid, the refresh of another caller is not waited for, and the result is None.

        Raises:
            ConnectionNotFound: the connection was deleted in the meantime.
        """
        if is_refused and self.schedule.was_just_replaced(connection):
            return None
        must_wait = is_refused or self.schedule.is_expired(runtime.integration, connection)
        attempt = RefreshAttempt(runtime, connection, deadline, io, must_wait=must_wait)
        return await io.finish(self._refresh(attempt, is_refused=is_refused), self.tasks)

    async def _refresh(self, attempt: RefreshAttempt, *, is_refused: bool) -> Connection | None:
        """Follow the caller that is refreshing the token in this process, or become that caller."""
        seen = attempt.connection
        while (leader := self._leader(attempt)) is not attempt:
            if not attempt.must_wait:
                return None
            await self._wait_for(leader, attempt)
            if leader.refusal is not None:
                raise CredentialsError(leader.refusal, integration=seen.integration, user_id=seen.user_id)
            if leader.result is not None and is_newer(leader.result, seen):
                return leader.result
        try:
            attempt.result = await self._refresh_with_lease(attempt)
            if attempt.result is not None:
                _check_status(attempt.result)
                self._remember(attempt.result)
                if is_refused:
                    self.schedule.record_replacement(attempt.result)
            return attempt.result  # noqa: TRY300 - the attempt is finished afterwards
        except NangoError as error:
            # The frames below sent requests that hold credentials; error trackers print what frames hold.
            failure = error.with_traceback(None)
            attempt.refusal = str(error) if isinstance(error, CredentialsError) else None
        finally:
            with self._lock:
                self._leaders.pop(attempt.key, None)
            attempt.is_finished = True
        raise failure

    def _leader(self, attempt: RefreshAttempt) -> RefreshAttempt:
        """The attempt that refreshes the token in this process; the given one if there is no other."""
        if self._pid != os.getpid():  # the parent's threads do not exist in a forked child
            self._leaders, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        with self._lock:
            return self._leaders.setdefault(attempt.key, attempt)

    async def _wait_for(self, leader: RefreshAttempt, attempt: RefreshAttempt) -> None:
        pause = 0.005
        while not leader.is_finished:
            await self._wait(attempt, pause, "another call is still refreshing the token")
            pause = min(pause * 1.5, 0.1)
        attempt.has_waited = True

    async def _refresh_with_lease(self, attempt: RefreshAttempt) -> Connection | None:
        """Acquire the lease and refresh, or return what another process has stored."""
        store, seen = self._get_store(), attempt.connection
        if self.schedule.is_paused(seen, after_failures_only=attempt.must_wait):
            if attempt.must_wait and (rejection := self.schedule.rejection(seen)):
                raise _application_rejected(seen, rejection)
            return None
        if attempt.has_waited:
            current = await attempt.io.ask_store(store.get, *attempt.key)
            if is_newer(current, seen):
                return current
        pause = 0.02
        while not await attempt.io.ask_store(store.leases.acquire, seen, attempt.owner, self.lease_seconds):
            current = await attempt.io.ask_store(store.get, *attempt.key)
            if is_newer(current, seen):
                return current
            if not attempt.must_wait:
                self.schedule.pause(seen, OTHER_PROCESS_SECONDS)
                return None
            await self._wait(attempt, pause, "another process is still refreshing the token")
            pause = min(pause * 1.5, 0.25)
        attempt.has_lease = True
        connection = await self._use_lease(attempt)
        if connection is None or is_newer(connection, seen):
            return connection
        # The lease was lost, and its new owner is still refreshing.
        await self._wait(attempt, 0.1, "another process is still refreshing the token")
        attempt.has_waited = True
        return await self._refresh_with_lease(attempt)

    async def _use_lease(self, attempt: RefreshAttempt) -> Connection | None:
        """Read the connection again, refresh it, and release the lease."""
        try:
            current = await attempt.io.ask_store(self._get_store().get, *attempt.key)
            is_refreshed = is_newer(current, attempt.connection)
            connection = current if is_refreshed else await self._request_and_store(attempt, current)
        except GeneratorExit:
            raise  # the event loop has ended: nothing can be awaited, and the lease expires
        except BaseException:
            await self._release_lease(attempt)
            raise
        await self._release_lease(attempt)
        return connection

    async def _release_lease(self, attempt: RefreshAttempt) -> None:
        if attempt.has_lease:
            attempt.has_lease = False
            with contextlib.suppress(StorageError):  # the lease expires; the result matters more
                await attempt.io.ask_store(
                    self._get_store().leases.release, attempt.connection, attempt.owner
                )

    async def _wait(self, attempt: RefreshAttempt, seconds: float, reason: str) -> None:
        if self._clock.monotonic() + seconds > attempt.deadline:
            raise DeadlineExceeded(f"{attempt.connection.integration}: {reason}")
        await attempt.io.wait(seconds)

    async def _request_and_store(self, attempt: RefreshAttempt, current: Connection) -> Connection | None:
        """Get new credentials and store them; None if the provider cannot be asked at present."""
        while not SHUTDOWN.begin():
            await self._wait(attempt, 0.05, "the process is shutting down")
        try:
            try:
                credentials = await request_credentials(
                    attempt.runtime.integration, current, self._clock, self.request_seconds, attempt.io
                )
            except TokenUnavailable as error:
                self.schedule.back_off(current, error.retry_after)
                attempt.runtime.report_token(current, "token not refreshed", str(error))
                return None
            except TokenRefused as error:
                refusal = error.with_traceback(None)
            else:
                self.schedule.reset_backoff(current)
                return await self._store_credentials(attempt, current, credentials)
            return await self._handle_refusal(attempt, current, refusal)
        finally:
            SHUTDOWN.finish()

    async def _handle_refusal(
        self, attempt: RefreshAttempt, current: Connection, refusal: TokenRefused
    ) -> Connection | None:
        """Mark a connection whose grant has ended; a rejected application may be corrected later."""
        runtime = attempt.runtime
        if not refusal.ends_connection:
            self.schedule.back_off(current, None, rejection=str(refusal))
            runtime.report_token(current, "application rejected", str(refusal))
            if attempt.must_wait:
                raise _application_rejected(current, str(refusal))
            return None
        self.schedule.reset_backoff(current)
        stored = await self._write(
            attempt, self._get_store().leases.mark_needs_reauth, current, attempt.owner
        )
        if stored is None:
            return await attempt.io.ask_store(self._get_store().get, *attempt.key)
        runtime.report_token(stored, NEEDS_REAUTH, refusal.code or str(refusal))
        raise _needs_reauth(stored, refusal.code)

    async def _store_credentials(
        self, attempt: RefreshAttempt, current: Connection, credentials: Credentials
    ) -> Connection:
        """Write new credentials, and return the connection as it is stored then."""
        store = self._get_store()
        while True:
            write = store.leases.store_refreshed
            stored = await self._write(attempt, write, current, attempt.owner, credentials)
            if stored is not None:
                attempt.runtime.report_token(stored, "token refreshed")
                return stored
            found = await attempt.io.ask_store(store.get, *attempt.key)
            if is_newer(found, current) or found.generation == current.generation:
                # The lease was lost, or the credentials were replaced; the stored ones are the newer ones.
                return found
            current = found  # only settings were changed, which must not lose a token

    async def _write(
        self,
        attempt: RefreshAttempt,
        write: Callable[P, Connection | None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Connection | None:
        """Write what the provider decided; retried while the store fails, as it cannot be asked again."""
        until, pause = self._clock.monotonic() + self.request_seconds, 0.05
        while True:
            try:
                stored = await attempt.io.ask_store(write, *args, **kwargs)
            except TamperError:
                raise
            except StorageError:
                if self._clock.monotonic() + pause > until:
                    raise
            else:
                attempt.has_lease = attempt.has_lease and stored is None  # the write releases the lease
                return stored
            await attempt.io.wait(pause)
            pause = min(pause * 2, 2.0)


def is_newer(current: Connection, seen: Connection) -> bool:
    """Whether the credentials, and not only the settings, have changed since a connection was read.

    Raises:
        CredentialsError: the provider has refused them in the meantime.
    """
    _check_status(current)
    return current.uuid != seen.uuid or current.credentials != seen.credentials


def _check_status(connection: Connection) -> None:
    if connection.status == NEEDS_REAUTH:
        raise _needs_reauth(connection)


def _needs_reauth(connection: Connection, reason: str = "") -> CredentialsError:
    name = f"{connection.integration}/{printable(connection.user_id)}"
    text = f"{name}: the provider no longer accepts these credentials{f' ({reason})' if reason else ''}"
    return CredentialsError(
        f"{text}; the user must connect again",
        integration=connection.integration,
        user_id=connection.user_id,
    )


def _application_rejected(connection: Connection, reason: str) -> CredentialsError:
    """The error if the application's own credentials are rejected, which its users cannot correct."""
    name = connection.integration
    text = (
        f"{name}: the provider rejects the application: {reason}; correct the integration's own credentials"
    )
    return CredentialsError(text, integration=name, user_id=connection.user_id)
