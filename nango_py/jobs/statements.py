"""The SQL statements of jobs and schedules, the same for SQLite and PostgreSQL."""

from __future__ import annotations

COLUMNS = """
id, handler, integration, user_id, lane, lock_name, key_hash, schedule_id, status, attempts, max_attempts,
  run_at, created_at, changed_at, owner, ends_at, is_held, is_cancelled, turn, key_id, payload, state
"""
SELECT = f"SELECT {COLUMNS} FROM nango_jobs "  # noqa: S608 - constants only, as below

INSERT = f"""
INSERT INTO nango_jobs ({COLUMNS})
VALUES (:id, :handler, :integration, :user_id, :lane, :lock_name, :key_hash, :schedule_id, :status, :attempts,
  :max_attempts, :run_at, :created_at, :changed_at, :owner, :ends_at, :is_held, :is_cancelled, :turn,
  :key_id, :payload, :state)
ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608
BY_KEY = (
    SELECT + "WHERE handler = :handler AND integration = :integration AND user_id = :user_id "
    "AND key_hash = :key_hash AND key_hash <> ''"
)
BY_ID = SELECT + "WHERE id = :id"
BY_ID_FOR_UPDATE = BY_ID + " FOR UPDATE"

# A job that waits for a quota holds back the later ones of its connection, which would wait for the same.
# It is the first of them afterwards.
_IS_FREE = """
  (job.lock_name = ''
    OR (NOT EXISTS (
      SELECT 1 FROM nango_jobs AS other WHERE other.lock_name = job.lock_name
        AND other.status = 'running' AND other.lock_name <> '')
    AND NOT EXISTS (
      SELECT 1 FROM nango_jobs AS other WHERE other.lock_name = job.lock_name
        AND other.status = 'waiting' AND other.is_held = 1
        AND other.run_at > :now AND other.lane = :lane)))
"""
_IN_ORDER = "ORDER BY is_held DESC, run_at, id LIMIT"
_DUE = "SELECT id FROM nango_jobs WHERE status = 'waiting' AND lane = :lane AND run_at <= :now"
# PostgreSQL checks this again when it locks a row; SQLite would search an index for it.
_STILL_WAITS = "status || '' = 'waiting'"
CANDIDATES = 100
"""How many due jobs a claim looks at one by one."""

_NEXT = f"""
SELECT id FROM nango_jobs AS job
WHERE id IN ({_DUE} {_IN_ORDER} {CANDIDATES}) AND {_STILL_WAITS} AND {_IS_FREE}
{_IN_ORDER} 1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - constants only, as below
HAS_MORE_DUE = f"{_DUE} {_IN_ORDER} 1 OFFSET {CANDIDATES}"
# The jobs of one connection may be very many. So behind the first candidates, the first job of each lock is
# looked at: one search of the index nango_jobs_behind finds the next lock, and another one its first job.
_LOCKS = "SELECT min(lock_name) FROM nango_jobs WHERE status = 'waiting' AND lane = :lane"
_NEXT_OF_LOCKS = f"""
WITH RECURSIVE job (lock_name) AS (
  {_LOCKS} UNION ALL SELECT ({_LOCKS} AND lock_name > job.lock_name) FROM job WHERE job.lock_name IS NOT NULL
)
SELECT id FROM nango_jobs
WHERE {_STILL_WAITS} AND id IN (
  SELECT ({_DUE} AND lock_name = job.lock_name {_IN_ORDER} 1)
  FROM job WHERE job.lock_name IS NOT NULL AND {_IS_FREE})
{_IN_ORDER} 1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608
_START = """
UPDATE nango_jobs SET status = 'running', attempts = attempts + 1, owner = :owner,
  ends_at = :server_now + :length, changed_at = :now, is_held = 0
