"""Limits that are not written in a blueprint: learned from responses or measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from nango_py.limits import learning as learning_module
from nango_py.limits.headers.dialects import LimitStatus
from nango_py.limits.learning import LEARNED_RATE, Learning
from nango_py.limits.limit_types import Bucket, Granted, Spend, Window
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.simulated_api import LimitClock, window

if TYPE_CHECKING:
    from nango_py.limits.limit_types import LimitStore


class Api:
    """A fixed-window API that others use as well, and a caller who learns."""

    def __init__(self, requests: int, seconds: float, *, has_headers: bool = True) -> None:
        self.clock = LimitClock(0.0)
        self.store: LimitStore = MemoryLimits(self.clock)
        self.learning = Learning(self.clock)
        self.requests, self.seconds, self.has_headers = requests, seconds, has_headers
        self.counts: dict[int, int] = {}
        self.refused = self.answered = 0

    def others(self, number: int) -> None:
        """Another user of the quota sends this number of requests."""
        place = int(self.clock.moment // self.seconds)
        self.counts[place] = self.counts.get(place, 0) + number

    def call(self) -> bool:
        """One call, waits included; whether it went through."""
        spends = self.learning.spends("s", "GET x", ())
        grant = self.store.acquire(spends, ("s",), 1e9)
        assert isinstance(grant, Granted)
        wait = grant.wait
        while wait > 0:
            self.clock.moment += wait
            wait = self.store.confirm(grant.ticket)
        place = int(self.clock.moment // self.seconds)
        self.counts[place] = self.counts.get(place, 0) + 1
        remaining = self.requests - self.counts[place]
        resets_in = (place + 1) * self.seconds - self.clock.moment
        seen = (
            LimitStatus(float(max(0, remaining)), float(self.requests), math.ceil(resets_in), "ratelimit-*"),
        )
        is_refused = remaining < 0
        self.clock.moment += 0.001
        self.store.settle(grant.ticket)
        self.learning.learn(
            self.store, "s", "GET x", spends, seen if self.has_headers else (), refused=is_refused
        )
        if is_refused:
            self.refused += 1
            self.counts[place] -= 1
            self.clock.moment += 0.2
        else:
            self.answered += 1
        return not is_refused


@pytest.mark.parametrize(("requests", "seconds"), [(10, 1.0), (100, 60.0), (3, 2.0)])
def test_a_limit_known_from_headers_only_is_used_and_kept(requests: int, seconds: float) -> None:
    """After the first response a limit in headers works like a written one."""
    api = Api(requests, seconds)
    while api.clock.moment < 20 * seconds:
        api.call()
    assert api.refused <= 0.03 * api.answered
    assert api.answered >= 0.9 * requests * 20


def test_what_others_use_is_taken_into_account() -> None:
    """When somebody else uses most of the quota, the caller leaves them what they took."""
    api = Api(100, 60.0)
    api.call()
    for _ in range(5):
        api.others(90)
        while api.clock.moment % 60.0 < 50.0 and api.counts.get(int(api.clock.moment // 60.0), 0) < 100:
            api.call()
        api.clock.moment = (api.clock.moment // 60.0 + 1) * 60.0
    assert api.refused == 0


def test_a_rate_is_found_by_trying() -> None:
    """An API that refuses without telling any number is called at nearly the rate it allows."""
    api = Api(20, 1.0, has_headers=False)
    while api.clock.moment < 600.0:
        api.call()
    assert api.refused <= 0.03 * api.answered
    assert api.answered >= 0.5 * 20 * 600


def test_the_first_call_goes_alone() -> None:
    """While an API's limits are unknown, one call finds out and the others wait for its response."""
    clock = LimitClock(0.0)
    store, learning = MemoryLimits(clock), Learning(clock)
    assert learning.hold("s") == 0.0
    assert learning.hold("s") > 0
    assert learning.hold("another") == 0.0
    clock.moment = 0.5
    assert learning.hold("s") > 0
    learning.learn(store, "s", "GET x", (), (), refused=False)
    assert learning.hold("s") == 0.0
    assert learning.spends("s", "GET x", ()) == ()


def test_calls_wait_only_briefly_for_a_first_response() -> None:
    """A first call that takes its time, or never ends, holds the others for a second at most."""
    clock = LimitClock(0.0)
    learning = Learning(clock)
    learning.hold("s")
    clock.moment = 0.99
    assert 0 < learning.hold("s") <= 0.02
    clock.moment = 1.0
    assert learning.hold("s") == 0.0


