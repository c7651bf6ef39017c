"""Wrong forms of the keys of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_files import KLAVIYO, PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

# By name: the `expects` or `response` of an example in line 18, its problems, and words of the message.
WRONG_KEYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "an expectation without a key": ("expects: {}", ("k:18:14 E203",), "counts or next_page"),
    "an unknown expectation": ("expects: {retrys: true}", ("k:18:15 E202",), 'did you mean "retries"?'),
    "retries as a number": ("expects: {retries: 2}", ("k:18:24 E201",), "expected true or false"),
    "a wait with a unit": ("expects: {wait_seconds: 30s}", ("k:18:29 E401",), "expected a number of seconds"),
    "a negative wait": ("expects: {wait_seconds: -1}", ("k:18:29 E401",), "must be >= 0"),
    "counts as text": ("expects: {counts: 10/second}", ("k:18:23 E205",), "expected a list"),
    "an error code as a number": ("expects: {error: 404}", ("k:18:22 E206",), "quote it"),
    "a next page that is true": ("expects: {next_page: true}", ("k:18:26 E206",), "expected text"),
    "a next page that is a path": ("expects: {next_page: /a?page=2}", ("k:18:26 E204",), "a URL"),
    "a next page as a list": ("expects: {next_page: [a]}", ("k:18:26 E201",), "expected text"),
    "a response without a status": ("response: {json: {}}", ("k:18:5 E203",), 'missing key "status"'),
    "a login that the file does not have": ("login: oauth", ("k:18:12 E101",), "remove the key"),
    "a login in another form": ("login: [a]", ("k:18:12 E201",), "expected text"),
    "another failure": ("response: {error: dns}", ("k:18:23 E204",), "expected reset or truncated"),
}


def case_of(text: str) -> Case:
    """The blueprint with an example."""
    return Case(klaviyo=f"{KLAVIYO}examples:\n  - call: {{path: a}}\n    {text}\n")


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_a_wrong_key_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each wrong form has its exact line and column, and what is expected."""
    text, expected, words = WRONG_KEYS[name]
    error = refusal(tmp_path, case_of(text))
    assert places(error) == expected, str(error)
    assert words in str(error)
    assert PLANTED not in everything_about(error)


@pytest.mark.parametrize(
    "text",
    [
        "expects: {error: '404', retries: false, wait_seconds: 0.5, counts: [1/second], next_page: none}",
        "expects: {next_page: {page: 2, cursor: a}}",
        "expects: {next_page: 'https://a.klaviyo.com/api/a?page=2'}",
        "response: {error: truncated}",
    ],
)
def test_right_keys_load(tmp_path: Path, text: str) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, case_of(text))
    assert integration.blueprint == "klaviyo:v0"
