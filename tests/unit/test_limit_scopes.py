"""Whose quota a call uses: a stranger's junk calls take nothing from another connection."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py.config.model import UserHosts
from nango_py.engine.call import ApiCall
from nango_py.engine.interfaces import run_sync
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import RateLimited
from nango_py.limits.stores.memory import MemoryLimits
from tests.support.fake_call_io import FakeCallIO
from tests.support.made_values import FakeResponse, a_connection, a_plan, an_integration, bound_settings

TENANT = "${additional_config.tenant}"
BUDGETS = [{"key": "all", "otherwise": ["60/hour"]}]
USED_UP = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "999"}


class Company:
    """Connections of one integration, each with a typed tenant, at one API."""

    def __init__(self, counted_per: str, *, budgets: Any = BUDGETS, **options: Any) -> None:
        limits = {"counted_per": counted_per, "budgets": budgets}
        self.integration = an_integration(rate_limits=limits, retries={"max_attempts": 1}, **options)
        self.io = FakeCallIO()
        self.store = self.io.limits = MemoryLimits(self.io.clock)
        self.runtime = IntegrationRuntime(self.integration, self.io.clock)
        self.generation = 1

    def restart(self) -> None:
        """Another process over the same limit store."""
        self.runtime = IntegrationRuntime(self.integration, self.io.clock)

    def call(self, user: str, response: FakeResponse, *, is_trial: bool = False) -> Any:
        """One call of a user; all of them have the same tenant."""
        connection = a_connection(
            {"api_key": f"key-of-{user}", "raw": {"team": "acme"}}, user_id=user, uuid=user,
            additional_config={"tenant": "acme"}, generation=self.generation,
        )  # fmt: skip
        self.settings = bound_settings(self.integration, connection)
        runtime = self.runtime.for_trial(None) if is_trial else self.runtime  # type: ignore[arg-type]
        self.io._outcomes = [response]
        return run_sync(ApiCall(a_plan(settings=self.settings), runtime, self.io, deadline_seconds=1.0).run())

    def sends(self, user: str, response: FakeResponse | None = None) -> bool:
        """Whether a call of the user is neither refused by us nor by a 429."""
        try:
            self.call(user, response or FakeResponse(200))
        except RateLimited:
            return False
        return True


SCOPES = pytest.mark.parametrize(
    ("counted_per", "params"),
    [("integration", {}), (TENANT, {}), (TENANT, {"tenant": TENANT}), ("${raw.team}", {})],
    ids=["integration", "typed", "typed and sent", "token response"],
)


@SCOPES
@pytest.mark.parametrize("budgets", [BUDGETS, []], ids=["written", "learned"])
def test_junk_calls_use_nothing_of_a_shared_quota(
    counted_per: str, params: dict[str, str], budgets: Any
) -> None:
    """Neither 401s, nor what they report, nor a 429 after them stops another connection."""
    company = Company(counted_per, params=params, budgets=budgets)
    assert company.call("victim", FakeResponse(200)).status_code == 200
    for _ in range(59):
        company.sends("stranger", FakeResponse(401))
    assert company.sends("stranger", FakeResponse(401, USED_UP))
    assert not company.sends("stranger", FakeResponse(429, {"Retry-After": "3600"}))
    for _ in range(50):
        assert company.call("victim", FakeResponse(200)).status_code == 200


@SCOPES
def test_a_trial_counts_apart(counted_per: str, params: dict[str, str]) -> None:
    """A key that is tried on the connect page closes no gate of stored connections."""
    company = Company(counted_per, params=params)
    assert company.sends("victim")
    for user in ("stranger", "victim"):
        with pytest.raises(RateLimited):
            company.call(user, FakeResponse(429, {"Retry-After": "3600"}), is_trial=True)
    assert company.sends("victim")


def test_junk_calls_are_still_counted_for_their_connection() -> None:
    """Control: the stranger's own calls are paced, and what is counted apart is visible as used."""
    company = Company("integration")
    for _ in range(60):
        company.call("stranger", FakeResponse(401))
    with pytest.raises(RateLimited):
        company.call("stranger", FakeResponse(401))


