"""Wrong forms of the keys that say which requests are meant and what differs for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_files import KLAVIYO, PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

# By name: lines after those of the blueprint (from line 16), their problems, and words of the message.
WRONG_KEYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a brace that is not closed": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a/{b'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "lists/{id}/items",
    ),
    "two ** in one path": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a/**/b/**'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "one ** for any number",
    ),
    "* as a part of a segment": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a*/b'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "* for one segment",
    ),
    "a path with a query": (
        "rate_limits: {budgets: [{key: a, cases: [{match: {path: 'a?b=1'}, windows: [1/second]}]}]}",
        ("k:16:57 E204",),
        "without ? and #",
    ),
    "a value of the body that is a mapping": (
        "rate_limits:\n  budgets: [{key: a, cases: [{match: {body: {a: {b: 1}}}, windows: [1/second]}]}]",
        ("k:17:49 E201",),
        "expected text or a number or true or false",
    ),
    "a setting without a value": (
        "rate_limits:\n  budgets: [{key: a, cases: [{match: {config: {}}, windows: [1/second]}]}]",
        ("k:17:47 E203",),
        "keys are missing",
    ),
}


def case_of(text: str) -> Case:
    """The blueprint with more lines."""
    return Case(klaviyo=KLAVIYO + text + "\n")


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_a_wrong_key_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and the form to write."""
    text, expected, words = WRONG_KEYS[name]
    error = refusal(tmp_path, case_of(text))
    assert places(error) == expected, str(error)
    assert words in str(error)
    assert PLANTED not in everything_about(error)


RIGHT_KEYS = {
    "match": """\
rate_limits:
  budgets:
    - key: a
      cases:
        - match: {method: [GET, POST], path: "a/**/{id}.json", params: {p: 1}, body: {a.b: true}}
          windows: [1/second]
""",
}


@pytest.mark.parametrize("name", RIGHT_KEYS)
def test_right_keys_load(tmp_path: Path, name: str) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, case_of(RIGHT_KEYS[name]))
    assert integration.blueprint == "klaviyo:v0"
