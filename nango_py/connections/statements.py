"""The SQL statements of the store, the same for SQLite and PostgreSQL, and the migrations of its schema.

Parameters are written `:name`; times are microseconds since 1970. The SQLite driver removes `FOR UPDATE`,
because a writer locks the whole database there.
"""

from __future__ import annotations

VERSION = "SELECT coalesce(max(version), 0) FROM nango_schema"
CREATE_VERSIONS = """
CREATE TABLE IF NOT EXISTS nango_schema (version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)
"""
ADD_VERSION = "INSERT INTO nango_schema (version, applied_at) VALUES (:version, :now)"

INSERT = """
INSERT INTO nango_connections
  (uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at)
VALUES (:uuid, :integration, :user_id, :generation, :status, :key_id, :credentials, :additional_config,
  :created_at, :modified_at)
"""
ALL = """
SELECT uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at
FROM nango_connections
"""
ONE = ALL + "WHERE integration = :integration AND user_id = :user_id "
ONE_FOR_UPDATE = ONE + "FOR UPDATE"
# Lists do not show credentials, so they are not read.
WITHOUT_CREDENTIALS = ALL.replace("credentials", "NULL")
FOR_USER = WITHOUT_CREDENTIALS + "WHERE user_id = :user_id ORDER BY created_at, uuid"
FOR_INTEGRATION = WITHOUT_CREDENTIALS + "WHERE integration = :integration ORDER BY created_at, uuid"
# By identity, so that a connection that is deleted and registered again in between is not returned twice.
_ONE_PAGE = "AND (:user_id = '' OR user_id = :user_id) ORDER BY integration, user_id LIMIT :limit"
PAGE = f"WHERE (integration, user_id) > (:after_integration, :after_user) {_ONE_PAGE}"
PAGE_OF_INTEGRATION = f"WHERE integration = :integration AND user_id > :after_user {_ONE_PAGE}"
GENERATION = (
    "SELECT generation, uuid FROM nango_connections WHERE integration = :integration AND user_id = :user_id"
)
UUID_EXISTS = "SELECT 1 FROM nango_connections WHERE uuid = :uuid"
UPDATE = """
UPDATE nango_connections
SET generation = :generation, status = :status, key_id = :key_id, credentials = :credentials,
  additional_config = :additional_config, modified_at = :modified_at
WHERE uuid = :uuid
"""
DELETE = """
DELETE FROM nango_connections WHERE integration = :integration AND user_id = :user_id
RETURNING uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at
"""
DELETE_SCHEDULES_OF = "DELETE FROM nango_schedules WHERE integration = :integration AND user_id = :user_id"
CANCEL_JOBS_OF = """
UPDATE nango_jobs SET is_cancelled = 1, changed_at = :now,
  status = CASE status WHEN 'waiting' THEN 'cancelled' ELSE status END
WHERE integration = :integration AND user_id = :user_id AND status IN ('waiting', 'running')
"""

_SEALS = "SELECT 1 FROM {table} WHERE {table}.key_id = nango_keys.key_id"
_IN_CONNECTIONS = f"EXISTS ({_SEALS.format(table='nango_connections')})"
_IN_JOBS = " OR ".join(
    f"EXISTS ({_SEALS.format(table=table)})" for table in ("nango_jobs", "nango_schedules")
)
_KEYS = """
SELECT key_id, proof, CASE WHEN {is_used} THEN 1 ELSE 0 END FROM nango_keys ORDER BY created_at, key_id
"""
KEYS = _KEYS.format(is_used=f"{_IN_CONNECTIONS} OR {_IN_JOBS}")
KEYS_BEFORE_JOBS = _KEYS.format(is_used=_IN_CONNECTIONS)
FIRST_VERSION_WITH_JOBS = 5
ADD_KEY = """
INSERT INTO nango_keys (key_id, proof, created_at) VALUES (:key_id, :proof, :now)
ON CONFLICT (key_id) DO NOTHING
"""
_DROP = "DELETE FROM nango_keys WHERE key_id = :key_id AND NOT ({is_used})"
DROP_KEY = _DROP.format(is_used=f"{_IN_CONNECTIONS} OR {_IN_JOBS}")
DROP_UNUSED_KEYS = DROP_KEY.replace("key_id = :key_id", "key_id <> :key_id")
ROWS_BY_KEY = """
SELECT nango_keys.key_id,
  (SELECT count(*) FROM nango_connections WHERE nango_connections.key_id = nango_keys.key_id)
  + (SELECT count(*) FROM nango_jobs WHERE nango_jobs.key_id = nango_keys.key_id)
  + (SELECT count(*) FROM nango_schedules WHERE nango_schedules.key_id = nango_keys.key_id)
FROM nango_keys ORDER BY nango_keys.key_id
"""
STALE_COUNT = "SELECT count(*) FROM nango_connections WHERE key_id <> :key_id"
STALE_FOR_UPDATE = ALL + "WHERE key_id <> :key_id AND uuid > :after ORDER BY uuid LIMIT :limit FOR UPDATE"
RESEAL = """
UPDATE nango_connections
SET key_id = :key_id, credentials = :credentials, additional_config = :additional_config
WHERE uuid = :uuid
"""

WRITE_PROCESS = """
INSERT INTO nango_processes (integration, name, seen_at) VALUES (:integration, :name, :now)
ON CONFLICT (integration, name) DO UPDATE SET seen_at = excluded.seen_at
"""
DELETE_OLD_PROCESSES = "DELETE FROM nango_processes WHERE seen_at < :old OR seen_at > :future"
COUNT_OTHER_PROCESSES = """
SELECT count(*) FROM nango_processes
WHERE integration = :integration AND name <> :name AND seen_at >= :since
"""

