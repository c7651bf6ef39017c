"""Which budgets a call spends from."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py.config.request_match import RequestFacts
from nango_py.config.template.filters import TemplateProblem
from nango_py.limits.limit_types import Bucket, CalendarPeriod, InFlight, Spend, Window
from nango_py.limits.notation import parse_limit
from nango_py.limits.rules import RateLimits, endpoint_of

WHO = {"integration": "klaviyo", "user_id": "user-1", "additional_config": {"account": "acme"}}

KLAVIYO = {
    "counted_per": "connection",
    "budgets": [
        {
            "key": "${method} ${endpoint}",
            "cases": [
                {
                    "match": {
                        "method": "GET",
                        "path": "profiles/",
                        "params": {"additional-fields[profile]": "predictive_analytics"},
                    },
                    "windows": ["10/second", "150/minute"],
                },
                {"match": {"path": "profiles/{id}"}, "windows": ["75/second"]},
                {"match": {"method": ["POST", "put"], "path": "lists"}, "windows": ["10/second", "150/day"]},
            ],
            "otherwise": ["3/second", "60/minute"],
        }
    ],
}


def _labels(spends: tuple[Spend, ...]) -> list[list[str]]:
    return [[limit.label for limit in spend.limits] for spend in spends]


def _spends(
    settings: dict[str, Any], method: str, path: str, params: dict[str, Any] | None = None
) -> tuple[Spend, ...]:
    facts = RequestFacts(method, path, params or {})
    return RateLimits.from_settings(settings).spends_and_gates(facts, WHO)[0]


@pytest.mark.parametrize(
    ("method", "path", "params", "labels"),
    [
        (
            "GET",
            "profiles",
            {"additional-fields[profile]": "predictive_analytics"},
            ["10/second", "150/minute"],
        ),
        (
            "GET",
            "/profiles/",
            {"additional-fields[profile]": "subscriptions,predictive_analytics"},
            ["10/second", "150/minute"],
        ),
        (
            "GET",
            "profiles",
            {"additional-fields[profile]": ["x", "predictive_analytics"]},
            ["10/second", "150/minute"],
        ),
        ("GET", "profiles", {"additional-fields[profile]": "subscriptions"}, ["3/second", "60/minute"]),
        ("GET", "profiles", {}, ["3/second", "60/minute"]),
        (
            "POST",
            "profiles",
            {"additional-fields[profile]": "predictive_analytics"},
            ["3/second", "60/minute"],
        ),
        ("DELETE", "profiles/123", {}, ["75/second"]),
        ("GET", "profiles/123/lists", {}, ["3/second", "60/minute"]),
        ("POST", "lists/", {}, ["10/second", "150/day"]),
        ("PUT", "lists", {}, ["10/second", "150/day"]),
        ("GET", "lists", {}, ["3/second", "60/minute"]),
    ],
)
def test_the_first_case_that_matches_decides(
    method: str, path: str, params: dict[str, Any], labels: list[str]
) -> None:
    """Method, path pattern and parameters choose the windows; what no case matches has the others."""
    assert _labels(_spends(KLAVIYO, method, path, params)) == [labels]


def test_paths_of_one_pattern_share_a_counter_and_others_do_not() -> None:
    """profiles/1 and profiles/2 count together; other methods, endpoints and users count apart."""
    rules = RateLimits.from_settings(KLAVIYO)

    def key(method: str, path: str, user: str = "user-1", params: dict[str, Any] | None = None) -> str:
        facts = RequestFacts(method, path, params or {})
        (spend,) = rules.spends_and_gates(facts, {**WHO, "user_id": user})[0]
        return spend.key

    assert key("GET", "profiles/1") == key("GET", "/profiles/2/")
    assert key("GET", "events/1") == key("GET", "events/2")
    predictive = {"additional-fields[profile]": "predictive_analytics"}
    keys = [
        key("GET", "profiles/1"),
        key("PATCH", "profiles/1"),
        key("GET", "events/1"),
        key("GET", "profiles/1", "user-2"),
        key("GET", "profiles"),
        key("GET", "profiles", params=predictive),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("counted_per", "same"),
    [
        ("connection", set()),
        ("integration", {"user_id", "additional_config"}),
        ("${additional_config.account}", {"user_id"}),
    ],
)
def test_the_quota_belongs_to_whom_the_blueprint_says(counted_per: str, same: set[str]) -> None:
    """Connections count apart, together, or by what a template makes of them; integrations always apart."""
    rules = RateLimits.from_settings(
        {"counted_per": counted_per, "budgets": [{"key": "all", "otherwise": ["1/second"]}]}
    )

    def key(**other: Any) -> str:
        return rules.spends_and_gates(RequestFacts("GET", "x"), {**WHO, **other})[0][0].key

    others = {
        "user_id": {"user_id": "2"},
        "additional_config": {"user_id": "3", "additional_config": {"account": "b"}},
    }
    for name, other in others.items():
        assert (key(**other) == key()) == (name in same)
    assert key(integration="other") != key()


def test_no_template_value_stands_in_a_key() -> None:
    """What a counted_per template makes is hashed, because a blueprint may name anything there."""
    rules = RateLimits.from_settings(
        {
            "counted_per": "${additional_config.account}",
            "budgets": [{"key": "all", "otherwise": ["1/second"]}],
        }
    )
    (spend,) = rules.spends_and_gates(RequestFacts("GET", "x"), WHO)[0]
    assert "acme" not in spend.key


def test_names_with_spaces_cannot_be_mistaken_for_each_other() -> None:
    """No two users or keys run into one counter."""
    rules = RateLimits.from_settings({"budgets": [{"key": "${endpoint}", "otherwise": ["1/second"]}]})
    first = rules.spends_and_gates(RequestFacts("GET", "b"), {**WHO, "user_id": "a"})[0]
    second = rules.spends_and_gates(RequestFacts("GET", "b"), {**WHO, "user_id": "a 0 b"})[0]
    who = {**WHO, "integration": "klaviyo 1:a", "user_id": ""}
    third = rules.spends_and_gates(RequestFacts("GET", "x"), who)[0]
    assert len({first[0].key, second[0].key, third[0].key}) == 3


def test_a_call_spends_from_every_budget_that_applies() -> None:
    """An account's budget stands beside the endpoints'; one without a matching case takes nothing."""
    settings = {
        "budgets": [
            {"key": "all", "otherwise": [{"requests": 100, "per_seconds": 60}]},
            {
                "key": "${endpoint}",
                "cases": [
                    {"match": {"path": "search"}, "windows": [{"burst": 5, "per_second": 0.5}], "cost": 2}
                ],
            },
        ]
    }
    account, search = _spends(settings, "GET", "search")
    assert account.limits == (Window(100, 60.0, "100/60s"),)
    assert (search.limits, search.cost) == ((Bucket(5.0, 0.5, "burst 5, 0.5/second"),), 2)
    assert _labels(_spends(settings, "GET", "other")) == [["100/60s"]]


def test_a_case_without_windows_leaves_its_calls_out() -> None:
    """What it matches does not count in the budget, and the others do."""
    cases = [{"match": {"path": "graphql"}}]
    settings = {"budgets": [{"key": "rest", "cases": cases, "otherwise": ["5/second"]}]}
    assert _spends(settings, "POST", "graphql") == ()
    assert _labels(_spends(settings, "GET", "things")) == [["5/second"]]


def test_a_budget_may_cap_what_is_on_its_way() -> None:
    """`max_in_flight` holds for every call under the budget's key, whichever case it is."""
    settings = {
        "budgets": [
            {
                "key": "all",
                "max_in_flight": 3,
                "cases": [{"match": {"path": "search"}, "windows": ["1/second"]}],
            }
        ]
    }
    _, cap = _spends(settings, "GET", "search")
    assert cap.limits == (InFlight(3, "3 in flight"),)
    assert _spends(settings, "GET", "other") == (cap,)