def test_accepted_connections_share_a_typed_value_that_is_sent() -> None:
    """Control: once the API has accepted both, what one uses the other cannot."""
    company = Company(TENANT, params={"tenant": TENANT})
    assert company.sends("one")
    assert company.sends("two")
    for _ in range(60):
        company.sends("one")
    assert not company.sends("two")


SHARED = pytest.mark.parametrize(
    ("counted_per", "params"),
    [("integration", {}), (TENANT, {"tenant": TENANT})],
    ids=["integration", "typed"],
)


@SHARED
def test_a_process_that_starts_knows_who_was_accepted(counted_per: str, params: dict[str, str]) -> None:
    """The first call of a connection in a new process takes its place in the shared quota."""
    company = Company(counted_per, params=params)
    assert sum(company.sends("one") for _ in range(70)) == 60
    for _ in range(3):
        company.restart()
        assert not company.sends("one")


@SHARED
def test_replaced_credentials_are_accepted_anew(counted_per: str, params: dict[str, str]) -> None:
    """Control: what a user types next is a newcomer in a new process, beside the quota that is used up."""
    company = Company(counted_per, params=params)
    assert sum(company.sends("one") for _ in range(70)) == 60
    company.restart()
    company.generation = 2
    assert company.sends("one")
    assert not company.sends("one")


def test_who_was_refused_is_not_known_as_accepted() -> None:
    """A connection whose calls were refused in one process is a newcomer in the next one."""
    company = Company("integration")
    assert not [number for number in range(5) if not company.sends("stranger", FakeResponse(401))]
    company.restart()
    company.sends("stranger", FakeResponse(500))
    assert _used_in(company, company.runtime.quotas.scopes_once_accepted(company.settings)) == 0


def test_a_typed_value_that_is_not_sent_is_never_shared() -> None:
    """An API that does not receive it cannot vouch for it, so each connection counts alone."""
    company = Company(TENANT)
    for _ in range(60):
        assert company.sends("one")
    assert not company.sends("one")
    assert company.sends("two")


def test_a_host_that_a_user_names_counts_apart() -> None:
    """A 429 of one user's host stops no call to another host, even with `counted_per: integration`."""
    hosts = UserHosts({"additional_config.tenant": "host"})
    limits = {"counted_per": "integration", "budgets": BUDGETS}
    integration = an_integration("https://${additional_config.tenant}/", rate_limits=limits, user_hosts=hosts)
    runtime = IntegrationRuntime(integration, FakeCallIO().clock)
    scopes = {
        runtime.quotas.scopes_once_accepted(
            bound_settings(integration, a_connection(additional_config={"tenant": host}))
        )
        for host in ("a.example", "b.example", "a.example")
    }
    assert len(scopes) == 2
    assert not any("example" in scope for (scope,) in scopes)


SEVERAL = [
    {"key": "${method} ${endpoint}", "otherwise": ["10/second"]},
    {"key": "all", "otherwise": ["700/minute"], "max_in_flight": 5},
]


