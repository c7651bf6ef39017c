"""Whose refusal a response is: budgets with owners, and what a 429 closes."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py.config.request_match import RequestFacts
from nango_py.engine.call import ApiCall
from nango_py.engine.interfaces import run_sync
from nango_py.engine.log import explain
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import RateLimited
from nango_py.limits.limit_types import LONGEST_GATE
from nango_py.limits.rules import RateLimits
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.fake_call_io import FakeCallIO
from tests.support.made_values import FakeResponse, a_connection, a_plan, an_integration, bound_settings

ISSUE, TENANT, APP = "issue", "tenant", "app"
LIMITS: dict[str, Any] = {
    "counted_per": "connection",
    "budgets": [
        {"name": APP, "key": "all", "counted_per": "integration", "otherwise": ["900/minute"]},
        {"name": TENANT, "key": "all", "counted_per": "${raw.site}", "otherwise": ["60/minute"]},
        {"name": ISSUE, "key": "${endpoint}", "otherwise": ["9/second"], "max_in_flight": 4},
    ],
    "refusals": [
        {"when": {"status": 429, "header": {"X-Problem": "day"}}, "closes": TENANT},
        {"when": {"status": 429, "header": {"X-Problem": "all"}}, "closes": [APP, TENANT]},
        {"when": {"status": 403, "json": {"path": "error.reason", "equals": "quota"}}, "closes": APP},
        {"when": {"status": 200, "body_contains": "THROTTLED"}, "closes": TENANT},
    ],
}


class Site:
    """Users of two sites of one app."""

    def __init__(self, limits: Any = LIMITS, *, attempts: int = 1, deadline: float = 1.0) -> None:
        self.deadline = deadline
        self.io = FakeCallIO()
        self.store = self.io.limits = MemoryLimits(self.io.clock)
        self.integration = an_integration(
            auth_mode="OAUTH2", headers={"X": "${access_token}"}, rate_limits=limits,
            retries={"max_attempts": attempts},
        )  # fmt: skip
        self.runtime = IntegrationRuntime(self.integration, self.io.clock)

    def call(self, *outcomes: FakeResponse, user: str = "u", site: str = "a", path: str = "things") -> Any:
        """A call of a user of a site."""
        connection = a_connection(
            {"access_token": "t", "raw": {"site": site}}, user_id=user, uuid=f"{user} {site}"
        )
        self.io._outcomes = list(outcomes) or [FakeResponse(200)]
        plan = a_plan(path=path, settings=bound_settings(self.integration, connection))
        self.last = ApiCall(plan, self.runtime, self.io, deadline_seconds=self.deadline)
        return run_sync(self.last.run())

    def closed(self, *outcomes: FakeResponse, path: str = "things") -> str:
        """The budgets that a refused call closes, as explain() names them."""
        with pytest.raises(RateLimited):
            self.call(*outcomes, path=path)
        return explain(self.last.attempts).splitlines()[-1].rpartition("paused: ")[2]


def test_each_budget_has_its_owner() -> None:
    """One is counted for all users, one for those of a site, one for each connection."""
    rules = RateLimits.from_settings(LIMITS)

    def keys(user: str, site: str) -> list[str]:
        who = {"integration": "it", "user_id": user, "raw": {"site": site}}
        return [spend.key for spend in rules.spends_and_gates(RequestFacts("GET", "things"), who)[0]][:3]

    same = [
        [one == other for one, other in zip(keys("u", "a"), keys(*who), strict=True)]
        for who in [("u", "a"), ("v", "a"), ("u", "b")]
    ]
    assert same == [[True, True, True], [True, True, False], [True, False, True]]


@pytest.mark.parametrize(
    ("response", "closed"),
    [
        (FakeResponse(429, {"X-Problem": "day", "Retry-After": "60"}), "tenant"),
        (FakeResponse(429, {"X-Problem": "all", "Retry-After": "60"}), "app, tenant"),
        (FakeResponse(429, {"X-Problem": "new", "Retry-After": "60"}), "issue"),
        (FakeResponse(429, {"Retry-After": "60"}), "issue"),
        (FakeResponse(403, {"Retry-After": "60"}, {"error": {"reason": "quota"}}), "app"),
        (FakeResponse(200, {"Retry-After": "60"}, {"errors": ["THROTTLED"]}), "tenant"),
        (
            FakeResponse(
                429, {"RateLimit-Limit": "900", "RateLimit-Remaining": "0", "RateLimit-Reset": "60"}
            ),
            "app",
        ),
    ],
    ids=["named", "two", "unknown name", "none", "403", "in a 200", "used up"],
)
def test_a_refusal_closes_the_budgets_that_it_means(response: FakeResponse, closed: str) -> None:
    """First those that `refusals` name, then those that are reported as used up, then the narrowest."""
    assert Site().closed(response) == closed


def test_a_response_that_no_refusal_describes_is_returned() -> None:
    """Control: a 403 with another reason, and a 200 without the text, are not waited for."""
    site = Site()
    for response in (FakeResponse(403, {}, {"error": {"reason": "x"}}), FakeResponse(200)):
        site.call(response)
        assert [attempt.closed for attempt in site.last.attempts] == [""]
    assert site.store.view(site.store.keys(""))[0].gate == 0


def test_each_further_refusal_of_a_call_closes_the_next_wider_budget() -> None:
    """Narrowest first: the connection, then the site, then the app."""
    site = Site(attempts=4, deadline=100.0)
    with pytest.raises(RateLimited):
        site.call(FakeResponse(429, {"Retry-After": "0.1"}))
    assert [attempt.closed for attempt in site.last.attempts] == [
        "issue", "tenant, issue", "app, tenant, issue", "app, tenant, issue"
    ]  # fmt: skip


def test_what_one_user_closes_stops_no_other_user() -> None:
    """A site's gate holds for its users, and not for those of another site."""
    site = Site()
    site.closed(FakeResponse(429, {"X-Problem": "day", "Retry-After": "60"}))
    with pytest.raises(RateLimited):
        site.call(user="v")
    assert site.call(user="v", site="b").status_code == 200
    assert site.call(user="u", site="b").status_code == 200


