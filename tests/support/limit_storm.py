"""Callers that never rest, and what happens to their limit store while they call."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from nango_py.clock import SYSTEM_CLOCK
from nango_py.limits.limit_types import Granted, Spend
from nango_py.limits.stores.failover import FailoverLimits
from tests.support.limit_stores import store_at
from tests.support.nango_at_server import wait_until
from tests.support.simulated_api import let_pass, window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

LOST = "this process uses 1/2"
BACK = "the rate limit store is reachable again"
LIMIT = window(20, 0.5)
SPENDS = (Spend("k", (LIMIT,)),)
SERVED = 10
"""Requests that each user makes after an event before the next one comes."""


class Storm:
    """Two users of one store with two threads each, which call without a pause.

    Attributes:
        sent: each request's moment, and its cost.
        slowest: the longest that one step took.
    """

    def __init__(self, kind: str, url: str, log: pytest.LogCaptureFixture) -> None:
        self.sent: list[tuple[float, int]] = []
        self.slowest = 0.0
        self._log = log
        self._served: Counter[FailoverLimits] = Counter()
        self._stop = threading.Event()
        self._stores = [store_at(kind, url) for _ in range(2)]
        self._users = [FailoverLimits(store, SYSTEM_CLOCK) for store in self._stores]
        for user, store in zip(self._users, self._stores, strict=True):
            store.processes(user._name)

    def live_through(self, events: Sequence[tuple[Callable[[], None], str]]) -> None:
        """Let each event happen, and wait until both users have logged its text and been served again."""
        threads = [
            threading.Thread(target=self._work, args=(user,)) for user in self._users for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        try:
            self._wait_until_served()
            for happens, text in events:
                known = self._logged(text)
                happens()
                if text:
                    wait_until(lambda text=text, known=known: self._logged(text) == known + 2, 60.0)
                self._wait_until_served()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            for store in self._stores:
                store.close()

    def _wait_until_served(self) -> None:
        goals = {user: self._served[user] + SERVED for user in self._users}
        wait_until(lambda: all(self._served[user] >= goal for user, goal in goals.items()), 60.0)

    def _logged(self, text: str) -> int:
        return sum(text in record.getMessage() for record in self._log.records)

    def _work(self, user: FailoverLimits) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            grant = user.acquire(SPENDS, (), 60.0)
            assert isinstance(grant, Granted)
            wait = grant.wait
            while wait > 0:
                self._took(started)
                let_pass(wait)
                started = time.monotonic()
                wait = user.confirm(grant.ticket)
            self.sent.append((time.monotonic(), 1))
            user.settle(grant.ticket)
            self._took(started)
            self._served[user] += 1

    def _took(self, started: float) -> None:
        self.slowest = max(self.slowest, time.monotonic() - started)
