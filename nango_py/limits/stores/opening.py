"""Opens the limit store that `config.rate_limit_store` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.database.opening import open_database, sqlite_folder
from nango_py.errors import NangoError
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.secret import Secret

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.limits.limit_types import LimitStore

LIMITS_FILE = "limits.db"
"""A separate file beside that of the connections: a power cut may lose counts, but not connections."""


def open_limits(where: Secret, database_url: Secret, clock: Clock) -> LimitStore:
    """Open a limit store.

    Args:
        where: `memory`, `sql` or `redis://...`.
        database_url: the connections' database, for `sql`.
        clock: of this machine.

    Raises:
        NangoError: the extra that the store needs is not installed.
        StorageError: the database is unreachable.
    """
    kind = where.reveal()
    if kind == "memory":
        return MemoryLimits(clock)
    from nango_py.limits.stores.failover import FailoverLimits

    if kind == "sql":
        from nango_py.limits.stores.sql_store import RESPONSE_SECONDS, SqlLimits

        folder = sqlite_folder(database_url.reveal())
        url = database_url if folder is None else Secret(f"sqlite:///{folder / LIMITS_FILE}")
        database = open_database(url, RESPONSE_SECONDS)
        return FailoverLimits(SqlLimits(database, clock, is_server=database.is_server), clock)
    try:
        from nango_py.limits.stores.redis_store import RedisLimits
    except ModuleNotFoundError:
        pass
    else:
        return FailoverLimits(RedisLimits(where), clock)
    raise NangoError("a rate_limit_store of redis://... needs redis: pip install 'nango-py[redis]'")
