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

import random
import threading
import uuid
from typing import TYPE_CHECKING, Any

from nango_py.auth._protocol.tokens import TokenAnswer, TokenContext, TokenRefused, TokenUnavailable
from nango_py.connections.model import NEEDS_REAUTH
from nango_py.engine.commands import Ask, Failure, Send, Wait
from nango_py.engine.stamp import variables_of
from nango_py.engine.token_plan import token_plan
from nango_py.errors import ConnectionNotFound, CredentialsError, DeadlineExceeded, printable
from nango_py.registry import AUTH_MODES
from nango_py.secret import reveal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.model import Connection
    from nango_py.connections.store import ConnectionStore

    Steps = Generator[Any, Any, Any]

TOKEN_CALL_SECONDS = 30.0
LEASE_SECONDS = 2 * TOKEN_CALL_SECONDS
COOLDOWN_SECONDS = 30.0
LONGEST_MARGIN_SECONDS = 300.0
MARGIN_SHARE = 0.1

Key = tuple[str, str]


def renew_at(connection: Connection, expires_at: float | None) -> float | None:
    """The moment from which a token is renewed before it is used, in unix seconds; None where it has no end.

    The margin is the smaller of five minutes and a tenth of the token's life, and up to twice that by the
    connection's own lot, so that ten thousand tokens of one age are not renewed at once.
    """
    if expires_at is None:
        return None
    life = max(0.0, expires_at - connection.last_modified.timestamp())
    margin = min(LONGEST_MARGIN_SECONDS, life * MARGIN_SHARE)
    lot = random.Random(f"{connection.uuid} {connection.generation}").random()  # noqa: S311 - it spreads load
    return expires_at - margin * (1 + lot)


class TokenLife:
    """The renewals of one process, over all its connections. Safe to share between threads and tasks.

    Args:
        store: gives the connection store.
        forget: has a connection read anew; called after each renewal.
    """

    def __init__(
        self, store: Callable[[], ConnectionStore], forget: Callable[[str, str], None], clock: Clock
    ) -> None:
        self._store = store
        self._forget = forget
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: set[Key] = set()
        self._cooling: dict[Key, float] = {}

    def renewal(self, integration: Integration, seen: Connection, deadline: float) -> Steps:
        """The steps to a newer connection than `seen`; returns it, or None where none is to be had now.

        Args:
            integration: whose auth settings say how to renew.
            seen: the connection whose token is used up, or was refused.
            deadline: the monotonic time by which the caller wants to be done.

        Raises:
            CredentialsError: the provider refused for good.
            DeadlineExceeded: somebody else is renewing, and it takes too long.
            ConnectionNotFound: the connection was deleted meanwhile.
        """
        key = (seen.integration, seen.user_id)
        yield from self._turn(key, deadline)
        try:
            return (yield from self._leased(key, integration, seen, deadline))
        finally:
            with self._lock:
                self._busy.discard(key)
            self._forget(*key)

    def _turn(self, key: Key, deadline: float) -> Steps:
        """Wait until no other caller of this process renews this connection."""
        pause = 0.005
        while True:
            with self._lock:
                if key not in self._busy:
                    self._busy.add(key)
                    return
            yield self._pause(pause, deadline, "another call is still renewing the token")
            pause = min(pause * 1.5, 0.1)

    def _leased(self, key: Key, integration: Integration, seen: Connection, deadline: float) -> Steps:
        """Take the lease, or see that another process has renewed."""
        store, owner, pause = self._store(), uuid.uuid4().hex, 0.02
        while not (yield Ask(store.leases.take, (seen, owner, LEASE_SECONDS))):
            generation = yield Ask(store.generation, key)
            if generation is None:
                raise ConnectionNotFound(*key)
            if generation != seen.generation:
                return (yield Ask(store.get, key))
            yield self._pause(pause, deadline, "another process is still renewing the token")
            pause = min(pause * 1.5, 0.25)
        try:
            result = yield Ask(store.get, key)
            if result.generation == seen.generation:
                result = yield from self._exchanged(key, integration, result, owner)
        except GeneratorExit:
            raise  # nobody is there to carry anything out; the lease ends by itself
        except BaseException:
            yield Ask(store.leases.give_back, (seen, owner))
            raise
        yield Ask(store.leases.give_back, (seen, owner))
        return result

    def _pause(self, seconds: float, deadline: float, what: str) -> Wait:
        if self._clock.monotonic() + seconds > deadline:
            raise DeadlineExceeded(what)
        return Wait(seconds)

    def _exchanged(self, key: Key, integration: Integration, current: Connection, owner: str) -> Steps:
        """Ask the provider and store what it says; None where it cannot be asked now."""
        if self._clock.monotonic() < self._cooling.get(key, 0.0):
            return None
        leases, refused = self._store().leases, ""
        try:
            credentials = yield from self._asked(integration, current)
        except TokenUnavailable as error:
            self._cool(key, error.retry_after)
            return None
        except TokenRefused as error:
            if not error.ends_connection:
                refused = str(error)
            credentials = None
            why = error.word
        self._cooling.pop(key, None)
        if refused:
            raise CredentialsError(f"{key[0]}: the application's own settings: {refused}", integration=key[0])
        if credentials is not None:
            written = yield Ask(leases.store_renewed, (current, owner, credentials))
        else:
            written = yield Ask(leases.refuse, (current, owner))
            if written is not None:
                raise needs_reauth(written, why)
        # Fenced off: somebody changed or renewed the connection meanwhile, and theirs is the newer one.
        return written or (yield Ask(self._store().get, key))

    def _cool(self, key: Key, retry_after: float | None) -> None:
        # Jittered, so that the connections of a provider that is down do not come back together.
        pause = COOLDOWN_SECONDS * random.uniform(0.5, 1.0) if retry_after is None else retry_after  # noqa: S311
        self._cooling[key] = self._clock.monotonic() + min(pause, 600.0)

    def _asked(self, integration: Integration, current: Connection) -> Steps:
        """Drive the mode's own generator: token requests out, answers in, credentials at the end."""
        app = reveal(integration.app_variables)
        context = TokenContext(
            settings=integration.settings["auth"],
            credentials=reveal(current.credentials),
            app=app,
            scopes=integration.oauth_scopes,
            variables=variables_of(integration, current),
            now=self._clock.now(),
            place=f"{current.integration}/{printable(current.user_id)}",
        )
        secrets = tuple(
            text for text in (*context.credentials.values(), *app.values()) if isinstance(text, str)
        )
        steps = AUTH_MODES.get(integration.auth_mode)().renewal(context)
        answer: TokenAnswer | None = None
        while True:
            try:
                request = steps.send(answer)
            except StopIteration as end:
                return end.value
            outcome = yield Send(token_plan(request, secrets), TOKEN_CALL_SECONDS)
            if isinstance(outcome, Failure):
                raise TokenUnavailable(outcome.text)
            answer = TokenAnswer(outcome.status_code, outcome.headers, outcome.content)


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