def test_a_first_call_without_an_answer_holds_nobody() -> None:
    """Its own retry, or another call, goes at once."""
    learning = Learning(LimitClock(0.0))
    learning.hold("s")
    learning.forget_first_call("s")
    assert learning.hold("s") == 0.0


def test_written_rules_are_not_replaced() -> None:
    """Where the blueprint has a rule, headers only correct how much of it is left."""
    clock = LimitClock(0.0)
    store, learning = MemoryLimits(clock), Learning(clock)
    written = (Spend("k", (window(10, 1.0), Window(100, 60.0, "100/minute"))),)
    assert learning.spends("s", "GET x", written) is written
    grant = store.acquire(written, (), 0.0)
    assert isinstance(grant, Granted)
    store.settle(grant.ticket)
    seen = (LimitStatus(40.0, 100.0, 30.0, "ratelimit-*"), LimitStatus(2.0, 7.0, 30.0, "unknown"))
    learning.learn(store, "s", "GET x", written, seen, refused=False)
    _, minute = store.view(["k"])
    assert (minute.window, minute.left) == ("100/minute", 40)
    learning.learn(store, "s", "GET x", written, (LimitStatus(39.0, 100.0, 30.0, "x"),), refused=False)
    assert store.view(["k"])[1].left == 40  # nearer than such numbers are exact
    assert learning.spends("s", "GET x", written) is written


@pytest.mark.parametrize(("seconds", "held"), [(60.0, 86_400.0), (30 * 86_400.0, 30 * 86_400.0)])
def test_a_wrong_reset_holds_a_limit_for_a_day_at_most(seconds: float, held: float) -> None:
    """Control: a reset within the length of a longer window is believed."""
    clock = LimitClock(0.0)
    store, learning = MemoryLimits(clock), Learning(clock)
    written = (Spend("k", (window(10, seconds),)),)
    seen = LimitStatus(0.0, 10.0, 365 * 86_400.0, "ratelimit-*")
    learning.learn(store, "s", "GET x", written, (seen,), refused=False)
    for moment, left in ((held - 1.0, 0), (held + 1.0, 10)):
        clock.moment = moment
        assert store.view(["k"])[0].left == left


def test_the_longest_time_to_a_reset_is_taken_for_the_window() -> None:
    """A window that is half over when it is first seen is known in full when the next one begins."""
    clock = LimitClock(0.0)
    store, learning = MemoryLimits(clock), Learning(clock)
    for resets_in in (17.2, 60.0, 30.0):
        learning.learn(store, "s", "GET x", (), (LimitStatus(9.0, 10.0, resets_in, "h"),), refused=False)
    assert learning.spends("s", "GET x", ())[0].limits == (Window(10, 60.0, "10 in 60 s, from headers"),)
    assert learning.spends("s", "GET new", ()) == learning.spends("s", "GET x", ())


def test_a_fraction_is_a_leaking_bucket() -> None:
    """Shopify's 32/40 is a bucket of 40 that leaks 2 a second."""
    clock = LimitClock(0.0)
    store, learning = MemoryLimits(clock), Learning(clock)
    seen = LimitStatus(8.0, 40.0, None, "x-shopify-shop-api-call-limit")
    learning.learn(store, "s", "GET x", (), (seen,), refused=False)
    (spend,) = learning.spends("s", "GET x", ())
    assert spend.limits == (Bucket(40.0, 2.0, "40 leaking, from headers"),)
    assert store.view([spend.key])[0].left == pytest.approx(8.0)


def test_a_rate_found_by_trying_grows_again() -> None:
    """It is soon near the old rate, then grows by a tenth every ten seconds; refusals at once count once."""
    clock = LimitClock(100.0)
    store, learning = MemoryLimits(clock), Learning(clock)
    for _ in range(100):
        clock.moment += 0.1
        learning.learn(store, "s", "e", (), (), refused=False)
    for _ in range(5):
        learning.learn(store, "s", "e", (), (), refused=True)
    (spend,) = learning.spends("s", "e", ())
    (first,) = spend.limits
    assert isinstance(first, Bucket)
    assert (first.label, first.per_second) == (LEARNED_RATE, pytest.approx(8.0, rel=0.05))
    clock.moment += 2.0
    assert _rate(learning) == pytest.approx(first.per_second * 0.9 / 0.8)
    clock.moment += 21.0
    assert _rate(learning) == pytest.approx(first.per_second * 0.9 / 0.8 * 1.21)


def _rate(learning: Learning) -> float:
    (limit,) = learning.spends("s", "e", ())[0].limits
    assert isinstance(limit, Bucket)
    return limit.per_second


