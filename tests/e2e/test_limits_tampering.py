"""What somebody who may write to Redis can do: no value stops calls for ever, and no key names a user."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis

from nango_py.errors import StorageError
from nango_py.limits.limit_types import Granted, LimitReport, Refused, Spend
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_redis
from tests.support.simulated_api import LimitClock, bucket, window

if TYPE_CHECKING:
    from nango_py.limits.limit_types import Limit

LIMITS: tuple[Limit, ...] = (window(3, 60.0), bucket(9.0, 1.0))
SPEND = Spend("k", LIMITS)
NUMBERS = (
    "gate",
    "arrivals",
    "kept_until",
    "in_flight_cost",
    "dropped",
    "total",
    "merge_above",
    "first",
    "last",
)


def _tamper(url: str, **numbers: float) -> None:
    """Write other numbers into the state of the only budget."""
    client = redis.Redis.from_url(url)
    (key,) = [key for key in client.keys("*") if key.endswith(b" k")]
    state = client.hget(key, "state")
    found = dict(zip(NUMBERS, struct.unpack("<9d", state[:72]), strict=True))
    client.hset(key, "state", struct.pack("<9d", *{**found, **numbers}.values()) + state[72:])
    client.close()


@pytest.mark.parametrize("value", [1e18, float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["gate", "in_flight_cost", "last", "dropped"])
def test_no_number_stops_calls_for_ever(name: str, value: float) -> None:
    """A gate, a place or a moment that no step can have written is ignored."""
    clock = LimitClock()
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=clock)) as store:
        granted = store.acquire((SPEND,), ("k",), 0.0)
        assert isinstance(granted, Granted)
        store.settle(granted.ticket)
        store.correct(SPEND, LimitReport("3/60s", 2.0, 30.0, 0.0))
        _tamper(url, **{name: value})
        clock.moment += 61.0
        assert isinstance(store.acquire((SPEND,), ("k",), 0.0), Granted)


@pytest.mark.parametrize("name", ["in_flight_cost", "total"])
def test_a_negative_count_lifts_no_limit(name: str) -> None:
    """After a count below zero at most the limit is sent."""
    clock = LimitClock()
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=clock)) as store:
        granted = store.acquire((SPEND,), ("k",), 0.0)
        assert isinstance(granted, Granted)
        store.settle(granted.ticket)
        _tamper(url, **{name: -1e9})
        results = [store.acquire((SPEND,), ("k",), 0.0) for _ in range(4)]
        assert sum(isinstance(result, Granted) for result in results) <= 3
        assert isinstance(results[-1], Refused)


def test_a_state_that_cannot_be_read_is_an_error_of_the_store() -> None:
    """Processes then use their own memory, as when Redis is unreachable."""
    with fresh_redis() as url, closing(RedisLimits(Secret(url), clock=LimitClock())) as store:
        store.acquire((SPEND,), ("k",), 0.0)
        client = redis.Redis.from_url(url)
        (key,) = [key for key in client.keys("*") if key.endswith(b" k")]
        client.hset(key, "state", b"nonsense")
        client.close()
        with pytest.raises(StorageError):
            store.acquire((SPEND,), ("k",), 0.0)
