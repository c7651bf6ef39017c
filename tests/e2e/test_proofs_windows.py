"""No window over its limit: eight threads for several windows, counted by the API itself."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import RateLimited
from tests.support.sandbox_product import SHOP, a_nango, a_product

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.engine.executor import Executor

# The shape of Klaviyo's 10/second and 150/minute, scaled down: a burst and a steady window.
BURST, BURST_SECONDS = 10, 0.2
STEADY, STEADY_SECONDS = 30, 1.0
CALLS = 3 * STEADY
PACED: dict[str, Any] = {
    **SHOP,
    "rate_limits": {
        "counted_per": "connection",
        "budgets": [
            {
                "key": "${method} ${endpoint}",
                "otherwise": [
                    {"requests": BURST, "per_seconds": BURST_SECONDS},
                    {"requests": STEADY, "per_seconds": STEADY_SECONDS},
                ],
            }
        ],
    },
    "retries": {"max_attempts": 1},
}


def storm(executor: Executor, calls: int) -> int:
    """Make calls from eight threads as fast as the limiter allows; the number of 429s."""
    refused: list[int] = []
    left = iter(range(calls))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                executor.get("things")
            except RateLimited:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(refused)


@pytest.mark.parametrize("counting", ["fixed", "sliding"])
def test_no_window_is_exceeded_and_all_calls_succeed(counting: Any, tmp_path: Path) -> None:
    """The sandbox counts no window above its limit and sends no 429, however it aligns its windows."""
    with a_product(tmp_path, PACED, counting=counting) as (nango, sandbox):
        assert storm(nango.executor("shop", "u0"), CALLS) == 0
        counted = sandbox.counted
        received = sandbox.ledger.received
    assert {entry.status for entry in received} == {200}
    assert len(counted) == 2
    for window in counted:
        assert window.peak <= window.limit, window
    at = [entry.at for entry in received]
    for limit, seconds in ((BURST, BURST_SECONDS), (STEADY, STEADY_SECONDS)):
        # Any window at all, counted here a third time.
        assert all(later - earlier >= seconds for earlier, later in zip(at, at[limit:], strict=False))
    assert len(received) == CALLS


@pytest.mark.parametrize("counting", ["fixed", "sliding"])
def test_without_a_limiter_the_api_refuses(counting: Any, tmp_path: Path) -> None:
    """Control: the same load without the blueprint's windows gets 429s at once."""
    with a_product(tmp_path, PACED, counting=counting) as (_, sandbox):
        unpaced = copy.deepcopy(PACED)
        del unpaced["rate_limits"]
        with a_nango(tmp_path, sandbox.base_url, unpaced) as nango:
            assert storm(nango.executor("shop", "u0"), 2 * BURST) > 0
        assert sandbox.ledger.count(status=429) > 0


def test_each_connection_has_its_own_windows(tmp_path: Path) -> None:
    """A limit per connection does not slow another connection down."""
    with a_product(tmp_path, PACED, users=2) as (nango, _):
        waits = []
        for user in ("u0", "u1"):
            executor = nango.executor("shop", user)
            for _ in range(BURST):
                executor.get("things")
                waits += [attempt.waited for attempt in executor.attempts]
    assert waits == [0.0] * 2 * BURST
