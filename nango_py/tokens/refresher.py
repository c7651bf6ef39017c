"""Token refresh: before expiry, once for any number of callers, and without losing a token.

- One refresh at a time for a connection, over threads, tasks, processes and machines. In a process the first
  caller starts it and the others wait; between processes a lease decides (`nango_py.connections.lease`).
- It runs in a separate thread (`nango_py.tokens.refresh_job`). A caller leaves at its deadline; the refresh
  goes on, and a process that ends waits for it.
- The lease outlives the deadline of the token requests, and a write after the lease was lost is refused.
- New credentials are durable before they are used.
- A crash between request and write leaves the old refresh token, which the next caller tries once; the
  provider's reply to that is final.
- A final refusal marks the connection `needs_reauth`, unless a newer token was stored in the meantime.
  Everything else is temporary, and the old token is used until it expires.
- Callers of one token endpoint share its breaker, gate and places (`nango_py.tokens.endpoints`).
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import wait
from typing import TYPE_CHECKING

from nango_py.auth.base import mode_of
from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.connections.owners import new_owner
from nango_py.errors import CredentialsError, DeadlineExceeded
from nango_py.secret import reveal
from nango_py.tokens.endpoints import FULL_SECONDS, TokenEndpoints
from nango_py.tokens.refresh_job import (
    BUSY,
    DONE,
    EXPIRED,
    REJECTED,
    UNAVAILABLE,
    RefreshJob,
    RefreshTools,
    application_rejected,
    check_status,
    is_changed,
    needs_reauth,
)
from nango_py.tokens.schedule import RefreshSchedule
from nango_py.tokens.token_requests import token_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.interfaces import CallIO, IntegrationView, TokenLifetime
    from nango_py.tokens.endpoints import TokenEndpoint
    from nango_py.transport.sync_transport import Transport

    ConnectionKey = tuple[str, str]  # integration and user

OTHER_PROCESS_SECONDS = 1.0
"""How long not to ask again for a lease that another process holds, while the old token is valid."""

LONGEST_PAUSE_SECONDS = 0.5
"""How often a waiting call asks whether it may go on."""

LONGEST_EARLY_WAIT_SECONDS = 10.0
"""How long a call waits for a refresh while the old token is valid; at most half of its time."""


class _Caller:
    """One caller that needs a token: what it knows and until when it waits."""

    def __init__(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        is_refused: bool,
    ) -> None:
        self.runtime = runtime
        self.connection = connection
        self.key: ConnectionKey = (connection.integration, connection.user_id)
        self.deadline = deadline
        self.io = io
        self.is_refused = is_refused
        self.pause = 0.02


class LeasedTokenRefresher:
    """Refreshes the tokens of stored connections; safe to share between threads and tasks.

    Args:
        get_store: returns the connection store.
        get_transport: returns what sends token requests.
        remember: called with each connection that a refresh ends with.
        clock: the time.
        request_seconds: the time for all token requests of one refresh together.

    Attributes:
        schedule: when tokens expire, and which not to refresh at present.
        tools: what all refreshes use; has the times for token requests and leases.
    """

    def __init__(
        self,
        get_store: Callable[[], ConnectionStore],
        get_transport: Callable[[], Transport],
        remember: Callable[[Connection], None],
        clock: Clock,
        request_seconds: float = 20.0,
    ) -> None:
        self.schedule = RefreshSchedule(clock)
        self.tools = RefreshTools(get_store, get_transport, remember, self.schedule, clock, request_seconds)
        self._clock = clock
        self._forget_threads()

    def _forget_threads(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._jobs: dict[ConnectionKey, RefreshJob] = {}
        self._endpoints = TokenEndpoints(self._clock)

    def wait_for_jobs(self) -> None:
        """Return when all refreshes that run in this process have ended."""
        wait(self.running_refreshes(), timeout=self.tools.lease_seconds)

    def running_refreshes(self) -> list[Future[None]]:
        """The refreshes that run in this process; each is done when the refresh has ended."""
        if self._pid != os.getpid():
            return []
        return [job.is_done for job in tuple(self._jobs.values())]

    def lifetime(self, integration: Integration, connection: Connection) -> TokenLifetime | None:
        """The lifetime of the connection's token, as in `TokenRefresher`."""
        check_status(connection, self.schedule.refusal(connection))
        mode = mode_of(integration)
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

    def has_ended(self, settings: BoundRequestSettings) -> bool:
        """Whether the token has expired and cannot be refreshed."""
        is_expired = self.schedule.is_expired(settings.integration, settings.connection)
        return is_expired and not self.can_refresh(settings)

    async def refresh(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        is_refused: bool = False,
    ) -> Connection | None:
        """A newer connection or None, as in `TokenRefresher`; it goes on if the caller leaves.

        While the old token is valid, the refresh of another caller is not waited for, and the result is None.

        Raises:
            ConnectionNotFound: the connection was deleted in the meantime.
        """
        if is_refused and self.schedule.was_just_replaced(connection):
            return None
        if self._pid != os.getpid():  # the parent's threads do not exist in a forked child
            self._forget_threads()
        caller = _Caller(runtime, connection, deadline, io, is_refused=is_refused)
        context = token_context(runtime.integration, connection, self._clock.now())
        mode = mode_of(runtime.integration)
        if not mode.can_refresh(context.credentials, context.settings):
            await self._end(caller)
            return None
        endpoint = self._endpoints.of(connection.integration, context)
        del context
        must_wait = self._must_wait(caller)
        refreshed = await self._refresh(caller, endpoint)
        if refreshed is None and not must_wait and self._must_wait(caller):  # it has expired since
            refreshed = await self._refresh(caller, endpoint)
        if refreshed is not None and is_refused:
            self.schedule.record_replacement(refreshed)
        return refreshed

    async def _refresh(self, caller: _Caller, endpoint: TokenEndpoint) -> Connection | None:
        """Start a refresh or follow the running one, until there is a newer token or none to wait for."""
        while True:
            must_wait = self._must_wait(caller)
            job, is_own, seconds = self._jobs.get(caller.key), False, 0.0
            if job is None:
                job, is_own, seconds = self._start_if_allowed(caller, endpoint, must_wait=must_wait)
            elif not must_wait:
                return None
            if job is None:
                if not must_wait or endpoint.is_down or not await self._wait(caller, seconds):
                    return None
                continue
            if not await self._follow(caller, job, must_wait=must_wait):
                return None
            if job.error is not None:
                _raise_error(job, is_own=is_own)
            elif job.result is not None and (job.is_granted or is_changed(job.result, caller.connection)):
                return job.result
            elif not await self._may_go_on(caller, job, endpoint):
                return None

    def _start_if_allowed(
        self, caller: _Caller, endpoint: TokenEndpoint, *, must_wait: bool
    ) -> tuple[RefreshJob | None, bool, float]:
        """A refresh, and whether it is the caller's; or None, and seconds after which to ask again."""
        job, is_own = None, False
        try:
            seconds = self._seconds_to_wait(caller, endpoint, must_wait=must_wait)
            if seconds <= 0:
                job, is_own = self._start(caller, endpoint)
        finally:
            if not is_own:  # a signal handler may raise after the place was taken
                endpoint.leave(caller)
        return job, is_own, seconds

    def _must_wait(self, caller: _Caller) -> bool:
        """Whether the old token is of no use."""
        return caller.is_refused or self.schedule.is_expired(caller.runtime.integration, caller.connection)

    def _seconds_to_wait(self, caller: _Caller, endpoint: TokenEndpoint, *, must_wait: bool) -> float:
        """0.0 if a refresh may start, which then has a place at the endpoint; else when to ask again.

        Raises:
            CredentialsError: the provider rejects the application.
        """
        connection, schedule = caller.connection, self.schedule
        seconds = schedule.pause_left(connection, endpoint, after_failures_only=must_wait)
        rejection = schedule.rejection(connection) if seconds else ""
        if not seconds:
            seconds = endpoint.enter(caller)
            rejection = endpoint.rejection if seconds else ""
        if rejection and must_wait:
            raise application_rejected(connection, rejection)
        return seconds

    async def _wait(self, caller: _Caller, seconds: float) -> bool:
        """Wait before asking again; False if the caller's time does not suffice."""
        if self._clock.monotonic() + max(seconds, caller.pause) > caller.deadline:
            return False
        await caller.io.wait(caller.pause if seconds <= FULL_SECONDS else min(seconds, LONGEST_PAUSE_SECONDS))
        caller.pause = min(caller.pause * 1.5, LONGEST_PAUSE_SECONDS)
        return True

    def _start(self, caller: _Caller, endpoint: TokenEndpoint) -> tuple[RefreshJob, bool]:
        """Start a refresh, which has a place at the endpoint; or follow one that was started just now."""
        key, connection = caller.key, caller.connection
        job = RefreshJob(caller.runtime, connection, endpoint, self.tools)

        def run() -> None:
            if job.is_done.done():  # given up below
                return
            try:
                job.run()
            finally:
                endpoint.leave(caller)
                self._jobs.pop(key, None)
                job.is_done.set_result(None)

        # Not a daemon: a program that ends waits until the new token is stored.
        thread = threading.Thread(target=run, name="nango_py token refresh", daemon=False)
        try:
            with self._lock:
                running = self._jobs.setdefault(key, job)
            if running is not job:
                return running, False
            thread.start()
        except RuntimeError:  # the program ends, or has no threads left
            run()
        except BaseException:  # raised by a signal handler
            if thread.ident is None:
                if self._jobs.get(key) is job:
                    del self._jobs[key]
                job.outcome = BUSY
                job.is_done.set_result(None)
            raise
        return job, True

    async def _follow(self, caller: _Caller, job: RefreshJob, *, must_wait: bool) -> bool:
        """Wait for a refresh; False if the caller goes on with the old token.

        Raises:
            DeadlineExceeded: the caller's time is over.
        """
        seconds = caller.deadline - self._clock.monotonic()
        if not must_wait:
            seconds = min(seconds / 2, LONGEST_EARLY_WAIT_SECONDS)
        if await caller.io.join(job.is_done, max(seconds, 0.0)):
            return True
        if must_wait:
            text = "the token is still being refreshed at the deadline; the refresh goes on"
            raise DeadlineExceeded(f"{caller.connection.integration}: {text}")
        return False

    async def _may_go_on(self, caller: _Caller, job: RefreshJob, endpoint: TokenEndpoint) -> bool:
        """Whether to try again after a refresh that brought nothing."""
        must_wait, seen = self._must_wait(caller), caller.connection
        if job.outcome == REJECTED and must_wait:
            raise application_rejected(seen, self.schedule.rejection(seen) or endpoint.rejection)
        if job.outcome == BUSY and not must_wait:
            self.schedule.pause(seen, OTHER_PROCESS_SECONDS)
        if not must_wait or (job.outcome == UNAVAILABLE and not job.can_be_repeated):
            return False
        if job.outcome == DONE:
            return True
        if job.outcome == UNAVAILABLE:
            return not endpoint.is_down
        if not await self._wait(caller, caller.pause):
            text = "another process is still refreshing the token at the deadline"
            raise DeadlineExceeded(f"{seen.integration}: {text}")
        return True

    async def _end(self, caller: _Caller) -> None:
        """Mark a connection whose token has expired, was refused, and cannot be refreshed.

        Raises:
            CredentialsError: it is marked.
        """
        connection = caller.connection
        if not caller.is_refused or not self._must_wait(caller):
            return
        stored = await caller.io.ask_store(self._mark_expired, connection)
        if stored is None:
            return
        self.tools.remember(stored)
        self.schedule.record_refusal(connection, EXPIRED)
        caller.runtime.report_token(stored, NEEDS_REAUTH, EXPIRED)
        raise needs_reauth(stored, EXPIRED)

    def _mark_expired(self, connection: Connection) -> Connection | None:
        leases, owner = self.tools.get_store().leases, new_owner()
        if not leases.acquire(connection, owner, self.tools.lease_seconds):
            return None
        stored = leases.mark_needs_reauth(connection, owner)
        if stored is None:
            leases.release(connection, owner)
        return stored


def _raise_error(job: RefreshJob, *, is_own: bool) -> None:
    """Raise the error of a refresh. Others than the caller that started it try again, unless it is final."""
    error = job.error
    if is_own and error is not None:
        raise error
    if isinstance(error, CredentialsError):
        raise CredentialsError(str(error), integration=error.integration, user_id=error.user_id)
