"""No call uses another user's key: five hundred connections, eight threads, and the API's own ledger."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

from nango_py.engine.bound_settings import BoundRequestSettings
from tests.support.sandbox_product import SHOP, a_product, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from nango_py import Nango
    from nango_py.sandbox import Received

USERS = 500
THREADS = 8
SEED = 20261122
BOTH_PLACES = {
    **SHOP,
    "requests": {
        "base_url": "https://x.example.test/v1/",
        "headers": {"Authorization": "Key ${api_key}", "X-Endpoint": "${endpoint}"},
        "params": {"api_key": "${api_key}"},
    },
}


def call_for_everyone(nango: Nango, *, rounds: int) -> None:
    """Each thread calls for every user in its own order, some through shared executors."""
    shared = [nango.executor("shop", f"u{number}") for number in range(0, USERS, 10)]
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        order = random.Random(SEED + thread).sample(range(USERS), USERS * rounds // THREADS)
        try:
            for number in order:
                executor = shared[number // 10] if number % 10 == 0 else nango.executor("shop", f"u{number}")
                found = executor.get(f"users/{number}", params={"by": thread})
                assert found.status_code == 200
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def crossed(received: Sequence[Received]) -> list[Received]:
    """The requests that carried another user's credential anywhere."""
    wrong = []
    for entry in received:
        number = int(entry.endpoint.rpartition("/")[2])
        text = f"{entry.query} {sorted(entry.headers.items())}"
        is_own = entry.user == f"u{number}" and entry.headers["authorization"] == f"Key {key_of(number)}"
        if not is_own or text.count("key_for_u") != 2 or text.count(key_of(number)) != 2:
            wrong.append(entry)
    return wrong


def test_no_call_uses_another_users_key(tmp_path: Path) -> None:
    """Every request carries exactly the two copies of its own user's key."""
    with a_product(tmp_path, BOTH_PLACES, users=USERS) as (nango, sandbox):
        call_for_everyone(nango, rounds=3)
        received = sandbox.ledger.received
    assert len(received) == USERS * 3 // THREADS * THREADS
    assert crossed(received) == []
    assert {entry.headers["x-endpoint"] for entry in received} == {entry.endpoint for entry in received}


def test_a_crossed_key_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: settings that are mixed up now and then are found in the ledger."""
    previous: list[Any] = []
    original = BoundRequestSettings.headers_for

    def mixed_up(self: BoundRequestSettings, *arguments: Any) -> Any:
        headers = original(self, *arguments)
        previous.append(headers["authorization"])
        if len(previous) % 50 == 0:
            headers["authorization"] = previous[-2]
        return headers

    monkeypatch.setattr(BoundRequestSettings, "headers_for", mixed_up)
    # The sandbox would refuse a mixed up request, so here it takes any credential.
    with a_product(tmp_path, BOTH_PLACES, users=40) as (nango, sandbox):
        for number in range(100):
            nango.executor("shop", f"u{number % 40}").get(f"users/{number % 40}")
        assert len(crossed(sandbox.ledger.received)) >= 1
