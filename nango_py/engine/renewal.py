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
import random
import threading
import uuid
from typing import TYPE_CHECKING, Any

from nango_py.auth._protocol.tokens import TokenAnswer, TokenRefused, TokenUnavailable
from nango_py.connections.model import NEEDS_REAUTH
from nango_py.engine.commands import Ask, Failure, Send, Wait
from nango_py.engine.ending import ENDING
from nango_py.engine.token_memory import TokenMemory
from nango_py.engine.token_plan import shield_of, token_context, token_plan
from nango_py.errors import (
    CredentialsError,
    DeadlineExceeded,
    NangoError,
    StorageError,
    TamperError,
    printable,
)
from nango_py.registry import AUTH_MODES
from nango_py.secret import conceal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.model import Connection
    from nango_py.connections.store import ConnectionStore
    from nango_py.engine.route import Route

    Steps = Generator[Any, Any, Any]

TOKEN_CALL_SECONDS = 30.0
LEASE_SECONDS = 2 * TOKEN_CALL_SECONDS
SIBLING_SECONDS = 1.0
"""How long nobody asks again for a lease that another process has, while the old token lives."""

NOT_SENT_AGAIN = frozenset({"timeout", "tls", "too_large"})
"""Failures of a token request after which a second one would most likely fail alike."""

