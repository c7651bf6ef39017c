"""Rules of single built-in blueprints: retries, rate limits, pagination and signatures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import Nango, Sandbox
from nango_py.config.catalogue import Catalogue
from nango_py.config.request_match import RequestFacts
from nango_py.engine.retry import Facts, RetryPolicy
from nango_py.errors import Position
from nango_py.limits.rules import RateLimits
from nango_py.pagination.base import NextRequest
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).resolve().parents[2] / "blueprints"
APP = {"oauth_client_id": "client_test", "oauth_client_secret": "client_secret_test"}
CONFIG = {
    "installation_id": "77",
    "my_domain": "acme",
    "tenant_id": "11111111-2222-3333-4444-555555555555",
    "shop": "acme",
    "subdomain": "acme",
    "bucket": "acme-data",
    "account": "1234567",
}


def settings_of(ref: str) -> Mapping[str, Any]:
    """The settings of a built-in blueprint, merged with those that it extends."""
    return Catalogue([("local", FOLDER)]).find(ref, Position("test")).settings


def outcome(
    method: str,
    status: int,
    body: Any = None,
    headers: dict[str, str] | None = None,
    path: str = "things",
) -> Facts:
    """A response to a call, as retry rules receive it."""
    values = {name.lower(): value for name, value in (headers or {}).items()}
    return Facts(
        method,
        path,
        status=status,
        safe=method not in {"POST", "PATCH"},
        header=lambda name: values.get(name.lower()),
        text=lambda: json.dumps(body),
        json=lambda: body,
    )


GOOGLE_LIMIT = {"error": {"code": 403, "errors": [{"reason": "userRateLimitExceeded"}]}}
GOOGLE_DENIED = {"error": {"code": 403, "errors": [{"reason": "insufficientPermissions"}]}}
GOOGLE_NEWER_LIMIT = {"error": {"code": 403, "details": [{"reason": "RATE_LIMIT_EXCEEDED"}]}}
GITHUB_SECONDARY = {"message": "You have exceeded a secondary rate limit."}
GRAPHQL_LIMIT = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
GRAPHQL_SECONDARY = {"errors": [{"message": "You have exceeded a secondary rate limit."}]}
GRAPHQL_QUOTES_IT = {"data": {"issue": {"title": "How to avoid a secondary rate limit?"}}}
SHOPIFY_THROTTLED = {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]}
SHOPIFY_WRONG = {"errors": [{"message": "Field is missing", "extensions": {"code": "undefinedField"}}]}
SALESFORCE_BUSY = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests Limit exceeded."}]
SALESFORCE_SPENT = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]


@pytest.mark.parametrize(
    ("ref", "facts", "action"),
    [
        pytest.param("google:v0", outcome("GET", 403, GOOGLE_LIMIT), "wait", id="google, too many"),
        pytest.param("google-mail:v1", outcome("POST", 403, GOOGLE_LIMIT), "wait", id="inherited"),
        pytest.param("google-calendar:v3", outcome("GET", 403, GOOGLE_DENIED), "fail", id="google, denied"),
        pytest.param(
            "github:v0", outcome("GET", 403, {}, {"X-RateLimit-Remaining": "0"}), "wait", id="github, primary"
        ),
        pytest.param("github:v0", outcome("POST", 403, GITHUB_SECONDARY), "wait", id="github, secondary"),
        pytest.param(
            "github-app:v0", outcome("GET", 403, {}, {"Retry-After": "60"}), "wait", id="app, retry-after"
        ),
        pytest.param("google:v0", outcome("GET", 403, GOOGLE_NEWER_LIMIT), "wait", id="google, newer form"),
        pytest.param("github:v0", outcome("GET", 403, {"message": "Forbidden"}), "fail", id="github, denied"),
        pytest.param(
            "github:v0", outcome("POST", 200, GRAPHQL_LIMIT, path="graphql"), "wait", id="graphql, primary"
        ),
        pytest.param(
            "github-app:v0",
            outcome("POST", 200, GRAPHQL_SECONDARY, path="graphql"),
            "wait",
            id="graphql, secondary",
        ),
        pytest.param(
            "github:v0", outcome("POST", 200, GRAPHQL_QUOTES_IT, path="graphql"), "return", id="graphql, data"
        ),
        pytest.param("shopify:v0", outcome("POST", 200, SHOPIFY_THROTTLED), "wait", id="shopify, throttled"),
        pytest.param(
            "shopify:v0", outcome("POST", 200, SHOPIFY_WRONG), "return", id="shopify, a wrong query"
        ),
        pytest.param(
            "stripe:v1",
            outcome("GET", 429, {"error": {"code": "lock_timeout"}}),
            "retry",
            id="stripe, a lock",
        ),
        pytest.param(
            "stripe:v1", outcome("POST", 429, {"error": {"code": "rate_limit"}}), "wait", id="stripe, a limit"
        ),
        pytest.param("salesforce:v0", outcome("POST", 403, SALESFORCE_BUSY), "wait", id="salesforce, busy"),
        pytest.param("salesforce:v0", outcome("GET", 403, SALESFORCE_SPENT), "fail", id="salesforce, spent"),
        pytest.param("xero:v2", outcome("PUT", 503), "fail", id="xero, a PUT creates a record"),
        pytest.param("xero:v2", outcome("GET", 503), "retry", id="xero, a GET does not"),
        pytest.param(
            "stripe:v1", outcome("GET", 500, {}, {"Stripe-Should-Retry": "false"}), "fail", id="stripe, no"
        ),
        pytest.param(
            "stripe:v1", outcome("GET", 409, {}, {"Stripe-Should-Retry": "true"}), "retry", id="stripe, yes"
        ),
        pytest.param("stripe:v1", outcome("GET", 409, {}), "fail", id="stripe, a conflict"),
        pytest.param("aws-s3:v0", outcome("PUT", 503), "retry", id="s3, SlowDown"),
    ],
)
def test_retry_rules_match_the_api(ref: str, facts: Facts, action: str) -> None:
    """The retry rules of a blueprint wait for rate limits and do not retry permanent errors."""
    assert (
        RetryPolicy.from_settings(settings_of(ref)["retries"] if ref != "aws-s3:v0" else None)
        .decide(facts, 1)
        .action
        == action
    )


@pytest.mark.parametrize("reason", ["timeout", "reset", "truncated", "protocol"])
def test_xero_creates_no_record_twice(reason: str) -> None:
    """A PUT to Xero whose response was lost is not retried, because it could create a second invoice."""
    policy = RetryPolicy.from_settings(settings_of("xero:v2")["retries"])
    assert policy.decide(Facts("PUT", "Invoices", reason=reason, safe=True), 1).action == "fail"
    assert policy.decide(Facts("GET", "Invoices", reason=reason, safe=True), 1).action == "retry"


@pytest.mark.parametrize(
    ("ref", "call", "spent"),
    [
        ("google-mail:v1", RequestFacts("POST", "users/me/messages/send"), ["100 of 6000/minute"]),
        ("google-mail:v1", RequestFacts("GET", "users/me/messages/18c1"), ["20 of 6000/minute"]),
        ("google-mail:v1", RequestFacts("GET", "users/me/labels"), ["1 of 6000/minute"]),
        ("google-calendar:v3", RequestFacts("GET", "calendars/primary/events"), ["1 of 600/minute"]),
        (
            "github:v0",
            RequestFacts("GET", "repos/a/b"),
            ["1 of 5000/hour", "1 of 100 in flight", "1 of 900/minute"],
        ),
        (
            "github-app:v0",
            RequestFacts("POST", "repos/a/b/issues"),
            ["1 of 5000/hour", "1 of 100 in flight", "5 of 900/minute", "1 of 80/minute", "1 of 500/hour"],
        ),
        (
            "github:v0",
            RequestFacts("GET", "search/code"),
            ["1 of 10/minute", "1 of 100 in flight", "1 of 900/minute"],
        ),
        ("hubspot:v3", RequestFacts("POST", "crm/v3/objects/contacts/search"), ["1 of 5/second"]),
        ("salesforce:v0", RequestFacts("GET", "services/data/v66.0/limits"), ["1 of 25 in flight"]),
        ("xero:v2", RequestFacts("GET", "Invoices"), ["1 of 60/minute", "1 of 5000/day", "1 of 5 in flight"]),
        ("stripe:v1", RequestFacts("GET", "customers/search"), ["1 of 100/second", "1 of 20/second"]),
        ("stripe:v1", RequestFacts("POST", "customers"), ["1 of 100/second", "1 of 25/second"]),
        ("stripe:v1", RequestFacts("POST", "billing/meter_events"), ["1 of 1000/second", "1 of 1000/second"]),
        (
            "stripe:v1",
            RequestFacts("POST", "payment_intents/pi_1Abcdefgh"),
            ["1 of 100/second", "1 of 25/second", "1 of 1000/hour"],
        ),
        (
            "zendesk:v2",
            RequestFacts("PUT", "tickets/1.json"),
            ["1 of 200/minute", "1 of 100/minute", "1 of 30/600s"],
        ),
        (
            "zendesk:v2",
            RequestFacts("GET", "incremental/users/cursor.json"),
            ["1 of 200/minute", "1 of 10/minute"],
        ),
        ("trello:v1", RequestFacts("GET", "members/me"), ["1 of 100/10s", "1 of 100/900s"]),
        ("trello:v1", RequestFacts("GET", "members/me/boards"), ["1 of 100/10s"]),
        ("x:v2", RequestFacts("POST", "tweets"), ["1 of 100/900s"]),
        ("x:v2", RequestFacts("GET", "users/me"), ["1 of 75/900s"]),
        ("twitter1:v0", RequestFacts("POST", "users/1/likes"), ["1 of 50/900s", "1 of 1000/day"]),
        ("gitlab-oauth:v4", RequestFacts("GET", "projects/42"), ["1 of 2000/minute", "1 of 400/minute"]),
        ("shopify:v0", RequestFacts("POST", "graphql.json"), ["1 of 100/second"]),
        ("aws-s3:v0", RequestFacts("HEAD", "a.csv"), ["1 of 5500/second"]),
        ("aws-s3:v0", RequestFacts("PUT", "a.csv"), ["1 of 3500/second"]),
        ("netsuite:v0", RequestFacts("GET", "record/v1/customer"), ["1 of 5 in flight"]),
    ],
)
def test_a_call_counts_against_the_documented_limits(ref: str, call: RequestFacts, spent: list[str]) -> None:
    """A call counts against each documented limit, at its cost."""
    limits = RateLimits.from_settings(settings_of(ref)["rate_limits"])
    variables = {"integration": "it", "user_id": "user", "raw": {}, "additional_config": CONFIG}
    found = [
        f"{spend.cost} of {limit.label}" for spend in limits.spends(call, variables) for limit in spend.limits
    ]
    assert found == spent


@pytest.mark.parametrize("ref", ["salesforce:v0", "xero:v2", "shopify:v0", "zendesk:v2", "github-app:v0"])
def test_users_of_one_account_share_its_quota(ref: str) -> None:
    """Connections of the same org, shop or installation share rate limits; others do not."""
    limits = RateLimits.from_settings(settings_of(ref)["rate_limits"])

    def scope(user: str, name: str) -> str:
        config = dict.fromkeys(CONFIG, name)
        return limits.scope_of({"integration": "it", "user_id": user, "raw": {}, "additional_config": config})

    assert scope("user-1", "one") == scope("user-2", "one")
    assert scope("user-1", "one") != scope("user-1", "two")


@dataclass
class Body:
    """A page of a list."""

    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body."""
        return self.body


