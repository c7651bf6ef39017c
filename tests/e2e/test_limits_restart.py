"""Servers that are stopped, started and emptied while callers are at work, not only cut off."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

import redis

from tests.support.limit_storm import BACK, LIMIT, LOST, Storm
from tests.support.simulated_api import overfull
from tests.support.stoppable_servers import own_postgres, own_redis
from tests.support.time_limits import HANG_SECONDS

if TYPE_CHECKING:
    import pytest


def test_limits_hold_while_redis_is_stopped_started_and_flushed(caplog: pytest.LogCaptureFixture) -> None:
    """A Redis that stops, starts again empty, or is flushed breaks no window and stops no call."""
    with own_redis() as server:

        def flush() -> None:
            with closing(redis.Redis.from_url(server.url)) as client:
                client.flushall()

        storm = Storm("redis", server.url, caplog)
        with caplog.at_level(logging.INFO, "nango_py.limits"):
            storm.live_through(
                [
                    (server.stop, LOST),
                    (server.start, BACK),
                    (flush, ""),
                    (server.stop, LOST),
                    (server.start, BACK),
                ]
            )
    assert overfull(LIMIT, storm.sent) == ""
    assert storm.slowest < HANG_SECONDS


def test_limits_hold_while_postgresql_crashes_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    """A PostgreSQL that is stopped at once and recovers breaks no window and stops no call."""
    with own_postgres() as server:
        storm = Storm("postgresql", server.url, caplog)
        with caplog.at_level(logging.INFO, "nango_py.limits"):
            storm.live_through([(server.stop, LOST), (server.start, BACK)])
    assert overfull(LIMIT, storm.sent) == ""
    assert storm.slowest < HANG_SECONDS
