"""Servers that are stopped, started and emptied while callers are at work, not only cut off."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import redis

from nango_py.clock import SYSTEM_CLOCK
from nango_py.limits.limit_types import Granted, Spend
from nango_py.limits.stores.failover import FailoverLimits
from tests.support.limit_stores import store_at
from tests.support.simulated_api import let_pass, overfull, window
from tests.support.stoppable_servers import own_postgres, own_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

LIMIT = window(20, 0.5)
SPENDS = (Spend("k", (LIMIT,)),)
LONGEST = 5.0
"""No step of a caller may take so many seconds, whatever happens to the server."""


class Storm:
    """Two users of one store with two threads each, that never rest.

    Args:
        kind: of the store.
        url: where it is.
        phase: seconds between two strokes of fate.

    Attributes:
        sent: each request's moment, and its cost.
        slowest: the longest that one step took.
    """

    def __init__(self, kind: str, url: str, phase: float) -> None:
        self.phase = phase
        self.sent: list[tuple[float, int]] = []
        self.slowest = 0.0
        self._stop = threading.Event()
        self._stores = [store_at(kind, url) for _ in range(2)]
        self._users = [FailoverLimits(store, SYSTEM_CLOCK) for store in self._stores]
        for user, store in zip(self._users, self._stores, strict=True):
            store.processes(user._name)

    def live_through(self, acts: Sequence[Callable[[], None]]) -> list[float]:
        """The moments at which each act was over, the first before any and the last at the end."""
        threads = [
            threading.Thread(target=self._work, args=(user,)) for user in self._users for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        marks = [time.monotonic()]
        try:
            self._stop.wait(self.phase)
            for act in acts:
                act()
                marks.append(time.monotonic())
                self._stop.wait(self.phase)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            for store in self._stores:
                store.close()
        return [*marks, time.monotonic()]

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

    def _took(self, started: float) -> None:
        self.slowest = max(self.slowest, time.monotonic() - started)


def judge(storm: Storm, marks: list[float], least: float) -> None:
    """The limit held, nobody hung, and in each phase so large a part of the rate was used."""
    assert overfull(LIMIT, storm.sent) == ""
    assert storm.slowest < LONGEST
    for begin, end in pairwise(marks):
        used = sum(begin <= moment < end for moment, _ in storm.sent)
        assert used >= least * LIMIT.requests / LIMIT.seconds * min(end - begin, storm.phase)


def test_limits_hold_while_redis_is_stopped_started_and_flushed(caplog: pytest.LogCaptureFixture) -> None:
    """A Redis that ends and begins anew, empty, costs no window and stops nobody; so does a flush."""
    with own_redis() as server:

        def flush() -> None:
            with closing(redis.Redis.from_url(server.url)) as client:
                client.flushall()

        storm = Storm("redis", server.url, 2.0)
        with caplog.at_level(logging.INFO, "nango_py.limits"):
            marks = storm.live_through([server.stop, server.start, flush, server.stop, server.start])
    judge(storm, marks, 0.5)
    said = [record.getMessage() for record in caplog.records]
    assert sum("this process keeps to 1/2" in text for text in said) == 4
    assert said.count("the rate limit store is back") == 4


def test_limits_hold_while_postgresql_crashes_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    """A PostgreSQL that is stopped at once and recovers costs no window and stops nobody."""
    with own_postgres() as server:
        storm = Storm("postgresql", server.url, 4.0)
        with caplog.at_level(logging.INFO, "nango_py.limits"):
            marks = storm.live_through([server.stop, server.start])
    judge(storm, marks, 0.25)
    said = [record.getMessage() for record in caplog.records]
    assert sum("this process keeps to 1/2" in text for text in said) == 2
    assert said.count("the rate limit store is back") == 2
