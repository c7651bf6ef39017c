"""Exceptions that signal handlers raise in the middle of a call: no place is lost."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.clock import SYSTEM_CLOCK
from nango_py.engine.executor import Executor, _SyncIO
from nango_py.engine.place import run_whole
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.interruptions import Interrupted, interruption_at
from tests.support.limit_stores import opened
from tests.support.made_values import an_integration
from tests.support.scripted_executors import ScriptedApi, StoredConnection

if TYPE_CHECKING:
    from pathlib import Path

BUDGET = {"budgets": [{"key": "all", "max_in_flight": 3, "otherwise": ["1000/second"]}]}
WINDOWS: dict[str, Any] = {
    "budgets": [
        {"key": "all", "otherwise": ["100000/hour", {"burst": 100000, "per_second": 0.001}]},
        {"key": "${method}", "otherwise": ["100000/day"]},
    ]
}


pytestmark = [
    # An interruption between the making of a coroutine and its first step leaves it unused.
    pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning"),
    # One in a generator that is closed is only printed by Python.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Fragile(MemoryLimits):
    """Control: a store that keeps what it booked when it is interrupted."""

    def acquire(self, *args: Any) -> Any:
        """Book the earliest place."""
        with self.lock:
            grant = self._bookings.acquire(*args, self._clock.monotonic())
            self._clock.monotonic()  # here a signal handler may run
            return grant

    def settle(self, ticket: Any) -> None:
        """Count the request, and only then give its place back."""
        with self.lock:
            for spend in ticket.spends:
                meter = self._bookings.meters[spend.key]
                if ticket in meter.in_flight:
                    meter.count(self._clock.monotonic(), meter.in_flight[ticket][1])
                    meter.cancel(ticket)


def make_executor(limits: Any, budgets: Any = BUDGET) -> Executor:
    """An executor of an API that always succeeds, with a cap on calls in flight."""
    runtime = IntegrationRuntime(an_integration(rate_limits=budgets), SYSTEM_CLOCK)
    api: Any = ScriptedApi(lambda _: [])
    api.requests = Forgotten()
    executor = Executor(lambda: runtime, StoredConnection(), api, limits, SYSTEM_CLOCK)
    executor._io = _SyncIO(api, limits, SYSTEM_CLOCK)
    return executor


class Forgotten(list[Any]):
    """A list that stays empty."""

    def append(self, _: Any) -> None:
        """Forget it."""


def has_place_in_flight(limits: Any) -> bool:
    """Whether a place is in flight, or the store was left in a state that cannot be read."""
    try:
        views = limits.view(limits.keys(""))
    except IndexError:
        return True
    return any(view.used for view in views if "in flight" in view.window)


def lost_places(executor: Executor, limits: Any) -> int:
    """How many of the interrupted calls left a place in flight, with an interruption at every moment."""
    executor.get("things")
    with interruption_at(0) as moments:
        executor.get("things")
    lost = 0
    for step in range(1, moments[0] + 1):
        try:
            with interruption_at(step):
                executor.get("things")
        except Interrupted:
            pass
        run_whole(lambda: None)  # what was asked before is done
        is_lost = has_place_in_flight(limits)
        lost += is_lost
        if is_lost:
            executor = make_executor(limits := type(limits)(SYSTEM_CLOCK))
    assert moments[0] > 50
    return lost


@pytest.mark.parametrize("kind", ["memory", "shared sqlite"])
def test_an_interruption_at_any_moment_loses_no_place(kind: str, tmp_path: Path) -> None:
    """A call is interrupted once at every moment; afterwards nothing is in flight."""
    with opened(kind, tmp_path) as limits:
        assert lost_places(make_executor(limits), limits) == 0


def test_a_store_that_can_be_interrupted_loses_places() -> None:
    """Control: the sweep finds the moments at which a place is lost."""
    limits = Fragile(SYSTEM_CLOCK)
    assert lost_places(make_executor(limits), limits) > 0


class Counting(list[Any]):
    """Counts the requests that the API receives."""

    number = 0

    def append(self, _: Any) -> None:
        """Count one."""
        self.number += 1


def miscounted(limits: Any) -> tuple[int, int]:
    """After an interruption at every moment: calls that are counted without having been sent, and others.

    The first are at most those that were interrupted while they were sent.
    """
    executor = make_executor(limits, budgets=WINDOWS)
    requests = executor._io._transport.requests = Counting()  # type: ignore[attr-defined]
    executor.get("things")
    with interruption_at(0) as moments:
        executor.get("things")
    surplus = wrong = 0
    for step in range(1, moments[0] + 1):
        before = requests.number, [view.used for view in limits.view(limits.keys(""))]
        try:
            with interruption_at(step):
                executor.get("things")
        except Interrupted:
            pass
        sent = requests.number - before[0]
        used = [view.used - old for view, old in zip(limits.view(limits.keys("")), before[1], strict=True)]
        in_flight = sum(meter.in_flight_cost for meter in limits._bookings.meters.values())
        if (
            in_flight
            or not all(abs(one - used[0]) < 0.1 for one in used)
            or round(used[0]) - sent not in {0, 1}
        ):
            wrong += 1
        surplus += round(used[0]) - sent == 1
    assert moments[0] > 50
    return surplus, wrong


def test_an_interruption_at_any_moment_changes_no_count() -> None:
    """Without a cap too: what was not sent counts nowhere, what was sent counts once in every limit."""
    surplus, wrong = miscounted(MemoryLimits(SYSTEM_CLOCK))
    assert wrong == 0
    assert surplus < 40


def test_a_store_that_can_be_interrupted_counts_wrongly() -> None:
    """Control: the sweep finds places that stay booked."""
    assert miscounted(Fragile(SYSTEM_CLOCK))[1] > 0


@pytest.mark.parametrize("method", ["acquire", "settle", "release"])
def test_a_signal_while_the_store_is_asked_loses_no_place(method: str) -> None:
    """The handler raises in the thread that waits; the store finishes, and the place is given back."""

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupted

    class Slow(MemoryLimits):
        is_remote = True
        is_armed = True

        def asked(self) -> None:
            if self.is_armed:
                self.is_armed = False
                signal.raise_signal(signal.SIGUSR1)

    def acquire(self: Slow, *args: Any) -> Any:
        found = MemoryLimits.acquire(self, *args)
        self.asked()
        return found

    def settle(self: Slow, ticket: Any) -> None:
        self.asked()
        MemoryLimits.settle(self, ticket)

    slow = type("Slow", (Slow,), {"acquire": acquire} if method == "acquire" else {"settle": settle})
    limits = slow(SYSTEM_CLOCK)
    executor = make_executor(limits)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            executor.get("things")
    finally:
        signal.signal(signal.SIGUSR1, before)
    run_whole(lambda: None)
    assert not limits.is_armed
    assert not has_place_in_flight(limits)
    assert ": Interrupted after " in executor.explain().splitlines()[-1]