@pytest.mark.parametrize("wait", ["31622400", "2592000"])
def test_no_header_closes_a_gate_for_longer_than_a_day(wait: str) -> None:
    """The error says when the API asked to come back, but the next day a call asks again."""
    site = Site()
    with pytest.raises(RateLimited) as caught:
        site.call(FakeResponse(429, {"Retry-After": wait}))
    assert caught.value.retry_at == pytest.approx(site.io.clock.now() + float(wait), abs=1)
    site.io.clock.advance(LONGEST_GATE - 2)
    with pytest.raises(RateLimited):
        site.call()
    site.io.clock.advance(3)
    assert site.call().status_code == 200


def test_a_call_without_budgets_closes_the_whole_quota() -> None:
    """There is nothing narrower, and explain() says so."""
    assert Site({}).closed(FakeResponse(429, {"Retry-After": "60"})) == "the whole quota"


JIRA: dict[str, Any] = {
    "counted_per": "${raw.site}",
    "budgets": [
        {"name": "quota", "key": "all"},
        {"name": "burst", "key": "${method} ${endpoint}"},
        {"name": "issue", "key": "${segment.id}", "cases": [{"match": {"path": "issue/{id}/**"}}]},
    ],
    "refusals": [
        {"when": {"status": 429, "header": {"RateLimit-Reason": "per-issue"}}, "closes": "issue"},
        {"when": {"status": 429, "header": {"RateLimit-Reason": "burst"}}, "closes": "burst"},
        {"when": {"status": 429, "header": {"RateLimit-Reason": "quota"}}, "closes": "quota"},
    ],
}


@pytest.mark.parametrize(
    ("reason", "stopped"),
    [
        ("per-issue", {"issue/A-1", "issue/A-1/comment"}),
        ("burst", {"issue/A-1"}),
        ("quota", {"issue/A-1", "issue/A-1/comment", "issue/B-2", "search"}),
    ],
)
def test_a_budget_without_limits_waits_after_refusals(reason: str, stopped: set[str]) -> None:
    """Of an API that publishes no numbers, only the calls stop that the refusal means."""
    site = Site(JIRA)
    assert site.closed(FakeResponse(429, {"RateLimit-Reason": reason, "Retry-After": "60"}), path="issue/A-1")
    found = set()
    for path in ("issue/A-1", "issue/A-1/comment", "issue/B-2", "search"):
        try:
            site.call(path=path)
        except RateLimited:
            found.add(path)
    assert found == stopped


def test_a_budget_without_limits_lets_limits_be_learned() -> None:
    """Headers still set the pace, as without budgets."""
    site = Site(JIRA)
    for _ in range(2):
        site.call(
            FakeResponse(200, {"RateLimit-Limit": "9", "RateLimit-Remaining": "8", "RateLimit-Reset": "60"})
        )
    assert [view.limit for view in site.store.view(site.store.keys("")) if view.limit] == [9]


def test_the_event_of_a_gate_names_its_budgets() -> None:
    """A listener learns which calls wait, and for how long."""
    site, seen = Site(), []
    site.runtime.events.on("gate", lambda event: seen.append((event.attempt.closed, event.seconds)))
    site.closed(FakeResponse(429, {"X-Problem": "day", "Retry-After": "60"}))
    assert seen == [("tenant", 60.0)]
