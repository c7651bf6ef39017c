"""Budgets whose limits are in response headers only, and costs that a header states."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import Nango, RateLimited, Sandbox
from nango_py.config.request_match import RequestFacts
from nango_py.limits.rules import RateLimits
from tests.support.made_values import a_plan, bound_settings
from tests.support.sandbox_product import ENCRYPTION_KEY
from tests.unit.test_reported_limits import Api

TOKENS: dict[str, Any] = {
    "budgets": [
        {
            "name": "requests",
            "key": "requests",
            "headers": {"limit": "X-Limit", "remaining": "X-Left", "reset": "X-Reset", "per_seconds": 60},
        },
        {
            "name": "tokens",
            "key": "tokens",
            "cost": {"reserve": 100, "settle": {"header": "X-Cost"}},
            "headers": {"limit": "X-Tokens", "remaining": "X-Tokens-Left", "per_seconds": 60},
        },
    ]
}
BOTH = {"X-Limit": "3", "X-Left": "2", "X-Reset": "30", "X-Tokens": "1000", "X-Tokens-Left": "950"}


def used(api: Api) -> dict[str, float]:
    """What is used of each limit."""
    return {name: view.used for name, view in api.views().items()}


def test_limits_are_learned_from_the_first_response() -> None:
    """Nothing is booked before; then each family is a window of its length, with what the response says."""
    api = Api(TOKENS)
    assert api.runtime.spends_of(api.call(200, BOTH).plan)[0] != ()
    assert used(api) == {"3 in 60 s, from headers": 1, "1000 in 60 s, from headers": 50}


def test_the_first_call_is_sent_alone() -> None:
    """Others wait for its response, which states the limits or not."""
    for headers in (BOTH, {}):
        api = Api(TOKENS)
        plan = a_plan(settings=bound_settings(api.integration))
        assert api.runtime.seconds_to_hold(plan) == 0.0
        assert api.runtime.seconds_to_hold(plan) > 0.0
        api.runtime.learning.forget_first_call(api.runtime.quotas.learning_scope(plan.settings))
        api.call(200, headers)
        assert api.runtime.seconds_to_hold(plan) == 0.0
        assert api.runtime.seconds_to_hold(plan) == 0.0


def test_a_learned_limit_holds_calls_back() -> None:
    """The fourth call in a minute is refused by the limit, before it is sent."""
    api = Api(TOKENS)
    for left in ("2", "1", "0"):
        api.call(200, {**BOTH, "X-Left": left})
    with pytest.raises(RateLimited) as caught:
        api.call(200, BOTH)
    assert caught.value.window == "3 in 60 s, from headers"


def test_a_family_that_is_missing_limits_nothing() -> None:
    """Responses without headers, or with one family only, are no mistake."""
    api = Api(TOKENS)
    api.call()
    assert used(api) == {}
    api.call(200, {"X-Tokens": "1000", "X-Tokens-Left": "1000"})
    assert set(used(api)) == {"1000 in 60 s, from headers"}
    api.call()
    api.call(200, BOTH)
    assert set(used(api)) == {"3 in 60 s, from headers", "1000 in 60 s, from headers"}


def test_another_plan_has_another_counter() -> None:
    """A limit that grows restarts its count, from what the response says is left."""
    api = Api(TOKENS)
    api.call(200, BOTH)
    api.call(200, {**BOTH, "X-Limit": "500", "X-Left": "300"})
    assert used(api)["500 in 60 s, from headers"] == 200


def test_a_header_states_what_a_call_has_cost() -> None:
    """It replaces the reserve, which stays if the response has no number."""
    api = Api(TOKENS)
    learn = {"X-Tokens": "1000", "X-Tokens-Left": "1000"}
    api.call(200, learn)
    for cost, after in ((7, 7), (0, 7), ("x", 107), (None, 207)):
        api.call(200, {} if cost is None else {"X-Cost": str(cost)})
        assert used(api)["1000 in 60 s, from headers"] == after


def test_a_reserve_above_the_limit_takes_the_whole_limit() -> None:
    """Such a call would otherwise never be allowed."""
    api = Api(TOKENS)
    api.call(200, {"X-Tokens": "10", "X-Tokens-Left": "10"})
    api.call(200, {"X-Cost": "4"})
    assert used(api) == {"10 in 60 s, from headers": 4}


def test_a_refusal_closes_the_budget_that_is_used_up() -> None:
    """Of two learned limits it is the one with nothing left; calls of others go on."""
    api = Api(TOKENS)
    api.call(200, BOTH)
    with pytest.raises(RateLimited):
        api.call(429, {**BOTH, "X-Tokens-Left": "0", "Retry-After": "30"})
    closed = [view.key for view in api.views().values() if view.gate]
    assert len(closed) == 1
    assert " tokens" in closed[0]


def test_the_sandbox_states_limits_that_a_client_learns() -> None:
    """It makes up numbers, counts by them, and says what a call has cost."""
    entry = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://api.x.test/", "headers": {"Authorization": "Bearer ${api_key}"}},
        "rate_limits": TOKENS,
    }
    with (
        Sandbox(entry, strict=False) as api,
        Nango(
            {"x": entry}, overrides={"x": api.overrides}, database_url="sqlite:///:memory:",
            encryption_keys=ENCRYPTION_KEY, environ={},
        ) as nango,
    ):  # fmt: skip
        nango.register_connection("x", "u", {"api_key": "key_test"})
        executor = nango.executor("x", "u")
        response = executor.get("a")
        assert (response.headers["X-Limit"], response.headers["X-Cost"]) == ("100", "50")
        executor.get("a")
        assert {view.window for view in executor.limits()} == {
            "100 in 60 s, from headers", "10000 in 60 s, from headers"
        }  # fmt: skip


def labels(limits: RateLimits, path: str, **config: str) -> list[str]:
    """The caps of a call."""
    facts = RequestFacts("GET", path, {}, None, config)
    names = {"integration": "x", "user_id": "u"}
    spends, _ = limits.spends_and_gates(facts, names)
    return [f"{spend.key} {limit.label}" for spend in spends for limit in spend.limits]


def test_a_case_has_its_own_cap() -> None:
    """A case with max_in_flight counts its calls apart; others have the cap of the budget."""
    limits = RateLimits.from_settings({
        "budgets": [{
            "key": "all",
            "max_in_flight": 5,
            "cases": [
                {"match": {"path": "reports"}, "max_in_flight": 1},
                {"match": {"config": {"plan": "pro"}}, "max_in_flight": 20},
            ],
        }]
    })  # fmt: skip
    caps = {path: labels(limits, path) for path in ("reports", "lists")} | {
        "pro": labels(limits, "lists", plan="pro")
    }
    assert [text.rpartition(" all ")[2] for (text,) in caps.values()] == [
        "1 in flight 1 in flight", "in flight 5 in flight", "20 in flight 20 in flight"
    ]  # fmt: skip
