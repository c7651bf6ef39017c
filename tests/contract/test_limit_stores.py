"""The contract of every limit store, wherever it keeps its state."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from nango_py.limits.limit_types import GATE, LONGEST_GATE, Granted, InFlight, Refused, Spend
from tests.support.limit_stores import opened
from tests.support.simulated_api import bucket, let_pass, overfull, window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.limits.limit_types import LimitStore

LONG = 30.0
SLACK = 3.0
"""Seconds that a busy machine may take for the steps of a test."""


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis", "shared sqlite", "shared redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LimitStore]:
    """Each kind of store, empty."""
    with opened(request.param, tmp_path) as limits:
        yield limits


def _granted(response: Granted | Refused) -> Granted:
    assert isinstance(response, Granted)
    return response


def _refused(response: Granted | Refused) -> Refused:
    assert isinstance(response, Refused)
    return response


def _wait_for(store: LimitStore, grant: Granted) -> None:
    wait = grant.wait
    while wait > 0:
        let_pass(wait)
        wait = store.confirm(grant.ticket)


def test_places_are_given_until_a_window_is_full(store: LimitStore) -> None:
    """As many calls as the window allows go at once; the next is refused with its wait and label."""
    spends = (Spend("k", (window(3, LONG),)),)
    for _ in range(3):
        assert _granted(store.acquire(spends, (), 0.0)).wait == 0.0
    refusal = _refused(store.acquire(spends, (), 0.0))
    assert refusal.wait == pytest.approx(LONG, abs=SLACK)
    assert refusal.window == "3/30s"


def test_a_refusal_books_nothing(store: LimitStore) -> None:
    """A refused call leaves every budget as it was, those with room included."""
    full, roomy = Spend("full", (window(1, LONG),)), Spend("roomy", (window(2, LONG),))
    store.acquire((full,), (), 0.0)
    for _ in range(5):
        _refused(store.acquire((roomy, full), (), 1.0))
    for _ in range(2):
        assert _granted(store.acquire((roomy,), (), 0.0)).wait == 0.0


def test_a_call_within_its_patience_is_booked_one_after_the_other(store: LimitStore) -> None:
    """Callers of a full window are given later and later moments, in their order."""
    spends = (Spend("k", (window(1, 9.0),)),)
    waits = [_granted(store.acquire(spends, (), LONG)).wait for _ in range(4)]
    assert waits == pytest.approx([0.0, 9.0, 18.0, 27.0], abs=SLACK)


def test_a_released_place_can_be_used_again(store: LimitStore) -> None:
    """A call that was never sent costs nothing, and releasing twice gives nothing twice."""
    spends = (Spend("k", (window(1, LONG), bucket(1.0, 0.01))),)
    for _ in range(3):
        grant = _granted(store.acquire(spends, (), 0.0))
        store.release(grant.ticket)
        store.release(grant.ticket)
    _granted(store.acquire(spends, (), 0.0))
    _refused(store.acquire(spends, (), 0.0))


def test_a_settled_place_cannot_be_given_back(store: LimitStore) -> None:
    """What was sent stays counted, whatever is called afterwards."""
    spends = (Spend("k", (window(1, LONG),)),)
    grant = _granted(store.acquire(spends, (), 0.0))
    store.settle(grant.ticket)
    store.release(grant.ticket)
    store.settle(grant.ticket)
    _refused(store.acquire(spends, (), 0.0))


def test_a_waiting_call_that_gives_up_frees_its_place(store: LimitStore) -> None:
    """A booking that is released no longer stands before those who come later."""
    spends = (Spend("k", (window(1, 12.0),)),)
    store.settle(_granted(store.acquire(spends, (), 0.0)).ticket)
    waiting = _granted(store.acquire(spends, (), LONG))
    store.release(waiting.ticket)
    assert _granted(store.acquire(spends, (), LONG)).wait == pytest.approx(12.0, abs=SLACK)


def test_a_token_bucket_gives_its_burst_and_then_its_rate(store: LimitStore) -> None:
    """A full bucket lets its burst go, and then one call per refilled token."""
    spends = (Spend("k", (bucket(3.0, 0.125),)),)
    for _ in range(3):
        store.settle(_granted(store.acquire(spends, (), 0.0)).ticket)
    waits = [_granted(store.acquire(spends, (), LONG)).wait for _ in range(3)]
    assert waits == pytest.approx([8.0, 16.0, 24.0], abs=SLACK)


def test_a_cost_takes_that_many_places(store: LimitStore) -> None:
    """A call of cost 3 takes three places of a window and three tokens of a bucket."""
    limits = (window(5, LONG), bucket(5.0, 0.01))
    assert _granted(store.acquire((Spend("k", limits, 3),), (), 0.0)).wait == 0.0
    _refused(store.acquire((Spend("k", limits, 3),), (), 0.0))
    assert _granted(store.acquire((Spend("k", limits, 2),), (), 0.0)).wait == 0.0
    _refused(store.acquire((Spend("k", limits, 1),), (), 0.0))


def test_several_windows_hold_together(store: LimitStore) -> None:
    """The fullest window decides, and is the one that a refusal names."""
    spends = (Spend("k", (window(5, 10.0), window(7, LONG))),)
    for _ in range(5):
        store.settle(_granted(store.acquire(spends, (), 0.0)).ticket)
    for _ in range(2):
        assert _granted(store.acquire(spends, (), 15.0)).wait == pytest.approx(10.0, abs=SLACK)
    assert _refused(store.acquire(spends, (), 15.0)).window == "7/30s"


def test_keys_do_not_touch_each_other(store: LimitStore) -> None:
    """A full key says nothing about another."""
    for key in ("a", "b", "a b"):
        spends = (Spend(key, (window(1, LONG),)),)
        assert _granted(store.acquire(spends, (), 0.0)).wait == 0.0
        _refused(store.acquire(spends, (), 0.0))


def test_a_closed_gate_stops_everybody_under_it(store: LimitStore) -> None:
    """No call passes a gate before it opens, with or without a budget; other keys are not held up."""
    spends = (Spend("k", (window(100, LONG),)),)
    store.close_gate(("g",), 10.0)
    assert _refused(store.acquire(spends, ("g",), 1.0)) == Refused(pytest.approx(10.0, abs=SLACK), GATE)
    assert _granted(store.acquire((), ("g",), LONG)).wait == pytest.approx(10.0, abs=SLACK)
    assert _granted(store.acquire(spends, ("other",), 0.0)).wait == 0.0


def test_a_shorter_gate_does_not_open_a_longer_one(store: LimitStore) -> None:
    """Closing a gate for less than it is closed already changes nothing."""
    store.close_gate(("g",), 10.0)
    store.close_gate(("g",), 1.0)
    assert _refused(store.acquire((), ("g",), 0.0)).wait == pytest.approx(10.0, abs=SLACK)
    store.close_gate(("g",), 20.0)
    assert _refused(store.acquire((), ("g",), 0.0)).wait == pytest.approx(20.0, abs=SLACK)


def test_a_gate_that_closes_later_holds_waiting_bookings(store: LimitStore) -> None:
    """A gate that closes while a caller waits holds it at confirm."""
    spends = (Spend("k", (window(1, 0.2),)),)
    store.settle(_granted(store.acquire(spends, ("g",), 0.0)).ticket)
    waiting = _granted(store.acquire(spends, ("g",), LONG))
    store.close_gate(("g",), 10.0)
    let_pass(waiting.wait)
    assert store.confirm(waiting.ticket) == pytest.approx(9.8, abs=SLACK)


def test_what_others_sent_can_be_counted(store: LimitStore) -> None:
    """A count takes places without a booking, and may overfill a window."""
    spends = (Spend("k", (window(5, 10.0), window(9, LONG)), 7),)
    store.count(spends)
    spends = (Spend("k", spends[0].limits),)
    for _ in range(2):
        assert _granted(store.acquire(spends, (), 15.0)).wait == pytest.approx(10.0, abs=SLACK)
    assert _refused(store.acquire(spends, (), 15.0)).window == "9/30s"


def test_a_cap_lets_the_next_go_when_one_has_ended(store: LimitStore) -> None:
    """A cap limits the requests in flight, however short or long each takes."""
    spends = (Spend("rate", (window(100, 1.0),)), Spend("cap", (InFlight(2, "2 in flight"),)))
    first, second = (_granted(store.acquire(spends, (), 0.0)) for _ in range(2))
    assert _refused(store.acquire(spends, (), 0.0)).window == "2 in flight"
    waiting = _granted(store.acquire(spends, (), LONG))
    let_pass(waiting.wait)
    let_pass(store.confirm(waiting.ticket))
    assert store.view(["cap"])[0].used == 2, "a booking that is due is not in flight"
    store.settle(first.ticket)
    _wait_for(store, Granted(0.1, waiting.ticket))
    store.release(second.ticket)
    assert _granted(store.acquire(spends, (), 0.0)).wait == 0.0


def test_a_call_without_budgets_goes_at_once(store: LimitStore) -> None:
    """No budget and no closed gate means no wait."""
    grant = _granted(store.acquire((), ("g",), 0.0))
    assert grant.wait == 0.0
    store.settle(grant.ticket)


def test_the_view_contains_what_is_used(store: LimitStore) -> None:
    """Each limit of a key has used and left; a gate has the time until it opens; unknown keys are omitted."""
    spends = (Spend("k", (window(5, LONG), bucket(4.0, 0.1))),)
    store.settle(_granted(store.acquire(spends, (), 0.0)).ticket)
    store.acquire(spends, (), 0.0)
    store.close_gate(("k",), 10.0)
    of_window, of_bucket, gate = store.view(["k", "unknown"])
    assert (of_window.key, of_window.window, of_window.limit) == ("k", "5/30s", 5)
    assert (of_window.used, of_window.left) == (2, 3)
    assert of_window.resets_in == pytest.approx(LONG, abs=SLACK)
    assert (of_bucket.used, of_bucket.left) == pytest.approx((2.0, 2.0), abs=0.2)
    assert (gate.window, gate.left) == (GATE, 0)
    assert gate.resets_in == pytest.approx(10.0, abs=SLACK)


def test_the_keys_of_a_scope_can_be_found(store: LimitStore) -> None:
    """Counters and closed gates are found by what they begin with, whatever characters they contain."""
    for scope in ("shop 2:u1", "shop 2:u*", "shop 2:u_", "shop 3:u1 ", "sh%", "[a]"):
        store.settle(_granted(store.acquire((Spend(f"{scope} 0 all", (window(9, LONG),)),), (), 0.0)).ticket)
    store.close_gate(("shop 2:u1",), 10.0)
    assert store.keys("shop 2:u1 ") == ("shop 2:u1 0 all",)
    assert store.keys("shop 2:u1") == ("shop 2:u1", "shop 2:u1 0 all")
    for scope in ("shop 2:u*", "shop 2:u_", "sh%", "[a]"):
        assert store.keys(scope) == (f"{scope} 0 all",)
    assert store.keys("nothing") == ()
    assert len(store.keys("")) == 7


def test_a_view_contains_the_gate_of_each_limit(store: LimitStore) -> None:
    """The view of each limit contains whether its gate is closed, and for how long."""
    spends = (Spend("k", (window(5, LONG), bucket(4.0, 0.1))),)
    store.settle(_granted(store.acquire(spends, (), 0.0)).ticket)
    assert [view.gate for view in store.view(["k"])] == [0.0, 0.0]
    store.close_gate(("k",), 10.0)
    assert [view.gate for view in store.view(["k"])] == pytest.approx([10.0] * 3, abs=SLACK)


@pytest.mark.parametrize(("cost", "left"), [(1, 8), (4, 5), (7, 2), (0, 9)])
def test_a_call_is_settled_at_what_it_has_cost(store: LimitStore, cost: int, left: int) -> None:
    """What was reserved too much can be used, and what was reserved too little counts; others keep theirs."""
    limits = (window(9, LONG), bucket(9.0, 0.001))
    spends = (Spend("k", limits, 4), Spend("other", limits, 2))
    grant = _granted(store.acquire(spends, (), 0.0))
    store.settle(grant.ticket, (cost, 2))
    assert [view.left for view in store.view(["k", "other"])] == pytest.approx([left, left, 7, 7], abs=0.3)
    _granted(store.acquire((Spend("k", limits, left),), (), 0.0))
    _refused(store.acquire((Spend("k", limits, 1),), (), 0.0))


@pytest.mark.parametrize("seconds", [2 * LONGEST_GATE, 366 * LONGEST_GATE, 1e18])
def test_no_gate_is_closed_for_longer_than_a_day(store: LimitStore, seconds: float) -> None:
    """Whatever a response asked for, a call tries again the next day."""
    store.close_gate(("g",), seconds)
    assert _refused(store.acquire((), ("g",), 1.0)).wait == pytest.approx(LONGEST_GATE, abs=SLACK)


def test_a_crowded_window_is_still_exact(store: LimitStore) -> None:
    """More calls than are kept one by one are all counted, including those in flight."""
    # Windows that do not pass while a loaded machine is at it.
    spends = (Spend("k", (window(600, 10 * LONG), window(5000, 20 * LONG))),)
    for number in range(600):
        grant = _granted(store.acquire(spends, ("k",), 0.0))
        if number < 598:
            store.settle(grant.ticket)
    _refused(store.acquire(spends, ("k",), 0.0))
    assert [view.used for view in store.view(["k"])] == [600, 600]


def test_threads_never_overfill_a_window_and_all_are_served(store: LimitStore) -> None:
    """Eight threads in real time get all that they ask for, and no window of any alignment holds too many."""
    limit = window(10, 0.25)
    spends = (Spend("k", (limit,)),)
    sent: list[tuple[float, int]] = []

    def work() -> None:
        for _ in range(6):
            grant = _granted(store.acquire(spends, (), LONG))
            _wait_for(store, grant)
            sent.append((time.monotonic(), 1))
            store.settle(grant.ticket)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overfull(limit, sent) == ""
    assert len(sent) == 8 * 6
