"""The sandbox's own counting of requests, and what it saw at most in any window.

Nothing here is shared with nango_py.limits, which it is there to check. The time is given, so it is pure.
"""

from __future__ import annotations

import functools
import math
import re
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nango_py.sandbox.budgets import Budget, Case, read_budgets
from nango_py.sandbox.expressions import UnknownNameError, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nango_py.sandbox.budgets import Limit, Manner

_TOLD_UP_TO_SECONDS = 3600.0
_REMEMBERED_PATHS = 10_000
_ROUNDING = 1e-9
_ID = re.compile(r"\d+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{24,}")


@dataclass(frozen=True, slots=True)
class Counted:
    """What was seen of one limit.

    Attributes:
        account: whose quota: the user id, or a digest of the credential.
        key: the budget's key, rendered.
        label: the limit as the blueprint writes it.
        limit: how many it allows.
        most: how many arrived at most in any stretch of its length, wherever the stretch begins and refused
            ones included; of a bucket, how many it would have had to hold.
    """

    account: str
    key: str
    label: str
    limit: float
    most: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the counting says of one request.

    Attributes:
        wait_seconds: 0 when it is allowed; else until it would be.
        label: the limit that refused it, or the one that the numbers tell of.
        limit: how many that one allows; None when nothing is counted.
        remaining: how many are left of it.
        reset_seconds: until it counts from zero again, or is full again.
    """

    wait_seconds: float = 0.0
    label: str = ""
    limit: int | None = None
    remaining: int = 0
    reset_seconds: float = 0.0


class _Counter:
    """One limit under one key."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.most = 0.0
        self._times: deque[tuple[float, int]] = deque()
        self._used = 0
        self._window = -1
        self._level, self._level_at = 0.0, 0.0
        self._seen: deque[tuple[float, int]] = deque()
        self._seen_sum = 0
        self._seen_level, self._seen_at = 0.0, 0.0

    def see(self, now: float, cost: int) -> None:
        """Note an arrival, allowed or not."""
        if self.limit.manner == "bucket":
            self._seen_level = self._drained(self._seen_level, self._seen_at, now) + cost
            self._seen_at = now
            self.most = max(self.most, self._seen_level)
            return
        self._seen.append((now, cost))
        self._seen_sum += cost
        while self._seen[0][0] <= now - self.limit.seconds:
            self._seen_sum -= self._seen.popleft()[1]
        self.most = max(self.most, self._seen_sum)

    def wait(self, now: float, cost: int) -> float:
        """Seconds until `cost` more fit; 0 when they fit now."""
        self._advance(now)
        over = self._total() + cost - self.limit.requests
        if over <= _ROUNDING:
            return 0.0
        if self.limit.manner == "bucket":
            return over * self.limit.seconds / self.limit.requests
        if self.limit.manner == "fixed":
            return self._ends() - now
        return self._room_at(over) - now

    def spend(self, now: float, cost: int) -> None:
        """Book `cost`; `wait` has just answered 0."""
        if self.limit.manner == "bucket":
            self._level += cost
        elif self.limit.manner == "fixed":
            self._used += cost
        else:
            self._times.append((now, cost))
            self._used += cost

    def remaining(self) -> int:
        """How many fit now."""
        return max(0, math.floor(self.limit.requests - self._total() + _ROUNDING))

    def reset(self, now: float) -> float:
        """Seconds until nothing is used any more."""
        if self.limit.manner == "bucket":
            return self._level * self.limit.seconds / self.limit.requests
        if self.limit.manner == "fixed":
            return self._ends() - now
        return self._times[-1][0] + self.limit.seconds - now if self._times else 0.0

    def _total(self) -> float:
        return self._level if self.limit.manner == "bucket" else self._used

    def _ends(self) -> float:
        return (self._window + 1) * self.limit.seconds

    def _advance(self, now: float) -> None:
        if self.limit.manner == "bucket":
            self._level = self._drained(self._level, self._level_at, now)
            self._level_at = now
        elif self.limit.manner == "fixed":
            window = math.floor(now / self.limit.seconds)
            if window != self._window:
                self._window, self._used = window, 0
        else:
            while self._times and self._times[0][0] <= now - self.limit.seconds:
                self._used -= self._times.popleft()[1]

    def _room_at(self, over: float) -> float:
        freed = 0.0
        for at, cost in self._times:
            freed += cost
            if freed >= over:
                return at + self.limit.seconds
        return math.inf

    def _drained(self, level: float, since: float, now: float) -> float:
        return max(0.0, level - (now - since) * self.limit.requests / self.limit.seconds)


