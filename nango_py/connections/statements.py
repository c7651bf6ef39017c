"""The one SQL text of the store, for SQLite and PostgreSQL alike, and the numbered steps of its schema.

Parameters are written `:name`; times are microseconds since 1970. `FOR UPDATE` is understood by both:
SQLite's driver leaves it out, since a writer has the whole database for itself there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.database.base import Run

VERSION = "SELECT coalesce(max(version), 0) FROM nango_schema"
CREATE_VERSIONS = """
CREATE TABLE IF NOT EXISTS nango_schema (version BIGINT NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)
"""
ADD_VERSION = "INSERT INTO nango_schema (version, applied_at) VALUES (:version, :now)"

CREATE = """
INSERT INTO nango_connections
  (uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at)
VALUES (:uuid, :integration, :user_id, :generation, :status, :key_id, :credentials, :additional_config,
  :created_at, :modified_at)
"""
ONE = """
SELECT uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at
FROM nango_connections WHERE integration = :integration AND user_id = :user_id
"""
ONE_TO_CHANGE = ONE + "FOR UPDATE"
CHANGE = """
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
GENERATION = (
    "SELECT generation, uuid FROM nango_connections WHERE integration = :integration AND user_id = :user_id"
)
# Lists show no credentials, so none are read.
FOR_USER = """
SELECT uuid, integration, user_id, generation, status, key_id, NULL, additional_config,
  created_at, modified_at
FROM nango_connections WHERE user_id = :user_id ORDER BY created_at, uuid
"""
FOR_INTEGRATION = """
SELECT uuid, integration, user_id, generation, status, key_id, NULL, additional_config,
  created_at, modified_at
FROM nango_connections WHERE integration = :integration ORDER BY created_at, uuid
"""
# By identity, so that a connection that is deleted and registered again meanwhile is not met twice.
PAGE = """
SELECT uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at
FROM nango_connections
WHERE (integration, user_id) > (:after_integration, :after_user)
  AND (:integration = '' OR integration = :integration) AND (:user_id = '' OR user_id = :user_id)
ORDER BY integration, user_id LIMIT :most
"""
TAKEN = "SELECT 1 FROM nango_connections WHERE uuid = :uuid"

KEYS = """
SELECT key_id, proof,
  CASE WHEN EXISTS (SELECT 1 FROM nango_connections WHERE nango_connections.key_id = nango_keys.key_id)
  THEN 1 ELSE 0 END
FROM nango_keys ORDER BY created_at, key_id
"""
ADD_KEY = """
INSERT INTO nango_keys (key_id, proof, created_at) VALUES (:key_id, :proof, :now)
ON CONFLICT (key_id) DO NOTHING
"""
DROP_KEY = """
DELETE FROM nango_keys WHERE key_id = :key_id
AND NOT EXISTS (SELECT 1 FROM nango_connections WHERE nango_connections.key_id = nango_keys.key_id)
"""
DROP_UNUSED_KEYS = """
DELETE FROM nango_keys WHERE key_id <> :key_id
AND NOT EXISTS (SELECT 1 FROM nango_connections WHERE nango_connections.key_id = nango_keys.key_id)
"""
ROWS_BY_KEY = """
SELECT nango_keys.key_id, count(nango_connections.uuid) FROM nango_keys
LEFT JOIN nango_connections ON nango_connections.key_id = nango_keys.key_id
GROUP BY nango_keys.key_id ORDER BY nango_keys.key_id
"""
STALE_COUNT = "SELECT count(*) FROM nango_connections WHERE key_id <> :key_id"
STALE_TO_CHANGE = """
SELECT uuid, integration, user_id, generation, status, key_id, credentials, additional_config,
  created_at, modified_at
FROM nango_connections WHERE key_id <> :key_id AND uuid > :after ORDER BY uuid LIMIT :most
FOR UPDATE
"""
RESEAL = """
UPDATE nango_connections
SET key_id = :key_id, credentials = :credentials, additional_config = :additional_config
WHERE uuid = :uuid
"""

SEE_PROCESS = """
INSERT INTO nango_processes (integration, name, seen_at) VALUES (:integration, :name, :now)
ON CONFLICT (integration, name) DO UPDATE SET seen_at = excluded.seen_at
"""
FORGET_PROCESSES = "DELETE FROM nango_processes WHERE seen_at < :old OR seen_at > :future"
OTHER_PROCESSES = """
SELECT count(*) FROM nango_processes
WHERE integration = :integration AND name <> :name AND seen_at >= :since
"""


def _first(run: Run) -> None:
    """Connections, and a proof for each key by which a wrong one is known before anything is written.

    The reference from rows to keys is what makes dropping a key safe: no row can come to use a
    key that was dropped while another process still held it.
    """
    run(
        """
        CREATE TABLE nango_keys (
          key_id TEXT NOT NULL PRIMARY KEY,
          proof BYTEA NOT NULL,
          created_at BIGINT NOT NULL
        )
        """
    )
    run(
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
        """
    )
    run("CREATE INDEX nango_connections_by_user ON nango_connections (user_id)")
    run("CREATE INDEX nango_connections_by_key ON nango_connections (key_id)")


def _leases(run: Run) -> None:
    """Who renews a connection's token at the moment; a deleted connection's lease goes with it."""
    run(
        """
        CREATE TABLE nango_leases (
          uuid TEXT NOT NULL PRIMARY KEY REFERENCES nango_connections (uuid) ON DELETE CASCADE,
          owner TEXT NOT NULL,
          ends_at BIGINT NOT NULL
        )
        """
    )


def _processes(run: Run) -> None:
    """Which processes use which integration's connections at the moment."""
    run(
        """
        CREATE TABLE nango_processes (
          integration TEXT NOT NULL,
          name TEXT NOT NULL,
          seen_at BIGINT NOT NULL,
          PRIMARY KEY (integration, name)
        )
        """
    )


def _pending(run: Run) -> None:
    """Logins that wait for their callback, and how the last ones ended."""
    run(
        """
        CREATE TABLE nango_pending (
          id TEXT NOT NULL PRIMARY KEY,
          session_id TEXT NOT NULL,
          key_id TEXT NOT NULL,
          sealed BYTEA NOT NULL,
          created_at BIGINT NOT NULL,
          ends_at BIGINT NOT NULL
        )
        """
    )
    run("CREATE INDEX nango_pending_by_session ON nango_pending (session_id, created_at)")
    run("CREATE INDEX nango_pending_by_end ON nango_pending (ends_at)")


STEPS: tuple[Callable[[Run], None], ...] = (_first, _leases, _processes, _pending)
"""The schema's history: step n brings version n - 1 to n. A step that was released is never changed."""
