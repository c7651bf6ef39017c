"""Limit stores of every kind, opened empty for a test."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nango_py.clock import SYSTEM_CLOCK
from nango_py.database.opening import open_database
from nango_py.limits.stores.failover import FailoverLimits
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_store import RESPONSE_SECONDS, SqlLimits
from nango_py.secret import Secret
from tests.support.databases import fresh_postgres, fresh_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.limits.limit_types import LimitStore


@contextlib.contextmanager
def opened(kind: str, folder: Path) -> Iterator[LimitStore]:
    """A store of that kind; `shared redis` is one that may go away."""
    if kind == "memory":
        yield MemoryLimits(SYSTEM_CLOCK)
        return
    with place_of(kind, folder) as url:
        limits = store_at(kind.removeprefix("shared "), url)
        yield FailoverLimits(limits, SYSTEM_CLOCK) if kind.startswith("shared ") else limits
        limits.close()


def store_at(kind: str, url: str) -> RedisLimits | SqlLimits:
    """A shared store in that place."""
    if kind == "redis":
        return RedisLimits(Secret(url))
    database = open_database(Secret(url), RESPONSE_SECONDS)
    return SqlLimits(database, SYSTEM_CLOCK, is_server=kind == "postgresql")


@contextlib.contextmanager
def place_of(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty place that processes can share."""
    if kind.endswith("sqlite"):
        yield f"sqlite:///{folder}/limits.db"
        return
    with fresh_redis() if kind.endswith("redis") else fresh_postgres() as url:
        yield url
