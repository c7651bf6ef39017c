"""Thousands of connections and one token endpoint that is down, silent or refuses, by a made clock."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import pytest

from nango_py.tokens.endpoints import MAX_PLACES, MAX_UNCERTAIN, TokenEndpoint
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = 5000
SILENCE = 20.0
"""Seconds after which a request without a response is given up."""


class Storm:
    """Connections that all need a token: each asks the endpoint every five seconds until it has one.

    Args:
        works: whether the endpoint works at a moment; it decides when a request arrives.
        seconds: how long a failing request takes.
        fail: records a failure.

    Attributes:
        starts: when requests began.
        most_in_flight: the most requests at a time.
        granted: when connections got their tokens.
    """

    def __init__(
        self,
        works: Callable[[float], bool],
        seconds: float,
        fail: Callable[[TokenEndpoint, str], None] = lambda endpoint, uuid: endpoint.record_failure(uuid),
    ) -> None:
        self.works, self.seconds, self.fail = works, seconds, fail
        self.clock = ManualClock(0.0)
        self.begun = self.clock.monotonic()
        self.endpoint = TokenEndpoint(self.clock)
        self.starts: list[float] = []
        self.granted: list[float] = []
        self.most_in_flight = self.in_flight = 0

    def run(self, until: float, connections: int = CONNECTIONS) -> None:
        """Let the time pass until a moment."""
        asks = [(5 * number / connections, f"user-{number}", "ask") for number in range(connections)]
        heapq.heapify(asks)
        while asks and asks[0][0] < until:
            now, uuid, what = heapq.heappop(asks)
            self.clock.advance(now - (self.clock.monotonic() - self.begun))
            if what != "ask":
                self._end(now, uuid, what, asks)
            elif self.endpoint.enter(uuid) == 0:
                self.starts.append(now)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                is_good = self.works(now)
                end = now + (0.2 if is_good else self.seconds)
                heapq.heappush(asks, (end, uuid, "granted" if is_good else "failed"))
            else:
                heapq.heappush(asks, (now + 5, uuid, "ask"))

    def _end(self, now: float, uuid: str, what: str, asks: list[tuple[float, str, str]]) -> None:
        self.in_flight -= 1
        if what == "granted":
            self.endpoint.record_grant()
            self.granted.append(now)
        else:
            self.fail(self.endpoint, uuid)
            heapq.heappush(asks, (now + 2.0, uuid, "ask"))
        self.endpoint.leave(uuid)


def _refuse(endpoint: TokenEndpoint, uuid: str) -> None:
    endpoint.record_failure(uuid, rejection="invalid_client")


@pytest.mark.parametrize(
    ("seconds", "fail"),
    [
        pytest.param(0.01, None, id="down"),
        pytest.param(SILENCE, None, id="silent"),
        pytest.param(0.05, _refuse, id="refusing"),
    ],
)
@pytest.mark.parametrize("back_at", [3.0, 7.3, 41.0])
def test_a_storm_is_held_back_and_ends_by_itself(
    seconds: float, fail: Callable[[TokenEndpoint, str], None] | None, back_at: float
) -> None:
    """At most two requests at a time and 1.2 a second; the first token 20 s after the endpoint is back."""
    storm = Storm(lambda now: now >= back_at, seconds, **({"fail": fail} if fail else {}))
    storm.run(back_at)
    assert storm.most_in_flight <= 2
    assert len(storm.starts) <= max(3, 1.2 * back_at)
    storm = Storm(lambda now: now >= back_at, seconds, **({"fail": fail} if fail else {}))
    storm.run(back_at + 25)
    assert storm.granted[0] <= back_at + 20
    assert len(storm.granted) > 10


def test_a_working_endpoint_is_asked_by_more_and_more_at_once() -> None:
    """Control: no storm is held back where nothing is wrong."""
    storm = Storm(lambda _: True, 0.2)
    storm.run(60, 1000)
    assert len(storm.granted) == 1000
    assert storm.most_in_flight == MAX_PLACES


def test_a_silent_endpoint_gets_no_more_than_it_has() -> None:
    """An endpoint that worked and falls silent: the requests in flight are not followed by others."""
    storm = Storm(lambda now: now < 10, SILENCE)
    storm.run(29)
    assert len([start for start in storm.starts if start >= 10]) <= MAX_PLACES
    assert storm.endpoint.is_down


def test_a_requested_wait_is_kept() -> None:
    """Retry-After: no request before it is over, whatever else happens."""
    storm = Storm(lambda now: now > 5, 0.01, lambda endpoint, uuid: endpoint.record_failure(uuid, 60.0))
    storm.run(120)
    assert len([start for start in storm.starts if start < 60]) <= 2
    assert storm.granted[0] >= 60
    assert len([start for start in storm.starts if start < 60.1]) <= 4


def test_one_connection_alone_does_not_slow_the_others_down() -> None:
    """A provider that responds 500 to one dead token: the pause stays at a second."""
    clock = ManualClock()
    endpoint = TokenEndpoint(clock)
    for _ in range(20):
        assert endpoint.enter("dead") == 0
        endpoint.record_failure("dead")
        endpoint.leave("dead")
        wait = endpoint.enter("other")
        assert 0 < wait <= 1
        assert not endpoint.is_down
        clock.advance(wait)


def test_uncertain_refusals_are_believed_a_few_times() -> None:
    """Until a token is granted, which shows that the application is accepted."""
    endpoint = TokenEndpoint(ManualClock())
    believed = [endpoint.is_believable(f"user-{number}") for number in range(10)]
    assert believed == [True] * MAX_UNCERTAIN + [False] * (10 - MAX_UNCERTAIN)
    endpoint.record_grant()
    assert endpoint.is_believable("user-10")
