"""A POST whose response is lost is never executed twice: two thousand faulty calls, and the API's ledger."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py import RequestFailed
from nango_py.sandbox import FaultPlan
from tests.support.sandbox_product import SHOP, a_product, key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEED = 20261122
CALLS = 2000
THREADS = 8
USERS = 8
RATES = {"reset_after": 0.25, "truncate": 0.15, "500": 0.1, "502": 0.05, "reset_before": 0.1, "delay": 0.02}
QUICK = {**SHOP, "retries": {"max_attempts": 4, "backoff": {"base_seconds": 0.001, "max_seconds": 0.005}}}


def in_threads(work: Callable[[int], None], calls: int) -> None:
    """Spread the calls, by number, over the threads."""
    failures: list[BaseException] = []

    def share(first: int) -> None:
        try:
            for number in range(first, calls, THREADS):
                work(number)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=share, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_no_faulty_post_is_executed_twice(method: str, tmp_path: Path) -> None:
    """A lost response ends in an error or a response, never in a second request."""
    faults = FaultPlan(SEED, RATES)
    outcomes: Counter[str] = Counter()
    with a_product(tmp_path, QUICK, users=USERS, faults=faults) as (nango, sandbox):
        executors = [nango.executor("shop", f"u{number}") for number in range(USERS)]

        def call(number: int) -> None:
            try:
                found = executors[number % USERS].request(method, "orders", json={"n": number})
                outcomes[str(found.status_code)] += 1
            except RequestFailed as error:
                outcomes[type(error).__name__] += 1

        in_threads(call, CALLS // 2)
        bodies = Counter(entry.body for entry in sandbox.ledger.received)
        assert sandbox.ledger.duplicates() == []
        assert sandbox.ledger.faults["reset_after"] > 150
    assert max(bodies.values()) == 1
    assert sum(outcomes.values()) == CALLS // 2
    assert outcomes["TransportFailed"] > 250
    assert outcomes["200"] > 250


def test_with_an_idempotency_key_everything_is_executed_once(tmp_path: Path) -> None:
    """The same calls with a key are retried until they succeed, and executed once each."""
    settings: dict[str, Any] = {
        **SHOP,
        "retries": {
            "max_attempts": 12,
            "idempotency_header": "Idempotency-Key",
            "backoff": {"base_seconds": 0.001, "max_seconds": 0.005},
            "budget_share": 1,
        },
    }
    rates = {"reset_after": 0.2, "truncate": 0.1, "reset_before": 0.05}  # a 500 would be kept under its key
    with a_product(tmp_path, settings, users=USERS, faults=FaultPlan(SEED, rates)) as (nango, sandbox):
        executors = [nango.executor("shop", f"u{number}") for number in range(USERS)]
        in_threads(lambda number: executors[number % USERS].post("orders", json={"n": number}), 300)
        received = sandbox.ledger.received
        assert sandbox.ledger.duplicates("Idempotency-Key") == []
    keys: dict[bytes, set[str]] = {}
    for entry in received:
        keys.setdefault(entry.body, set()).add(entry.headers["idempotency-key"])
    assert len(keys) == 300
    assert all(len(found) == 1 for found in keys.values())
    assert len({key for found in keys.values() for key in found}) == 300
    assert len(received) > 350
    assert Counter(entry.body for entry in received if entry.processed) == dict.fromkeys(keys, 1)


def test_a_naive_retry_executes_orders_twice(tmp_path: Path) -> None:
    """Control: what many programs do with requests makes duplicates in the same ledger."""
    with a_product(tmp_path, QUICK, faults=FaultPlan(SEED, RATES)) as (_, sandbox):
        headers = {"Authorization": f"Key {key_of(0)}"}
        with requests.Session() as session:
            session.trust_env = False
            for number in range(100):
                for _ in range(4):
                    try:
                        found = session.post(
                            f"{sandbox.base_url}orders", json={"n": number}, headers=headers, timeout=5
                        )
                    except requests.RequestException:
                        continue
                    if found.status_code < 500:
                        break
        assert len(sandbox.ledger.duplicates()) > 5
