"""When to refresh a token: shortly before it expires, and not again right after a failure."""

from __future__ import annotations

import math
import random
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

from nango_py.auth.base import mode_of
from nango_py.engine.interfaces import TokenLifetime
from nango_py.record import record
from nango_py.secret import reveal
from nango_py.tokens.endpoints import MAX_RETRY_AFTER_SECONDS

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection
    from nango_py.tokens.endpoints import TokenEndpoint

MAX_MARGIN_SECONDS = 300.0
MARGIN_SHARE = 0.1
FIRST_BACKOFF_SECONDS = 2.0
MAX_BACKOFF_SECONDS = 15.0
REPLACED_SECONDS = 5.0
"""For how long a token that replaced a refused one is not replaced again if it is refused too."""

MAX_CONNECTIONS = 4096

Value = TypeVar("Value")


def refresh_time(
    connection: Connection,
    expires_at: float | None,
    now: float = math.inf,
    renew_before: float | None = None,
) -> float | None:
    """When to refresh a token, in unix seconds; None if it never expires.

    The margin before its expiry is five minutes or a tenth of its lifetime, whichever is less, and up to
    twice that by a random share of the connection, so that tokens of one age are not all refreshed at once.

    Args:
        connection: whose token it is; it was stored when the token was new.
        expires_at: in unix seconds.
        now: in unix seconds; bounds the token's age if the clock was set back.
        renew_before: the margin in seconds, exactly, if the blueprint has `renew_before_seconds`.
    """
    if expires_at is None:
        return None
    if renew_before is not None:
        return expires_at - renew_before
    lifetime = max(0.0, expires_at - min(connection.last_modified.timestamp(), now))
    margin = min(MAX_MARGIN_SECONDS, lifetime * MARGIN_SHARE)
    share = zlib.crc32(f"{connection.uuid} {connection.generation}".encode()) / (1 << 32)
    return expires_at - margin * (1 + share)


def refresh_token_end(integration: Integration, connection: Connection) -> float | None:
    """When a refresh token expires if nothing uses it, in unix seconds; None if it is unknown."""
    credentials = reveal(connection.credentials)
    stored = credentials.get("refresh_expires_at")
    if isinstance(stored, int | float) or not credentials.get("refresh_token"):
        return None if stored is None else float(stored)
    declared = integration.settings["auth"].get("refresh_token_lifetime_seconds")
    return None if declared is None else connection.last_modified.timestamp() + float(declared)


@record
class Pause:
    """A time in which not to refresh a token.

    Attributes:
        generation: of the connection whose token it is.
        begun: by the monotonic clock.
        until: by the monotonic clock.
        failures: the number of consecutive failures.
        rejection: why the provider rejects the application, or "".
    """

    generation: int
    begun: float
    until: float
    failures: int = 0
    rejection: str = ""