def test_cases_with_one_key_count_together_under_all_their_limits() -> None:
    """Cases that name the same key share a counter, and each obeys the limits of all."""
    settings = {
        "budgets": [
            {
                "key": "${endpoint}",
                "cases": [
                    {"match": {"path": "reports/{id}"}, "windows": ["1/second"], "key": "reports"},
                    {"match": {"path": "reports"}, "windows": ["5/minute"], "key": "reports"},
                ],
            }
        ]
    }
    one, other = _spends(settings, "GET", "reports/1"), _spends(settings, "GET", "reports")
    assert one == other
    assert _labels(one) == [["1/second", "5/minute"]]


PLANS = {
    "budgets": [
        {
            "key": "all",
            "cases": [
                {"match": {"config": {"plan": "pro"}}, "windows": ["9/second"]},
                {"match": {"body": {"type": "bulk"}}, "windows": ["2/second"]},
            ],
            "otherwise": ["1/second"],
        }
    ]
}


@pytest.mark.parametrize(
    ("config", "body", "label"),
    [
        ({"plan": "pro"}, None, "9/second"),
        ({"plan": "free"}, {"type": "bulk"}, "2/second"),
        ({}, None, "1/second"),
    ],
)
def test_plans_and_bodies_choose_the_limits(config: Any, body: Any, label: str) -> None:
    """A case may match a setting of the connection, or a field of the request."""
    rules = RateLimits.from_settings(PLANS)
    assert _labels(rules.spends_and_gates(RequestFacts("POST", "x", {}, body, config), WHO)[0]) == [[label]]


ZONED = {"requests": 10, "per": "day", "time_zone": "${additional_config.zone}"}


