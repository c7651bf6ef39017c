"""What a caller is shown of its connection's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nango_py.config.request_match import RequestFacts
from nango_py.limits.headers.response_limits import parse_limits
from nango_py.limits.learning import Learning
from nango_py.limits.limit_types import GATE
from nango_py.limits.rules import RateLimits
from nango_py.limits.stores.memory import MemoryLimits
from nango_py.limits.usage import usage_view
from tests.support.simulated_api import LimitClock

if TYPE_CHECKING:
    from nango_py.limits.limit_types import LimitStore

WHO = {"integration": "shop", "user_id": "user 1"}
SETTINGS: dict[str, Any] = {
    "budgets": [
        {"key": "all", "otherwise": [{"requests": 100, "per_seconds": 60}]},
        {
            "key": "${method} ${endpoint}",
            "cases": [{"match": {"path": "slow"}, "windows": ["1/second", "5/minute"]}],
            "otherwise": ["10/second"],
            "max_in_flight": 4,
        },
    ]
}


def _call(store: LimitStore, settings: dict[str, Any], path: str, who: dict[str, str] = WHO) -> str:
    rules = RateLimits.from_settings(settings)
    spends, gates = rules.spends_and_gates(RequestFacts("GET", path), who)
    store.settle(store.acquire(spends, gates, 0.0).ticket)  # type: ignore[union-attr]
    return rules.scopes_of(who)[0]


def test_the_limits_of_a_connection_are_named_as_the_blueprint_names_them() -> None:
    """Each shows the budget's key without the scope, and its window as the blueprint writes it."""
    store = MemoryLimits(LimitClock())
    scope = _call(store, SETTINGS, "slow")
    _call(store, SETTINGS, "slow", {**WHO, "user_id": "user 1 0"})
    seen = [(view.key, view.window, view.used, view.left) for view in usage_view(store, scope)]
    assert seen == [
        ("all", "100/60s", 1, 99),
        ("GET slow", "1/second", 1, 0),
        ("GET slow", "5/minute", 1, 4),
        ("GET slow in flight", "4 in flight", 0, 4),
    ]


def test_a_gate_stands_beside_its_limits_or_alone() -> None:
    """A closed gate is shown with the limits of its key; without limits it has a separate line."""
    store = MemoryLimits(LimitClock())
    scope = _call(store, SETTINGS, "quick")
    store.close_gate(tuple(store.keys(f"{scope} 1")), 5.0)
    assert [(view.key, view.gate) for view in usage_view(store, scope)] == [
        ("all", 0.0),
        ("GET quick", 5.0),
        ("GET quick in flight", 5.0),
    ]
    alone = RateLimits.from_settings({}).scopes_of({"integration": "plain", "user_id": "u"})[0]
    store.close_gate((alone,), 3.0)
    assert [(view.key, view.window, view.gate) for view in usage_view(store, alone)] == [("", GATE, 3.0)]


def test_learned_limits_are_shown_too() -> None:
    """A limit learned from headers is shown like a written one."""
    clock = LimitClock()
    store, learning = MemoryLimits(clock), Learning(clock)
    statuses = parse_limits(
        {"RateLimit-Limit": "10", "RateLimit-Remaining": "9", "RateLimit-Reset": "60"}, clock.now()
    )
    learning.learn(store, "shop 1:u", "GET a", (), statuses, refused=False)
    spends = learning.spends("shop 1:u", "GET a", ())
    store.settle(store.acquire(spends, (), 0.0).ticket)  # type: ignore[union-attr]
    (view,) = usage_view(store, "shop 1:u")
    assert view.key.startswith("learned ratelimit-*")
    assert (view.limit, view.window) == (10, "10 in 60 s, from headers")


def test_what_others_have_counted_before_the_scope_was_widened_is_left_out() -> None:
    """With `counted_per: integration` the counters of single connections of earlier do not show."""
    store = MemoryLimits(LimitClock())
    _call(store, SETTINGS, "slow")
    wide = {**SETTINGS, "counted_per": "integration"}
    assert [view.key for view in usage_view(store, _call(store, wide, "b"))] == [
        "all",
        "GET b",
        "GET b in flight",
    ]
