"""Rate limit counters of the sandbox. They are independent of nango_py.limits, which they check."""

from __future__ import annotations

import functools
import math
import re
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from nango_py.config.request_match import RequestFacts, path_fits, segments_of
from nango_py.record import record, replaced
from nango_py.sandbox.budgets import CountingMode, LimitSpeed, parse_budgets
from nango_py.sandbox.expressions import UnknownNameError, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.json_types import Settings
    from nango_py.sandbox.budgets import Budget, Case, Limit

_MAX_REPORTED_SECONDS = 3600.0
_MAX_CACHED_PATHS = 10_000
_ROUNDING = 1e-9
_FAST = 60.0
_FLIGHT_SECONDS = 1.0
"""The wait that a refusal states if too many requests are in flight."""
_ID = re.compile(r"\d+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{24,}")


@record
class Counted:
    """The largest number of requests under one limit.

    Attributes:
        account: the owner of the quota: the user id, or a digest of the credential.
        key: the rendered key of the budget.
        label: the limit as written in the blueprint.
        limit: the number of requests that it allows.
        peak: the largest number of requests in any period of its length, aligned or not, including rejected
            ones; for a bucket, its highest level; for `max_in_flight`, the most at once.
    """

    account: str
    key: str
    label: str
    limit: float
    peak: float


@record
class Usage:
    """What is used of one limit now.

    Attributes:
        account: as in `Counted`.
        key: as in `Counted`.
        label: as in `Counted`.
        limit: as in `Counted`.
        used: the requests of the current window or in flight, or the level of a bucket.
    """

    account: str
    key: str
    label: str
    limit: float
    used: float


@record
class LimitState:
    """One limit of a request, after it was counted.

    Attributes:
        budget: the index of its budget.
        label: the limit as written in the blueprint.
        limit: the number of requests that it allows.
        remaining: the number of requests left.
        reset_seconds: the time until it is unused again.
        seconds: the length of its window.
    """

    budget: int
    label: str
    limit: float
    remaining: float
    reset_seconds: float
    seconds: float


@record
class Charge:
    """What a request has taken of one limit until its response states the real cost."""

    counter: _Counter
    cost: int
    settle: str
    settle_header: str = ""


@record
class Verdict:
    """Whether a request is allowed, and the numbers for rate limit headers.

    Attributes:
        wait_seconds: 0 if the request is allowed; else the time until it would be.
        label: the limit that rejected it, or that the numbers describe.
        limit: the number of requests that this limit allows; None if nothing is limited.
        remaining: the number of requests left.
        reset_seconds: the time until the limit is unused again.
        states: all limits of the request.
        rejected: the state of the limit that rejected it.
        charges: what the response has to settle.
        places: what the request occupies until it is no longer in flight.
    """

    wait_seconds: float = 0.0
    label: str = ""
    limit: int | None = None
    remaining: int = 0
    reset_seconds: float = 0.0
    states: tuple[LimitState, ...] = ()
    rejected: LimitState | None = None
    charges: tuple[Charge, ...] = ()
    places: tuple[Places, ...] = ()


# The kinds of windows have the same methods: `used` requests; `add` one, after a call of `used`; seconds to
# `wait` until `excess` fewer are used; seconds to `reset` until none is used. `now` never decreases.


class _AlignedWindow:
    """Windows aligned to the clock."""

    def __init__(self, limit: Limit) -> None:
        self._seconds = limit.seconds
        self._window, self._used = -1, 0

    def used(self, now: float) -> float:
        window = math.floor(now / self._seconds)
        if window != self._window:
            self._window, self._used = window, 0
        return self._used

    def add(self, now: float, cost: int) -> None:
        self._used += cost

    def wait(self, now: float, excess: float) -> float:
        return self.reset(now)

    def reset(self, now: float) -> float:
        return (self._window + 1) * self._seconds - now


class _SlidingWindow:
    """The window that ends now."""

    def __init__(self, limit: Limit) -> None:
        self._seconds = limit.seconds
        self._requests: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self, now: float) -> float:
        while self._requests and self._requests[0][0] <= now - self._seconds:
            self._used -= self._requests.popleft()[1]
        return self._used

    def add(self, now: float, cost: int) -> None:
        self._requests.append((now, cost))
        self._used += cost

    def wait(self, now: float, excess: float) -> float:
        for at, cost in self._requests:
            excess -= cost
            if excess <= 0:
                return at + self._seconds - now
        return math.inf

    def reset(self, now: float) -> float:
        return self._requests[-1][0] + self._seconds - now if self._requests else 0.0


