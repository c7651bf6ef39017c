"""Several processes that count in memory, each for itself, are noticed and warned once."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nango_py import Nango
from nango_py.connections.processes import HEARTBEAT_SECONDS
from nango_py.services import FIRST_PROCESS_CHECK_SECONDS
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_product import ENCRYPTION_KEY, SHOP

ROOT = Path(__file__).resolve().parents[2]
LIMITED: dict[str, Any] = {**SHOP, "rate_limits": {"budgets": [{"key": "all", "otherwise": ["9/minute"]}]}}
OTHER = """
import sys
from nango_py import Nango
from tests.support.fake_clock import ManualClock
from tests.e2e.test_limits_apart import LIMITED, a_nango

clock = ManualClock(float(sys.argv[2]))
nango = a_nango(sys.argv[1], clock)
shop = nango.executor("shop", "user-1")
for line in sys.stdin:
    clock.advance(float(line))
    shop.plan("GET", "things")
    print("used", flush=True)
"""


def a_nango(folder: str | Path, clock: ManualClock, settings: Any = LIMITED, **config: Any) -> Nango:
    """A product whose connections lie in the folder."""
    return Nango(
        {"integrations": {"shop": settings}, "config": config},
        database_url=f"sqlite:///{folder}/nango.db", encryption_keys=ENCRYPTION_KEY, environ={}, clock=clock,
    )  # fmt: skip


def _use(nango: Nango, clock: ManualClock, *pauses: float) -> None:
    shop = nango.executor("shop", "user-1")
    for pause in pauses:
        clock.advance(pause)
        shop.plan("GET", "things")


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "nango_py.limits"]


def test_two_processes_with_counts_of_their_own_are_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While another process uses the same integration, this one says once how to share the counts."""
    clock = ManualClock()
    with a_nango(tmp_path, clock) as nango:
        nango.register_connection("shop", "user-1", {"api_key": "key_1234567890"})
        _use(nango, clock, FIRST_PROCESS_CHECK_SECONDS, HEARTBEAT_SECONDS)
        assert _warnings(caplog) == []
        command = [
            sys.executable,
            "-c",
            OTHER,
            str(tmp_path),
            repr(clock.now() - FIRST_PROCESS_CHECK_SECONDS),
        ]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write(f"{FIRST_PROCESS_CHECK_SECONDS}\n")
            other.stdin.flush()
            assert other.stdout.readline() == "used\n"
            _use(nango, clock, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
            other.stdin.close()
    (warning,) = _warnings(caplog)
    assert "several processes call shop" in warning
    assert "config.rate_limit_store" in warning


@pytest.mark.parametrize(
    ("settings", "config"),
    [(SHOP, {}), (LIMITED, {"rate_limit_store": "sql"})],
    ids=["no budgets", "a shared store"],
)
def test_where_nothing_is_counted_apart_nothing_is_said(
    settings: Any, config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without budgets, or with a shared store, any number of processes is fine, and none writes a row."""
    clock = ManualClock()
    with (
        a_nango(tmp_path, clock, settings, **config) as one,
        a_nango(tmp_path, clock, settings, **config) as two,
    ):
        one.register_connection("shop", "user-1", {"api_key": "key_1234567890"})
        for _ in range(4):
            _use(one, clock, HEARTBEAT_SECONDS)
            _use(two, clock, HEARTBEAT_SECONDS)
        assert one.store._database.read("SELECT count(*) FROM nango_processes", {}) == [(0,)]
    assert _warnings(caplog) == []


def test_a_short_program_writes_nothing(tmp_path: Path) -> None:
    """In its first seconds a program does not say that it is there."""
    clock = ManualClock()
    with a_nango(tmp_path, clock) as nango:
        nango.register_connection("shop", "user-1", {"api_key": "key_1234567890"})
        _use(nango, clock, 2.0, 2.0, 2.0, FIRST_PROCESS_CHECK_SECONDS - 7.0)
        assert nango.store._database.read("SELECT count(*) FROM nango_processes", {}) == [(0,)]
        _use(nango, clock, 2.0, 2.0, 2.0)
        assert nango.store._database.read("SELECT count(*) FROM nango_processes", {}) == [(1,)]


def test_a_process_that_ended_before_is_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A program that is started again right away does not take itself for another."""
    clock = ManualClock()
    for run in range(3):
        with a_nango(tmp_path, clock) as nango, caplog.at_level(logging.INFO, "nango_py.limits"):
            if not run:
                nango.register_connection("shop", "user-1", {"api_key": "key_1234567890"})
            _use(nango, clock, FIRST_PROCESS_CHECK_SECONDS, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
    assert _warnings(caplog) == []