def test_the_time_zone_of_a_calendar_may_be_a_setting() -> None:
    """Each account has the midnight of its own zone."""
    rules = RateLimits.from_settings({"budgets": [{"key": "all", "otherwise": [ZONED, "5/second"]}]})

    def limits(zone: str) -> tuple[Any, ...]:
        who = {**WHO, "additional_config": {"zone": zone}}
        return rules.spends_and_gates(RequestFacts("GET", "x"), who)[0][0].limits

    berlin = CalendarPeriod(10, "Europe/Berlin", "10/day Europe/Berlin")
    assert limits("Europe/Berlin") == (berlin, Window(5, 1.0, "5/second"))
    assert limits("Europe/Berlin") is limits("Europe/Berlin")
    assert limits("Asia/Tokyo") != limits("Europe/Berlin")


@pytest.mark.parametrize(("zone", "code"), [("Mars/Olympus", "E204"), ("../../etc/passwd", "E204")])
def test_a_wrong_time_zone_of_a_connection_is_an_error(zone: str, code: str) -> None:
    """It is not counted by another clock in silence."""
    rules = RateLimits.from_settings({"budgets": [{"key": "all", "otherwise": [ZONED]}]})
    with pytest.raises(TemplateProblem) as caught:
        rules.spends_and_gates(RequestFacts("GET", "x"), {**WHO, "additional_config": {"zone": zone}})[0]
    assert caught.value.code == code


def test_the_gates_of_a_call_are_its_keys_or_its_scope() -> None:
    """A 429 stops what was counted with the call; without any budget it stops the whole connection."""
    rules = RateLimits.from_settings(KLAVIYO)
    facts = RequestFacts("GET", "profiles/1")
    spends, gates = rules.spends_and_gates(facts, WHO)
    assert gates == tuple(spend.key for spend in spends)
    bare = RateLimits.from_settings(None)
    spends, gates = bare.spends_and_gates(facts, WHO)
    assert spends == ()
    assert gates == bare.spends_and_gates(RequestFacts("POST", "other"), WHO)[1]
    assert gates != bare.spends_and_gates(facts, {**WHO, "user_id": "user-2"})[1]


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("profiles/123", "profiles/*"),
        ("/v1/lists/", "v1/lists"),
        ("people/3f2504e0-4f89-11d3-9a0c-0305e82c3301/notes", "people/*/notes"),
        ("profiles/01GDDKASAP8TKDDA2GRZDSVP4H", "profiles/*"),
        ("customers/cus_4fdAW5ftNQow1a", "customers/*"),
        ("users/U024BE7LH", "users/*"),
        ("lists/Y6nRLr", "lists/Y6nRLr"),
        ("contacts/a@b.example", "contacts/*"),
        ("blobs/5f1d7f3b8c2e4a0d9b6c1e2f", "blobs/*"),
        ("days/2024-05-01", "days/*"),
        ("chat.postMessage", "chat.postMessage"),
        ("api/v2/customers?limit=5", "api/v2/customers"),
        ("oauth2/token", "oauth2/token"),
        ("profile-bulk-import-jobs", "profile-bulk-import-jobs"),
        ("", ""),
    ],
)
def test_what_looks_like_an_id_does_not_make_an_endpoint(path: str, endpoint: str) -> None:
    """Numbers, uuids, digests, opaque ids, dates and mail addresses are one `*`; words stay."""
    assert endpoint_of(path) == endpoint


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("10/second", Window(10, 1.0, "10/second")),
        ("150/minute", Window(150, 60.0, "150/minute")),
        ("5/hour", Window(5, 3600.0, "5/hour")),
        ("100/day", Window(100, 86400.0, "100/day")),
        ({"requests": 15, "per_seconds": 6}, Window(15, 6.0, "15/6s")),
        ({"requests": 15, "per_seconds": 6, "x-note": "seen"}, Window(15, 6.0, "15/6s")),
        (
            {"requests": 9, "per": "month", "time_zone": "UTC"},
            CalendarPeriod(9, "UTC", "9/month UTC", "month"),
        ),
        ({"burst": 10, "per_second": 2.5}, Bucket(10.0, 2.5, "burst 10, 2.5/second")),
    ],
)
def test_limits_are_written_in_three_forms(written: Any, limit: Window | Bucket) -> None:
    """Text, requests per seconds, and token buckets."""
    assert parse_limit(written) == limit


@pytest.mark.parametrize(
    "written",
    [
        "10",
        "0/second",
        "10/fortnight",
        "-1/second",
        {"requests": 0.5, "per_seconds": 1},
        {"requests": 1},
        {},
        5,
        None,
        {"burst": 0, "per_second": 1},
        {"burst": 1, "per_second": 0},
        {"requests": True, "per_seconds": 1},
        {"requests": 1, "per": "year"},
        {"requests": 1, "per": "month", "time_zone": "Mars/Olympus"},
        {"requests": 1, "per_seconds": float("inf")},
    ],
)
def test_what_is_no_limit_is_refused(written: Any) -> None:
    """A window that cannot be meant is an error with the forms that can."""
    with pytest.raises(ValueError, match="expected"):
        parse_limit(written)
