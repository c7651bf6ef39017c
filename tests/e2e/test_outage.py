"""An API that is down, over real sockets: how much traffic it still gets, and how calls come back."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import TransportFailed
from nango_py.sandbox import FaultPlan
from tests.support.fake_clock import ManualClock
from tests.support.nango_at_server import a_sandbox, calling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nango_py import Nango
    from nango_py.sandbox import Sandbox

INSTANT = {"base_seconds": 0.001, "max_seconds": 0.001}
BREAKER = {"failures": 5, "seconds": 2, "pause_seconds": 5, "longest_pause_seconds": 15}


def traffic(calls: int, threads: int, **retries: Any) -> float:
    """Requests to the API per call, while every response is a 503."""
    retries = {"circuit_breaker": False, "backoff": INSTANT, **retries}
    with (
        a_sandbox(FaultPlan(0, {"503": 1.0})) as sandbox,
        calling(sandbox.base_url, clock=ManualClock(), retries=retries, log_level="error") as nango,
    ):
        executor = nango.executor("shop", "user-1")

        def call() -> None:
            for _ in range(calls // threads):
                assert executor.get("things").status_code == 503

        workers = [threading.Thread(target=call) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return len(sandbox.ledger) / calls


def test_an_outage_does_not_cause_a_retry_storm() -> None:
    """A thousand failing calls make at most 1.12 times as many requests."""
    assert 1.05 < traffic(1_000, 4) <= 1.12


def test_without_the_retry_budget_there_is_a_storm() -> None:
    """Control: with a budget of one retry per call, the same calls make twice the requests."""
    assert traffic(400, 4, budget_share=1.0) == pytest.approx(2.0)


@pytest.mark.parametrize("attempts", [1, 3, None])
@pytest.mark.parametrize("name", ["sync", "async"])
def test_a_single_call_makes_max_attempts_requests(name: str, attempts: int | None) -> None:
    """There is one layer of retries, with 5 attempts by default."""
    retries: dict[str, Any] = {"backoff": INSTANT}
    if attempts:
        retries["max_attempts"] = attempts
    with (
        a_sandbox(FaultPlan(0, {"503": 1.0})) as sandbox,
        calling(sandbox.base_url, clock=ManualClock(), retries=retries) as nango,
    ):
        assert status(nango, name) == 503
        assert len(sandbox.ledger) == (attempts or 5)


def status(nango: Nango, name: str = "sync") -> int | str:
    """The status of a call, or the reason of its failure."""
    try:
        if name == "sync":
            return nango.executor("shop", "user-1").get("things").status_code
        return asyncio.run(nango.async_executor("shop", "user-1").get("things")).status_code
    except TransportFailed as error:
        return error.reason


@pytest.fixture
def broken() -> FaultPlan:
    """Eight responses are 503, the others good."""
    return FaultPlan(0, {"503": 1.0}, limit=8)


@pytest.fixture
def down(broken: FaultPlan) -> Iterator[Sandbox]:
    """An API that is down for eight requests."""
    with a_sandbox(broken) as sandbox:
        yield sandbox


@pytest.mark.parametrize("name", ["sync", "async"])
def test_the_breaker_opens_probes_and_closes(name: str, down: Sandbox, clock: ManualClock) -> None:
    """Five failures over two seconds open it; 5, 10 and 15 seconds later one request probes."""
    retries = {"max_attempts": 1, "circuit_breaker": BREAKER}
    with calling(down.base_url, clock=clock, retries=retries) as nango:
        for _ in range(5):
            clock.advance(0.5)
            assert status(nango, name) == 503
        assert [status(nango, name) for _ in range(3)] == ["circuit"] * 3
        for pause, sent in ((5, 6), (10, 7), (15, 8)):
            clock.advance(pause - 0.1)
            assert status(nango, name) == "circuit"
            clock.advance(0.1)
            assert [status(nango, name), status(nango, name)] == [503, "circuit"]
            assert len(down.ledger) == sent
        clock.advance(15)
        assert [status(nango, name) for _ in range(4)] == [200] * 4
        assert len(down.ledger) == 12


def test_a_probe_is_one_request(down: Sandbox, clock: ManualClock) -> None:
    """Nothing is retried while the breaker is open, whatever max_attempts is."""
    retries = {"max_attempts": 5, "circuit_breaker": {**BREAKER, "seconds": 0.001}, "backoff": INSTANT}
    with calling(down.base_url, clock=clock, retries=retries) as nango:
        assert status(nango) == 503
        clock.advance(1)
        assert len(down.ledger) == 5
        assert status(nango) in {503, "circuit"}
        opened = len(down.ledger)
        clock.advance(5)
        assert [status(nango), status(nango)] == [503, "circuit"]
        assert len(down.ledger) == opened + 1


def test_many_threads_send_one_probe(down: Sandbox, clock: ManualClock) -> None:
    """After the pause one of eight threads probes; the others are refused at once."""
    retries = {"max_attempts": 1, "circuit_breaker": BREAKER}
    found: list[int | str] = []
    barrier = threading.Barrier(8)

    def call() -> None:
        barrier.wait()
        found.append(status(nango))

    with calling(down.base_url, clock=clock, retries=retries) as nango:
        for _ in range(5):
            status(nango)
            clock.advance(0.5)
        clock.advance(5)
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, found)) == ["503", *["circuit"] * 7]
        assert len(down.ledger) == 6


def test_refused_calls_earn_no_retries(down: Sandbox, clock: ManualClock) -> None:
    """The retry budget does not count calls that the breaker refused."""
    with calling(
        down.base_url, clock=clock, retries={"max_attempts": 1, "circuit_breaker": BREAKER}
    ) as nango:
        for _ in range(5):
            status(nango)
            clock.advance(0.5)
        for _ in range(1000):
            assert status(nango) == "circuit"
        budget = nango.services.runtime("shop").outage.budget
        assert sum(budget.take() for _ in range(200)) == 60


def test_one_integration_s_outage_is_not_another_s(down: Sandbox, clock: ManualClock) -> None:
    """Each integration has its own breaker, shared by all its connections."""
    retries = {"max_attempts": 1, "circuit_breaker": BREAKER}
    with (
        calling(down.base_url, clock=clock, retries=retries) as nango,
        a_sandbox() as healthy,
        calling(healthy.base_url, clock=clock, retries=retries) as other,
    ):
        nango.register_connection("shop", "user-2", {"api_key": "pk_live_of_user_2"})
        for _ in range(5):
            status(nango)
            clock.advance(0.5)
        with pytest.raises(TransportFailed) as caught:
            nango.executor("shop", "user-2").get("things")
        assert caught.value.reason == "circuit"
        assert status(other) == 200
