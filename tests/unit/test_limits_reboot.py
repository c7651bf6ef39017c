"""Counters in SQLite over a restart of the machine, which resets its clock."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nango_py.database.opening import open_database
from nango_py.limits.limit_types import Granted, LimitReport, Refused, Spend
from nango_py.limits.stores.sql_store import SWEEP_EVERY, SqlLimits
from nango_py.secret import Secret
from tests.support.simulated_api import LimitClock, window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py.database.base import Database

SPEND = Spend("k", (window(2, 3600.0),))


class BootClock(LimitClock):
    """A clock that counts from the machine's start.

    Args:
        start: seconds since the machine was started.
        booted_at: Unix seconds.
    """

    def __init__(self, start: float, booted_at: float) -> None:
        super().__init__(start)
        self.booted_at = booted_at

    def now(self) -> float:
        """The moment as unix seconds."""
        return self.booted_at + self.moment


@pytest.fixture
def database() -> Iterator[Database]:
    """A database that outlives restarts."""
    with closing(open_database(Secret("sqlite:///:memory:"))) as opened:
        yield opened


def _open(
    database: Database, uptime: float, booted_at: float, boot: str = "two"
) -> tuple[SqlLimits, BootClock]:
    clock = BootClock(uptime, booted_at)
    return SqlLimits(database, clock, is_server=False, boot=boot), clock


def _fill(database: Database, uptime: float) -> None:
    store, _ = _open(database, uptime, 1_000_000.0 - uptime, "one")
    for _ in range(2):
        granted = store.acquire((SPEND,), ("k",), 0.0)
        assert isinstance(granted, Granted)
        store.settle(granted.ticket)
    store.correct(SPEND, LimitReport("2/3600s", 0.0, 1800.0, 0.0))


@pytest.mark.parametrize("uptime", [100.0, 864_000.0], ids=["short", "ten days"])
@pytest.mark.parametrize("later", [50.0, 500_000.0], ids=["stamps in the future", "stamps in the past"])
def test_what_was_counted_before_a_restart_is_as_old_as_it_is(
    database: Database, uptime: float, later: float
) -> None:
    """An hour-long window is full for the rest of its hour, whatever the clocks of both boots show."""
    _fill(database, uptime)
    store, _ = _open(database, later, 1_000_000.0 + 600.0 - later)
    refused = store.acquire((SPEND,), ("k",), 0.0)
    assert isinstance(refused, Refused)
    assert refused.wait == pytest.approx(1200.0, abs=1.0)
    store, _ = _open(database, later, 1_000_000.0 + 3700.0 - later, "three")
    assert isinstance(store.acquire((SPEND,), ("k",), 0.0), Granted)


def test_dead_rows_of_an_earlier_boot_are_removed(database: Database) -> None:
    """They do not stay for as long as the machine had been up."""
    _fill(database, 864_000.0)
    store, clock = _open(database, 60.0, 1_000_000.0 + 10_000.0)
    clock.moment += SWEEP_EVERY
    store.acquire((Spend("other", SPEND.limits),), (), 0.0)
    assert store.keys("") == ("other",)


def test_processes_of_an_earlier_boot_do_not_count(database: Database) -> None:
    """One live process has the whole of each limit."""
    before, _ = _open(database, 864_000.0, 0.0, "one")
    for name in ("a", "b", "c", "d"):
        before.processes(name)
    assert before.processes("e") == 5
    after, _ = _open(database, 60.0, 864_100.0)
    assert after.processes("f") == 1


def test_rows_are_swept_by_an_index_and_in_parts(database: Database) -> None:
    """However many rows have expired, one call removes a bounded number of them."""
    store, clock = _open(database, 60.0, 0.0)
    store.processes("a")
    rows = ",".join(f"('k{number}', '', 1)" for number in range(2500))
    database.write(lambda run: run(f"INSERT INTO nango_limits VALUES {rows}"))  # noqa: S608 - numbers
    plan = database.read("EXPLAIN QUERY PLAN SELECT key FROM nango_limits WHERE kept_until < 5", {})
    assert "nango_limits_kept_until" in str(plan)
    left = []
    for _ in range(3):
        clock.moment += SWEEP_EVERY + 0.1
        store.acquire((), ("g",), 0.0)
        left.append(len(store.keys("k")))
    assert left == [1500, 500, 0]
