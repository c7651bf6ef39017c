"""What headers and bodies say of the budgets that a blueprint binds them to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.call import ApiCall
from nango_py.engine.interfaces import run_sync
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import RateLimited
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.fake_call_io import FakeCallIO
from tests.support.made_values import FakeResponse, a_plan, an_integration, bound_settings
from tests.support.scripted_executors import ScriptedApi, executors

if TYPE_CHECKING:
    from nango_py.limits.limit_types import WindowView

XERO = {
    "budgets": [
        {
            "name": "tenant",
            "key": "all",
            "otherwise": ["60/minute", "5000/day"],
            "headers": [
                {"window": "60/minute", "remaining": "X-MinLimit-Remaining"},
                {"window": "5000/day", "remaining": "X-DayLimit-Remaining"},
            ],
        },
        {
            "name": "app",
            "key": "app",
            "otherwise": ["10000/minute"],
            "headers": {"remaining": "X-AppMinLimit-Remaining"},
        },
    ]
}
COST = "extensions.cost.actualQueryCost"
THROTTLE = "extensions.cost.throttleStatus"
SHOPIFY = {
    "budgets": [
        {
            "key": "points",
            "otherwise": [{"burst": 2000, "per_second": 100}],
            "cost": {"reserve": 50, "settle": COST},
            "body": {
                "remaining": f"{THROTTLE}.currentlyAvailable",
                "limit": f"{THROTTLE}.maximumAvailable",
                "restore_per_second": f"{THROTTLE}.restoreRate",
            },
        }
    ]
}


class Api:
    """An API of one connection."""

    def __init__(self, limits: Any) -> None:
        self.io = FakeCallIO()
        self.store = self.io.limits = MemoryLimits(self.io.clock)
        self.integration = an_integration(rate_limits=limits, retries={"max_attempts": 1})
        self.runtime = IntegrationRuntime(self.integration, self.io.clock)

    def call(self, status: int = 200, headers: Any = None, body: Any = None) -> ApiCall:
        """A call, and what the API responds."""
        self.io._outcomes = [FakeResponse(status, headers or {}, body)]
        plan = a_plan(settings=bound_settings(self.integration))
        call = ApiCall(plan, self.runtime, self.io, deadline_seconds=1.0)
        run_sync(call.run())
        return call

    def wait(self, *response: Any) -> float:
        """The seconds that a refusal asks to wait."""
        with pytest.raises(RateLimited) as caught:
            self.call(*response)
        return caught.value.retry_at - self.io.clock.now()

    def views(self) -> dict[str, WindowView]:
        """The limits in use, by window."""
        return {view.window: view for view in self.store.view(self.store.keys(""))}


def points(actual: Any, *throttle: Any) -> Any:
    """A response with the cost of a query and, after it, the state of the bucket."""
    names = ("maximumAvailable", "currentlyAvailable", "restoreRate")
    status = dict(zip(names, throttle, strict=False))
    return {"extensions": {"cost": {"actualQueryCost": actual, "throttleStatus": status}}}


def test_each_family_of_headers_corrects_its_window() -> None:
    """Numbers that would fit several limits are those of the window that the blueprint names."""
    api = Api(XERO)
    api.call(
        200, {"X-MinLimit-Remaining": "10", "X-DayLimit-Remaining": "40", "X-AppMinLimit-Remaining": "9"}
    )
    assert {window: view.left for window, view in api.views().items()} == {
        "60/minute": 10, "5000/day": 40, "10000/minute": 9
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "remaining", "left"), [("500", "7", 7), ("60", "7", 7), ("9999", "500", 59)]
)
def test_a_family_of_a_budget_with_one_limit_means_it(limit: str, remaining: str, left: float) -> None:
    """Also if the account's plan allows another number than the blueprint says."""
    headers = {"limit": "X-Most", "remaining": "X-Left"}
    api = Api({"budgets": [{"key": "all", "otherwise": ["60/minute"], "headers": headers}]})
    api.call(200, {"X-Most": limit, "X-Left": remaining})
    assert api.views()["60/minute"].left == left


def test_without_families_the_same_headers_say_nothing() -> None:
    """Control: names that no dialect knows are ignored."""
    api = Api({"budgets": [{"key": "all", "otherwise": ["60/minute"]}]})
    api.call(200, {"X-MinLimit-Remaining": "10"})
    assert api.views()["60/minute"].left == 59


@pytest.mark.parametrize(
    ("name", "closed"), [("X-DayLimit-Remaining", "tenant"), ("X-AppMinLimit-Remaining", "app")]
)
def test_a_family_that_is_used_up_says_whose_refusal_it_is(name: str, closed: str) -> None:
    """Its budget is closed, and the others stay open."""
    with pytest.raises(RateLimited) as caught:
        Api(XERO).call(429, {name: "0", "Retry-After": "30"})
    assert [attempt.closed for attempt in caught.value.attempts] == [closed]


@pytest.mark.parametrize(
    ("written", "response", "seconds"),
    [
        ("error.retry_in_seconds", {"error": {"retry_in_seconds": 17}}, 17),
        ("rate_reset", {"rate_reset": "8.5"}, 8.5),
        ({"path": "after", "means": "milliseconds"}, {"after": 2500}, 2.5),
        ("error.text", {"error": {"text": "30 seconds"}}, 30),
        ("errors[0].wait", {"errors": [{"wait": True}]}, 5),
        ("errors[0].wait", {"errors": []}, 5),
        ("errors[0].wait", {"errors": [{"wait": 1e300}]}, 5),
    ],
    ids=["seconds", "text", "milliseconds", "unit", "a flag", "missing", "absurd"],
)
def test_a_wait_in_the_body_is_kept(written: Any, response: Any, seconds: float) -> None:
    """In the unit that `means` names; what cannot be a wait leaves the headers to decide."""
    api = Api({"body": {"wait": written}})
    assert api.wait(429, {"Retry-After": "5"}, response) == pytest.approx(seconds)


