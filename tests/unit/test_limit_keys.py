"""The content of the keys of counters, which others may read in a shared store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import redis

from nango_py import Nango
from nango_py.config.request_match import RequestFacts
from nango_py.limits.key_names import readable_key
from nango_py.limits.limit_types import Granted
from nango_py.limits.rules import RateLimits
from nango_py.sandbox import Sandbox
from tests.support.limit_stores import place_of, store_at
from tests.support.sandbox_product import SHOP

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = "planted-9f8e7d"
WHO: dict[str, Any] = {
    "integration": f"integration-{PLANTED}",
    "user_id": f"user-{PLANTED}",
    "raw": {"team": f"team-{PLANTED}"},
    "additional_config": {"site": f"site-{PLANTED}"},
    "api_key": f"key-{PLANTED}",
}


def keys_of(key: str, *, facts: RequestFacts | None = None, **settings: Any) -> list[str]:
    """The keys of a call under one budget."""
    budget = {"key": key, "otherwise": ["1/second"], "max_in_flight": 3}
    rules = RateLimits.from_settings({"budgets": [budget], **settings})
    facts = facts or RequestFacts(
        "GET", f"things/{PLANTED}", {"q": f"query-{PLANTED}"}, {"to": {"name": f"body-{PLANTED}"}}
    )
    return [spend.key for spend in rules.spends_and_gates(facts, WHO)[0]]


@pytest.mark.parametrize(
    "key",
    [
        "all", "${user_id}", "${integration}", "${raw.team}", "${additional_config.site}", "${api_key}",
        "${method} ${endpoint}", "${path}", "${params.q}", "${body.to.name}", "${raw.team or method}",
        "${method if raw.x else user_id}", "${user_id | upper}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("counted_per", ["connection", "integration", "${raw.team}", "${api_key}"])
def test_no_value_of_a_user_stands_in_a_key(key: str, counted_per: str) -> None:
    """Names of integrations and users, tenants, credentials, paths and parameters are digests."""
    keys = keys_of(key, counted_per=counted_per)
    assert len(keys) == 2
    assert not [found for found in keys if PLANTED in found.lower()]


def test_text_of_the_file_stays_readable() -> None:
    """Control: the method, patterns and the file's own words are not values of a user."""
    case = {"match": {"path": "things/{id}"}, "windows": ["1/second"]}
    rules = RateLimits.from_settings({"budgets": [{"key": "a ${method} ${endpoint}", "cases": [case]}]})
    (spend,) = rules.spends_and_gates(RequestFacts("GET", "things/7"), WHO)[0]
    assert spend.key.endswith(" 0 a GET things/{id} 1/second")


def test_this_process_shows_the_values_of_its_calls() -> None:
    """Endpoints and parameters are readable for the process that counted them, credentials are not."""
    shown = readable_key(keys_of("${endpoint} ${params.q}")[0])
    assert f"things/{PLANTED} query-{PLANTED}" in shown
    assert PLANTED not in readable_key(keys_of("${api_key} ${raw.team}")[0])


def test_different_values_have_different_keys() -> None:
    """Control: different values have different digests, and equal ones count together."""
    one, other = ({"q": "1"}, {"q": "2"})
    made = [keys_of("${params.q}", facts=RequestFacts("GET", "x", params))[0] for params in (one, other, one)]
    assert made[0] == made[2] != made[1]


def test_a_part_that_a_call_lacks_is_empty() -> None:
    """Such calls count together, and none fails."""
    assert len(keys_of("${params.none} ${body.a.b.c} ${segment.x}")) == 2


def test_segments_and_body_fields_choose_the_counter() -> None:
    """Calls for one channel or one record count together; those for others count apart."""
    case = {"match": {"path": "channels/{id}/**"}, "windows": ["1/second"]}
    rules = RateLimits.from_settings({"budgets": [{"key": "${segment.id}", "cases": [case]}]})

    def key(path: str) -> str:
        return rules.spends_and_gates(RequestFacts("GET", path), WHO)[0][0].key

    assert key("channels/1/a") == key("channels/1") == key("channels/1/b/c")
    assert key("channels/1/a") != key("channels/2/a")
    bodies = [{"channel": "C1"}, {"channel": "C1", "text": "x"}, {"channel": "C2"}]
    first, second, third = (
        keys_of("${body.channel}", facts=RequestFacts("POST", "m", {}, body))[0] for body in bodies
    )
    assert first == second != third


def test_routes_name_the_endpoints_of_unlisted_paths() -> None:
    """Calls for different records of one route are one endpoint; other paths are endpoints by themselves."""
    routes = ["repos/{owner}/{repo}/issues", "repos/{owner}/{repo}"]

    def key(path: str) -> str:
        return keys_of("${endpoint}", facts=RequestFacts("GET", path), routes=routes)[0]

    assert key("repos/a/b/issues") == key("repos/c/d/issues")
    assert "repos/{owner}/{repo}/issues" in key("repos/a/b/issues")
    assert key("repos/a/b") != key("repos/a/b/issues")
    assert key("repos/a/b/pulls") != key("repos/c/d/pulls")


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_value_of_a_user_is_in_a_shared_store(kind: str, tmp_path: Path) -> None:
    """Neither keys nor rows hold one; the control is text of the file, which they do hold."""
    budget = {"key": "file-text ${user_id} ${raw.team} ${path} ${params.q}", "otherwise": ["1/second"]}
    rules = RateLimits.from_settings({"counted_per": "${additional_config.site}", "budgets": [budget]})
    facts = RequestFacts("GET", f"things/{PLANTED}", {"q": PLANTED})
    spends, gates = rules.spends_and_gates(facts, WHO)
    with place_of(kind, tmp_path) as url:
        store = store_at(kind, url)
        grant = store.acquire(spends, gates, 0.0)
        assert isinstance(grant, Granted)
        store.close_gate(gates, 60.0)
        found = _everything_in(kind, url, tmp_path)
        store.close()
    assert b"file-text" in found
    assert PLANTED.encode() not in found


def _everything_in(kind: str, url: str, folder: Path) -> bytes:
    if kind == "sqlite":
        return b"".join(path.read_bytes() for path in folder.iterdir())
    client = redis.Redis.from_url(url)
    parts = []
    for key in client.keys("*"):
        parts.append(key)
        if client.type(key) == b"hash":
            parts += [value for pair in client.hgetall(key).items() for value in pair]
    client.close()
    return b"\0".join(parts)


def test_the_limits_of_every_owner_are_shown(tmp_path: Path) -> None:
    """executor.limits() has the connection's own budgets, and those that it shares."""
    limits = {
        "budgets": [
            {"name": "mine", "key": "mine", "otherwise": ["5/minute"]},
            {"name": "app", "key": "app", "counted_per": "integration", "otherwise": ["9/minute"]},
        ]
    }
    with Sandbox({**SHOP, "rate_limits": limits}) as sandbox:
        shop = {**SHOP, "rate_limits": limits}
        shop["requests"] = {**SHOP["requests"], "base_url": sandbox.base_url}
        with Nango({"shop": shop}, database_url=f"sqlite:///{tmp_path / 'n.db'}", environ={}) as nango:
            for user in ("one", "two"):
                nango.register_connection("shop", user, {"api_key": f"key_of_{user}_1234"})
            for user in ("one", "two", "one"):
                nango.executor("shop", user).get("things")
            views = nango.executor("shop", "one").limits()
    used = {view.key: view.used for view in views if view.used}
    assert used["mine"] == 2
    assert used["app"] == 3
