"""Limits learned from responses, for APIs without written limits and for quotas that others use too.

If no limits are written, the first call is sent alone. If the headers of its response contain a limit, that
limit is kept like a written one from then on. If responses refuse without naming a limit, a rate is measured:
four fifths of what went through before the refusal, and soon nine tenths of it, then a tenth more after every
ten seconds without one. Refusals of an API that lets hardly any call through do not lower it further.

With limits, written or learned, responses correct what is counted. If less remains than was counted, somebody
else uses the same quota, and the difference counts until the reset that the response names. If more remains,
the API has begun a new window, and what it no longer counts stops counting here.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeVar

from nango_py.forks import new_short_lock
from nango_py.limits.counting.calendar_periods import LENGTHS
from nango_py.limits.key_names import budget_number
from nango_py.limits.limit_types import (
    LONGEST_GATE,
    Bucket,
    CalendarPeriod,
    InFlight,
    LimitReport,
    Spend,
    Window,
    capacity,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nango_py.clock import Clock
    from nango_py.limits.headers.dialects import LimitStatus
    from nango_py.limits.limit_types import Limit, LimitStore

Key = TypeVar("Key")
Value = TypeVar("Value")

HOLD_SECONDS = 1.0
"""Maximum number of seconds for which other calls wait for the first response of an API."""

HOLD_POLL_SECONDS = 0.02
"""Seconds between two checks for the first response."""

LEARNED_RATE = "measured rate"
LEAK_SECONDS = 20.0
"""Seconds in which a bucket given as a fraction empties: Shopify's 40 leak 2, and 80 leak 4 per second."""

MEASURED_SECONDS = 10.0
MIN_MEASURED = 20
"""Minimum number of responses in the measured time; below it Retry-After alone sets the pace."""

SLOWER, FASTER = 0.8, 1.1
PROVEN = 0.5
"""The part of the measured rate that must have gone through if a refusal is to lower it."""

RESTORED, RESTORE_SECONDS = 0.9, 2.0
"""After refusals the rate doubles every two seconds, up to nine tenths of what went through before them."""

MIN_RATE, MAX_RATE = 0.05, 10_000.0
MAX_SCOPES = MAX_ENDPOINTS = 20_000
"""Maximum numbers of quotas and endpoints that are remembered; the least recently used are forgotten."""

LEAST_RESET = 1.0
"""Seconds that a reset of 0 stands for: it was rounded down."""


class _Scope:
    """What is known of one quota.

    Attributes:
        limits: the last ones in a response, by source; an unknown endpoint is assumed to have them.
        successes: when the last responses came that were not refused.
        rate: the measured calls per second; infinite while nothing was refused.
        usual: calls per second that went through before the refusals.
        changed_at: when the rate changed last.
        refused_at: when the last response was refused.
    """

    def __init__(self) -> None:
        self.limits: dict[str, Limit] = {}
        self.successes: deque[float] = deque(maxlen=1000)
        self.rate = self.usual = math.inf
        self.changed_at = self.refused_at = 0.0

    def slow_down(self, now: float) -> None:
        """Lower the rate after a refusal, if what went through shows that the rate was the reason."""
        self.refused_at = now
        # Several calls are refused at once; together they count as one refusal.
        if now - self.changed_at < 1.0 and math.isfinite(self.rate):
            return
        since = now - MEASURED_SECONDS
        if math.isfinite(self.rate):
            since = max(since, self.changed_at)
        successes = [moment for moment in self.successes if moment >= since]
        if math.isinf(self.rate):
            if len(successes) < MIN_MEASURED:
                return  # Too few calls to measure a rate; the gate that the refusal closes is enough.
            measured = len(successes) / max(1.0, now - successes[0])
            self._change(SLOWER * measured, now, measured)
            return
        measured = len(successes) / max(1.0, now - since)
        if measured >= PROVEN * self.rate:
            self._change(SLOWER * min(self.rate, measured), now, measured)
        elif len(successes) >= MIN_MEASURED and now - since >= MEASURED_SECONDS:
            self._change(max(SLOWER * measured, self.rate / 2), now, self.usual)
        # Otherwise the API refuses whatever the rate, and the gates that it closes are enough.

    def raise_rate(self, now: float) -> float:
        """The measured rate, raised for the time without a refusal."""
        if math.isinf(self.rate):
            return self.rate
        quiet_since = max(self.changed_at, self.refused_at)
        restored = RESTORED * self.usual
        if self.rate < restored:
            steps = int((now - quiet_since) / RESTORE_SECONDS)
            if steps:
                rate = min(restored, self.rate * 2.0 ** min(steps, 64))
                self._change(rate, quiet_since + steps * RESTORE_SECONDS, self.usual)
        else:
            steps = int((now - quiet_since) / MEASURED_SECONDS)
            if steps:
                rate = min(self.rate * FASTER ** min(steps, 512), MAX_RATE)
                self._change(rate, quiet_since + steps * MEASURED_SECONDS, self.usual)
        return self.rate

    def _change(self, rate: float, moment: float, usual: float) -> None:
        self.rate, self.changed_at, self.usual = max(MIN_RATE, rate), moment, usual