"""
CLAIM = f"{_START} WHERE id = ({_NEXT}) RETURNING {COLUMNS}"
CLAIM_OF_LOCKS = f"{_START} WHERE id = ({_NEXT_OF_LOCKS}) RETURNING {COLUMNS}"
# If the server crashes, the start of a job may be lost: it starts again. Its end is never lost.
WITHOUT_FSYNC = "SET LOCAL synchronous_commit TO off"
START = f"{_START} WHERE id = :id AND turn = :turn AND status IN ('waiting', 'running') RETURNING {COLUMNS}"
# One search of the index for each value of is_held, which precedes run_at in it.
NEXT_DUE = """
SELECT min(run_at) FROM nango_jobs
WHERE status = 'waiting' AND lane = :lane AND is_held = 0 AND run_at > :after
UNION ALL SELECT min(run_at) FROM nango_jobs
WHERE status = 'waiting' AND lane = :lane AND is_held = 1 AND run_at > :after
"""

_OURS = "WHERE id = :id AND status = 'running' AND owner = :owner AND attempts = :attempts"
# A job that was cancelled while it ran does not wait for another attempt.
FINISH = f"""
UPDATE nango_jobs SET
  status = CASE WHEN is_cancelled = 1 AND :new_status = 'waiting' THEN 'cancelled' ELSE :new_status END,
  attempts = :new_attempts, run_at = :run_at, changed_at = :now, owner = '', ends_at = 0, is_held = :is_held,
  key_id = :key_id, payload = :payload, state = :state
{_OURS} RETURNING id
"""  # noqa: S608
SAVE = f"UPDATE nango_jobs SET key_id = :key_id, payload = :payload, state = :state {_OURS} RETURNING id"  # noqa: S608
IS_CANCELLED = f"SELECT is_cancelled FROM nango_jobs {_OURS}"  # noqa: S608
EXTEND = """
UPDATE nango_jobs SET ends_at = :server_now + :length WHERE owner = :owner AND status = 'running'
"""
RUNNING = """
SELECT id, owner, ends_at, ends_at <= :server_now OR ends_at > :server_now + :length
FROM nango_jobs WHERE status = 'running'
"""
PUT_BACK = """
UPDATE nango_jobs SET status = :new_status, owner = '', ends_at = 0, changed_at = :now, run_at = :now
WHERE id = :id AND status = 'running' AND owner = :owner RETURNING id
"""
TAKE_BACK = f"""
UPDATE nango_jobs SET status = 'waiting', owner = '', ends_at = 0, changed_at = :now, run_at = :now,
  turn = turn + 1
WHERE id = :id AND status IN ('running', 'waiting') RETURNING {COLUMNS}
"""  # noqa: S608
CANCEL = """
UPDATE nango_jobs SET is_cancelled = 1, changed_at = :now,
  status = CASE status WHEN 'waiting' THEN 'cancelled' ELSE status END
WHERE id = :id AND status IN ('waiting', 'running') RETURNING status
"""
RETRY = f"""
UPDATE nango_jobs SET status = 'waiting', attempts = 0, run_at = :now, changed_at = :now, is_cancelled = 0,
  is_held = 0, turn = turn + 1
WHERE id = :id AND status IN ('failed', 'dead', 'cancelled') RETURNING {COLUMNS}
"""  # noqa: S608
# What has an `at` of the caller keeps it.
CORRECT = """
UPDATE nango_jobs SET run_at = :now + run_at - changed_at, changed_at = :now
WHERE status = 'waiting' AND changed_at > :latest AND (attempts > 0 OR run_at = created_at)
"""
DELETE_ENDED = """
DELETE FROM nango_jobs
WHERE status IN ('done', 'failed', 'dead', 'cancelled') AND changed_at < :before
"""
COUNT = "SELECT status, count(*) FROM nango_jobs GROUP BY status"
LANES = "SELECT DISTINCT lane FROM nango_jobs WHERE status = 'waiting'"
PAGE = (
    SELECT + "WHERE (:status = '' OR status = :status) AND (:integration = '' OR integration = :integration) "
    "AND (:user_id = '' OR user_id = :user_id) AND (:before = '' OR id < :before) "
    "ORDER BY id DESC LIMIT :limit"
)

SCHEDULE_COLUMNS = """
id, handler, integration, user_id, name, rule, time_zone, lane, next_at, created_at, key_id, payload
"""
SELECT_SCHEDULES = f"SELECT {SCHEDULE_COLUMNS} FROM nango_schedules "  # noqa: S608
PUT_SCHEDULE = f"""
INSERT INTO nango_schedules ({SCHEDULE_COLUMNS})
VALUES (:id, :handler, :integration, :user_id, :name, :rule, :time_zone, :lane, :next_at, :created_at,
  :key_id, :payload)
"""  # noqa: S608
FIND_SCHEDULE = (
    SELECT_SCHEDULES + "WHERE handler = :handler AND integration = :integration "
    "AND user_id = :user_id AND name = :name"
)
ALL_SCHEDULES = SELECT_SCHEDULES + "ORDER BY integration, user_id, handler, name"
DUE_SCHEDULES = SELECT_SCHEDULES + "WHERE next_at <= :now ORDER BY next_at, id LIMIT 500"
FAR_SCHEDULES = SELECT_SCHEDULES + "WHERE next_at > :after ORDER BY next_at DESC LIMIT 500"
# Of several schedulers that see the same tick, one changes the row.
TAKE_TICK = """
UPDATE nango_schedules SET next_at = :next_at WHERE id = :id AND next_at = :seen RETURNING id
"""
DELETE_SCHEDULE = "DELETE FROM nango_schedules WHERE id = :id RETURNING id"
HAS_WAITING = """
SELECT 1 FROM nango_jobs WHERE schedule_id = :id AND status = 'waiting' AND schedule_id <> '' LIMIT 1
"""
CONNECTION = "SELECT uuid FROM nango_connections WHERE integration = :integration AND user_id = :user_id"