# Each key has a proof, so that a wrong key is recognized before anything is written. The reference from rows
# to keys makes it safe to drop a key: no row can begin to use one that was dropped while a process still had
# it.
_CONNECTIONS = (
    """
    CREATE TABLE nango_keys (
      key_id TEXT NOT NULL PRIMARY KEY,
      proof BYTEA NOT NULL,
      created_at BIGINT NOT NULL
    )
    """,
    """
    CREATE TABLE nango_connections (
      uuid TEXT NOT NULL PRIMARY KEY,
      integration TEXT NOT NULL,
      user_id TEXT NOT NULL,
      generation BIGINT NOT NULL,
      status TEXT NOT NULL,
      key_id TEXT NOT NULL REFERENCES nango_keys (key_id),
      credentials BYTEA NOT NULL,
      additional_config BYTEA NOT NULL,
      created_at BIGINT NOT NULL,
      modified_at BIGINT NOT NULL,
      UNIQUE (integration, user_id)
    )
    """,
    "CREATE INDEX nango_connections_by_user ON nango_connections (user_id)",
    "CREATE INDEX nango_connections_by_key ON nango_connections (key_id)",
)
# Who refreshes a connection's token; the lease of a deleted connection is deleted with it.
_LEASES = (
    """
    CREATE TABLE nango_leases (
      uuid TEXT NOT NULL PRIMARY KEY REFERENCES nango_connections (uuid) ON DELETE CASCADE,
      owner TEXT NOT NULL,
      ends_at BIGINT NOT NULL
    )
    """,
)
# Which processes use which integration's connections.
_PROCESSES = (
    """
    CREATE TABLE nango_processes (
      integration TEXT NOT NULL,
      name TEXT NOT NULL,
      seen_at BIGINT NOT NULL,
      PRIMARY KEY (integration, name)
    )
    """,
)
# Logins that wait for their callback, and the outcomes of recent ones.
_PENDING = (
    """
    CREATE TABLE nango_pending (
      id TEXT NOT NULL PRIMARY KEY,
      session_id TEXT NOT NULL,
      key_id TEXT NOT NULL,
      sealed BYTEA NOT NULL,
      created_at BIGINT NOT NULL,
      ends_at BIGINT NOT NULL
    )
    """,
    "CREATE INDEX nango_pending_by_session ON nango_pending (session_id, created_at)",
    "CREATE INDEX nango_pending_by_end ON nango_pending (ends_at)",
)
# Jobs that run later or elsewhere, and the schedules that create them. At most one job with a lock runs.
_JOBS = (
    """
    CREATE TABLE nango_jobs (
      id TEXT NOT NULL PRIMARY KEY,
      handler TEXT NOT NULL,
      integration TEXT NOT NULL,
      user_id TEXT NOT NULL,
      lane TEXT NOT NULL,
      lock_name TEXT NOT NULL,
      key_hash TEXT NOT NULL,
      schedule_id TEXT NOT NULL,
      status TEXT NOT NULL,
      attempts BIGINT NOT NULL,
      max_attempts BIGINT NOT NULL,
      run_at BIGINT NOT NULL,
      created_at BIGINT NOT NULL,
      changed_at BIGINT NOT NULL,
      owner TEXT NOT NULL,
      ends_at BIGINT NOT NULL,
      is_held BIGINT NOT NULL,
      is_cancelled BIGINT NOT NULL,
      turn BIGINT NOT NULL,
      key_id TEXT NOT NULL REFERENCES nango_keys (key_id),
      payload BYTEA NOT NULL,
      state BYTEA NOT NULL
    )
    """,
    """
    CREATE INDEX nango_jobs_waiting ON nango_jobs (lane, is_held DESC, run_at, id)
    WHERE status = 'waiting'
    """,
    """
    CREATE INDEX nango_jobs_behind ON nango_jobs (lane, lock_name, is_held DESC, run_at, id)
    WHERE status = 'waiting'
    """,
    """
    CREATE UNIQUE INDEX nango_jobs_lock ON nango_jobs (lock_name)
    WHERE status = 'running' AND lock_name <> ''
    """,
    "CREATE INDEX nango_jobs_held ON nango_jobs (lock_name) WHERE status = 'waiting' AND is_held = 1",
    """
    CREATE UNIQUE INDEX nango_jobs_key ON nango_jobs (handler, integration, user_id, key_hash)
    WHERE key_hash <> ''
    """,
    """
    CREATE INDEX nango_jobs_scheduled ON nango_jobs (schedule_id)
    WHERE status = 'waiting' AND schedule_id <> ''
    """,
    "CREATE INDEX nango_jobs_by_status ON nango_jobs (status, changed_at)",
    "CREATE INDEX nango_jobs_by_user ON nango_jobs (integration, user_id)",
    "CREATE INDEX nango_jobs_by_seal ON nango_jobs (key_id)",
    """
    CREATE TABLE nango_schedules (
      id TEXT NOT NULL PRIMARY KEY,
      handler TEXT NOT NULL,
      integration TEXT NOT NULL,
      user_id TEXT NOT NULL,
      name TEXT NOT NULL,
      rule TEXT NOT NULL,
      time_zone TEXT NOT NULL,
      lane TEXT NOT NULL,
      next_at BIGINT NOT NULL,
      created_at BIGINT NOT NULL,
      key_id TEXT NOT NULL REFERENCES nango_keys (key_id),
      payload BYTEA NOT NULL,
      UNIQUE (handler, integration, user_id, name)
    )
    """,
    "CREATE INDEX nango_schedules_by_time ON nango_schedules (next_at)",
    "CREATE INDEX nango_schedules_by_seal ON nango_schedules (key_id)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_CONNECTIONS, _LEASES, _PROCESSES, _PENDING, _JOBS)
"""Migration n upgrades schema version n - 1 to n. A released migration never changes."""
