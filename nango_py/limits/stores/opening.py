"""Opens the limit store that `config.rate_limit_store` names."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.database.opening import open_database, sqlite_folder
from nango_py.errors import NangoError
from nango_py.forks import new_short_lock
from nango_py.limits.learning import Learning
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.record import record
from nango_py.secret import Secret

if TYPE_CHECKING:
    from nango_py.clock import Clock
    from nango_py.limits.limit_types import LimitStore

MAX_MEMORIES = 256
"""Maximum number of databases whose limits one process remembers."""

LIMITS_FILE = "limits.db"
"""A separate file beside that of the connections: a power cut may lose counts, but not connections."""


@record
class ProcessMemory:
    """What the parts of one process share of one configuration: limits in memory, and learned ones."""

    limits: MemoryLimits
    learning: Learning


_memories: OrderedDict[tuple[str, str, Clock], ProcessMemory] = OrderedDict()
_lock = new_short_lock()


def process_memory(database_url: Secret, clock: Clock) -> ProcessMemory:
    """What this process remembers of the limits of a database's connections.

    Every Nango with the same database gets the same, so that two of them do not count apart.

    Args:
        database_url: of the connections. Databases in memory share nothing.
        clock: of this process.
    """
    url = database_url.reveal()
    if ":memory:" in url:
        return ProcessMemory(MemoryLimits(clock), Learning(clock))
    # The URL may hold a password, and a relative one means another file in another folder.
    key = (hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest(), str(Path.cwd()), clock)
    with _lock:
        memory = _memories.get(key)
        if memory is None:
            memory = _memories[key] = ProcessMemory(MemoryLimits(clock), Learning(clock))
        _memories.move_to_end(key)
        while len(_memories) > MAX_MEMORIES:
            _memories.popitem(last=False)
    return memory


def open_limits(where: Secret, database_url: Secret, clock: Clock) -> LimitStore:
    """Open a limit store.

    Args:
        where: `memory`, `sql` or `redis://...`.
        database_url: the connections' database, for `sql` and `memory`.
        clock: of this machine.

    Raises:
        NangoError: the extra that the store needs is not installed.
        StorageError: the database is unreachable.
    """
    kind = where.reveal()
    if kind == "memory":
        return process_memory(database_url, clock).limits
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
