"""Patterns for what users type: those that are accepted stay quick whatever is typed."""

from __future__ import annotations

import re
import time

import pytest

from nango_py.config.schema.field_patterns import LONGEST_TEXT, matches_pattern, pattern_fault

USABLE = [
    "^[a-z]{2}(-[a-z]+)+-[0-9]+$",
    "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    r"^[a-z0-9-]+(\.[a-z0-9-]+)*$",
    r"^[^@]+@[^@]+\.[a-z]+$",
    "^20[0-9]{2}-(01|04|07|10)$",
    "^(sk|rk)_(test|live)_",
    "/token$",
    "^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$",
    "^-----BEGIN",
    r"^(?:\d{3}-)?\d{4}$",
    "pk_[a-z]+",
]

REFUSED = {
    "(a+)+": "repetitions",
    "^(a|a)*$": "repetitions",
    "^(a|ab)(c|bcd)*$": "repetitions",
    "^a*a*a*$": "repetitions",
    "^a*a*a*b$": "repetitions",
    "a*a*$": "repetitions",
    "^((a{1,9}){1,9}){1,9}$": "repetitions",
    r"^(\w[a-z]*)*$": "repetitions",
    r"^(.)\1$": "back reference",
    "^a++b": "back reference",
    "^(?=a)b": "look-around",
    "^(?i)a": "not a regular expression",
    "a{5,1}": "not a regular expression",
    "[": "not a regular expression",
    "a" * 301: "longer",
}

HOSTILE = [
    "a" * LONGEST_TEXT,
    "a" * (LONGEST_TEXT - 1) + "!",
    "a-" * (LONGEST_TEXT // 2),
    "a." * (LONGEST_TEXT // 2),
    "aa" + "-a" * (LONGEST_TEXT // 2 - 1),
    "a@" + "a." * (LONGEST_TEXT // 2 - 1),
    "0" * LONGEST_TEXT,
]


@pytest.mark.parametrize("pattern", USABLE)
def test_a_usual_pattern_is_accepted_and_quick_on_hostile_texts(pattern: str) -> None:
    """The patterns that people write for keys, names and addresses pass, and no long text makes them slow."""
    assert pattern_fault(pattern) == ""
    for text in HOSTILE:
        begin = time.thread_time()
        matches_pattern(pattern, text)
        assert time.thread_time() - begin < 0.25


@pytest.mark.parametrize(("pattern", "says"), REFUSED.items())
def test_a_pattern_that_could_be_slow_or_read_in_two_ways_is_refused(pattern: str, says: str) -> None:
    """Repetitions that share texts, and what browsers read in another way, make no pattern."""
    assert says in pattern_fault(pattern)


def test_the_refusal_of_nested_repetitions_prevents_a_slow_match() -> None:
    """The control: such a pattern doubles its time with each character."""
    times = []
    for length in (16, 20):
        begin = time.thread_time()
        re.search("^(a+)+$", "a" * length + "!")
        times.append(time.thread_time() - begin)
    assert times[1] > 4 * times[0]


def test_a_longer_text_fits_no_pattern() -> None:
    """What is matched has at most 1024 characters, so the count of steps holds."""
    assert matches_pattern("^a", "a" * LONGEST_TEXT)
    assert not matches_pattern("^a", "a" * (LONGEST_TEXT + 1))
