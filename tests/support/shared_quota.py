"""An API with fixed windows whose quota others use too, and a caller that keeps to what responses say."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from nango_py.database.opening import open_database
from nango_py.limits.headers.dialects import LimitStatus
from nango_py.limits.learning import Learning
from nango_py.limits.limit_types import Granted
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nango_py.limits.limit_types import LimitStore, Spend
    from tests.support.simulated_api import LimitClock


@contextlib.contextmanager
def store_opener(kind: str, folder: Path, clock: LimitClock) -> Iterator[Callable[[], LimitStore]]:
    """A function that opens the store as a process does that starts; only shared ones keep their state."""
    with contextlib.ExitStack() as stack:
        if kind == "memory":
            yield lambda: MemoryLimits(clock)
        elif kind == "sql":
            yield lambda: SqlLimits(
                stack.enter_context(contextlib.closing(open_database(Secret(f"sqlite:///{folder}/l.db")))),
                clock,
                is_server=False,
            )
        else:
            url = stack.enter_context(fresh_redis())
            yield lambda: stack.enter_context(contextlib.closing(RedisLimits(Secret(url), clock=clock)))


class SharedQuota:
    """A quota of `requests` in fixed windows of `seconds`, counted from the clock's zero.

    Attributes:
        store: of the caller, may be replaced as by a restart.
        sent: (moment, whether the API accepted it) of each call.
        ours: the calls that the API accepted, by window.
        reset: the last reset that a response named.
    """

    def __init__(self, requests: int, seconds: float, clock: LimitClock, spends: tuple[Spend, ...]) -> None:
        self.requests, self.seconds, self.clock, self.spends = requests, seconds, clock, spends
        self.store: LimitStore = MemoryLimits(clock)
        self.learning = Learning(clock)
        self.used: dict[int, int] = {}
        self.ours: dict[int, int] = {}
        self.sent: list[tuple[float, bool]] = []
        self.reset = math.inf

    @property
    def window(self) -> int:
        """The number of the current window."""
        return int(self.clock.moment // self.seconds)

    def others(self, number: int) -> None:
        """Others send this number of requests now."""
        self.used[self.window] = self.used.get(self.window, 0) + number

    def restart(self, store: LimitStore) -> None:
        """The caller's process ends, and another one starts with this store."""
        self.store, self.learning = store, Learning(self.clock)

    def call(self, max_wait: float = math.inf) -> float:
        """One call, its wait included; the wait, or -1.0 if it is longer than the caller accepts."""
        spends = self.learning.spends("s", "GET x", self.spends)
        grant = self.store.acquire(spends, ("s",), max_wait)
        if not isinstance(grant, Granted):
            return -1.0
        wait, came = grant.wait, self.clock.moment
        while wait > 0:
            self.clock.moment += wait
            wait = self.store.confirm(grant.ticket)
        waited = self.clock.moment - came
        self._send(spends, grant)
        return waited

    def _send(self, spends: tuple[Spend, ...], grant: Granted) -> None:
        number = self.window
        is_accepted = self.used.get(number, 0) < self.requests
        if is_accepted:
            self.used[number] = self.used.get(number, 0) + 1
            self.ours[number] = self.ours.get(number, 0) + 1
        sent_at = self.clock.moment
        self.sent.append((self.clock.moment, is_accepted))
        remaining = self.requests - self.used.get(number, 0)
        self.reset = (number + 1) * self.seconds
        self.clock.moment += 0.001
        self.store.settle(grant.ticket)
        status = LimitStatus(
            float(remaining), float(self.requests), self.reset - self.clock.moment, "x-ratelimit-*"
        )
        self.learning.learn(
            self.store, "s", "GET x", spends, (status,), refused=not is_accepted, sent_at=sent_at
        )
