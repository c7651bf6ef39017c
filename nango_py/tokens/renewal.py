"""The life of a token: renewed before it ends, once for any number of callers, and never lost by our fault.

A renewal is a coroutine that waits, sends and asks the store through `CallIO`. What it promises:

- one renewal at a time for a connection, over threads, tasks, processes and machines: in a process the first
  caller renews and the others wait; between processes a lease decides (`nango_py.connections.lease`);
- the lease outlives the token call's own deadline, and a write after it was lost is refused;
- the new credentials are durable before anybody uses them;
- a crash between sending and storing leaves the old refresh token, which the next caller tries once; what the
  provider then says is final;
- a final refusal marks the connection `needs_reauth`, unless somebody stored a newer token meanwhile; all
  else is transient, and the old token is used while it lives.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, ParamSpec

from nango_py.auth.base import get_auth_mode
from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.errors import CredentialsError, DeadlineExceeded, NangoError, StorageError, TamperError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.secret import reveal
from nango_py.tokens.expiry import TokenMemory
from nango_py.tokens.refresh_attempt import RefreshAttempt
from nango_py.tokens.refusals import check_usable, client_refused, is_newer, needs_reauth
from nango_py.tokens.shutdown import SHUTDOWN
from nango_py.tokens.token_requests import request_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.bound_settings import BoundRequestSettings
    from nango_py.engine.interfaces import CallIO, IntegrationView, Tasks, TokenSpan
    from nango_py.tokens.refresh_attempt import Key

P = ParamSpec("P")

TOKEN_CALL_SECONDS = 20.0
LEASE_SECONDS = TOKEN_CALL_SECONDS + 10.0
"""So long do others wait for a process that was killed in a renewal, where the old token has ended."""

SIBLING_SECONDS = 1.0
"""How long nobody asks again for a lease that another process has, while the old token lives."""


class TokenLife:
    """The renewals of one process, over all its connections. Safe to share between threads and tasks.

    Args:
        store: gives the connection store.
        remember: told of the connection that a renewal ended with.
        clock: the time.

    Attributes:
        call_seconds: the time for all token requests of one renewal together.
        lease_seconds: how long others wait for a process that died in a renewal; more than `call_seconds`.
        memory: when tokens end, and which are not to be renewed at present.
        tasks: the renewals that run in event loops.
    """

    def __init__(
        self, store: Callable[[], ConnectionStore], remember: Callable[[Connection], None], clock: Clock
    ) -> None:
        self.call_seconds = TOKEN_CALL_SECONDS
        self.lease_seconds = LEASE_SECONDS
        self.memory = TokenMemory(clock)
        self._store = store
        self._remember = remember
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._busy: dict[Key, RefreshAttempt] = {}
        self.tasks: Tasks = set()

    async def finished(self) -> None:
        """Return when the renewals that run in this event loop have ended, whoever asked for them."""
        import asyncio

        loop = asyncio.get_running_loop()
        mine = [task for task in tuple(self.tasks) if task.get_loop() is loop]
        if mine:
            await asyncio.wait(mine, timeout=self.lease_seconds)

    def span(self, integration: Integration, connection: Connection) -> TokenSpan | None:
        """The lifetime of the connection's token; None if it cannot be refreshed.

        Raises:
            CredentialsError: the provider has refused the credentials; the user must connect again.
        """
        check_usable(connection)
        mode = get_auth_mode(integration.auth_mode)
        if not mode.can_renew(reveal(connection.credentials), integration.settings["auth"]):
            return None
        return self.memory.span(integration, connection)

    def is_due(self, span: TokenSpan) -> bool:
        """Whether to refresh the token before using it."""
        return self.memory.is_past(span, span.due)

    def has_expired(self, integration: Integration, connection: Connection) -> bool:
        """Whether the token can no longer be used."""
        return self.memory.has_ended(integration, connection)

    def can_refresh(self, settings: BoundRequestSettings) -> bool:
        """Whether a refused token can be replaced, and is not itself the replacement of one."""
        credentials = reveal(settings.connection.credentials)
        return settings.mode.can_renew(credentials, settings.auth_settings)

    async def refresh(
        self,
        runtime: IntegrationView,
        connection: Connection,
        deadline: float,
        io: CallIO,
        *,
        is_refused: bool = False,
    ) -> Connection | None:
        """A newer connection, or None if there is none at present; finished even if the caller is cancelled.

        While the old token is valid nobody waits for another caller's refresh: the result is None then too.

        Args:
            runtime: its integration says how to refresh; it logs the result.
            connection: whose token is due, or was refused.
            deadline: when the caller gives up, by the monotonic clock.
            io: how to send and wait.
            is_refused: the API refused the token, whatever its lifetime.

        Raises:
            CredentialsError: the provider has refused the credentials; the user must connect again.
            DeadlineExceeded: another caller is still refreshing the token.
            ConnectionNotFound: the connection was deleted in the meantime.
        """
        if is_refused and self.memory.is_forced(connection):
            return None
        steps = self._refresh(runtime, connection, deadline, io, forced=is_refused)
        return await io.finish(steps, self.tasks)

    async def _refresh(
        self, route: IntegrationView, seen: Connection, deadline: float, io: CallIO, *, forced: bool
    ) -> Connection | None:
        patient = forced or self.memory.has_ended(route.integration, seen)
        turn = RefreshAttempt(route, seen, deadline, patient, io)
        pause = 0.005
        while (ahead := self._ahead(turn)) is not None:
            if not patient:
                return None
            while not ahead.is_over:
                await self._pause(turn, pause, "another call is still renewing the token")
                pause = min(pause * 1.5, 0.1)
            turn.has_waited = True
            if ahead.refusal is not None:
                raise CredentialsError(ahead.refusal, integration=seen.integration, user_id=seen.user_id)
            if ahead.found is not None and is_newer(ahead.found, seen):
                return ahead.found
        try:
            turn.found = await self._alone(turn)
            if turn.found is not None:
                check_usable(turn.found)
                self._remember(turn.found)
                if forced:
                    self.memory.was_forced(turn.found)
            return turn.found  # noqa: TRY300 - the turn ends after it
        except NangoError as error:
            # The frames below drove requests that hold credentials; error trackers print what frames hold.
            failed = error.with_traceback(None)
            turn.refusal = str(error) if isinstance(error, CredentialsError) else None
        finally:
            with self._lock:
                self._busy.pop(turn.key, None)
            turn.is_over = True
        raise failed

    def _ahead(self, turn: RefreshAttempt) -> RefreshAttempt | None:
        """Whoever has the turn for this connection in this process; None where it is this caller's now."""
        if self._pid != os.getpid():  # in a forked child nobody is at it
            self._busy, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        with self._lock:
            known = self._busy.setdefault(turn.key, turn)
        return None if known is turn else known

    async def _alone(self, turn: RefreshAttempt) -> Connection | None:
        """What another caller has brought, or the renewal itself."""
        store, seen = self._store(), turn.seen
        if self.memory.is_cooling(seen, siblings_too=not turn.patient):
            if turn.patient and (refusal := self.memory.refusal(seen)):
                raise client_refused(seen, refusal)
            return None
        if turn.has_waited:
            current = await turn.io.ask_store(store.get, *turn.key)
            if is_newer(current, seen):
                return current
        pause = 0.02
        while not await turn.io.ask_store(store.leases.acquire, seen, turn.owner, self.lease_seconds):
            current = await turn.io.ask_store(store.get, *turn.key)
            if is_newer(current, seen):
                return current
            if not turn.patient:
                self.memory.cool(seen, SIBLING_SECONDS)
                return None
            await self._pause(turn, pause, "another process is still renewing the token")
            pause = min(pause * 1.5, 0.25)
        turn.holds = True
        return await self._leased(turn)

    async def _leased(self, turn: RefreshAttempt) -> Connection | None:
        """Read again, renew, and give the lease back."""
        try:
            current = await turn.io.ask_store(self._store().get, *turn.key)
            found: Connection | None = current
            if not is_newer(current, turn.seen):
                found = await self._exchanged(turn, current)
        except GeneratorExit:
            raise  # nobody is there to carry anything out; the lease ends by itself
        except BaseException:
            await self._give_back(turn)
            raise
        await self._give_back(turn)
        if found is None or is_newer(found, turn.seen):
            return found
        # The lease was lost, and whoever has it now is still at it.
        await self._pause(turn, 0.1, "another process is still renewing the token")
        turn.has_waited = True
        return await self._alone(turn)

    async def _give_back(self, turn: RefreshAttempt) -> None:
        if turn.holds:
            turn.holds = False
            with contextlib.suppress(StorageError):  # it ends by itself; what went before matters more
                await turn.io.ask_store(self._store().leases.release, turn.seen, turn.owner)

    async def _pause(self, turn: RefreshAttempt, seconds: float, what: str) -> None:
        if self._clock.monotonic() + seconds > turn.deadline:
            raise DeadlineExceeded(f"{turn.seen.integration}: {what}")
        await turn.io.wait(seconds)

    async def _exchanged(self, turn: RefreshAttempt, current: Connection) -> Connection | None:
        """Ask the provider and store what it says; None where it cannot be asked now."""
        while not SHUTDOWN.begin():
            await self._pause(turn, 0.05, "the process is about to end")
        try:
            return await self._asked_and_stored(turn, current)
        finally:
            SHUTDOWN.finish()

    async def _asked_and_stored(self, turn: RefreshAttempt, current: Connection) -> Connection | None:
        route, refused = turn.route, None
        try:
            credentials = await request_credentials(
                route.integration, current, self._clock, self.call_seconds, turn.io
            )
        except TokenUnavailable as error:
            self.memory.failed(current, error.retry_after)
            route.report_token(current, "no new token", str(error))
            return None
        except TokenRefused as error:
            refused = error.with_traceback(None)
        if refused is not None:
            return await self._refused(turn, current, refused)
        self.memory.forget(current)
        written = await self._stored(turn, current, credentials)
        if written is not None:
            route.report_token(written, "token renewed")
        # Fenced off: somebody changed or renewed the connection meanwhile, and theirs is the newer one.
        return written or (await turn.io.ask_store(self._store().get, *turn.key))

    async def _refused(
        self, turn: RefreshAttempt, current: Connection, refused: TokenRefused
    ) -> Connection | None:
        """Mark a connection whose grant is gone; a mistake of the application's own passes with time."""
        route = turn.route
        if not refused.ends_connection:
            self.memory.failed(current, None, refusal=str(refused))
            route.report_token(current, "the application's own settings are refused", str(refused))
            if turn.patient:
                raise client_refused(current, str(refused))
            return None
        self.memory.forget(current)
        written = await self._kept(turn, self._store().leases.mark_needs_reauth, current, turn.owner)
        if written is None:
            return await turn.io.ask_store(self._store().get, *turn.key)
        route.report_token(written, NEEDS_REAUTH, refused.word or str(refused))
        raise needs_reauth(written, refused.word)

    async def _stored(
        self, turn: RefreshAttempt, current: Connection, credentials: Mapping[str, Any]
    ) -> Connection | None:
        """Write new credentials; None where the lease was lost, or somebody replaced the old ones."""
        store = self._store()
        while True:
            written = await self._kept(turn, store.leases.store_refreshed, current, turn.owner, credentials)
            if written is not None:
                return written
            found = await turn.io.ask_store(store.get, *turn.key)
            if is_newer(found, current) or found.generation == current.generation:
                return None
            current = found  # settings were changed, which is no reason to lose a token

    async def _kept(
        self, turn: RefreshAttempt, write: Callable[P, Connection | None], *args: P.args, **kwargs: P.kwargs
    ) -> Connection | None:
        """Write what a provider said, again and again while the store fails: it cannot be asked for twice."""
        until, pause = self._clock.monotonic() + self.call_seconds, 0.05
        while True:
            try:
                written = await turn.io.ask_store(write, *args, **kwargs)
            except TamperError:
                raise
            except StorageError:
                if self._clock.monotonic() + pause > until:
                    raise
            else:
                turn.holds = turn.holds and written is None  # the lease ends with the write
                return written
            await turn.io.wait(pause)
            pause = min(pause * 2, 2.0)
