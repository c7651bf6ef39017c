"""Protection of token endpoints: how many requests at once, how often after failures, and when again.

Each integration has one `TokenEndpoint` for each host, in each process. When thousands of tokens expire while
the endpoint is down, its callers share one breaker instead of asking one by one.
"""

from __future__ import annotations

import math
import random
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nango_py.errors import ConfigError
from nango_py.transport.bounded_cache import BoundedCache

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.protocols.token_exchange import TokenContext

FIRST_PLACES, MAX_PLACES = 2, 16
"""Requests in flight: at first and after a failure, and at most. Each success adds a place."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 10.0
"""The time between two requests after one failure, and after many."""

MAX_RETRY_AFTER_SECONDS = 600.0
STALLED_SECONDS = 5.0
"""If a request has had no response for this time, there are no more than FIRST_PLACES."""

SILENT_SECONDS = 10.0
"""If one has had none for this time, the endpoint counts as down."""

DOWN_FAILURES = 3
"""Failures in a row, each of another connection, after which the endpoint counts as down."""

MAX_UNCERTAIN = 3
"""After more refusals in a row that do not say whose fault they are, it is the application's."""

FULL_SECONDS = 0.02
"""When to ask again if all places are taken; callers ask less and less often."""

REPEAT_SECONDS = 10.0
"""How often a request without a response may be repeated at once."""


class TokenEndpoint:
    """The requests to one token endpoint. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._starts: dict[object, float] = {}  # of the requests in flight, by who makes them; oldest first
        self._places = FIRST_PLACES
        self._last_start = self._opens_at = self._recovered_at = -math.inf
        self._last_repeat = -math.inf
        self._failures = 0
        self._failed_uuid = ""
        self._rejection = ""
        self._uncertain: set[str] = set()

    def enter(self, caller: object) -> float:
        """Take a place for a caller's request: 0.0, or seconds after which to ask again."""
        with self._lock:
            now = self._clock.monotonic()
            if now < self._opens_at:
                return self._opens_at - now
            is_stalled = now - self._oldest(now) > STALLED_SECONDS
            if len(self._starts) >= (FIRST_PLACES if is_stalled else self._places):
                return FULL_SECONDS
            if self._failures:  # the next probe is as far away, whatever becomes of this one
                self._opens_at = now + self._pause()
            self._last_start = now
            self._starts[caller] = now
            return 0.0

    def leave(self, caller: object) -> None:
        """Give the place back; harmless without one."""
        with self._lock:
            self._starts.pop(caller, None)

    @property
    def is_down(self) -> bool:
        """Whether callers should not wait: the endpoint has been failing, or is silent."""
        now = self._clock.monotonic()
        return self._failures >= DOWN_FAILURES or now - self._oldest(now) > SILENT_SECONDS

    @property
    def rejection(self) -> str:
        """Why the application is rejected, whichever the connection; or ""."""
        return self._rejection if self._failures >= FIRST_PLACES else ""

    def has_recovered_since(self, moment: float) -> bool:
        """Whether the endpoint failed for several connections, and worked again after a moment."""
        return self._recovered_at > moment

    def take_repeat(self) -> bool:
        """Whether a request without a response may be repeated at once: if the endpoint worked until now."""
        with self._lock:
            now = self._clock.monotonic()
            if self._failures or now - self._last_repeat < REPEAT_SECONDS:
                return False
            self._last_repeat = now
            return True

    def record_response(self) -> None:
        """The endpoint works: it granted a token, or refused one connection's grant."""
        with self._lock:
            if self._failures >= FIRST_PLACES:
                self._recovered_at = self._clock.monotonic()
            self._failures, self._rejection, self._opens_at = 0, "", -math.inf
            self._places = min(self._places + 1, MAX_PLACES)

    def record_grant(self) -> None:
        """The endpoint granted a token, so the application is accepted."""
        self._uncertain.clear()
        self.record_response()

    def record_failure(self, uuid: str, retry_after: float | None = None, rejection: str = "") -> None:
        """The endpoint failed, asked to wait, or rejected the application.

        The failures of one connection alone do not make the pause longer for the others.
        """
        with self._lock:
            now = self._clock.monotonic()
            if not self._failures or uuid != self._failed_uuid:
                self._failures += 1
            self._failed_uuid, self._rejection, self._places = uuid, rejection, FIRST_PLACES
            opens_at = self._last_start + self._pause()
            if retry_after is not None:
                opens_at = max(opens_at, now + min(retry_after, MAX_RETRY_AFTER_SECONDS))
            self._opens_at = max(self._opens_at, opens_at)

    def is_believable(self, uuid: str) -> bool:
        """Whether a refusal that does not say whose fault it is ends a grant.

        If one connection after the other is refused so, it is the application or something on the way.
        """
        with self._lock:
            if len(self._uncertain) <= MAX_UNCERTAIN:
                self._uncertain.add(uuid)
            return len(self._uncertain) <= MAX_UNCERTAIN

    def _oldest(self, now: float) -> float:
        return next(iter(self._starts.copy().values()), now)

    def _pause(self) -> float:
        seconds = min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10))
        return seconds * random.uniform(0.85, 1.0)  # noqa: S311 - it spreads load


class TokenEndpoints:
    """The token endpoints that this process knows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._endpoints: BoundedCache[TokenEndpoint] = BoundedCache()

    def of(self, integration: str, context: TokenContext) -> TokenEndpoint:
        """The endpoint of a connection."""
        return self._endpoints.get((integration, _host(context)), lambda: TokenEndpoint(self._clock))


def _host(context: TokenContext) -> str:
    found = context.credentials.get("token_url")
    if isinstance(found, str):  # by a login at a server that the user named
        return urlsplit(found).netloc
    key = "refresh_url" if context.settings.get("refresh_url") else "token_url"
    try:
        return urlsplit(context.url(key)).netloc
    except ConfigError:
        return ""  # the request will raise it
