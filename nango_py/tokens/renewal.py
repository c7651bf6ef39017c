"""The life of a token: renewed before it ends, once for any number of callers, and never lost by our fault.

Like a call, a renewal is a generator without I/O: it asks for store calls, waits and sendings of token
requests. What it promises:

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
from typing import TYPE_CHECKING, Any

from nango_py.connections.connection import NEEDS_REAUTH
from nango_py.engine.commands import Ask, Wait
from nango_py.errors import CredentialsError, DeadlineExceeded, NangoError, StorageError, TamperError
from nango_py.protocols.token_exchange import TokenRefused, TokenUnavailable
from nango_py.tokens.expiry import TokenMemory
from nango_py.tokens.refresh_attempt import RefreshAttempt
from nango_py.tokens.refusals import check_usable, client_refused, is_newer, needs_reauth
from nango_py.tokens.shutdown import SHUTDOWN
from nango_py.tokens.token_requests import request_credentials

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator

    from nango_py.clock import Clock
    from nango_py.connections.connection import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.runtime import IntegrationRuntime
    from nango_py.tokens.refresh_attempt import Key

    Steps = Generator[Any, Any, Any]

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
        self.tasks: set[asyncio.Future[Any]] = set()

    async def finished(self) -> None:
        """Return when the renewals that run in this event loop have ended, whoever asked for them."""
        import asyncio

        loop = asyncio.get_running_loop()
        mine = [task for task in tuple(self.tasks) if task.get_loop() is loop]
        if mine:
            await asyncio.wait(mine, timeout=self.lease_seconds)

    def renewal(
        self, route: IntegrationRuntime, seen: Connection, deadline: float, *, forced: bool = False
    ) -> Steps:
        """The steps to a newer connection than `seen`; returns it, or None where none is to be had now.

        While the old token lives nobody waits for another caller's renewal: the response is None then too.

        Args:
            route: whose integration says how to renew; it is told what happens.
            seen: the connection whose token is used up, or was refused.
            deadline: the monotonic time by which the caller wants to be done.
            forced: the API has refused the token, whatever is known of its life.

        Raises:
            CredentialsError: the provider refused for good.
            DeadlineExceeded: somebody else is renewing, and it takes too long.
            ConnectionNotFound: the connection was deleted meanwhile.
        """
        patient = forced or self.memory.has_ended(route.integration, seen)
        turn = RefreshAttempt(route, seen, deadline, patient)
        pause = 0.005
        while (ahead := self._ahead(turn)) is not None:
            if not patient:
                return None
            while not ahead.is_over:
                yield self._pause(turn, pause, "another call is still renewing the token")
                pause = min(pause * 1.5, 0.1)
            turn.has_waited = True
            if ahead.refusal is not None:
                raise CredentialsError(ahead.refusal, integration=seen.integration, user_id=seen.user_id)
            if ahead.found is not None and is_newer(ahead.found, seen):
                return ahead.found
        try:
            turn.found = yield from self._alone(turn)
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

    def _alone(self, turn: RefreshAttempt) -> Steps:
        """What another caller has brought, or the renewal itself."""
        store, seen = self._store(), turn.seen
        if self.memory.is_cooling(seen, siblings_too=not turn.patient):
            if turn.patient and (refusal := self.memory.refusal(seen)):
                raise client_refused(seen, refusal)
            return None
        if turn.has_waited:
            current = yield Ask(store.get, turn.key)
            if is_newer(current, seen):
                return current
        pause = 0.02
        while not (yield Ask(store.leases.acquire, (seen, turn.owner, self.lease_seconds))):
            current = yield Ask(store.get, turn.key)
            if is_newer(current, seen):
                return current
            if not turn.patient:
                self.memory.cool(seen, SIBLING_SECONDS)
                return None
            yield self._pause(turn, pause, "another process is still renewing the token")
            pause = min(pause * 1.5, 0.25)
        turn.holds = True
        return (yield from self._leased(turn))

    def _leased(self, turn: RefreshAttempt) -> Steps:
        """Read again, renew, and give the lease back."""
        try:
            found = yield Ask(self._store().get, turn.key)
            if not is_newer(found, turn.seen):
                found = yield from self._exchanged(turn, found)
        except GeneratorExit:
            raise  # nobody is there to carry anything out; the lease ends by itself
        except BaseException:
            yield from self._give_back(turn)
            raise
        yield from self._give_back(turn)
        if found is None or is_newer(found, turn.seen):
            return found
        # The lease was lost, and whoever has it now is still at it.
        yield self._pause(turn, 0.1, "another process is still renewing the token")
        turn.has_waited = True
        return (yield from self._alone(turn))

    def _give_back(self, turn: RefreshAttempt) -> Steps:
        if turn.holds:
            turn.holds = False
            with contextlib.suppress(StorageError):  # it ends by itself; what went before matters more
                yield Ask(self._store().leases.release, (turn.seen, turn.owner))

    def _pause(self, turn: RefreshAttempt, seconds: float, what: str) -> Wait:
        if self._clock.monotonic() + seconds > turn.deadline:
            raise DeadlineExceeded(f"{turn.seen.integration}: {what}")
        return Wait(seconds)

    def _exchanged(self, turn: RefreshAttempt, current: Connection) -> Steps:
        """Ask the provider and store what it says; None where it cannot be asked now."""
        while not SHUTDOWN.begin():
            yield self._pause(turn, 0.05, "the process is about to end")
        try:
            return (yield from self._asked_and_stored(turn, current))
        finally:
            SHUTDOWN.finish()

    def _asked_and_stored(self, turn: RefreshAttempt, current: Connection) -> Steps:
        route, refused = turn.route, None
        try:
            credentials = yield from request_credentials(
                route.integration, current, self._clock, self.call_seconds
            )
        except TokenUnavailable as error:
            self.memory.failed(current, error.retry_after)
            route.tell_of_token(current, "no new token", str(error))
            return None
        except TokenRefused as error:
            refused = error.with_traceback(None)
        if refused is not None:
            return (yield from self._refused(turn, current, refused))
        self.memory.forget(current)
        written = yield from self._stored(turn, current, credentials)
        if written is not None:
            route.tell_of_token(written, "token renewed")
        # Fenced off: somebody changed or renewed the connection meanwhile, and theirs is the newer one.
        return written or (yield Ask(self._store().get, turn.key))

    def _refused(self, turn: RefreshAttempt, current: Connection, refused: TokenRefused) -> Steps:
        """Mark a connection whose grant is gone; a mistake of the application's own passes with time."""
        route = turn.route
        if not refused.ends_connection:
            self.memory.failed(current, None, refusal=str(refused))
            route.tell_of_token(current, "the application's own settings are refused", str(refused))
            if turn.patient:
                raise client_refused(current, str(refused))
            return None
        self.memory.forget(current)
        written = yield from self._kept(turn, self._store().leases.mark_needs_reauth, (current, turn.owner))
        if written is None:
            return (yield Ask(self._store().get, turn.key))
        route.tell_of_token(written, NEEDS_REAUTH, refused.word or str(refused))
        raise needs_reauth(written, refused.word)

    def _stored(self, turn: RefreshAttempt, current: Connection, credentials: Any) -> Steps:
        """Write new credentials; None where the lease was lost, or somebody replaced the old ones."""
        store = self._store()
        while True:
            arguments = (current, turn.owner, credentials)
            written = yield from self._kept(turn, store.leases.store_refreshed, arguments)
            if written is not None:
                return written
            found = yield Ask(store.get, turn.key)
            if is_newer(found, current) or found.generation == current.generation:
                return None
            current = found  # settings were changed, which is no reason to lose a token

    def _kept(self, turn: RefreshAttempt, write: Callable[..., Any], arguments: tuple[Any, ...]) -> Steps:
        """Write what a provider said, again and again while the store fails: it cannot be asked for twice."""
        until, pause = self._clock.monotonic() + self.call_seconds, 0.05
        while True:
            try:
                written = yield Ask(write, arguments)
            except TamperError:
                raise
            except StorageError:
                if self._clock.monotonic() + pause > until:
                    raise
            else:
                turn.holds = turn.holds and written is None  # the lease ends with the write
                return written
            yield Wait(pause)
            pause = min(pause * 2, 2.0)
