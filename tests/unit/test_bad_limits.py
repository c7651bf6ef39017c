"""Wrong forms of the keys of rate limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_files import KLAVIYO, PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

# By name: lines after those of the blueprint (from line 16), their problems, and words of the message.
WRONG_KEYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a budget with a name only": (
        "rate_limits:\n  budgets: [{name: a, key: all}]",
        ("k:17:13 E203",),
        "windows or otherwise",
    ),
    "a case without limits": (
        "rate_limits:\n  budgets: [{key: all, cases: [{match: {path: a}}]}]",
        ("k:17:13 E203",),
        "expected windows or otherwise",
    ),
    "headers that state no limit": (
        "rate_limits:\n  budgets: [{key: all, headers: {remaining: X-Left}}]",
        ("k:17:13 E203",),
        "or headers with limit",
    ),
    "the length of a window in words": (
        "rate_limits:\n  budgets: [{key: all, headers: {limit: X-Most, per_seconds: minute}}]",
        ("k:17:62 E401",),
        "expected a number of seconds",
    ),
    "a cost in a link": (
        "rate_limits:\n  budgets: [{key: all, otherwise: [9/second], cost: {reserve: 1, settle: {link: a}}}]",
        ("k:17:66 E203", "k:17:75 E202"),
        "known: header",
    ),
    "a cap of nothing": (
        "rate_limits:\n  budgets: [{key: all, cases: [{match: {path: a}, max_in_flight: 0}]}]",
        ("k:17:66 E401",),
        ">= 1",
    ),
    "an owner of a budget that is a word": (
        "rate_limits:\n  budgets: [{key: all, counted_per: account, otherwise: [1/second]}]",
        ("k:17:37 E204",),
        "connection, integration or a template",
    ),
    "an owner of a budget with an unknown name": (
        "rate_limits:\n  budgets: [{key: all, counted_per: '${additional_confg.x}', otherwise: [1/second]}]",
        ("k:17:40 E306",),
        "did you mean additional_config?",
    ),
    "a refusal of an unknown budget": (
        """\
rate_limits:
  budgets: [{name: tenant, key: all, otherwise: [1/second]}]
  refusals: [{when: {status: 429}, closes: tenent}]""",
        ("k:18:44 E404",),
        'did you mean "tenant"?',
    ),
    "a list with an unknown budget": (
        """\
rate_limits:
  budgets: [{key: all, otherwise: [1/second]}]
  refusals: [{when: {status: 429}, closes: [all, none]}]""",
        ("k:18:50 E404",),
        "budgets: all",
    ),
    "a refusal that closes nothing": (
        "rate_limits:\n  refusals: [{when: {status: 429}}]",
        ("k:17:14 E203",),
        'missing key "closes"',
    ),
    "a refusal without conditions": (
        "rate_limits:\n  budgets: [{key: a, otherwise: [1/second]}]\n  refusals: [{when: {}, closes: a}]",
        ("k:18:21 E203",),
        "status, method, path, header, body_contains, json or error",
    ),
    "headers of a window that the budget lacks": (
        """\