class _Rate:
    """The burst and the rate that responses state for the bucket of one counter.

    Attributes:
        written: the limits of the blueprint.
        limits: the same with what responses state.
    """

    def __init__(self, written: tuple[Limit, ...], burst: float, rate: float) -> None:
        self.written = written
        self.burst = burst
        self.rate = max(rate, burst / LONGEST_GATE)  # a wrong number must not stop calls for over a day
        self.limits = tuple(
            Bucket(burst, self.rate, limit.label) if isinstance(limit, Bucket) else limit for limit in written
        )


class Learning:
    """What is known from the responses of an API. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scopes: OrderedDict[str, _Scope] = OrderedDict()
        self._endpoints: OrderedDict[tuple[str, str], dict[str, Limit]] = OrderedDict()
        self._first_calls: dict[str, float] = {}
        self._rates: OrderedDict[str, _Rate] = OrderedDict()
        self._stated: OrderedDict[str, dict[str, Limit]] = OrderedDict()
        self._lock = new_short_lock()

    def hold(self, scope: str) -> float:
        """0.0 to go on, otherwise seconds until the next check: the first call of a quota is sent alone.

        Args:
            scope: from `RateLimits.scopes_of`.
        """
        if scope in self._scopes:
            return 0.0
        now = self._clock.monotonic()
        with self._lock:
            started_at = self._first_calls.get(scope)
            if started_at is None:
                if len(self._first_calls) >= MAX_SCOPES:
                    self._first_calls.clear()
                self._first_calls[scope] = now
                return 0.0
            return HOLD_POLL_SECONDS if now < started_at + HOLD_SECONDS else 0.0

    def end_hold(self, scope: str) -> None:
        """There was a response, so that other calls need not wait for the first one."""
        if scope not in self._scopes:
            with self._lock:
                self._scope(scope)

    def forget_first_call(self, scope: str) -> None:
        """The first call got no response, so another one may be sent at once."""
        self._first_calls.pop(scope, None)

    def spends(self, scope: str, endpoint: str, written: tuple[Spend, ...]) -> tuple[Spend, ...]:
        """What a call spends: from written limits if there are any, otherwise from learned ones.

        Args:
            scope: from `RateLimits.scopes_of`.
            endpoint: method and endpoint of the call.
            written: what the call spends from written limits.
        """
        if written:
            return written
        with self._lock:
            known = self._scopes.get(scope)
            if known is None:
                return ()
            self._scopes.move_to_end(scope)
            limits = self._endpoints.get((scope, endpoint))
            if limits is None:
                limits = known.limits
            else:
                self._endpoints.move_to_end((scope, endpoint))
            spends = [Spend(_key(scope, source, limit), (limit,)) for source, limit in limits.items()]
            rate = known.raise_rate(self._clock.monotonic())
            if math.isfinite(rate):
                spends.append(Spend(f"{scope} rate", (Bucket(max(1.0, rate), rate, LEARNED_RATE),)))
        return tuple(spends)

    def learn(
        self,
        store: LimitStore,
        scope: str,
        endpoint: str,
        spends: tuple[Spend, ...],
        statuses: Iterable[LimitStatus],
        *,
        refused: bool,
        sent_at: float | None = None,
    ) -> None:
        """Learn from a response whose booking was settled.

        Args:
            store: where the limits are kept.
            scope: as for `spends`.
            endpoint: as for `spends`.
            spends: of the call.
            statuses: the limits in the headers of the response.
            refused: whether the response says that the rate was too high.
            sent_at: when the call was sent, by the monotonic clock; None if it was sent now.
        """
        statuses = tuple(statuses)
        if all(spend.key.startswith((f"{scope} rate", f"{scope} learned")) for spend in spends):
            spends = self._learn_limits(scope, endpoint, statuses, refused=refused)
        age = 0.0 if sent_at is None else self._clock.monotonic() - sent_at
        for status in statuses:
            if status.rate is not None:
                spends = self._learn_rate(spends, status)
            _correct(store, spends, status, age)

    def with_rates(self, spends: tuple[Spend, ...]) -> tuple[Spend, ...]:
        """The spends, with the rates that responses stated for their buckets.

        A spend without limits gets those that responses have stated for its key, and is left out before.
        """
        if [spend for spend in spends if not spend.limits]:
            filled = [spend if spend.limits else self._with_stated(spend) for spend in spends]
            spends = tuple(spend for spend in filled if spend is not None)
        return tuple([self._with_rate(spend) for spend in spends]) if self._rates else spends

    def learn_stated(self, blank: tuple[Spend, ...], statuses: Iterable[LimitStatus]) -> tuple[Spend, ...]:
        """Keep the limits that responses state for budgets without own ones; their spends with them.

        Args:
            blank: the spends of a call that have no limits.
            statuses: the limits in the headers of its response.
        """
        found = []
        for spend in blank:
            number = budget_number(spend.key)
            with self._lock:
                known = dict(self._stated.get(spend.key, {}))
                for status in statuses:
                    limit = _limit_from(status, known.get(status.source)) if status.budget == number else None
                    if limit is not None:
                        known[status.source] = limit
                if known:
                    self._stated[spend.key] = known
                    self._stated.move_to_end(spend.key)
                    _forget_oldest(self._stated, MAX_SCOPES)
            found.append(self._with_stated(spend))
        return tuple(spend for spend in found if spend is not None)

    def _with_stated(self, spend: Spend) -> Spend | None:
        known = self._stated.get(spend.key)
        if not known:
            return None
        limits = tuple(known.values())
        # Other limits have other counters. A cost above a limit would never be allowed.
        key = f"{spend.key}{','.join(limit.label for limit in limits)}"
        cost = max(1, min(spend.cost, int(min(map(capacity, limits)))))
        return Spend(key, limits, cost, spend.settle, spend.settle_header)

    def _with_rate(self, spend: Spend) -> Spend:
        known = self._rates.get(spend.key)
        if known is None:
            return spend
        if known.written is not spend.limits and known.limits is not spend.limits:
            known = self._rates[spend.key] = _Rate(spend.limits, known.burst, known.rate)
        return Spend(spend.key, known.limits, spend.cost, spend.settle, spend.settle_header)

    def _learn_rate(self, spends: tuple[Spend, ...], status: LimitStatus) -> tuple[Spend, ...]:
        """Use the rate, and the burst, that a response states for a bucket; the spends with it."""
        for spend in spends:
            limit = limit_of(spend, status, is_stated=True)
            if isinstance(limit, Bucket) and limit.label != LEARNED_RATE:
                known = self._rates.get(spend.key)
                written = spend.limits if known is None else known.written
                burst = status.limit if status.limit and status.limit >= 1 else limit.burst
                with self._lock:
                    self._rates[spend.key] = _Rate(written, burst, status.rate or limit.per_second)
                    _forget_oldest(self._rates, MAX_SCOPES)
                return tuple(self._with_rate(one) for one in spends)
        return spends

    def _scope(self, scope: str) -> _Scope:
        """What is known of a quota from now on; call it with the lock."""
        known = self._scopes.get(scope)
        if known is None:
            known = self._scopes[scope] = _Scope()
            self._first_calls.pop(scope, None)
            _forget_oldest(self._scopes, MAX_SCOPES)
        return known

    def _learn_limits(
        self, scope: str, endpoint: str, statuses: tuple[LimitStatus, ...], *, refused: bool
    ) -> tuple[Spend, ...]:
        now = self._clock.monotonic()
        with self._lock:
            known = self._scope(scope)
            before = self._endpoints.get((scope, endpoint), {})
            limits = dict(before)
            for status in statuses:
                limit = _limit_from(status, limits.get(status.source))
                if limit is not None:
                    limits[status.source] = limit
            if limits != before:
                # Equal limits of many endpoints are kept once.
                known.limits = known.limits if limits == known.limits else limits
                self._endpoints[scope, endpoint] = limits = known.limits
                _forget_oldest(self._endpoints, MAX_ENDPOINTS)
            if not refused:
                known.successes.append(now)
            elif not limits:
                known.slow_down(now)
            return tuple(Spend(_key(scope, source, limit), (limit,)) for source, limit in limits.items())


def _forget_oldest(entries: OrderedDict[Key, Value], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)


def _correct(store: LimitStore, spends: tuple[Spend, ...], status: LimitStatus, age: float) -> None:
    """Correct the limit that a status describes, if there is one."""
    if status.remaining is None:
        return
    for spend in spends:
        limit = limit_of(spend, status)
        if limit is not None:
            resets_in = status.resets_in
            if resets_in is not None:
                resets_in = min(resets_in, max(_length(limit), LONGEST_GATE))
            if resets_in is not None and resets_in <= 0 and isinstance(limit, Window):
                resets_in = min(limit.seconds, LEAST_RESET)  # a rounded reset
            store.correct(spend, LimitReport(limit.label, status.remaining, resets_in, age))
            return


def _key(scope: str, source: str, limit: Limit) -> str:
    # Endpoints with the same limit are assumed to share it.
    return f"{scope} learned {source} {capacity(limit):g}"


def _limit_from(status: LimitStatus, before: Limit | None) -> Limit | None:
    """The limit that headers describe, given what they described before."""
    allowed = _grown(status, before)
    if allowed < 1 or not math.isfinite(allowed):
        return before
    if status.rate:
        return Bucket(allowed, status.rate, f"{allowed:g} at once, {status.rate:g}/second, from responses")
    if status.window_seconds:
        seconds = status.window_seconds
    elif status.resets_in:
        # The rest of a window is at most the window, so the longest rest comes closest.
        seconds = float(math.ceil(status.resets_in))
        if isinstance(before, Window) and before.requests == int(allowed):
            seconds = max(seconds, before.seconds)
    elif "/" in status.source or "call-limit" in status.source:
        return Bucket(allowed, allowed / LEAK_SECONDS, f"{allowed:g} leaking, from headers")
    else:
        return before
    return Window(int(allowed), float(seconds), f"{allowed:g} in {seconds:g} s, from headers")


def limit_of(spend: Spend, status: LimitStatus, *, is_stated: bool = False) -> Limit | None:
    """The limit of a spend that a status describes; with `is_stated` a bucket whatever its numbers are."""
    if status.budget is not None and status.budget != budget_number(spend.key):
        return None
    if status.label:
        return next((limit for limit in spend.limits if limit.label == status.label), None)
    if is_stated:
        return next((limit for limit in spend.limits if isinstance(limit, Bucket)), None)
    found = find_limit(spend.limits, status)
    if found is None and status.budget is not None and len(spend.limits) == 1:
        # The budget is known and has one limit, which may be larger or smaller for the account's plan.
        (only,) = spend.limits
        return None if isinstance(only, InFlight) else only
    return found


def find_limit(limits: Iterable[Limit], status: LimitStatus) -> Limit | None:
    """The limit that headers describe.

    With a number it is the limit of that number, and of that length if the headers contain it. Without one it
    is the shortest that can have that much left and a reset that far away.
    """
    candidates = [limit for limit in limits if not isinstance(limit, InFlight) and _may_be(limit, status)]
    return min(candidates, key=_length, default=None)


def _length(limit: Limit) -> float:
    if isinstance(limit, Window):
        return limit.seconds
    if isinstance(limit, CalendarPeriod):
        return LENGTHS[limit.period].usual
    return capacity(limit) / limit.per_second if isinstance(limit, Bucket) else 0.0


def _may_be(limit: Limit, status: LimitStatus) -> bool:
    if status.limit is not None:
        # Headers with a fraction have no length; the others do not describe buckets of the same number.
        is_same = capacity(limit) == int(status.limit)
    else:
        resets_in = status.resets_in or 0.0
        is_same = capacity(limit) >= (status.remaining or 0.0) and _length(limit) >= math.floor(resets_in)
    if isinstance(limit, Bucket):
        return is_same and status.window_seconds is None
    return is_same and status.window_seconds in {None, _length(limit)}


def _grown(status: LimitStatus, before: Limit | None) -> float:
    """The capacity of a limit whose headers contain no more than what remains; later responses raise it."""
    if status.limit is not None:
        return status.limit
    if status.rate:
        return max(1.0, status.rate)
    if status.remaining is None or not (status.resets_in or status.window_seconds):
        return 0.0
    return max(math.floor(status.remaining) + 1.0, capacity(before) if before else 0.0)
