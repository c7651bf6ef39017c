"""Shared stores whose clock is set back: no gate stays closed longer, and nothing counted is forgotten."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest

from nango_py.database.opening import open_database
from nango_py.limits.limit_types import GATE, Granted, InFlight, LimitReport, Refused, Spend
from nango_py.limits.stores import redis_store
from nango_py.limits.stores.redis_store import RedisLimits
from nango_py.limits.stores.sql_rows import SqlRows
from nango_py.limits.stores.sql_store import SqlLimits
from nango_py.secret import Secret
from tests.support.limit_stores import place_of
from tests.support.simulated_api import LimitClock, bucket, window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.database.base import Run

Store: TypeAlias = RedisLimits | SqlLimits

START, BACK = 1_000_000.0, 7200.0
SPEND = Spend("k", (window(3, 60.0),))


class ServerTime(SqlLimits):
    """A store whose server shows the time of a test's clock."""

    def _time(self) -> str:
        return repr(self._clock.monotonic()) if self._is_server else super()._time()

    def _microseconds(self, run: Run) -> int:
        return int(self._clock.monotonic() * 1e6)


@contextmanager
def _opened(kind: str, folder: Path, clock: LimitClock) -> Iterator[Store]:
    with place_of(kind, folder) as url:
        if kind == "redis":
            opened: Store = RedisLimits(Secret(url), clock=clock)
        else:
            opened = ServerTime(open_database(Secret(url)), clock, is_server=kind == "postgresql", boot="one")
        with closing(opened):
            yield opened


@pytest.fixture
def clock() -> LimitClock:
    """The clock of the server."""
    return LimitClock(START)


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: LimitClock) -> Iterator[Store]:
    """A store by that clock."""
    with _opened(request.param, tmp_path, clock) as opened:
        yield opened


def _wait(store: Store, spends: tuple[Spend, ...] = (), gate: str = "g") -> tuple[float, str]:
    """How long a call that may not wait would have to, and why."""
    found = store.acquire(spends, (gate,), 0.0)
    return (found.wait, found.window) if isinstance(found, Refused) else (0.0, "")


@pytest.mark.parametrize("spends", [(), (SPEND,), (Spend("g", SPEND.limits),)])
def test_a_gate_opens_after_its_seconds(store: Store, clock: LimitClock, spends: tuple[Spend, ...]) -> None:
    """Calls that it refuses do not close it for longer."""
    store.close_gate(("g",), 30.0)
    clock.moment -= BACK
    assert _wait(store, spends) == (pytest.approx(30.0, abs=0.01), GATE)
    clock.moment += 20.0
    assert _wait(store, spends) == (pytest.approx(10.0, abs=0.01), GATE)
    clock.moment += 10.1
    assert _wait(store, spends) == (0.0, "")


@pytest.mark.parametrize("step", [2.0, 45.0, BACK])
def test_what_was_counted_counts_for_its_window(store: Store, clock: LimitClock, step: float) -> None:
    """No call is forgotten, nor counted for longer than the window, those in flight included."""
    tickets = []
    for _ in range(3):
        granted = store.acquire((SPEND,), ("k",), 0.0)
        assert isinstance(granted, Granted)
        tickets.append(granted.ticket)
    for ticket in tickets[:2]:
        store.settle(ticket)
    clock.moment -= step
    assert _wait(store, (SPEND,))[0] == pytest.approx(60.0, abs=0.01)
    store.settle(tickets[2])
    clock.moment += 59.0
    assert _wait(store, (SPEND,))[0] == pytest.approx(1.0, abs=0.01)
    clock.moment += 1.1
    assert _wait(store, (SPEND,)) == (0.0, "")


def test_buckets_and_reports_keep_their_seconds(store: Store, clock: LimitClock) -> None:
    """A bucket refills, and a window that a response reported as full resets, as if no clock was set."""
    tokens, full = Spend("b", (bucket(1.0, 0.1), InFlight(5, "5 in flight"))), Spend("r", (window(3, 60.0),))
    granted = store.acquire((tokens,), (), 0.0)
    assert isinstance(granted, Granted)
    store.settle(granted.ticket)
    granted = store.acquire((full,), (), 0.0)
    assert isinstance(granted, Granted)
    store.settle(granted.ticket)
    store.correct(full, LimitReport("3/60s", 0.0, 30.0, 0.0))
    clock.moment -= BACK
    assert _wait(store, (tokens,))[0] == pytest.approx(10.0, abs=1.0)
    assert _wait(store, (full,))[0] == pytest.approx(30.0, abs=1.5)


def test_a_waiting_call_is_booked_again(store: Store, clock: LimitClock) -> None:
    """It waits for its window, not for the clock to reach its old place."""
    for _ in range(3):
        store.count((SPEND,))
    waiting = store.acquire((SPEND,), ("k",), 120.0)
    assert isinstance(waiting, Granted)
    assert waiting.wait >= 60.0
    clock.moment -= BACK
    assert store.confirm(waiting.ticket) == pytest.approx(waiting.wait, abs=1.0)
    clock.moment += waiting.wait + 0.1
    assert store.confirm(waiting.ticket) == 0.0


def test_processes_that_ended_before_do_not_count(store: Store, clock: LimitClock) -> None:
    """One live process has the whole of each limit."""
    for name in ("a", "b"):
        store.processes(name)
    clock.moment -= BACK
    assert store.processes("c") == 1


def test_control_a_store_that_keeps_its_moments_stays_closed(
    clock: LimitClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above would notice it in Redis and in a database."""
    text = RedisLimits.SCRIPT.read_text()
    (tmp_path / "kept.lua").write_text(text.replace("local is_set_back = ", "local is_set_back = false and "))
    monkeypatch.setattr(redis_store.RedisLimits, "SCRIPT", tmp_path / "kept.lua")
    monkeypatch.setattr(SqlRows, "shifted", [])
    for kind in ("redis", "sqlite"):
        clock.moment = START
        with _opened(kind, tmp_path, clock) as store:
            store.close_gate(("g",), 30.0)
            clock.moment -= BACK
            _wait(store)
            clock.moment += 31.0
            assert _wait(store)[1] == GATE