Key = tuple[str, str]


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
        self._busy: set[Key] = set()

    def renewal(self, route: Route, seen: Connection, deadline: float, *, forced: bool = False) -> Steps:
        """The steps to a newer connection than `seen`; returns it, or None where none is to be had now.

        While the old token lives nobody waits for another caller's renewal: the answer is None then too.

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
        key = (seen.integration, seen.user_id)
        patient = forced or self.memory.has_ended(route.integration, seen)
        waited = yield from self._turn(key, deadline, patient=patient)
        if waited is None:
            return None
        try:
            found = yield from self._alone(route, seen, deadline, waited=waited, patient=patient)
            if found is not None:
                check_usable(found)
                self._remember(found)
                if forced:
                    self.memory.was_forced(found)
            return found  # noqa: TRY300 - the lock is given back after it
        except NangoError as error:
            # The frames below drove requests that hold credentials; error trackers print what frames hold.
            failed = error.with_traceback(None)
        finally:
            with self._lock:
                self._busy.discard(key)
        raise failed

    def _turn(self, key: Key, deadline: float, *, patient: bool) -> Steps:
        """Be the only caller of this process for a connection.

        Returns whether that took waiting; None for who does not wait.
        """
        if self._pid != os.getpid():  # in a forked child nobody is at it
            self._busy, self._lock, self._pid = set(), threading.Lock(), os.getpid()
        pause, waited = 0.005, False
        while True:
            with self._lock:
                if key not in self._busy:
                    self._busy.add(key)
                    return waited
            if not patient:
                return None
            waited = True
            yield self._pause(pause, deadline, "another call is still renewing the token")
            pause = min(pause * 1.5, 0.1)

    def _alone(
        self, route: Route, seen: Connection, deadline: float, *, waited: bool, patient: bool
    ) -> Steps:
        """What another caller has brought, or the renewal itself."""
        store, key = self._store(), (seen.integration, seen.user_id)
        if waited:
            current = yield Ask(store.get, key)
            if _is_newer(current, seen):
                return current
        if self.memory.is_cooling(seen):
            if patient and (refusal := self.memory.refusal(seen)):
                raise _settings_refused(seen, refusal)
            return None
        owner, pause = uuid.uuid4().hex, 0.02
        while not (yield Ask(store.leases.take, (seen, owner, self.lease_seconds))):
            current = yield Ask(store.get, key)
            if _is_newer(current, seen):
                return current
            if not patient:
                self.memory.cool(seen, SIBLING_SECONDS)
                return None
            yield self._pause(pause, deadline, "another process is still renewing the token")
            pause = min(pause * 1.5, 0.25)
        return (yield from self._leased(route, seen, owner, deadline, patient=patient))

    def _leased(self, route: Route, seen: Connection, owner: str, deadline: float, *, patient: bool) -> Steps:
        """Read again, renew, and give the lease back."""
        store = self._store()
        try:
            found = yield Ask(store.get, (seen.integration, seen.user_id))
            if not _is_newer(found, seen):
                return (yield from self._exchanged(route, found, owner, deadline, patient=patient))
        except GeneratorExit:
            raise  # nobody is there to carry anything out; the lease ends by itself
        except BaseException:
            yield from self._give_back(seen, owner)
            raise
        yield from self._give_back(seen, owner)
        return found

    def _give_back(self, seen: Connection, owner: str) -> Steps:
        with contextlib.suppress(StorageError):  # it ends by itself; what went before matters more
            yield Ask(self._store().leases.give_back, (seen, owner))

    def _pause(self, seconds: float, deadline: float, what: str) -> Wait:
        if self._clock.monotonic() + seconds > deadline:
            raise DeadlineExceeded(what)
        return Wait(seconds)

    def _exchanged(
        self, route: Route, current: Connection, owner: str, deadline: float, *, patient: bool
    ) -> Steps:
        """Ask the provider and store what it says; None where it cannot be asked now."""
        while not ENDING.begin():
            yield self._pause(0.05, deadline, "the process is about to end")
        try:
            return (yield from self._asked_and_stored(route, current, owner, patient=patient))
        finally:
            ENDING.finish()

    def _asked_and_stored(self, route: Route, current: Connection, owner: str, *, patient: bool) -> Steps:
        leases, credentials, refused = self._store().leases, None, TokenRefused("", ends_connection=False)
        try:
            credentials = yield from self._asked(route.integration, current)
        except TokenUnavailable as error:
            self.memory.failed(current, error.retry_after)
            route.tell_of_token(current, "no new token", str(error))
            yield from self._give_back(current, owner)
            return None
        except TokenRefused as error:
            refused = error.with_traceback(None)
        if credentials is not None:
            written = yield from self._kept(leases.store_renewed, (current, owner, credentials))
            if written is not None:
                route.tell_of_token(written, "token renewed")
        elif refused.ends_connection:
            written = yield from self._kept(leases.refuse, (current, owner))
            if written is not None:
                route.tell_of_token(written, "needs_reauth", refused.word or str(refused))
                raise needs_reauth(written, refused.word)
        else:
            self.memory.failed(current, None, refusal=str(refused))
            route.tell_of_token(current, "the application's own settings are refused", str(refused))
            yield from self._give_back(current, owner)
            if patient:
                raise _settings_refused(current, str(refused))
            return None
        self.memory.forget(current)
        # Fenced off: somebody changed or renewed the connection meanwhile, and theirs is the newer one.
        return written or (yield Ask(self._store().get, (current.integration, current.user_id)))

    def _kept(self, write: Callable[..., Any], arguments: tuple[Any, ...]) -> Steps:
        """Write what a provider said, again and again while the store fails: it cannot be asked for twice."""
        until, pause = self._clock.monotonic() + self.call_seconds, 0.05
        while True:
            try:
                return (yield Ask(write, arguments))
            except TamperError:
                raise
            except StorageError:
                if self._clock.monotonic() + pause > until:
                    raise
            yield Wait(pause)
            pause = min(pause * 2, 2.0)

    def _asked(self, integration: Integration, current: Connection) -> Steps:
        """Drive the mode's own generator: token requests out, answers in, sealed credentials at the end."""
        context = token_context(integration, current, self._clock.now())
        shield = shield_of(context)
        steps = AUTH_MODES.get(integration.auth_mode)().renewal(context)
        ends = self._clock.monotonic() + self.call_seconds
        answer: TokenAnswer | None = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return conceal(end.value)
            outcome = yield from self._sent(token_plan(request, shield), ends)
            if isinstance(outcome, Failure):
                raise TokenUnavailable(outcome.text)
            answer = TokenAnswer(outcome.status_code, outcome.headers, outcome.content)

    def _sent(self, plan: Any, ends: float) -> Steps:
        """Send a token request, and once more where it or its answer was lost.

        A provider that replaces refresh tokens forgives a lost answer only for a while, if at all.
        """
        outcome = yield Send(plan, max(0.001, ends - self._clock.monotonic()))
        if isinstance(outcome, Failure) and outcome.reason not in NOT_SENT_AGAIN:
            yield Wait(random.uniform(0.05, 0.3))  # noqa: S311 - it spreads load
            left = ends - self._clock.monotonic()
            outcome = (yield Send(plan, left)) if left > 0 else outcome
        return outcome


def _is_newer(current: Connection, seen: Connection) -> bool:
    """Whether somebody has changed the credentials since, and not the settings only.

    Raises:
        CredentialsError: the provider has refused them for good meanwhile.
    """
    check_usable(current)
    return current.uuid != seen.uuid or current.credentials != seen.credentials


def _settings_refused(connection: Connection, why: str) -> CredentialsError:
    name = connection.integration
    text = f"{name}: the provider refuses the application's own settings: {why}"
    return CredentialsError(text, integration=name, user_id=connection.user_id)


def needs_reauth(connection: Connection, why: str = "") -> CredentialsError:
    """The error for a connection whose user must connect again."""
    who = f"{connection.integration}/{printable(connection.user_id)}"
    text = f"{who}: the provider no longer accepts these credentials{f' ({why})' if why else ''}"
    return CredentialsError(
        f"{text}; the user must connect again",
        integration=connection.integration,
        user_id=connection.user_id,
    )


def check_usable(connection: Connection) -> None:
    """Raise CredentialsError where a final refusal is known already."""
    if connection.status == NEEDS_REAUTH:
        raise needs_reauth(connection)