class _Bucket:
    """A bucket that drains steadily."""

    def __init__(self, limit: Limit) -> None:
        self._per_second = limit.requests / limit.seconds
        self._level, self._at = 0.0, 0.0

    def used(self, now: float) -> float:
        self._level = max(0.0, self._level - (now - self._at) * self._per_second)
        self._at = now
        return self._level

    def add(self, now: float, cost: int) -> None:
        self._level += cost

    def wait(self, now: float, excess: float) -> float:
        return excess / self._per_second

    def reset(self, now: float) -> float:
        return self._level / self._per_second


_Window: TypeAlias = _AlignedWindow | _SlidingWindow | _Bucket
_WINDOWS: dict[CountingMode, type[_Window]] = {
    "fixed": _AlignedWindow,
    "sliding": _SlidingWindow,
    "bucket": _Bucket,
}


class _Counter:
    """The allowed requests under one limit and key, and the peak of all requests."""

    def __init__(self, limit: Limit, budget: int) -> None:
        self.limit = limit
        self.budget = budget
        self.peak = 0.0
        self.allowed = _WINDOWS[limit.mode](limit)
        self._arrived = _Bucket(limit) if limit.mode == "bucket" else _SlidingWindow(limit)

    def record_arrival(self, now: float, cost: int) -> None:
        """Update the peak; rejected requests count too."""
        self.peak = max(self.peak, self._arrived.used(now) + cost)
        self._arrived.add(now, cost)

    def state(self, now: float) -> LimitState:
        """What is left now."""
        limit, used = self.limit, self.allowed.used(now)
        remaining, reset = limit.requests - used, self.allowed.reset(now)
        return LimitState(self.budget, limit.label, limit.requests, remaining, reset, limit.seconds)

    def wait(self, now: float, cost: int) -> float:
        """Seconds until there is room for `cost`; 0 if there is now."""
        excess = self.allowed.used(now) + cost - self.limit.requests
        return 0.0 if excess <= _ROUNDING else self.allowed.wait(now, excess)


class Places:
    """The requests in flight of one budget and key."""

    def __init__(self, budget: int, limit: int) -> None:
        self.budget = budget
        self.limit = limit
        self.label = f"{limit} in flight"
        self.taken = 0
        self.peak = 0

    def record_arrival(self) -> None:
        """Update the peak; rejected requests count too."""
        self.peak = max(self.peak, self.taken + 1)

    def state(self) -> LimitState:
        """What is left now."""
        remaining = self.limit - self.taken
        return LimitState(self.budget, self.label, self.limit, remaining, _FLIGHT_SECONDS, _FLIGHT_SECONDS)


