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
        "cases or otherwise",
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
    - {name: app, key: all, counted_per: integration, otherwise: [100/second]}
    - {key: "${user_id}", cases: [{match: {path: a}, windows: [1/second], key: "${segment.id} ${params.q}"}]}
    - {name: x, key: "${body.a.b}", counted_per: "${raw.team}", otherwise: [1/second]}
  refusals:
    - {when: {status: 429, header: {X-Reason: app}}, closes: app}
    - {when: {status: 403, json: {path: a.b, equals: c}}, closes: [app, "${user_id}"]}
  routes: ["things/{id}/parts", "files/**"]
"""


def test_right_keys_load(tmp_path: Path) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, Case(klaviyo=KLAVIYO + RIGHT))
    assert integration.blueprint == "klaviyo:v0"