class Counting:
    """Every budget of a blueprint, for every account; safe to read while requests are counted.

    Args:
        rate_limits: the blueprint's `rate_limits`, or None for an API without limits.
        manner: how windows are counted. `{burst, per_second}` is a bucket always.
    """

    def __init__(self, rate_limits: Mapping[str, Any] | None, manner: Manner = "fixed") -> None:
        self._budgets = read_budgets(rate_limits or {}, manner)
        self._counted_per = str((rate_limits or {}).get("counted_per") or "connection")
        self._candidates: dict[tuple[str, str], tuple[tuple[Budget, tuple[Case, ...]], ...]] = {}
        self._counters: dict[tuple[int, str, str, tuple[Limit, ...], Limit], _Counter] = {}
        self._lock = threading.Lock()

    def arrive(
        self,
        account: str,
        method: str,
        endpoint: str,
        params: Mapping[str, str],
        now: float,
        *,
        spend: bool = True,
    ) -> Verdict:
        """Count a request that has arrived.

        All limits together allow it, or none of them books it.

        Args:
            account: whose credential it carried.
            method: in capitals.
            endpoint: the path below the base path.
            params: the parsed query; values of a repeated name are joined by commas.
            now: seconds that only grow.
            spend: False for a request that is refused for another reason: it is seen and not booked.
        """
        with self._lock:
            counters = list(self._applying(account, method, endpoint.strip("/"), params))
            for counter, cost in counters:
                counter.see(now, cost)
            waits = [(counter.wait(now, cost), counter.limit.label) for counter, cost in counters]
            longest, label = max(waits, default=(0.0, ""))
            if longest > 0:
                return Verdict(wait_seconds=longest, label=label)
            if spend:
                for counter, cost in counters:
                    counter.spend(now, cost)
            return _told([counter for counter, _ in counters], now)

    @property
    def counted(self) -> tuple[Counted, ...]:
        """What was seen, one entry for each account, key and limit."""
        with self._lock:
            return tuple(
                Counted(account, key, limit.label, limit.requests, counter.most)
                for (_, account, key, _, limit), counter in self._counters.items()
            )

    def _applying(
        self, account: str, method: str, path: str, params: Mapping[str, str]
    ) -> Iterator[tuple[_Counter, int]]:
        for budget, cases in self._candidate_cases(method, path):
            case = next((case for case in cases if case.fits(params)), None)
            if case is None:
                continue
            endpoint = case.endpoint or endpoint_of(path)
            values = {"method": method, "path": path, "endpoint": endpoint, "user_id": account}
            payer = self._payer(account, values)
            key = _rendered(case.key or budget.key, values)
            apart = () if case.key else case.limits
            for limit in case.limits:
                place = (budget.index, payer, key, apart, limit)
                if place not in self._counters:
                    self._counters[place] = _Counter(limit)
                yield self._counters[place], case.cost

    def _payer(self, account: str, values: Mapping[str, Any]) -> str:
        if self._counted_per == "connection":
            return account
        return _rendered(self._counted_per, values, account)

    def _candidate_cases(self, method: str, path: str) -> tuple[tuple[Budget, tuple[Case, ...]], ...]:
        found = self._candidates.get((method, path))
        if found is None:
            if len(self._candidates) >= _REMEMBERED_PATHS:
                self._candidates.clear()
            found = tuple(
                (budget, tuple(case for case in budget.cases if case.concerns(method, path)))
                for budget in self._budgets
            )
            self._candidates[method, path] = found
        return found


def _told(counters: list[_Counter], now: float) -> Verdict:
    """The numbers for RateLimit-*: of the longest window up to an hour, as Klaviyo tells the minute's."""
    short = [counter for counter in counters if counter.limit.seconds <= _TOLD_UP_TO_SECONDS]
    if not counters:
        return Verdict()
    told = max(short or counters, key=lambda counter: counter.limit.seconds)
    return Verdict(0.0, told.limit.label, int(told.limit.requests), told.remaining(), told.reset(now))


@functools.lru_cache(maxsize=_REMEMBERED_PATHS)
def endpoint_of(path: str) -> str:
    """The path with the parts that are surely ids replaced by `*`: APIs count routes, not records."""
    return "/".join("*" if _ID.fullmatch(part) else part for part in path.strip("/").split("/"))


def _rendered(template: str, values: Mapping[str, Any], otherwise: str = "") -> str:
    """The rendered text; `otherwise`, or the template, when it needs what the sandbox cannot know."""
    try:
        return render(template, values)
    except UnknownNameError:
        return otherwise or template
