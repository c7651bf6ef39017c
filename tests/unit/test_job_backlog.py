"""A large backlog of one connection: a claim looks at a bounded number of its jobs."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from nango_py.connections.statements import MIGRATIONS
from nango_py.database.sqlite import _to_sqlite as to_sqlite
from nango_py.jobs import statements

NOW = 1_000_000
FILL = """
WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :count)
INSERT INTO nango_jobs
SELECT :name || number, 'h', 'shop', :lock, 'default', :lock, '', '', 'waiting', 0, 5, number, 0, 0, '', 0,
  0, 0, 0, 'key', x'', x'' FROM numbers
"""
UNBOUNDED = statements.CLAIM.replace(f"LIMIT {statements.CANDIDATES}", "LIMIT -1")


def _database(backlog: int) -> sqlite3.Connection:
    """Jobs of a connection one of which runs, and a later one of another connection."""
    database = sqlite3.connect(":memory:")
    for statement in MIGRATIONS[0] + MIGRATIONS[4]:
        database.execute(statement)
    database.execute(FILL, {"count": backlog, "name": "a", "lock": "shop/ann"})
    database.execute("UPDATE nango_jobs SET status = 'running' WHERE id = 'a1'")
    database.execute(FILL, {"count": 1, "name": "z", "lock": "shop/zoe"})
    database.execute("UPDATE nango_jobs SET run_at = :now WHERE id = 'z1'", {"now": NOW})
    return database


def _steps(database: sqlite3.Connection, *sql: str) -> tuple[int, list[Any]]:
    """How many instructions statements take, and the rows of the last one; the database is closed then."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    database.set_progress_handler(step, 1)
    parameters = {"lane": "default", "now": NOW, "owner": "me", "server_now": NOW, "length": 0}
    rows: list[Any] = []
    for each in sql:
        rows = database.execute(to_sqlite(each), parameters).fetchall()
    database.close()
    return count, rows


def test_a_claim_does_not_read_the_backlog_of_a_connection_that_is_busy() -> None:
    """Behind two hundred or twenty thousand jobs, the job of another connection is found in as many steps."""
    claim = (statements.CLAIM, statements.HAS_MORE_DUE, statements.CLAIM_OF_LOCKS)
    (few, first), (many, second) = (_steps(_database(backlog), *claim) for backlog in (200, 20_000))
    assert first[0][0] == second[0][0] == "z1"
    assert many <= 1.1 * few


def test_the_first_job_that_may_run_is_claimed_in_one_statement() -> None:
    """A short queue needs no search by connection."""
    count, rows = _steps(_database(50), statements.CLAIM)
    assert rows[0][0] == "z1"
    assert count < 20_000


def test_a_claim_of_all_due_jobs_reads_the_backlog() -> None:
    """Negative control: the same statement without its bound takes steps for each job."""
    (few, _), (many, rows) = (_steps(_database(backlog), UNBOUNDED) for backlog in (200, 20_000))
    assert rows[0][0] == "z1"
    assert many > 50 * few


@pytest.mark.parametrize("held_until", [NOW - 1, NOW + 1])
def test_a_held_job_keeps_its_place_behind_a_backlog(held_until: int) -> None:
    """The first job of a lock is one that waited for its quota; until then it holds the others back."""
    database = _database(200)
    database.execute(FILL, {"count": 3, "name": "y", "lock": "shop/yan"})
    database.execute("UPDATE nango_jobs SET is_held = 1, run_at = :at WHERE id = 'y3'", {"at": held_until})
    _, rows = _steps(database, statements.CLAIM_OF_LOCKS)
    assert rows[0][0] == ("y3" if held_until < NOW else "z1")