NETSUITE = "https://1234567.suitetalk.api.netsuite.com/services/rest/record/v1/customer?limit=2&offset=2"


@pytest.mark.parametrize(
    ("ref", "body", "following"),
    [
        ("stripe:v1", {"has_more": True, "data": [{"id": "a"}, {"id": "b"}]}, {"starting_after": "b"}),
        ("stripe:v1", {"has_more": False, "data": [{"id": "b"}]}, None),
        ("google-mail:v1", {"messages": [{"id": "1"}], "nextPageToken": "t2"}, {"pageToken": "t2"}),
        ("hubspot:v3", {"results": [{"id": "1"}], "paging": {"next": {"after": "9"}}}, {"after": "9"}),
        ("jira:v3", {"issues": [{"id": "1"}], "isLast": True}, None),
        ("salesforce:v0", {"records": [{"Id": "1"}], "nextRecordsUrl": "/x-2000"}, "/x-2000"),
        ("xero:v2", {"Invoices": [{"InvoiceID": "1"}]}, {"page": 2}),
        ("xero:v2", {"Invoices": []}, None),
        ("xero:v2", {"Invoices": [{}], "pagination": {"page": 1, "pageCount": 1}}, None),
        ("greenhouse-harvest:v3", [{"id": 1}], None),
        ("netsuite:v0", {"items": [{"id": "1"}], "links": [{"rel": "next", "href": NETSUITE}]}, NETSUITE),
        ("netsuite:v0", {"items": [{"id": "1"}], "links": [{"rel": "self", "href": NETSUITE}]}, None),
        ("zendesk:v2", {"users": [{"id": 1}], "links": {"next": "https://acme.zendesk.com/api/v2/users"}},
         "https://acme.zendesk.com/api/v2/users"),
        ("zendesk:v2", {"users": [{"id": 1}], "next_page": "https://acme.zendesk.com/api/v2/users?page=2"},
         "https://acme.zendesk.com/api/v2/users?page=2"),
        ("zendesk:v2", {"users": [{"id": 1}], "next_page": None}, None),
        ("twitter1:v0", {"data": [{"id": "1"}], "meta": {"next_token": "n"}}, {"pagination_token": "n"}),
    ],
)  # fmt: skip
def test_the_next_page_is_found(ref: str, body: Any, following: Any) -> None:
    """The paginator of a blueprint finds the next page and the end."""
    settings = settings_of(ref)["pagination"]
    found = PAGINATORS.get(settings["kind"]).from_settings(settings).next_request(Body(body), ())
    if isinstance(following, dict):
        assert found == NextRequest(params=tuple(following.items()))
    else:
        assert found == (None if following is None else NextRequest(url=following))


