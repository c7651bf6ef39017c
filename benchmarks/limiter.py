"""One booking in two windows, in memory and in shared stores."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import medians, ratios
from benchmarks.report import Goal, Table
from benchmarks.services import redis_server
from nango_py.clock import SYSTEM_CLOCK
from nango_py.limits.limit_types import Granted, Spend, Window
from nango_py.limits.stores.memory import MemoryLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.limits.limit_types import LimitStore

LIMITS = (Window(100_000, 1.0, "100000/second"), Window(5_000_000, 60.0, "5000000/minute"))
IN_FLIGHT = 8
COUNTED = 150
"""Number of requests counted under a key before the next is used: 150 a minute, fully used."""

MANY = 1000
"""The same for a large budget, whose log in Redis is longer."""

ACQUIRE, CROWDED, SETTLE, PING = "acquire", "crowded", "settle", "PING of redis-py's client"
SMALLEST_SCRIPT = "return redis.call('INCR', KEYS[1])"


def run(*, quick: bool) -> list[Table]:
    """Measure the stores that this machine has."""
    rounds, calls = (3, 200) if quick else (15, 3000)
    table = Table("One booking in two windows", ("store", "acquire, us", "settle, us", "what it asks"))
    acquire, settle = _times(MemoryLimits(SYSTEM_CLOCK), rounds * calls)
    table.add("memory", acquire * 1e6, settle * 1e6, "-")
    table.goals.append(Goal("acquire in memory, us", acquire * 1e6, 5.0))
    _sqlite(table, rounds, calls // 10)
    _redis(table, rounds, calls // 10)
    return [table]


def _times(store: LimitStore, calls: int, before: int = 0, counted: int = COUNTED) -> tuple[float, float]:
    """Seconds of one acquire and of one settle, medians over batches of calls that are in flight together.

    Args:
        store: where.
        calls: how many.
        before: how many calls were made before these.
        counted: how many are made under each key.
    """
    acquires, settles = [], []
    for done in range(before, before + calls, IN_FLIGHT):
        key = f"bench {counted} {done // counted}"
        spends, gates = (Spend(key, LIMITS),), (key,)
        started = time.perf_counter()
        granted = [store.acquire(spends, gates, 30.0) for _ in range(IN_FLIGHT)]
        between = time.perf_counter()
        for one in granted:
            if isinstance(one, Granted):
                store.settle(one.ticket)
        settles.append((time.perf_counter() - between) / IN_FLIGHT)
        acquires.append((between - started) / IN_FLIGHT)
    return statistics.median(acquires), statistics.median(settles)


def _sqlite(table: Table, rounds: int, calls: int) -> None:
    from nango_py.database.opening import open_database
    from nango_py.limits.stores.sql_store import SqlLimits
    from nango_py.secret import Secret

    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Secret(f"sqlite:///{Path(folder) / 'limits.db'}"))
        statements: list[str] = []
        counting = Counting(database, statements.append)
        store = SqlLimits(counting, SYSTEM_CLOCK, is_server=False)
        acquire, settle = _times(store, rounds * calls)
        statements.clear()
        store.acquire((Spend("bench 150 0", LIMITS),), ("bench 150 0",), 30.0)
        asked = len(statements)
        database.close()
    table.add("SQLite", acquire * 1e6, settle * 1e6, f"{asked} statements in one transaction")
    table.goals.append(Goal("statements of an acquire in SQLite", asked, 3))


class Counting:
    """A database that passes each statement to a function as well."""

    def __init__(self, database: Any, record: Callable[[str], None]) -> None:
        self._database = database
        self._record = record
        self.schema_lock = database.schema_lock
        self.opening_lock = database.opening_lock

    def read(self, sql: str, parameters: Any) -> Any:
        """As the database does."""
        self._record(sql)
        return self._database.read(sql, parameters)

    def write(self, work: Callable[[Any], Any]) -> Any:
        """As the database does."""

        def work_and_record(run: Callable[..., Any]) -> Any:
            def one(sql: str, *parameters: Any) -> Any:
                self._record(sql)
                return run(sql, *parameters)

            return work(one)

        return self._database.write(work_and_record)


def _redis(table: Table, rounds: int, calls: int) -> None:
    """Compare with round trips to the same server, through redis-py's client and over a bare connection."""
    with redis_server() as url:
        if url is None or not importlib.util.find_spec("redis"):
            table.notes.append("No Redis here, so its store is left out.")
            return
        from nango_py.limits.stores.redis_store import RedisLimits
        from nango_py.secret import Secret

        store = RedisLimits(Secret(url))
        trips = round_trips(url)
        found: dict[str, list[float]] = {name: [] for name in (ACQUIRE, SETTLE, CROWDED, *trips)}
        for number in range(rounds):
            # Interleaved in batches, so that a busy moment affects all equally.
            batches: dict[str, list[float]] = {name: [] for name in found}
            for done in range(0, calls, IN_FLIGHT):
                acquire, settle = _times(store, IN_FLIGHT, number * calls + done)
                batches[ACQUIRE].append(acquire)
                batches[SETTLE].append(settle)
                batches[CROWDED].append(_times(store, IN_FLIGHT, number * calls + done, MANY)[0])
                for name, trip in trips.items():
                    batches[name].append(_time_of(trip))
            for name, values in batches.items():
                found[name].append(statistics.median(values))
        store.close()
    trip = medians(found)
    table.add("Redis", trip[ACQUIRE] * 1e6, trip[SETTLE] * 1e6, "1 script each")
    by_trip = {name: ratios(found, name)[ACQUIRE] for name in trips}
    table.notes += [
        f"An acquire in Redis, by {name} ({trip[name] * 1e6:.0f} us): {by_trip[name]:.2f}." for name in trips
    ]
    crowded = ratios(found, PING)[CROWDED]
    table.notes.append(f"While up to {MANY} are counted instead of {COUNTED}, by {PING}: {crowded:.2f}.")
    table.goals.append(Goal(f"acquire in Redis, by {PING}", by_trip[PING], 1.3))


def round_trips(url: str) -> dict[str, Callable[[], object]]:
    """Round trips through redis-py's client, and over its connection without the client."""
    import redis

    client = redis.Redis.from_url(url)
    script = client.register_script(SMALLEST_SCRIPT)
    digest = client.script_load(SMALLEST_SCRIPT)
    connection = client.connection_pool.get_connection()

    def bare(*command: str) -> Callable[[], object]:
        packed = connection.pack_command(*command)

        def call() -> object:
            connection.send_packed_command(packed)
            return connection.read_response()

        return call

    return {
        PING: client.ping,
        "SET of redis-py's client": lambda: client.set("bench", 1),
        "the smallest script that writes, of redis-py's client": lambda: script(keys=["bench"]),
        "PING over a bare connection": bare("PING"),
        "the smallest script that writes, over a bare connection": bare("EVALSHA", digest, "1", "bench"),
    }


def _time_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(IN_FLIGHT):
        call()
    return (time.perf_counter() - started) / IN_FLIGHT
