"""Rate limit counters of the sandbox. They are independent of nango_py.limits, which they check."""

from __future__ import annotations

import functools
import math
import re
import threading
from collections import deque
from typing import TYPE_CHECKING

from nango_py.record import record
from nango_py.sandbox.budgets import Budget, Case, parse_budgets
from nango_py.sandbox.expressions import UnknownNameError, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.json_types import Settings
    from nango_py.sandbox.budgets import CountingMode, Limit

_MAX_REPORTED_SECONDS = 3600.0
_MAX_CACHED_PATHS = 10_000
_ROUNDING = 1e-9
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
            ones; for a bucket, its highest level.
    """

    account: str
    key: str
    label: str
    limit: float
    peak: float


@record
class Verdict:
    """Whether a request is allowed, and the numbers for rate limit headers.

    Attributes:
        wait_seconds: 0 if the request is allowed; else the time until it would be.
        label: the limit that rejected it, or that the numbers describe.
        limit: the number of requests that this limit allows; None if nothing is limited.
        remaining: the number of requests left.
        reset_seconds: the time until the limit is unused again.
    """

    wait_seconds: float = 0.0
    label: str = ""
    limit: int | None = None
    remaining: int = 0
    reset_seconds: float = 0.0


class _Counter:
    """The requests under one limit and key."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.peak = 0.0
        self._times: deque[tuple[float, int]] = deque()
        self._used = 0
        self._window = -1
        self._level, self._level_at = 0.0, 0.0
        self._arrivals: deque[tuple[float, int]] = deque()
        self._arrivals_sum = 0
        self._peak_level, self._peak_level_at = 0.0, 0.0

    def record_arrival(self, now: float, cost: int) -> None:
        """Update the peak; rejected requests count too."""
        if self.limit.mode == "bucket":
            self._peak_level = self._drain(self._peak_level, self._peak_level_at, now) + cost
            self._peak_level_at = now
            self.peak = max(self.peak, self._peak_level)
            return
        self._arrivals.append((now, cost))
        self._arrivals_sum += cost
        while self._arrivals[0][0] <= now - self.limit.seconds:
            self._arrivals_sum -= self._arrivals.popleft()[1]
        self.peak = max(self.peak, self._arrivals_sum)

    def wait(self, now: float, cost: int) -> float:
        """Seconds until there is room for `cost`; 0 if there is now."""
        self._advance(now)
        excess = self._total() + cost - self.limit.requests
        if excess <= _ROUNDING:
            return 0.0
        if self.limit.mode == "bucket":
            return excess * self.limit.seconds / self.limit.requests
        if self.limit.mode == "fixed":
            return self._window_end() - now
        return self._time_of_room(excess) - now

    def spend(self, now: float, cost: int) -> None:
        """Count an allowed request; call it after `wait` returned 0."""
        if self.limit.mode == "bucket":
            self._level += cost
            return
        self._used += cost
        if self.limit.mode == "sliding":
            self._times.append((now, cost))

    def remaining(self) -> int:
        """The number of requests left."""
        return max(0, math.floor(self.limit.requests - self._total() + _ROUNDING))

    def reset(self, now: float) -> float:
        """Seconds until the limit is unused again."""
        if self.limit.mode == "bucket":
            return self._level * self.limit.seconds / self.limit.requests
        if self.limit.mode == "fixed":
            return self._window_end() - now
        return self._times[-1][0] + self.limit.seconds - now if self._times else 0.0

    def _total(self) -> float:
        return self._level if self.limit.mode == "bucket" else self._used

    def _window_end(self) -> float:
        return (self._window + 1) * self.limit.seconds

    def _advance(self, now: float) -> None:
        if self.limit.mode == "bucket":
            self._level = self._drain(self._level, self._level_at, now)
            self._level_at = now
        elif self.limit.mode == "fixed":
            window = math.floor(now / self.limit.seconds)
            if window != self._window:
                self._window, self._used = window, 0
        else:
            while self._times and self._times[0][0] <= now - self.limit.seconds:
                self._used -= self._times.popleft()[1]

    def _time_of_room(self, excess: float) -> float:
        freed = 0.0
        for at, cost in self._times:
            freed += cost
            if freed >= excess:
                return at + self.limit.seconds
        return math.inf

    def _drain(self, level: float, since: float, now: float) -> float:
        return max(0.0, level - (now - since) * self.limit.requests / self.limit.seconds)


