"""Wrong forms of the keys of uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.bad_files import KLAVIYO, PLANTED, Case, everything_about, load, places, refusal

if TYPE_CHECKING:
    from pathlib import Path

# By name: the `upload` of an entry in line 17, its problems, and words of the message.
WRONG_KEYS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no URL": ("{received: {header: Range}}", ("k:17:24 E203",), 'missing key "url"'),
    "nothing that has arrived": ("{url: a}", ("k:17:24 E204",), "expected received or missing"),
    "both sides": ("{url: a, received: b, missing: c}", ("k:17:24 E204",), "expected received or missing"),
    "an unknown key": ("{url: a, missing: b, chunk: 5}", ("k:17:53 E202",), "piece_bytes"),
    "a size with a unit": ("{url: a, missing: b, piece_bytes: 8MB}", ("k:17:66 E201",), "a whole number"),
    "a size of nothing": ("{url: a, missing: b, piece_bytes: 0}", ("k:17:66 E401",), ">= 1"),
    "another method": ("{url: a, missing: b, progress_method: HEAD}", ("k:17:70 E204",), "PUT or GET"),
    "two places in one pointer": ("{url: {header: a, link: b}, missing: b}", ("k:17:50 E204",), "one of"),
    "a wrong JMESPath": ("{url: 'a..b', missing: b}", ("k:17:38 E324",), "JMESPath"),
    "text": ("Location", ("k:17:32 E201",), "expected a mapping"),
}


def case_of(text: str) -> Case:
    """The blueprint with an upload."""
    return Case(klaviyo=f"{KLAVIYO}endpoints:\n  - {{match: {{path: a}}, upload: {text}}}\n")


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
        "{url: {header: Location}, received: {header: Range}}",
        "{url: uploadUrl, missing: 'nextExpectedRanges[0]', progress_method: GET, piece_bytes: 327680}",
    ],
)
def test_right_keys_load(tmp_path: Path, text: str) -> None:
    """The control: the same keys in their right form are accepted."""
    (integration,) = load(tmp_path, case_of(text))
    assert integration.blueprint == "klaviyo:v0"