rate_limits:
  budgets:
    - key: a
      otherwise: [60/minute]
      headers: [{window: 5000/day, remaining: X-Day}]""",
        ("k:20:26 E404",),
        "write one of 60/minute",
    ),
    "headers of a budget that name none": (
        "rate_limits:\n  budgets: [{key: a, otherwise: [1/second], headers: {}}]",
        ("k:17:54 E203",),
        "limit, remaining or reset",
    ),
    "a rate of another unit": (
        "rate_limits:\n  headers: {limit: {name: X, means: requests_per_minute}, retry_after: R}",
        ("k:17:37 E204",),
        "requests_per_second",
    ),
    "a cost without its place in the response": (
        "rate_limits:\n  budgets: [{key: a, otherwise: [1/second], cost: {reserve: 10}}]",
        ("k:17:45 E203",),
        'missing key "settle"',
    ),
    "a cost that is text": (
        "rate_limits:\n  budgets: [{key: a, otherwise: [1/second], cost: ten}]",
        ("k:17:51 E201",),
        "whole number",
    ),
    "a body with a path that is not JMESPath": (
        "rate_limits:\n  body: {wait: 'errors['}",
        ("k:17:16 E324",),
        "JMESPath",
    ),
    "a wait with an unknown unit": (
        "rate_limits:\n  body: {wait: {path: a, means: minutes}}",
        ("k:17:33 E204",),
        "milliseconds",
    ),
    "an unknown key of a body": (
        "rate_limits:\n  body: {remaning: a}",
        ("k:17:10 E202",),
        'did you mean "remaining"?',
    ),
    "an unknown period": (
        "rate_limits:\n  budgets: [{key: a, otherwise: [{requests: 1, per: year}]}]",
        ("k:17:53 E204",),
        "month",
    ),
    "a period with a length": (
        "rate_limits:\n  budgets: [{key: a, otherwise: [{requests: 1, per: month, per_seconds: 9}]}]",
        ("k:17:60 E204",),
        "remove per or per_seconds",
    ),
    "a time zone with an unknown name": (
        "rate_limits: {budgets: [{key: a, otherwise: [{requests: 1, per: day, time_zone: '${zone}'}]}]}",
        ("k:16:84 E306",),
        "unknown variable",
    ),
    "a rule for a path with a query": (
        "  rules: [{match: {path: 'a?b'}, when: {status: 500}, do: retry}]",
        ("k:16:26 E204",),
        "without ? and #",
    ),
    "a rule that repeats a POST": (
        "  rules: [{match: {method: POST}, when: {status: 500}, do: retry}]",
        ("k:16:20 E403",),
        "POST could run twice",
    ),
    "a route with a query": (
        "rate_limits:\n  routes: ['things?id={id}']",
        ("k:17:12 E204",),
        "without ? and #",
    ),
    "a part of a call in a header": (
        "verification: {path: a, headers: {X: '${segment.id}'}}",
        ("k:16:41 E309",),
        "only in the keys of rate limits",
    ),
    "parameters without a name": (
        "rate_limits:\n  budgets: [{key: '${params}', otherwise: [1/second]}]",
        ("k:17:22 E306",),
        "write ${params.name}",
    ),
}


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_a_wrong_key_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and the form to write."""
    text, expected, words = WRONG_KEYS[name]
    error = refusal(tmp_path, Case(klaviyo=KLAVIYO + text + "\n"))
    assert places(error) == expected, str(error)
    assert words in str(error)
    assert PLANTED not in everything_about(error)


RIGHT = """\
rate_limits:
  counted_per: connection
  budgets:
    - name: app
      key: all
      counted_per: integration
      otherwise:
        - 100/second
        - {burst: 5, per_second: 1}
        - {requests: 9, per: month, time_zone: "${additional_config.zone}"}
      cost: {reserve: 3, settle: "cost.actual"}
      headers:
        - {window: 100/second, remaining: X-Left}
        - {window: {requests: 9, per: month, time_zone: "${additional_config.zone}"}, remaining: X-Month}
        - {window: {burst: 5, per_second: 1}, limit: {name: X-Rate, means: requests_per_second}}
      body: {remaining: a.b}
    - {key: "${user_id}", cases: [{match: {path: a}, windows: [1/second], key: "${segment.id} ${params.q}"}]}
    - {name: x, key: "${body.a.b}", counted_per: "${raw.team}", otherwise: [1/second]}
    - {name: issue, key: "${segment.id}", cases: [{match: {path: "issues/{id}"}}]}
    - {name: site, key: all}
  refusals:
    - {when: {status: 429, header: {X-Reason: app}}, closes: app}
    - {when: {status: 429, header: {X-Reason: issue}}, closes: [issue, site]}
    - {when: {status: 403, json: {path: a.b, equals: c}}, closes: [app, "${user_id}"]}
  routes: ["things/{id}/parts", "files/**"]
  body: {wait: {path: "errors[0].wait", means: milliseconds}, remaining: a, limit: b, restore_per_second: c}
"""


def test_right_keys_load(tmp_path: Path) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, Case(klaviyo=KLAVIYO + RIGHT))
    assert integration.blueprint == "klaviyo:v0"
