"""How long the calls of jobs wait for their quota, and who overtakes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, RateLimited, Sandbox
from nango_py.engine.patience import Patience, current_patience, with_patience
from nango_py.sandbox import Fault, FaultPlan
from tests.support.fake_clock import ManualClock
from tests.support.job_product import KEY, register_users, shop_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nango_py.limits.limit_types import Granted

LIMITS = {"budgets": [{"key": "all", "otherwise": [{"requests": 1, "per_seconds": 10}]}]}


class InterruptedClock(ManualClock):
    """A clock that does something else at the beginning of the next sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupt: Callable[[], object] | None = None

    def sleep(self, seconds: float) -> None:
        """Sleep, after the interruption."""
        interrupt, self.interrupt = self.interrupt, None
        if interrupt is not None:
            interrupt()
        super().sleep(seconds)


@pytest.fixture
def clock() -> InterruptedClock:
    """The clock of Nango and of the sandbox."""
    return InterruptedClock()


@pytest.fixture
def faults() -> FaultPlan:
    """No faults, unless a test adds some."""
    return FaultPlan.script()


@pytest.fixture
def nango(clock: InterruptedClock, faults: FaultPlan) -> Iterator[Nango]:
    """A product whose API allows one call in ten seconds."""
    entry = shop_entry(rate_limits=LIMITS)
    with (
        Sandbox(entry, clock=clock, strict=False, faults=faults) as sandbox,
        Nango(
            {"shop": {**entry, "requests": {**entry["requests"], "base_url": sandbox.base_url}}},
            database_url="sqlite:///:memory:", encryption_keys=KEY, environ={}, clock=clock,
        ) as opened,
    ):  # fmt: skip
        register_users(opened, "ann")
        yield opened


def arrive(nango: Nango) -> float:
    """The wait of a call of no job that arrives now."""
    executor: Any = nango.executor("shop", "ann")
    runtime = executor._get_runtime()
    spends, gates = runtime.spends_of(executor.plan("GET", "things"))
    granted: Granted = nango.limits.acquire(spends, gates, 1000)  # type: ignore[assignment]
    nango.limits.release(granted.ticket)
    return granted.wait


def test_a_call_without_patience_waits_until_its_deadline(nango: Nango, clock: InterruptedClock) -> None:
    """The control: outside of jobs nothing changes."""
    assert current_patience() is None
    for _ in range(2):
        nango.executor("shop", "ann").get("things")
    assert sum(clock.slept) == pytest.approx(10)


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_longer_wait_is_refused_at_once(nango: Nango, clock: InterruptedClock, *, is_behind: bool) -> None:
    """The error says when to try again, and no time has passed."""
    nango.executor("shop", "ann").get("things")
    with with_patience(Patience(1.0, is_behind=is_behind)), pytest.raises(RateLimited) as caught:
        nango.executor("shop", "ann").get("things")
    assert caught.value.retry_at == pytest.approx(clock.now() + 10, abs=0.1)
    assert clock.slept == []
    clock.advance(9.5)
    with with_patience(Patience(1.0, is_behind=is_behind)):
        assert nango.executor("shop", "ann").get("things").status_code == 200
    assert sum(clock.slept) == pytest.approx(0.5, abs=0.1)


def test_a_call_behind_others_books_no_place(nango: Nango, clock: InterruptedClock) -> None:
    """A call that arrives while it waits gets the next place; without `is_behind`, the one after it."""
    waits = []
    for is_behind in (True, False):
        nango.executor("shop", "ann").get("things")
        clock.interrupt = lambda: waits.append(arrive(nango))
        with with_patience(Patience(60.0, is_behind=is_behind)):
            nango.executor("shop", "ann").get("things")
        clock.advance(10)
    assert waits == [pytest.approx(10, abs=0.1), pytest.approx(20, abs=0.1)]


def test_a_pause_that_the_api_asks_for_is_not_waited_for(
    nango: Nango, clock: InterruptedClock, faults: FaultPlan
) -> None:
    """After a 429 the job is put back until the end of the pause, although the call has time left."""
    faults.add(Fault("status", status=429, retry_after=60))
    with with_patience(Patience(1.0)), pytest.raises(RateLimited) as caught:
        nango.executor("shop", "ann").get("things")
    assert caught.value.retry_at == pytest.approx(clock.now() + 60, abs=1)
    assert clock.slept == []