class RequestCounts:
    """The counters of a blueprint's limits, for every account. Thread-safe.

    Args:
        rate_limits: the blueprint's `rate_limits`, or None for an API without limits.
        mode: how windows count. `{burst, per_second}` windows are always buckets.
    """

    def __init__(self, rate_limits: Settings | None, mode: CountingMode = "fixed") -> None:
        self._budgets = parse_budgets(rate_limits or {}, mode)
        self._counted_per = str((rate_limits or {}).get("counted_per") or "connection")
        self._candidates: dict[tuple[str, str], tuple[tuple[Budget, tuple[Case, ...]], ...]] = {}
        self._counters: dict[tuple[int, str, str, tuple[Limit, ...], Limit], _Counter] = {}
        self._lock = threading.Lock()

    def count(
        self,
        account: str,
        method: str,
        endpoint: str,
        params: Mapping[str, str],
        now: float,
        *,
        spend: bool = True,
    ) -> Verdict:
        """Count a request. If any limit rejects it, no limit is spent.

        Args:
            account: the account of its credential.
            method: in upper case.
            endpoint: the path below the base path.
            params: the parsed query; repeated values are joined by commas.
            now: monotonic seconds.
            spend: False for a request that is rejected for another reason.
        """
        with self._lock:
            counters = list(self._find_counters(account, method, endpoint.strip("/"), params))
            for counter, cost in counters:
                counter.record_arrival(now, cost)
            waits = [(counter.wait(now, cost), counter.limit.label) for counter, cost in counters]
            longest, label = max(waits, default=(0.0, ""))
            if longest > 0:
                return Verdict(wait_seconds=longest, label=label)
            if spend:
                for counter, cost in counters:
                    counter.spend(now, cost)
            return _allow([counter for counter, _ in counters], now)

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The peaks, for each account, key and limit."""
        with self._lock:
            return tuple(
                Counted(account, key, limit.label, limit.requests, counter.peak)
                for (_, account, key, _, limit), counter in self._counters.items()
            )

    def _find_counters(
        self, account: str, method: str, path: str, params: Mapping[str, str]
    ) -> Iterator[tuple[_Counter, int]]:
        for budget, cases in self._find_candidates(method, path):
            case = next((case for case in cases if case.matches_params(params)), None)
            if case is None:
                continue
            endpoint = case.endpoint or endpoint_of(path)
            values = {"method": method, "path": path, "endpoint": endpoint, "user_id": account}
            owner = self._owner(account, values)
            key = _render(case.key or budget.key, values)
            separate = () if case.key else case.limits
            for limit in case.limits:
                place = (budget.index, owner, key, separate, limit)
                if place not in self._counters:
                    self._counters[place] = _Counter(limit)
                yield self._counters[place], case.cost

    def _owner(self, account: str, values: Mapping[str, object]) -> str:
        return account if self._counted_per == "connection" else _render(self._counted_per, values, account)

    def _find_candidates(self, method: str, path: str) -> tuple[tuple[Budget, tuple[Case, ...]], ...]:
        candidates = self._candidates.get((method, path))
        if candidates is None:
            if len(self._candidates) >= _MAX_CACHED_PATHS:
                self._candidates.clear()
            candidates = tuple(
                (budget, tuple(case for case in budget.cases if case.matches_endpoint(method, path)))
                for budget in self._budgets
            )
            self._candidates[method, path] = candidates
        return candidates


def _allow(counters: list[_Counter], now: float) -> Verdict:
    """A verdict with the numbers of the longest window up to an hour, as in Klaviyo's RateLimit headers."""
    if not counters:
        return Verdict()
    short = [counter for counter in counters if counter.limit.seconds <= _MAX_REPORTED_SECONDS]
    longest = max(short or counters, key=lambda counter: counter.limit.seconds)
    limit = longest.limit
    return Verdict(0.0, limit.label, int(limit.requests), longest.remaining(), longest.reset(now))


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
