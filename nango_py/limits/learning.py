"""Limits that an API tells in its responses, where the blueprint does not know them or others use them too.

An API without rules: the first call goes alone. If its response tells a limit, that limit is kept like a
written one from then on. If answers refuse without telling any, a rate is found by trying: four fifths of
what went through before the refusal, and a tenth more for every quiet ten seconds.

An API with rules, or with learned ones: a response that says less is left than we counted means that somebody
else uses the same quota; the difference is counted as sent.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nango_py.limits.counting.calendar_days import ORDINARY_DAY
from nango_py.limits.limit_types import Bucket, CalendarDay, Spend, Window, capacity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.clock import Clock
    from nango_py.limits.headers.dialects import Observation
    from nango_py.limits.limit_types import Limit, LimitStore

HOLD_SECONDS = 1.0
"""Until an API has answered once nothing is known of it, so one call finds out for all, or takes too long."""

HOLD_STEP = 0.02
"""How often those who wait for the first response look."""

LEARNED_RATE = "a rate found by trying"
LEAKS_IN = 20.0
"""A bucket told as a fraction empties in so many seconds: Shopify's 40 leak 2, and 80 leak 4 a second."""

MEASURED_SECONDS = 10.0
LEAST_MEASURED = 20
"""Fewer answers in the measured time tell no rate: a quiet caller keeps to what Retry-After asks."""

SLOWER, FASTER = 0.8, 1.1
SLOWEST = 0.05
MOST_SCOPES = 20_000
APPROXIMATE = 0.02
"""Numbers of what remains may be off by this part of the limit; Klaviyo calls its own approximate."""


@dataclass(slots=True)
class _Scope:
    """What is known of one quota.

    Attributes:
        told: by endpoint, the limits its responses told, by source.
        recent: when the last answers that were no refusal came.
        rate: calls a second, found by trying; infinite while nothing was refused.
    """

    told: dict[str, dict[str, Limit]] = field(default_factory=dict)
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    rate: float = math.inf
    changed_at: float = 0.0