class Storm:
    """An API without written or reported limits that takes 38 calls per second, and refuses for a while."""

    def __init__(self, seconds: float, *, passes: float) -> None:
        self.clock = LimitClock(0.0)
        self.store: LimitStore = MemoryLimits(self.clock)
        self.learning = Learning(self.clock)
        self.seconds, self.passes = seconds, passes
        self.sent: list[float] = []
        self.number = 0

    def run(self, until: float) -> None:
        """A caller that never rests sends until then; a refusal makes it wait for a second."""
        while self.clock.moment < until:
            spends = self.learning.spends("s", "e", ())
            grant = self.store.acquire(spends, ("s",), 1e9)
            assert isinstance(grant, Granted)
            wait = grant.wait
            while wait > 0:
                self.clock.moment += wait
                wait = self.store.confirm(grant.ticket)
            self.number += 1
            is_refused = (
                60.0 <= self.clock.moment < 60.0 + self.seconds and self.number % 20 >= 20 * self.passes
            )
            self.clock.moment += 1 / 38
            self.store.settle(grant.ticket)
            self.learning.learn(self.store, "s", "e", spends, (), refused=is_refused)
            if is_refused:
                self.store.close_gate(("s",), 1.0)
            else:
                self.sent.append(self.clock.moment)

    def rate(self, start: float) -> float:
        """Calls per second that went through in the ten seconds from a moment on."""
        return sum(start <= moment < start + 10.0 for moment in self.sent) / 10.0


@pytest.mark.parametrize("passes", [0.0, 0.1, 0.5], ids=["nothing passes", "some pass", "half passes"])
@pytest.mark.parametrize("seconds", [1.0, 10.0, 15.0, 60.0])
def test_the_rate_is_back_soon_after_a_storm(seconds: float, passes: float) -> None:
    """However long an API refuses, four fifths of the old rate are back within 30 s of the end."""
    storm = Storm(seconds, passes=passes)
    storm.run(120.0 + seconds)
    assert storm.rate(45.0) == pytest.approx(38.0, rel=0.05)
    assert storm.rate(60.0 + seconds + 30.0) >= 0.8 * 38.0


def test_a_rate_that_has_fallen_is_found() -> None:
    """An API that allows a quarter of the old rate from some time on refuses few calls after a while."""
    api = Api(40, 1.0, has_headers=False)
    while api.clock.moment < 60.0:
        api.call()
    api.requests = 10
    while api.clock.moment < 180.0:
        api.call()
    api.refused = api.answered = 0
    while api.clock.moment < 600.0:
        api.call()
    assert api.refused <= 0.05 * api.answered
    assert api.answered >= 0.5 * 10 * 420


def test_what_is_learned_of_endpoints_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used endpoints and quotas are forgotten, and equal limits are kept once."""
    monkeypatch.setattr(learning_module, "MAX_ENDPOINTS", 10)
    monkeypatch.setattr(learning_module, "MAX_SCOPES", 3)
    clock = LimitClock()
    store, learning = MemoryLimits(clock), Learning(clock)
    for number in range(100):
        learning.learn(store, "s", f"GET {number}", (), (LimitStatus(9.0, 10.0, 60.0, "h"),), refused=False)
        learning.spends("s", "GET 0", ())
    assert len(learning._endpoints) == 10
    assert ("s", "GET 0") in learning._endpoints
    assert len({id(limits) for limits in learning._endpoints.values()}) == 1
    assert learning.spends("s", "GET 50", ()) == learning.spends("s", "GET 0", ())
    for number in range(10):
        learning.learn(store, f"s{number}", "GET", (), (), refused=False)
    assert list(learning._scopes) == ["s7", "s8", "s9"]


def test_a_remaining_number_without_a_limit_is_used() -> None:
    """It corrects the shortest written limit with room for it, and teaches where nothing is written."""
    clock = LimitClock()
    store, learning = MemoryLimits(clock), Learning(clock)
    written = (Spend("k", (window(75, 1.0), Window(700, 60.0, "700/minute"))),)
    learning.learn(store, "s", "e", written, (LimitStatus(3.0, None, 42.0, "h"),), refused=False)
    assert [view.left for view in store.view(["k"])] == [75, 3]
    learning.learn(store, "t", "e", (), (LimitStatus(0.0, None, 30.0, "h"),), refused=False)
    grant = store.acquire(learning.spends("t", "e", ()), (), 60.0)
    assert grant.wait == pytest.approx(30.0)
    learning.learn(store, "t", "e", (), (LimitStatus(99.0, None, 60.0, "h"),), refused=False)
    (spend,) = learning.spends("t", "e", ())
    assert spend.limits == (Window(100, 60.0, "100 in 60 s, from headers"),)
