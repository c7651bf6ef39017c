"""Patterns for what users type: those that are accepted stay quick whatever is typed."""

from __future__ import annotations

import random
import re
import time

import pytest

from nango_py.config.schema.field_patterns import LONGEST_TEXT, matches_pattern, pattern_fault
from tests.support.step_counter import TooManySteps, count_steps, random_pattern, random_text

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
    "^pk_[a-z]+",
    "^[a-z]+[0-9]+$",
    "^[a-z]+(-[a-z]+)?$",
]

REFUSED = {
    "(a+)+": "repetitions",
    "^(a|a)*$": "repetitions",
    "^a*a*a*$": "repetitions",
    "^a*a*a*b$": "repetitions",
    "a*a*$": "repetitions",
    "^[0-9]*-?[0-9]*-?[0-9]*-?[0-9]*$": "repetitions",
    "^(?:a+b{0})+c$": "repetitions",
    "^(?:a?)*b$": "repetitions",
    "^(?:(?:(?:){999}){999}){999}$": "repetitions",
    "[0-9]+$": "begin it with",
    "^a|b*c": "begin it with",
    "^((a{1,9}){1,9}){1,9}$": "repetitions",
    r"^(\w[a-z]*)*$": "repetitions",
    r"^(.)\1$": "back reference",
    r"^\u0061+a+$": "back reference",
    r"^\U00000061+a+$": "back reference",
    r"^\N{DIGIT ONE}+$": "back reference",
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


MOST_STEPS_PER_CHARACTER = 1500


def test_accepted_patterns_take_linear_steps(request: pytest.FixtureRequest) -> None:
    """Random patterns that are accepted, on random texts: a backtracking matcher counts its steps."""
    dice = random.Random(request.config.getoption("randomly_seed", 1))
    number = 10_000 if request.config.getoption("--thorough") else 200
    accepted = 0
    for _ in range(number):
        pattern = random_pattern(dice)
        if pattern_fault(pattern):
            continue
        accepted += 1
        for _ in range(3):
            text = random_text(dice, 400)
            steps = count_steps(pattern, text, limit=MOST_STEPS_PER_CHARACTER * 400)
            half = count_steps(pattern, text[:199] + text[-1], limit=MOST_STEPS_PER_CHARACTER * 200)
            assert steps <= max(3 * half, 40 * 400), (pattern, text, half, steps)
    assert accepted > number / 40


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[0-9]*-?[0-9]*-?[0-9]*-?[0-9]*$", "1" * 200 + "x"), ("^(?:a+b{0})+c$", "a" * 30),
        ("^a*a*b$", "a" * 400),
    ],
)  # fmt: skip
def test_step_counter_notices_slow_patterns(pattern: str, text: str) -> None:
    """Control: patterns that an earlier check accepted take far more steps."""
    with pytest.raises(TooManySteps):
        count_steps(pattern, text, limit=50_000)
