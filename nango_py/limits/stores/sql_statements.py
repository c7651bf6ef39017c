"""SQL statements of the limit store, for SQLite and PostgreSQL."""

from __future__ import annotations

from string import ascii_lowercase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

CREATE = """
CREATE TABLE IF NOT EXISTS nango_limits (
  key TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, kept_until BIGINT NOT NULL
)
"""
# The pages and lines of the queues of waiting calls; see stored_meter.py.
CREATE_QUEUES = """
CREATE TABLE IF NOT EXISTS nango_limit_queues (
  key TEXT NOT NULL, part TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (key, part)
)
"""
DROP_QUEUE = "DELETE FROM nango_limit_queues WHERE key = :key"
SWEEP_QUEUES = """
DELETE FROM nango_limit_queues
WHERE NOT EXISTS (SELECT 1 FROM nango_limits WHERE nango_limits.key = nango_limit_queues.key)
"""
CREATE_PROCESSES = """
CREATE TABLE IF NOT EXISTS nango_limit_processes (name TEXT NOT NULL PRIMARY KEY, seen_at BIGINT NOT NULL)
"""
# Not LIKE, because keys may contain its wildcards, and not >=, because collations order texts differently.
KEYS = "SELECT key FROM nango_limits WHERE substr(key, 1, :size) = :prefix ORDER BY key"
CREATE_INDEX = "CREATE INDEX IF NOT EXISTS nango_limits_kept_until ON nango_limits (kept_until)"
SWEEP = """
DELETE FROM nango_limits
WHERE key IN (SELECT key FROM nango_limits WHERE kept_until < :now ORDER BY kept_until LIMIT 1000)
"""
BEAT = """
INSERT INTO nango_limit_processes (name, seen_at) VALUES (:name, :now)
ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
"""
# On SQLite the moments are those of a boot; one in the future is of an earlier boot.
FORGET_PROCESSES = "DELETE FROM nango_limit_processes WHERE seen_at < :old OR seen_at > :latest"
COUNT_PROCESSES = "SELECT count(*) FROM nango_limit_processes"


_SELECT = "SELECT key, state, {time} FROM nango_limits WHERE key IN ({keys}) ORDER BY key "
_INSERT_MISSING = """
INSERT INTO nango_limits (key, state, kept_until) VALUES {rows} ON CONFLICT (key) DO NOTHING
"""
_UPSERT = """
INSERT INTO nango_limits (key, state, kept_until) VALUES {rows}
ON CONFLICT (key) DO UPDATE SET state = excluded.state, kept_until = excluded.kept_until
"""
_SELECT_PARTS = "SELECT key, part, state FROM nango_limit_queues WHERE {pairs}"
_DELETE_PARTS = "DELETE FROM nango_limit_queues WHERE {pairs}"
_UPSERT_PARTS = """
INSERT INTO nango_limit_queues (key, part, state) VALUES {rows}
ON CONFLICT (key, part) DO UPDATE SET state = excluded.state
"""


def select(count: int, time: str) -> str:
    """Selects the rows of this number of keys, with the server's time."""
    # Sorted, so that no two transactions that lock several rows wait for each other.
    return _SELECT.format(time=time, keys=", ".join(f":key_{letters(index)}" for index in range(count)))


def insert_missing(count: int) -> str:
    """Inserts empty rows for keys without one."""
    rows = ", ".join(f"(:key_{letters(index)}, '', 0)" for index in range(count))
    return _INSERT_MISSING.format(rows=rows)


def upsert(count: int) -> str:
    """Writes the rows of this number of keys."""
    names = [letters(index) for index in range(count)]
    return _UPSERT.format(rows=", ".join(f"(:key_{name}, :state_{name}, :until_{name})" for name in names))


def _pairs(count: int) -> str:
    # SQLite uses no index for (key, part) IN (...).
    names = [letters(index) for index in range(count)]
    return " OR ".join(f"(key = :key_{name} AND part = :part_{name})" for name in names)


def select_parts(count: int) -> str:
    """Selects this number of parts of queues."""
    return _SELECT_PARTS.format(pairs=_pairs(count))


def delete_parts(count: int) -> str:
    """Removes this number of parts of queues."""
    return _DELETE_PARTS.format(pairs=_pairs(count))


def upsert_parts(count: int) -> str:
    """Writes this number of parts of queues."""
    names = [letters(index) for index in range(count)]
    rows = ", ".join(f"(:key_{name}, :part_{name}, :state_{name})" for name in names)
    return _UPSERT_PARTS.format(rows=rows)


def name_parameters(word: str, values: Collection[str]) -> dict[str, str]:
    """Values as named parameters: key_a, key_b and so on."""
    return {f"{word}_{letters(index)}": value for index, value in enumerate(values)}


def letters(index: int) -> str:
    """A number as letters (a, b, ..., z, ba, ...), because names of parameters are letters only."""
    rest, letter = divmod(index, len(ascii_lowercase))
    return (letters(rest) if rest else "") + ascii_lowercase[letter]
