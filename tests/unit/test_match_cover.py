"""Whether one match covers another, so that no request reaches the second."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from nango_py.config.request_match import RequestFacts, RequestMatch

SEGMENTS = ("a", "b", "{x}", "*", "**", "a{x}")
PATTERNS = [
    "/".join(parts)
    for length in (1, 2, 3)
    for parts in itertools.product(SEGMENTS, repeat=length)
    if parts.count("**") <= 1
]
PATHS = [
    "/".join(parts) for length in range(5) for parts in itertools.product(("a", "b", "a1"), repeat=length)
]


def match(**settings: Any) -> RequestMatch:
    """The match of a block."""
    return RequestMatch.from_settings(settings)


def test_a_pattern_covers_only_patterns_whose_paths_it_fits() -> None:
    """For all patterns of up to three segments: what is covered fits no path that the other does not fit."""
    fitting = {
        pattern: frozenset(path for path in PATHS if match(path=pattern).fits(RequestFacts("GET", path)))
        for pattern in PATTERNS
    }
    covered = 0
    for wide, narrow in itertools.product(PATTERNS, repeat=2):
        if match(path=wide).covers(match(path=narrow)):
            covered += 1
            assert fitting[narrow] <= fitting[wide], (wide, narrow)
    assert covered > len(PATTERNS)


@pytest.mark.parametrize(
    ("wide", "narrow", "is_covered"),
    [
        ({}, {"method": "GET"}, True),
        ({"method": ["GET", "POST"]}, {"method": "GET"}, True),
        ({"method": "GET"}, {"method": ["GET", "POST"]}, False),
        ({"method": "GET"}, {}, False),
        ({"path": "a"}, {"params": {"p": "1"}}, False),
        ({"path": "a/*"}, {"path": "a/{id}", "params": {"p": "1"}}, True),
        ({"path": "a/{id}", "params": {"p": "1"}}, {"path": "a/{id}"}, False),
        ({"params": {"p": "1"}}, {"params": {"p": "1,2"}}, True),
        ({"params": {"p": "1,2"}}, {"params": {"p": "1"}}, False),
        ({"params": {"p": "1"}}, {"body": {"p": "1"}}, False),
        ({"config": {"plan": "pro"}}, {"config": {"plan": "pro"}, "method": "GET"}, True),
        ({"path": "a/**"}, {"path": "a/b/{c}"}, True),
        ({"path": ["a/*", "b"]}, {"path": ["b", "a/{id}"]}, True),
        ({"path": ["a/*", "b"]}, {"path": ["b", "c"]}, False),
        ({"path": ["a", "b"]}, {}, False),
        ({"path": "a/{b}"}, {"path": "a/**"}, False),
        ({"path": "{x}.json"}, {"path": "{y}.json"}, True),
        ({"path": "{x}.json"}, {"path": "*"}, False),
        ({"path": "{x}"}, {"path": "*"}, True),
    ],
)
def test_a_match_covers_another(wide: dict[str, Any], narrow: dict[str, Any], is_covered: bool) -> None:  # noqa: FBT001
    """Methods, paths and values of the wide match must be implied by those of the narrow one."""
    assert match(**wide).covers(match(**narrow)) is is_covered