class Learning:
    """What the responses of an API have told. Safe to share between threads.

    Args:
        clock: for rates.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scopes: dict[str, _Scope] = {}
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()

    def hold(self, scope: str) -> float:
        """Seconds to wait before asking again, 0.0 to go on: the first call of a quota goes alone.

        Args:
            scope: whose quota, from `RateLimits.scope_of`.
        """
        if scope in self._scopes:
            return 0.0
        now = self._clock.monotonic()
        with self._lock:
            began = self._began.get(scope)
            if began is None:
                if len(self._began) >= MOST_SCOPES:
                    self._began.clear()
                self._began[scope] = now
                return 0.0
            return HOLD_STEP if now < began + HOLD_SECONDS else 0.0

    def unanswered(self, scope: str) -> None:
        """The call that went alone brought no response; another may try at once."""
        self._began.pop(scope, None)

    def spends(self, scope: str, endpoint: str, written: tuple[Spend, ...]) -> tuple[Spend, ...]:
        """What a call takes: what is written, else what was learned.

        Args:
            scope: whose quota, from `RateLimits.scope_of`.
            endpoint: method and endpoint of the call.
            written: the spends of the blueprint's rules.
        """
        if written:
            return written
        with self._lock:
            known = self._scopes.get(scope)
            if known is None:
                return ()
            # An endpoint that has not answered yet is taken to be counted like the others.
            told = known.told.get(endpoint) or next(reversed(known.told.values()), {})
            spends = [Spend(_key(scope, source, limit), (limit,)) for source, limit in told.items()]
            rate = self._rate(known)
            if math.isfinite(rate):
                spends.append(Spend(f"{scope} rate", (Bucket(max(1.0, rate), rate, LEARNED_RATE),)))
        return tuple(spends)

    def answered(
        self,
        store: LimitStore,
        scope: str,
        endpoint: str,
        spends: tuple[Spend, ...],
        observations: Iterable[Observation],
        *,
        refused: bool,
    ) -> None:
        """Learn from a response, once it is settled.

        Args:
            store: where the budgets are.
            scope: as for `spends`.
            endpoint: as for `spends`.
            spends: what the call was booked with.
            observations: what its headers told.
            refused: whether it was refused for rate.
        """
        observations = tuple(observations)
        is_written = not all(spend.key.startswith((f"{scope} rate", f"{scope} told")) for spend in spends)
        if not is_written:
            spends = self._learn(scope, endpoint, observations, refused=refused)
        for seen in observations:
            if seen.remaining is not None:
                self._take(store, spends, seen)

    def _learn(
        self, scope: str, endpoint: str, observations: tuple[Observation, ...], *, refused: bool
    ) -> tuple[Spend, ...]:
        now = self._clock.monotonic()
        with self._lock:
            known = self._scopes.get(scope)
            if known is None:
                if len(self._scopes) >= MOST_SCOPES:
                    del self._scopes[next(iter(self._scopes))]
                known = self._scopes[scope] = _Scope()
                self._began.pop(scope, None)
            told = known.told.get(endpoint, {})
            for seen in observations:
                limit = _limit(seen, told.get(seen.source))
                if limit is not None:
                    told[seen.source] = limit
            if told:
                known.told[endpoint] = told
            if not refused:
                known.recent.append(now)
            elif not told:
                self._slow_down(known, now)
            return tuple(Spend(_key(scope, source, limit), (limit,)) for source, limit in told.items())

    def _rate(self, known: _Scope) -> float:
        quiet = self._clock.monotonic() - known.changed_at
        if math.isfinite(known.rate) and quiet >= MEASURED_SECONDS:
            known.rate *= FASTER ** int(quiet / MEASURED_SECONDS)
            known.changed_at += int(quiet / MEASURED_SECONDS) * MEASURED_SECONDS
        return known.rate

    def _slow_down(self, known: _Scope, now: float) -> None:
        # Several calls are refused at once; together they tell one thing.
        if now - known.changed_at < 1.0 and math.isfinite(known.rate):
            return
        since = now - MEASURED_SECONDS
        went = [moment for moment in known.recent if moment >= since]
        if len(went) < LEAST_MEASURED and not math.isfinite(known.rate):
            return  # So few calls tell no rate; the gate that the refusal closes is enough.
        span = max(1.0, now - went[0]) if went else MEASURED_SECONDS
        known.rate = max(SLOWEST, min(known.rate, SLOWER * max(1, len(went)) / span))
        known.changed_at = now

    @staticmethod
    def _take(store: LimitStore, spends: tuple[Spend, ...], seen: Observation) -> None:
        """Count what others have used of the limit that was seen."""
        assert seen.remaining is not None  # noqa: S101 - the caller asked
        for spend in spends:
            limit = next((limit for limit in spend.limits if _is_meant(limit, seen)), None)
            if limit is None:
                continue
            most = capacity(limit)
            views = store.view([spend.key])
            left = next((view.left for view in views if view.window == limit.label), most)
            more = int(left - seen.remaining)
            if more > 0 and (seen.remaining < 1 or more > APPROXIMATE * most):
                store.count((Spend(spend.key, spend.limits, more),))


def _key(scope: str, source: str, limit: Limit) -> str:
    # Endpoints that tell the same limit are taken to share it.
    return f"{scope} told {source} {capacity(limit):g}"


def _limit(seen: Observation, before: Limit | None) -> Limit | None:
    """The limit that a set of headers tells, with what was known of it before."""
    allowed = seen.limit
    if allowed is None or allowed < 1 or not math.isfinite(allowed):
        return before
    if seen.window_seconds:
        seconds = seen.window_seconds
    elif seen.resets_in:
        # What is left of a window is at most the window; the longest that was seen comes nearest.
        same = isinstance(before, Window) and before.requests == int(allowed)
        seconds = max(
            math.ceil(seen.resets_in), before.seconds if same and isinstance(before, Window) else 0.0
        )
    elif "/" in seen.source or "call-limit" in seen.source:
        return Bucket(allowed, allowed / LEAKS_IN, f"{allowed:g} leaking, as told")
    else:
        return before
    return Window(int(allowed), float(seconds), f"{allowed:g} in {seconds:g} s, as told")


def _is_meant(limit: Limit, seen: Observation) -> bool:
    """Whether headers speak of this limit: the same number, and the same length where they tell it."""
    if isinstance(limit, Window):
        return (seen.limit is not None and limit.requests == int(seen.limit)) and (
            seen.window_seconds is None or limit.seconds == seen.window_seconds
        )
    if isinstance(limit, CalendarDay):
        return limit.requests == seen.limit and seen.window_seconds in {None, ORDINARY_DAY}
    return isinstance(limit, Bucket) and limit.burst == seen.limit