def test_a_moment_in_the_body_is_a_wait() -> None:
    """Unix time is compared with the clock."""
    api = Api({"body": {"wait": {"path": "until", "means": "unix_seconds"}}})
    assert api.wait(429, {}, {"until": int(api.io.clock.now()) + 40}) == pytest.approx(40, abs=1.1)


def test_a_balance_in_the_body_sets_burst_and_rate() -> None:
    """A shop with a larger plan has more at once and is refilled faster than the blueprint says."""
    api = Api(SHOPIFY)
    for _ in range(2):
        api.call(200, {}, points(10, 20000.0, 19990, 1000.0))
    (view,) = api.views().values()
    assert view.limit == 20000
    assert view.left == pytest.approx(19990, abs=11)


def test_a_balance_that_others_have_used_is_obeyed() -> None:
    """What the response leaves is all that is left here."""
    api = Api(SHOPIFY)
    api.call(200, {}, points(10, 2000, 120, 100))
    (view,) = api.views().values()
    assert view.left == pytest.approx(120, abs=11)


@pytest.mark.parametrize(
    ("actual", "used"),
    [(3, 3), (120, 120), (0, 0), (2.5, 3), (None, 50), ("7", 50), (True, 50), (-4, 0), (1e18, 2000)],
)
def test_a_call_counts_what_it_has_cost(actual: Any, used: float) -> None:
    """The response replaces the reserve; nonsense leaves it, and no number exceeds the limit."""
    api = Api(SHOPIFY)
    api.call(200, {}, points(actual))
    (view,) = api.views().values()
    assert view.used == pytest.approx(used, abs=0.01)


def test_the_reserve_is_held_until_the_response() -> None:
    """While the call is in flight, its reserve counts."""
    api = Api(SHOPIFY)
    seen: list[Any] = []
    api.io.before = lambda step: seen.append(api.store.view(api.store.keys(""))) if step == "send" else None
    api.call(200, {}, points(3))
    assert [view.used for view in seen[0]] == [50]


@pytest.mark.parametrize(("stated", "rate"), [("0.5", 0.5), ("20", 20.0), ("0", 2.0), ("x", 2.0)])
def test_a_header_may_state_a_rate(stated: str, rate: float) -> None:
    """`requests_per_second` refills the bucket as fast as the API says."""
    headers = {"limit": {"name": "x-amzn-RateLimit-Limit", "means": "requests_per_second"}}
    bucket = {"burst": 10, "per_second": 2}
    api = Api({"budgets": [{"key": "${endpoint}", "otherwise": [bucket], "headers": headers}]})
    for _ in range(4):
        api.call(200, {"x-amzn-RateLimit-Limit": stated})
    (view,) = api.views().values()
    assert view.resets_in == pytest.approx(view.used / rate, rel=0.01)


def test_learned_limits_may_come_from_bodies() -> None:
    """Without budgets, a balance and its rate become a bucket."""
    api = Api({"body": {"remaining": "left", "limit": "most", "restore_per_second": "rate"}})
    for left in (99, 98):
        api.call(200, {}, {"left": left, "most": 100, "rate": 4})
    (view,) = api.views().values()
    assert (view.limit, view.window) == (100, "100 at once, 4/second, from responses")


@pytest.mark.parametrize("body", [None, [], "x", {"extensions": []}])
def test_a_body_without_a_balance_says_nothing(body: Any) -> None:
    """An empty body, a list and a text leave what is counted."""
    api = Api(SHOPIFY)
    api.call(200, {}, body)
    (view,) = api.views().values()
    assert view.used == 50


BOTH: dict[str, Any] = {
    "rate_limits": {
        "budgets": [
            {"name": "app", "key": "app", "counted_per": "integration", "otherwise": ["900/hour"]},
            {
                "name": "channel",
                "key": "${body.channel}",
                "otherwise": ["90/hour"],
                "cost": {"reserve": 5, "settle": "cost"},
            },
        ],
        "refusals": [
            {"when": {"status": 200, "json": {"path": "error", "equals": "slow"}}, "closes": "channel"}
        ],
        "body": {"wait": "wait"},
    },
    "retries": {"max_attempts": 1},
}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_both_executors_settle_and_close_alike(kind: str) -> None:
    """A call is settled at its cost, and a refusal closes the budget of its own channel only."""
    api = ScriptedApi(lambda request: {"error": "slow", "wait": 50} if request.body["bad"] else {"cost": 2})
    by_thread, by_task = executors(api, **BOTH)

    def post(channel: str, *, bad: bool = False) -> Any:
        body = {"channel": channel, "bad": bad}
        if kind == "sync":
            return by_thread.post("messages", json=body, deadline_seconds=1.0)
        return asyncio.run(by_task.post("messages", json=body, deadline_seconds=1.0))

    assert post("a").status_code == 200
    views = by_thread.limits()
    assert sorted(view.used for view in views if view.limit == 90) == [2]
    with pytest.raises(RateLimited) as caught:
        post("a", bad=True)
    assert [attempt.closed for attempt in caught.value.attempts] == ["channel"]
    with pytest.raises(RateLimited):
        post("a")
    assert post("b").status_code == 200
