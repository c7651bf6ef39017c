"""What the sandbox reports of limits: families of headers, bodies, costs and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from nango_py import Sandbox
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_calls import get
from tests.support.sandbox_logins import open_nango
from tests.support.sandbox_product import SHOP

KEY = {"Authorization": "Key k"}
FAMILIES: dict[str, Any] = {
    "budgets": [
        {
            "name": "tenant",
            "key": "all",
            "otherwise": ["2/minute", "100/day"],
            "headers": [
                {"window": "2/minute", "limit": "X-Min-Limit", "remaining": "X-Min-Remaining",
                 "reset": {"name": "X-Min-Reset", "means": "unix_seconds"}},
                {"window": "100/day", "remaining": "X-Day-Remaining"},
            ],
        },
        {
            "name": "app",
            "key": "app",
            "counted_per": "integration",
            "otherwise": [{"requests": 20, "per_seconds": 10}],
            "headers": {"limit": {"name": "X-Rate", "means": "requests_per_second"}},
        },
    ],
    "refusals": [
        {"when": {"status": 403, "header": {"X-Problem": "app"}, "json": {"path": "error.code", "equals": 7}},
         "closes": "app"},
        {"when": {"status": 429, "header": "X-Problem", "body_contains": "slow down"}, "closes": ["tenant"]},
    ],
}  # fmt: skip
GRAPHQL: dict[str, Any] = {
    "budgets": [
        {
            "key": "queries",
            "otherwise": [{"burst": 100, "per_second": 10}],
            "cost": {"reserve": 40, "settle": "extensions.cost.actual"},
            "body": {
                "remaining": "extensions.cost.available",
                "limit": "extensions.cost.maximum",
                "restore_per_second": "extensions.cost.rate",
            },
        }
    ],
    "body": {"wait": {"path": "extensions.retry_ms", "means": "milliseconds"}},
}


def test_each_family_reports_its_window() -> None:
    """The numbers are those of the window or budget of the family, with the units of the blueprint."""
    clock = ManualClock()
    with Sandbox({**SHOP, "rate_limits": FAMILIES}, strict=False, clock=clock) as api:
        first, second = (get(api, "x", headers=KEY).headers for _ in range(2))
    assert [first["X-Min-Limit"], first["X-Min-Remaining"], first["X-Day-Remaining"]] == ["2", "1", "99"]
    assert [second["X-Min-Remaining"], second["X-Day-Remaining"]] == ["0", "98"]
    assert second["X-Rate"] == "2"
    assert 0 < int(first["X-Min-Reset"]) - clock.now() <= 61
    assert "RateLimit-Remaining" not in first


def test_a_refusal_is_the_one_of_its_budget() -> None:
    """Status, header and body of the refusal are those that the blueprint declares."""
    with Sandbox({**SHOP, "rate_limits": FAMILIES}, strict=False, clock=ManualClock()) as api:
        found = [get(api, "x", headers=KEY) for _ in range(3)][-1]
        assert (found.status_code, found.headers["X-Problem"]) == (429, "1")
        assert found.json()["message"] == "slow down"
        assert found.headers["X-Min-Remaining"] == "0"
        for number in range(20):
            app = get(api, "x", headers={"Authorization": f"Key {number}"})
    assert (app.status_code, app.headers["X-Problem"], app.json()["error"]["code"]) == (403, "app", 7)


def post(api: Sandbox) -> requests.Response:
    """A query."""
    return requests.post(f"{api.base_url}graphql", headers=KEY, json={"query": "a"}, timeout=5)


def test_balances_and_costs_are_in_the_body() -> None:
    """A query reserves its cost, and its response states and charges the real one."""
    clock = ManualClock()
    with Sandbox({**SHOP, "rate_limits": GRAPHQL}, clock=clock) as api:
        api.respond("POST", "graphql", json={"data": {}})
        costs = [post(api).json()["extensions"]["cost"] for _ in range(4)]
        assert [each["actual"] for each in costs] == [20] * 4
        assert [each["maximum"] for each in costs] == [100] * 4
        assert {each["rate"] for each in costs} == {10}
        refused = post(api)
        assert refused.status_code == 429
        assert refused.json()["extensions"]["retry_ms"] == 2000
        clock.sleep(2)
        assert post(api).status_code == 200
        api.respond("POST", "graphql", json={"extensions": {"cost": {"actual": 3}}})
        clock.sleep(60)
        assert post(api).json()["extensions"]["cost"]["actual"] == 3
        assert api.api.counts.usage(clock.monotonic())[0].used == 3


@pytest.mark.parametrize("limits", [FAMILIES, GRAPHQL], ids=["families", "body"])
def test_a_paced_client_meets_no_refusal(limits: dict[str, Any]) -> None:
    """Nango keeps to what the sandbox reports; the control is a client that does not wait."""
    clock = ManualClock()
    settings = {**SHOP, "rate_limits": limits}
    with (
        Sandbox(settings, strict=False, clock=clock) as api,
        open_nango(settings, overrides={"it": api.overrides}, clock=clock) as nango,
    ):
        nango.register_connection("it", "ada", {"api_key": "k"})
        executor = nango.executor("it", "ada")
        for number in range(8):
            assert executor.post("graphql", json={"query": str(number)}).status_code == 200
        assert {received.status for received in api.ledger.received} == {200}
        assert {post(api).status_code for _ in range(9)} != {200}
