"""What a process remembers of tokens: when they end by two clocks, and which are not to be renewed now."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from typing import TYPE_CHECKING

from nango_py.auth.base import get_auth_mode
from nango_py.engine.interfaces import TokenSpan
from nango_py.record import record
from nango_py.secret import reveal

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.config.model import Integration
    from nango_py.connections.connection import Connection

LONGEST_MARGIN_SECONDS = 300.0
MARGIN_SHARE = 0.1
FIRST_COOLDOWN_SECONDS = 2.0
COOLDOWN_SECONDS = 30.0
LONGEST_COOLDOWN_SECONDS = 600.0
FORCED_SECONDS = 5.0
"""How long a token that a refused call brought is not renewed again for being refused."""

MOST_KEPT = 4096


def renew_at(connection: Connection, expires_at: float | None, now: float = math.inf) -> float | None:
    """The moment from which a token is renewed before it is used, in unix seconds; None where it has no end.

    The margin is the smaller of five minutes and a tenth of the token's life, and up to twice that by the
    connection's own lot, so that ten thousand tokens of one age are not renewed at once.

    Args:
        connection: whose token it is; it was stored when it was new.
        expires_at: the token's end in unix seconds.
        now: a clock that was set back may say that the token is older than it can be.
    """
    if expires_at is None:
        return None
    life = max(0.0, expires_at - min(connection.last_modified.timestamp(), now))
    margin = min(LONGEST_MARGIN_SECONDS, life * MARGIN_SHARE)
    lot = random.Random(f"{connection.uuid} {connection.generation}").random()  # noqa: S311 - it spreads load
    return expires_at - margin * (1 + lot)


@record
class Pause:
    """Why a token is not to be renewed at present.

    Attributes:
        until: by the monotonic clock.
        failures: in a row.
        refusal: what the provider says of the application's own settings, or "".
    """

    generation: int
    until: float
    failures: int = 0
    refusal: str = ""


class TokenMemory:
    """By connection. Safe to share between threads: each step on a dict is atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spans: OrderedDict[str, TokenSpan] = OrderedDict()
        self._pauses: OrderedDict[str, Pause] = OrderedDict()
        self._forced: OrderedDict[str, Pause] = OrderedDict()

    def span(self, integration: Integration, connection: Connection) -> TokenSpan:
        """The life of a connection's token, as it was when this process first saw it."""
        known = self._spans.get(connection.uuid)
        if known is not None and known.generation == connection.generation:
            return known
        mode, now = get_auth_mode(integration.auth_mode), self._clock.now()
        credentials = reveal(connection.credentials)
        end = mode.expires_at(credentials)
        if end is not None:
            # Stored in the future: the clock was set back since, by that much or more.
            end -= max(0.0, connection.last_modified.timestamp() - now)
        due = renew_at(connection, end, now)
        if due is None or end is None or not mode.can_renew(credentials, integration.settings["auth"]):
            due = math.inf
        span = TokenSpan(
            connection.generation, due, math.inf if end is None else end, now - self._clock.monotonic()
        )
        _keep(self._spans, connection.uuid, span)
        return span

    def is_past(self, span: TokenSpan, moment: float) -> bool:
        """Whether a moment of a token's life is over by either clock.

        A wall clock that is set back does not keep an old token alive, nor does a machine's sleep.
        """
        clock = self._clock
        return clock.now() >= moment or clock.monotonic() + span.offset >= moment

    def has_ended(self, integration: Integration, connection: Connection) -> bool:
        """Whether the token is of no use any more."""
        span = self.span(integration, connection)
        return self.is_past(span, span.end)

    def is_cooling(self, connection: Connection, *, siblings_too: bool) -> bool:
        """Whether a renewal failed a short while ago, or, with `siblings_too`, is another process's job."""
        pause = self._pause(connection)
        if pause is None or self._clock.monotonic() >= pause.until:
            return False
        return siblings_too or pause.failures > 0

    def refusal(self, connection: Connection) -> str:
        """What the provider said of the application's own settings when it was last asked, or ""."""
        pause = self._pause(connection)
        return "" if pause is None else pause.refusal

    def cool(self, connection: Connection, seconds: float) -> None:
        """Do not renew for so long; nothing has failed."""
        pause = Pause(connection.generation, self._clock.monotonic() + seconds)
        _keep(self._pauses, connection.uuid, pause)

    def failed(self, connection: Connection, retry_after: float | None, *, refusal: str = "") -> None:
        """Do not renew for a while: as long as was asked, else longer with each failure.

        Jittered, so that the connections of a provider that is down do not come back together.
        """
        known = self._pause(connection)
        failures = 1 if known is None else known.failures + 1
        longest = min(COOLDOWN_SECONDS, FIRST_COOLDOWN_SECONDS * 2.0 ** min(failures - 1, 10))
        seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load
        if retry_after is not None:
            seconds = min(retry_after, LONGEST_COOLDOWN_SECONDS)
        until = self._clock.monotonic() + seconds
        _keep(self._pauses, connection.uuid, Pause(connection.generation, until, failures, refusal))

    def forget(self, connection: Connection) -> None:
        """The renewal worked."""
        self._pauses.pop(connection.uuid, None)

    def was_forced(self, connection: Connection) -> None:
        """This token was brought for a call whose token was refused."""
        pause = Pause(connection.generation, self._clock.monotonic() + FORCED_SECONDS)
        _keep(self._forced, connection.uuid, pause)

    def is_forced(self, connection: Connection) -> bool:
        """Whether this very token was brought for a refused call just now: one more would not help."""
        known = self._forced.get(connection.uuid)
        return (
            known is not None
            and known.generation == connection.generation
            and self._clock.monotonic() < known.until
        )

    def _pause(self, connection: Connection) -> Pause | None:
        pause = self._pauses.get(connection.uuid)
        return pause if pause is not None and pause.generation == connection.generation else None


def _keep(
    kept: OrderedDict[str, TokenSpan] | OrderedDict[str, Pause], name: str, value: TokenSpan | Pause
) -> None:
    kept[name] = value  # type: ignore[assignment]
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)
