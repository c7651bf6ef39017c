"""Retry budget and circuit breaker, with a clock that tests move."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.engine.outage import BreakerSettings, CircuitBreaker, Outage, RetryBudget
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MINUTE = 60.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["call", "take"]),
        st.integers(min_value=1, max_value=60),
        st.one_of(st.just(0.0), st.floats(min_value=0.0, max_value=90.0)),
    ),
    max_size=60,
)


def within_minute(moments: Sequence[float], end: float) -> int:
    """The number of moments in the minute that ends with `end`."""
    return sum(end - MINUTE < moment <= end for moment in moments)


def most_over(
    budget: RetryBudget, clock: ManualClock, steps: Sequence[tuple[str, int, float]], share: float, floor: int
) -> float:
    """The largest excess of retries over their share in any minute; 0 or less is within it."""
    calls: list[float] = []
    extra: list[float] = []
    worst = float("-inf")
    for kind, times, pause in steps:
        for _ in range(times):
            now = clock.monotonic()
            if kind == "call":
                budget.count_call()
                calls.append(now)
            elif budget.take():
                extra.append(now)
                worst = max(worst, within_minute(extra, now) - max(floor, share * within_minute(calls, now)))
        clock.advance(pause)
    return worst


@given(steps=STEPS, share=st.sampled_from([0.0, 0.1, 0.5, 1.0]), floor=st.integers(0, 20))
def test_retries_keep_to_their_share_in_any_minute(
    steps: list[tuple[str, int, float]], share: float, floor: int
) -> None:
    """Whatever the traffic, the minute before each retry has no more retries than allowed."""
    clock = ManualClock()
    assert most_over(RetryBudget(clock, share, floor), clock, steps, share, floor) <= 0


def test_a_budget_that_forgets_too_early_is_noticed() -> None:
    """Control: the same check fails for a budget that starts again each minute of the clock."""

    class Aligned(RetryBudget):
        """Forgets everything at full minutes."""

        minute = -1

        def take(self) -> bool:
            """Spend from this minute's own budget."""
            minute = int(clock.monotonic() // MINUTE)
            if minute != self.minute:
                self.minute = minute
                self.__init__(clock, 0.1, 10)  # type: ignore[misc]
            return super().take()

    clock = ManualClock()
    clock.advance(MINUTE - clock.monotonic() % MINUTE - 1.0)
    steps = [("take", 10, 2.0), ("take", 10, 0.0)]
    assert most_over(Aligned(clock, 0.1, 10), clock, steps, 0.1, 10) == 10


def test_a_quiet_program_may_retry() -> None:
    """Sixty retries a minute are allowed with a single call, and no more."""
    clock = ManualClock()
    budget = RetryBudget(clock)
    budget.count_call()
    assert [budget.take() for _ in range(61)] == [True] * 60 + [False]


def test_a_busy_program_gets_a_tenth() -> None:
    """A thousand calls allow a hundred retries."""
    budget = RetryBudget(ManualClock())
    for _ in range(1000):
        budget.count_call()
    assert sum(budget.take() for _ in range(1000)) == 100


def test_the_budget_is_used_again_as_it_slides() -> None:
    """A spent retry is available again a minute later, not before."""
    clock = ManualClock()
    budget = RetryBudget(clock, floor=2)
    assert [budget.take(), budget.take(), budget.take()] == [True, True, False]
    clock.advance(59.0)
    assert not budget.take()
    clock.advance(2.0)
    assert [budget.take(), budget.take(), budget.take()] == [True, True, False]


def test_calls_of_an_hour_ago_allow_nothing() -> None:
    """Only the last minute counts."""
    clock = ManualClock()
    budget = RetryBudget(clock, floor=0)
    for _ in range(1000):
        budget.count_call()
    clock.advance(3600.0)
    assert not budget.take()


def test_memory_does_not_grow_with_time() -> None:
    """After a day of calls and retries only the last minute is in memory."""
    clock = ManualClock()
    budget = RetryBudget(clock, share=1.0)
    for _ in range(2000):
        budget.count_call()
        budget.take()
        clock.advance(43.2)
    assert len(budget._calls._slices) + len(budget._retries._slices) < 10


def test_threads_share_one_budget() -> None:
    """Eight threads together get the budget of one."""
    budget = RetryBudget(ManualClock(), floor=100)
    granted: list[bool] = []
    in_threads(8, lambda: granted.extend([budget.take() for _ in range(50)]))
    assert sum(granted) == 100


def in_threads(number: int, work: Callable[[], object]) -> None:
    """Run the work in this number of threads that start together, and wait for all."""
    barrier = threading.Barrier(number)

    def begin() -> None:
        barrier.wait()
        work()

    threads = [threading.Thread(target=begin) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


SETTINGS = BreakerSettings(failures=5, seconds=10.0, pause_seconds=5.0, longest_pause_seconds=30.0)


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    """A breaker that opens after five failures in a row over ten seconds."""
    return CircuitBreaker(clock, SETTINGS)


def opened(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Make the breaker open now."""
    for _ in range(SETTINGS.failures):
        breaker.record_failure()
    clock.advance(SETTINGS.seconds)
    breaker.record_failure()
    assert breaker.is_open


def test_it_opens_after_enough_failures_over_enough_time(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Many failures at once do not open it; many over ten seconds do."""
    for _ in range(1000):
        breaker.record_failure()
    assert not breaker.is_open
    assert breaker.wait() == 0.0
    clock.advance(9.999)
    breaker.record_failure()
    assert not breaker.is_open
    clock.advance(0.001)
    breaker.record_failure()
    assert breaker.is_open
    assert breaker.wait() == 5.0


def test_few_failures_over_a_long_time_do_not_open_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """The count must be reached too."""
    for _ in range(4):
        breaker.record_failure()
        clock.advance(3600.0)
    assert not breaker.is_open
    breaker.record_failure()
    assert breaker.is_open


def test_one_success_resets_the_count(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Only failures in a row count, and their time starts with the first of them."""
    for _ in range(100):
        breaker.record_failure()
        clock.advance(9.0)
        breaker.record_failure()
        breaker.record_success()
    for _ in range(100):
        breaker.record_failure()
    assert not breaker.is_open


def test_one_probe_passes_in_each_pause(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """After the pause one call may probe, and the next one only after another pause."""
    opened(breaker, clock)
    clock.advance(4.0)
    assert breaker.wait() == pytest.approx(1.0)
    clock.advance(1.0)
    assert [breaker.wait() for _ in range(3)] == [0.0, 5.0, 5.0]


def test_a_failed_probe_doubles_the_pause_up_to_the_longest(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    """5, 10, 20, 30, 30 seconds."""
    opened(breaker, clock)
    pauses = []
    for _ in range(5):
        pauses.append(breaker.wait())
        clock.advance(pauses[-1])
        assert breaker.wait() == 0.0
        breaker.record_failure()
    assert pauses == [5.0, 10.0, 20.0, 30.0, 30.0]


def test_failures_of_calls_in_flight_do_not_lengthen_the_pause(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    """Only a probe shows that the outage goes on."""
    opened(breaker, clock)
    for _ in range(50):
        breaker.record_failure()
    assert breaker.wait() == 5.0


def test_a_probe_that_never_ends_does_not_keep_the_breaker_open(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    """A cancelled call has no outcome, so another call probes after the next pause."""
    opened(breaker, clock)
    clock.advance(5.0)
    assert breaker.wait() == 0.0
    clock.advance(5.0)
    assert breaker.wait() == 0.0


def test_any_success_closes_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """A late response of another call is enough, and the next outage starts with the shortest pause."""
    opened(breaker, clock)
    clock.advance(5.0)
    breaker.wait()
    breaker.record_failure()
    breaker.record_success()
    assert not breaker.is_open
    assert [breaker.wait() for _ in range(3)] == [0.0, 0.0, 0.0]
    opened(breaker, clock)
    assert breaker.wait() == 5.0


def test_only_one_of_many_threads_is_the_probe(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Of sixteen threads at the same moment one may call."""
    opened(breaker, clock)
    clock.advance(5.0)
    waits: list[float] = []
    in_threads(16, lambda: waits.append(breaker.wait()))
    assert sorted(waits) == [0.0] + [5.0] * 15


def test_no_failure_of_a_thread_is_lost(clock: ManualClock) -> None:
    """Failures from eight threads are all counted."""
    breaker = CircuitBreaker(clock, BreakerSettings(failures=4001, seconds=0.0))
    in_threads(8, lambda: [breaker.record_failure() for _ in range(500)])
    assert not breaker.is_open
    breaker.record_failure()
    assert breaker.is_open


def test_false_turns_the_breaker_off(clock: ManualClock) -> None:
    """`circuit_breaker: false` never refuses; true and no value mean the defaults."""
    breaker = Outage(clock, {"circuit_breaker": False}).breaker
    for _ in range(200):
        breaker.record_failure()
        clock.advance(1.0)
    assert breaker.wait() == 0.0
    assert BreakerSettings.from_settings(True) == BreakerSettings.from_settings(None) == BreakerSettings()  # noqa: FBT003 - YAML's true


def test_the_settings_of_a_blueprint_are_used(clock: ManualClock) -> None:
    """budget_share and circuit_breaker have the values of the block."""
    outage = Outage(clock, {"budget_share": 0.5, "circuit_breaker": {"failures": 2, "seconds": 1}})
    for _ in range(1000):
        outage.budget.count_call()
    assert sum(outage.budget.take() for _ in range(1000)) == 500
    outage.breaker.record_failure()
    clock.advance(1.0)
    outage.breaker.record_failure()
    assert outage.breaker.is_open