@pytest.mark.parametrize("body", [[{"id": 1}], {"total_count": 1, "items": [{"id": 1}]}])
def test_github_lists_have_two_forms(body: Any) -> None:
    """Records are found in a bare list and in `items`."""
    settings = settings_of("github:v0")["pagination"]
    assert PAGINATORS.get(settings["kind"]).from_settings(settings).records(Body(body)) == [{"id": 1}]


@pytest.mark.parametrize(
    ("ref", "begins", "holds"),
    [
        ("twitter1:v0", "OAuth ", ['oauth_consumer_key="client_test"', 'oauth_signature_method="HMAC-SHA1"']),
        ("netsuite:v0", "OAuth ", ['realm="1234567_SB1"', 'oauth_signature_method="HMAC-SHA256"']),
        ("aws-s3:v0", "AWS4-HMAC-SHA256 ", ["AKIDtest/", "/eu-central-1/s3/aws4_request"]),
        ("trello:v1", "OAuth ", ['oauth_consumer_key="client_test", oauth_token="token_test_1234"']),
    ],
)
def test_signed_requests_have_a_signature(ref: str, begins: str, holds: list[str], tmp_path: Path) -> None:
    """Signed requests have a generated Authorization header; Trello's is declared in the blueprint."""
    settings = settings_of(ref)
    example = settings["examples"][0]
    entry = {"extends_blueprint": ref, **(APP if settings["auth"]["auth_mode"] == "OAUTH1" else {})}
    with (
        Sandbox(settings) as sandbox,
        Nango(
            {"it": {**entry, "requests": {"base_url": sandbox.base_url}}},
            blueprints=FOLDER,
            database_url=f"sqlite:///{tmp_path / 'nango.db'}",
            environ={},
        ) as nango,
    ):
        config = dict(example.get("additional_config", {}))
        nango.register_connection("it", "user", dict(example["credentials"]), config)
        nango.executor("it", "user").get(example["call"]["path"])
        sent = sandbox.ledger.received[-1].headers["authorization"]
    assert sent.startswith(begins)
    assert [part for part in holds if part not in sent] == []
    assert ("oauth_signature=" in sent) == (begins == "OAuth " and ref != "trello:v1")