@pytest.mark.parametrize(
    ("headers", "closed"),
    [
        ({}, {"10/second"}),
        ({"RateLimit-Limit": "700", "RateLimit-Remaining": "0", "RateLimit-Reset": "9"}, {"700/minute"}),
        ({"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "1"}, {"10/second"}),
        ({"RateLimit-Limit": "10", "RateLimit-Remaining": "4", "RateLimit-Reset": "1"}, {"10/second"}),
    ],
    ids=["nothing named", "account named", "endpoint named", "none used up"],
)
def test_a_429_closes_the_budgets_that_it_can_mean(headers: dict[str, str], closed: set[str]) -> None:
    """Those that the response reports as used up, otherwise the narrowest one."""
    company = Company("connection", budgets=SEVERAL)
    with pytest.raises(RateLimited):
        company.call("user", FakeResponse(429, {"Retry-After": "60", **headers}))
    views = company.store.view(company.store.keys(""))
    assert {view.window for view in views if view.gate and view.limit} == closed


def test_a_call_that_is_refused_again_closes_all_its_gates() -> None:
    """If the narrowest budget was not the reason, the wider ones are closed too."""
    company = Company("connection", budgets=SEVERAL)
    company.integration = an_integration(rate_limits={"budgets": SEVERAL}, retries={"max_attempts": 2})
    company.runtime = IntegrationRuntime(company.integration, company.io.clock)
    with pytest.raises(RateLimited):
        company.call("user", FakeResponse(429, {"Retry-After": "0.2"}))
    views = company.store.view(company.store.keys(""))
    assert {view.window for view in views if view.gate and view.limit} == {
        "10/second", "700/minute", "5 in flight"
    }  # fmt: skip


def _used_in(company: Company, scopes: tuple[str, ...]) -> float:
    store = company.store
    return sum(view.used for scope in scopes for view in store.view(store.keys(f"{scope} ")))


@SCOPES
def test_a_call_in_flight_holds_no_place_before_the_connection_is_accepted(
    counted_per: str, params: dict[str, str]
) -> None:
    """While a stranger's first calls wait for their responses, the shared budget is untouched."""
    company = Company(counted_per, params=params)
    company.call("victim", FakeResponse(200))
    scopes = company.runtime.quotas.scopes_once_accepted(company.settings)
    before, during = _used_in(company, scopes), []
    company.io.before = lambda step: during.append(_used_in(company, scopes)) if step == "send" else None
    for status in (500, 404, 401):
        company.call("stranger", FakeResponse(status))
    assert during == [before] * 3


@SCOPES
def test_a_429_as_first_response_closes_no_shared_gate(counted_per: str, params: dict[str, str]) -> None:
    """It stops its own connection, and neither accepted ones nor other new ones."""
    company = Company(counted_per, params=params)
    company.call("victim", FakeResponse(200))
    assert not company.sends("stranger", FakeResponse(429, {"Retry-After": "3600", **USED_UP}))
    assert not company.sends("stranger")
    assert company.sends("victim")
    assert company.sends("newcomer")


def test_new_connections_are_paced_together() -> None:
    """Control: those that the API has neither accepted nor refused share the limits of a budget."""
    company = Company("integration")
    for number in range(60):
        company.call(f"user-{number}", FakeResponse(500))
    assert not company.sends("another")


def test_new_connections_obey_the_gate_of_the_shared_quota() -> None:
    """After a 429 to an accepted connection, a first call waits too."""
    company = Company("integration")
    company.call("victim", FakeResponse(200))
    assert not company.sends("victim", FakeResponse(429, {"Retry-After": "3600"}))
    assert not company.sends("newcomer")


def test_the_first_accepted_call_counts_in_the_shared_budget() -> None:
    """What new connections use is not lost for those who share the quota."""
    company = Company("integration")
    for number in range(40):
        company.call(f"user-{number}", FakeResponse(200))
    for _ in range(20):
        company.call("user-0", FakeResponse(200))
    assert not company.sends("user-0")


def test_a_token_of_the_provider_vouches_for_its_connection() -> None:
    """With tokens, a new connection counts in the shared quota from its first call on."""
    owner = {"counted_per": "integration", "budgets": BUDGETS}
    tokens = an_integration(auth_mode="OAUTH2", headers={"X": "${access_token}"}, rate_limits=owner)
    settings = bound_settings(tokens, a_connection({"access_token": "t"}))
    assert not IntegrationRuntime(tokens, FakeCallIO().clock).quotas.is_newcomer(settings)


RULES = [
    {"when": {"status": 200, "json": {"path": "error", "equals": "invalid_auth"}}, "do": "refresh"},
    {"when": {"status": 200, "json": {"path": "ok", "equals": False}}, "do": "fail"},
]


@pytest.mark.parametrize(
    ("body", "shares"),
    [({"ok": False, "error": "invalid_auth"}, False), ({"ok": False}, False), ({"ok": True}, True)],
)
def test_an_error_in_a_200_accepts_no_connection(body: Any, *, shares: bool) -> None:
    """Of an API that refuses with 200, only responses that no rule calls an error vouch for a connection."""
    company = Company("integration")
    company.integration = an_integration(
        rate_limits={"counted_per": "integration", "budgets": BUDGETS},
        retries={"max_attempts": 1, "rules": RULES},
    )
    company.runtime = IntegrationRuntime(company.integration, company.io.clock)
    company.call("victim", FakeResponse(200, {}, {"ok": True}))
    before = _used_in(company, company.runtime.quotas.scopes_once_accepted(company.settings))
    company.call("stranger", FakeResponse(200, {}, body))
    assert (
        _used_in(company, company.runtime.quotas.scopes_once_accepted(company.settings)) > before
    ) is shares