class RequestCounts:
    """The counters of a blueprint's limits, for every account. Thread-safe.

    Args:
        rate_limits: the blueprint's `rate_limits`, or None for an API without limits.
        mode: how windows count. `{burst, per_second}` windows are always buckets.
        limits: "fast" for windows sixty times shorter, "none" for no limits.
    """

    def __init__(
        self, rate_limits: Settings | None, mode: CountingMode = "fixed", limits: LimitSpeed = "real"
    ) -> None:
        declared: Settings = (rate_limits or {}) if limits != "none" else {}
        self._budgets = parse_budgets(declared, mode, _FAST if limits == "fast" else 1.0)
        self._routes: tuple[str, ...] = tuple(declared.get("routes") or ())
        self._counters: dict[tuple[int, str, str, tuple[Limit, ...], Limit], _Counter] = {}
        self._places: dict[tuple[int, str, str], Places] = {}
        self._lock = threading.Lock()

    def count(
        self,
        account: str,
        method: str,
        endpoint: str,
        params: Mapping[str, str],
        now: float,
        *,
        body: object = None,
        spend: bool = True,
    ) -> Verdict:
        """Count a request. If any limit rejects it, no limit is spent.

        Args:
            account: the account of its credential.
            method: in upper case.
            endpoint: the path below the base path.
            params: the parsed query; repeated values are joined by commas.
            now: monotonic seconds.
            body: its JSON or form.
            spend: False for a request that is rejected for another reason.
        """
        with self._lock:
            facts = RequestFacts(method, endpoint.strip("/"), params, body)
            counters, places = self._find(account, facts)
            for each in counters:
                each.counter.record_arrival(now, each.cost)
            for place in places:
                place.record_arrival()
            waits = [(each.counter.wait(now, each.cost), each.counter) for each in counters]
            longest, full = max(waits, key=lambda wait: wait[0], default=(0.0, None))
            if longest > 0 and full is not None:
                states = tuple(each.counter.state(now) for each in counters)
                rejected = full.state(now)
                return Verdict(longest, full.limit.label, states=states, rejected=rejected)
            taken = next((place for place in places if place.taken >= place.limit), None)
            if taken is not None:
                return Verdict(_FLIGHT_SECONDS, taken.label, rejected=taken.state())
            if not spend:
                return _allow(counters, now)
            for each in counters:
                each.counter.allowed.add(now, each.cost)
            for place in places:
                place.taken += 1
            return replaced(_allow(counters, now), places=tuple(places))

    def leave(self, places: tuple[Places, ...]) -> None:
        """A request that occupied these places is no longer in flight."""
        with self._lock:
            for place in places:
                place.taken -= 1

    def settle(self, charge: Charge, actual: int, now: float) -> None:
        """Replace what a request was charged by its real cost."""
        with self._lock:
            charge.counter.allowed.used(now)
            charge.counter.allowed.add(now, actual - charge.cost)

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The peaks, for each account, key and limit."""
        with self._lock:
            windows = [
                Counted(account, key, limit.label, limit.requests, counter.peak)
                for (_, account, key, _, limit), counter in self._counters.items()
            ]
            flights = [
                Counted(account, key, places.label, places.limit, places.peak)
                for (_, account, key), places in self._places.items()
            ]
            return (*windows, *flights)

    def usage(self, now: float) -> tuple[Usage, ...]:
        """What is used of each limit, the fullest first."""
        with self._lock:
            found = [
                Usage(account, key, limit.label, limit.requests, round(counter.allowed.used(now), 1))
                for (_, account, key, _, limit), counter in self._counters.items()
            ]
            found += [
                Usage(account, key, places.label, places.limit, places.taken)
                for (_, account, key), places in self._places.items()
            ]
        return tuple(sorted(found, key=lambda each: -each.used / each.limit))

    def _find(self, account: str, facts: RequestFacts) -> tuple[list[Charge], list[Places]]:
        """The counters and places of a request."""
        charges, found = [], []
        for budget, case, values in self._find_cases(account, facts):
            owner = _owner(budget, account, values)
            key = _render(case.key or budget.key, values)
            separate = () if case.key else case.limits
            for limit in case.limits:
                place = (budget.index, owner, key, separate, limit)
                if place not in self._counters:
                    self._counters[place] = _Counter(limit, budget.index)
                charges.append(Charge(self._counters[place], case.cost, case.settle, case.settle_header))
            most = case.max_in_flight or budget.max_in_flight
            if most:
                own = f" {most}" if case.max_in_flight else ""
                shared = (budget.index, owner, _render(budget.key, values) + own)
                if shared not in self._places:
                    self._places[shared] = Places(budget.index, most)
                found.append(self._places[shared])
        return charges, found

    def _find_cases(
        self, account: str, facts: RequestFacts
    ) -> Iterator[tuple[Budget, Case, dict[str, object]]]:
        """The case of each budget that fits, and the values of its templates."""
        for budget in self._budgets:
            case = next((case for case in budget.cases if case.match.fits(facts)), None)
            if case is None:
                continue
            values: dict[str, object] = {
                "method": facts.method,
                "path": facts.path,
                "endpoint": (
                    case.match.pattern_of(facts.path) or self._route_of(facts.path) or endpoint_of(facts.path)
                ),
                "segment": case.match.capture(facts.path),
                "params": facts.params,
                "body": facts.body,
                "user_id": account,
            }
            yield budget, case, values

    def _route_of(self, path: str) -> str:
        fitting = (route for route in self._routes if path_fits(segments_of(route), segments_of(path)))
        return next(fitting, "").strip("/")


def _owner(budget: Budget, account: str, values: Mapping[str, object]) -> str:
    return account if budget.counted_per == "connection" else _render(budget.counted_per, values, account)


def _allow(charges: list[Charge], now: float) -> Verdict:
    """A verdict with the numbers of the longest window up to an hour, as in Klaviyo's RateLimit headers."""
    if not charges:
        return Verdict()
    counters = [each.counter for each in charges]
    short = [counter for counter in counters if counter.limit.seconds <= _MAX_REPORTED_SECONDS]
    longest = max(short or counters, key=lambda counter: counter.limit.seconds)
    limit, used = longest.limit, longest.allowed.used(now)
    remaining = max(0, math.floor(limit.requests - used + _ROUNDING))
    return Verdict(
        0.0, limit.label, int(limit.requests), remaining, longest.allowed.reset(now),
        states=tuple(counter.state(now) for counter in counters),
        charges=tuple(each for each in charges if each.settle or each.settle_header),
    )  # fmt: skip


@functools.lru_cache(maxsize=_MAX_CACHED_PATHS)
def endpoint_of(path: str) -> str:
    """The path with ids replaced by `*`, because APIs limit endpoints and not single records."""
    return "/".join("*" if _ID.fullmatch(part) else part for part in path.strip("/").split("/"))


def _render(template: str, values: Mapping[str, object], default: str = "") -> str:
    """The rendered template; `default`, or the template, if the sandbox does not know a value."""
    try:
        return render(template, values)
    except UnknownNameError:
        return default or template