class RefreshSchedule:
    """The lifetimes and backoffs of tokens that this process knows; safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Each operation on a dict is atomic.
        self._lifetimes: OrderedDict[str, TokenLifetime] = OrderedDict()
        self._backoffs: OrderedDict[str, Pause] = OrderedDict()
        self._replaced: OrderedDict[str, Pause] = OrderedDict()
        self._refusals: OrderedDict[str, str] = OrderedDict()

    def lifetime(self, integration: Integration, connection: Connection) -> TokenLifetime:
        """The lifetime of a connection's token, as it was when this process first saw the token."""
        lifetime = self._lifetimes.get(connection.uuid)
        if lifetime is not None and lifetime.generation == connection.generation:
            return lifetime
        mode, now = mode_of(integration), self._clock.now()
        credentials = reveal(connection.credentials)
        expires_at = mode.expires_at(credentials)
        if expires_at is not None:
            # Modified in the future: the clock was set back since, by at least the difference.
            expires_at -= max(0.0, connection.last_modified.timestamp() - now)
        auth = integration.settings["auth"]
        due = refresh_time(connection, expires_at, now, auth.get("renew_before_seconds"))
        if due is None or not mode.can_refresh(credentials, auth):
            due = math.inf
        lifetime = TokenLifetime(
            connection.generation,
            refresh_at=due,
            expires_at=math.inf if expires_at is None else expires_at,
            clock_offset=now - self._clock.monotonic(),
        )
        _put(self._lifetimes, connection.uuid, lifetime)
        return lifetime

    def is_past(self, lifetime: TokenLifetime, moment: float) -> bool:
        """Whether a moment of a token's lifetime is over by either clock.

        A wall clock that is set back does not prolong a token's lifetime, and neither does a suspended
        machine, whose monotonic clock may stop.
        """
        clock = self._clock
        return clock.now() >= moment or clock.monotonic() + lifetime.clock_offset >= moment

    def is_expired(self, integration: Integration, connection: Connection) -> bool:
        """Whether the connection's token has expired."""
        lifetime = self.lifetime(integration, connection)
        return self.is_past(lifetime, lifetime.expires_at)

    def pause_left(
        self, connection: Connection, endpoint: TokenEndpoint, *, after_failures_only: bool
    ) -> float:
        """Seconds not to refresh: after a failure, or because another process refreshes the token; or 0.0.

        A failure of the time when the endpoint was down does not count once it works again.
        """
        pause = self._backoff(connection)
        left = 0.0 if pause is None else pause.until - self._clock.monotonic()
        if pause is None or left <= 0 or (after_failures_only and not pause.failures):
            return 0.0
        return 0.0 if pause.failures and endpoint.has_recovered_since(pause.begun) else left

    def rejection(self, connection: Connection) -> str:
        """Why the provider rejected the application in the last attempt, or ""."""
        pause = self._backoff(connection)
        return "" if pause is None else pause.rejection

    def pause(self, connection: Connection, seconds: float) -> None:
        """Do not refresh for a time, while another process does."""
        now = self._clock.monotonic()
        pause = Pause(connection.generation, now, now + seconds)
        _put(self._backoffs, connection.uuid, pause)

    def back_off(self, connection: Connection, retry_after: float | None, *, rejection: str = "") -> None:
        """Do not refresh for as long as the provider asked, else for longer with each failure.

        With jitter, so that the connections of a provider that was down do not all return at once.
        """
        earlier = self._backoff(connection)
        failures = 1 if earlier is None else earlier.failures + 1
        seconds = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10))
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load
        if retry_after is not None:
            seconds = max(seconds, min(retry_after, MAX_RETRY_AFTER_SECONDS))
        now = self._clock.monotonic()
        pause = Pause(connection.generation, now, now + seconds, failures, rejection)
        _put(self._backoffs, connection.uuid, pause)

    def reset_backoff(self, connection: Connection) -> None:
        """The provider has decided about the refresh."""
        self._backoffs.pop(connection.uuid, None)

    def record_replacement(self, connection: Connection) -> None:
        """The connection's token replaces one that the API refused."""
        now = self._clock.monotonic()
        pause = Pause(connection.generation, now, now + REPLACED_SECONDS)
        _put(self._replaced, connection.uuid, pause)

    def was_just_replaced(self, connection: Connection) -> bool:
        """Whether this token has just replaced a refused one, so that another refresh would not help."""
        pause = self._replaced.get(connection.uuid)
        return (
            pause is not None
            and pause.generation == connection.generation
            and self._clock.monotonic() < pause.until
        )

    def record_refusal(self, connection: Connection, reason: str) -> None:
        """Why the provider ended the connection, for later errors."""
        _put(self._refusals, connection.uuid, reason)

    def refusal(self, connection: Connection) -> str:
        """Why the provider ended the connection, as far as this process knows."""
        return self._refusals.get(connection.uuid, "")

    def _backoff(self, connection: Connection) -> Pause | None:
        pause = self._backoffs.get(connection.uuid)
        return pause if pause is not None and pause.generation == connection.generation else None


def _put(cache: OrderedDict[str, Value], key: str, value: Value) -> None:
    cache[key] = value
    if len(cache) > MAX_CONNECTIONS:
        cache.popitem(last=False)
