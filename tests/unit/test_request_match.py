"""`match`: which requests an entry is for, and how entries are found."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nango_py.config.request_match import MatchTable, RequestFacts, RequestMatch


def fits(match: dict[str, Any], method: str = "GET", path: str = "lists", **facts: Any) -> bool:
    """Whether a request fits a match."""
    return RequestMatch.from_settings(match).fits(RequestFacts(method, path, **facts))


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("lists/", "lists", True),
        ("lists", "/lists/?page=2", True),
        ("Lists", "lists", False),
        ("", "", True),
        ("", "lists", False),
        ("lists/{id}", "lists/7", True),
        ("lists/{id}", "lists", False),
        ("lists/{id}", "lists/7/items", False),
        ("lists/*", "lists/7/", True),
        ("li*", "lists", False),
        ("*/items", "lists/items", True),
        ("tickets/{id}.json", "tickets/7.json", True),
        ("tickets/{id}.json", "tickets/7", False),
        ("tickets/{id}.json", "tickets/.json", False),
        ("values/{range}:append", "values/A1:append", True),
        ("**", "", True),
        ("**", "a/b/c", True),
        ("files/**", "files", True),
        ("files/**", "files/a/b", True),
        ("files/**", "file", False),
        ("**/items", "items", True),
        ("**/items", "a/b/items", True),
        ("**/items", "a/items/b", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a", False),
        ("a/**/z", "z", False),
        ("a/**/a", "a", False),
        ("a/**/{id}.json", "a/b/7.json", True),
    ],
)
def test_a_path_fits_segment_by_segment(pattern: str, path: str, *, expected: bool) -> None:
    """`*` and `{name}` stand for one segment, `**` for any number; slashes at the ends do not matter."""
    assert fits({"path": pattern}, path=path) is expected
    table = MatchTable([RequestMatch.from_settings({"path": pattern})])
    assert (table.first(RequestFacts("GET", path)) == 0) is expected


@pytest.mark.parametrize(
    ("match", "facts", "expected"),
    [
        ({"method": "post"}, {"method": "POST"}, True),
        ({"method": ["GET", "HEAD"]}, {"method": "HEAD"}, True),
        ({"method": ["GET", "HEAD"]}, {"method": "POST"}, False),
        ({"params": {"include": "a,b"}}, {"params": {"include": "b, a,c"}}, True),
        ({"params": {"include": "a,b"}}, {"params": {"include": ["a", "b"]}}, True),
        ({"params": {"include": "a,b"}}, {"params": {"include": "a"}}, False),
        ({"params": {"include": "a"}}, {}, False),
        ({"params": {"limit": 10, "deep": True}}, {"params": {"limit": "10", "deep": True}}, True),
        ({"params": {"deep": "true"}}, {"params": {"deep": 1}}, False),
        ({"body": {"operation.name": "products"}}, {"body": {"operation": {"name": "products"}}}, True),
        ({"body": {"operation.name": "products"}}, {"body": {"operation": "products"}}, False),
        ({"body": {"items.0.kind": "a"}}, {"body": {"items": [{"kind": "a"}]}}, True),
        ({"body": {"items.1.kind": "a"}}, {"body": {"items": [{"kind": "a"}]}}, False),
        ({"body": {"kinds": "b"}}, {"body": {"kinds": ["a", "b"]}}, True),
        ({"body": {"name": "a,b"}}, {"body": {"name": "a,b"}}, True),
        ({"body": {"name": "a"}}, {"body": {"name": "a,b"}}, False),
        ({"body": {"dry_run": False}}, {"body": {"dry_run": False}}, True),
        ({"body": {"dry_run": False}}, {"body": b"dry_run=false"}, False),
        ({"body": {"dry_run": False}}, {}, False),
        ({"config": {"plan": "pro"}}, {"config": {"plan": "pro"}}, True),
        ({"config": {"plan": "pro"}}, {"config": {"plan": "free"}}, False),
        ({"config": {"plan": "pro"}, "method": "GET"}, {"config": {"plan": "pro"}, "method": "PUT"}, False),
    ],
)
def test_all_parts_must_fit(match: dict[str, Any], facts: dict[str, Any], *, expected: bool) -> None:
    """Methods, parameters, values of the body and settings of the connection are compared as texts."""
    assert fits(match, **facts) is expected


def test_no_match_fits_everything() -> None:
    """An entry without a match is for every request."""
    assert RequestMatch.from_settings(None).fits(RequestFacts("DELETE", "a/b"))
    assert MatchTable([None]).first(RequestFacts("DELETE", "a/b")) == 0
    assert MatchTable([]).first(RequestFacts("GET", "a")) is None


def test_one_of_several_paths_is_enough() -> None:
    """A list of paths fits each of them, once, and each has its own pattern and its own named segments."""
    match = RequestMatch.from_settings({"method": "GET", "path": ["lists/{id}/items", "lists/*/**", "tags"]})
    table = MatchTable([RequestMatch.from_settings({"path": "users"}), match])
    found = [table.all(RequestFacts("GET", path)) for path in ("lists/7/items", "tags", "users", "other")]
    assert found == [(1,), (1,), (0,), ()]
    assert table.first(RequestFacts("POST", "tags")) is None
    paths = ("lists/7/items", "lists/7/other", "tags", "other")
    assert [match.pattern_of(path) for path in paths] == ["lists/{id}/items", "lists/*/**", "tags", ""]
    assert [match.capture(path) for path in paths] == [{"id": "7"}, {}, {}, {}]


@pytest.mark.parametrize(
    ("pattern", "path", "captured"),
    [
        ("lists/{list}/items/{item}", "lists/7/items/a%20b", {"list": "7", "item": "a%20b"}),
        ("tickets/{id}.json", "/tickets/7.json?x=1", {"id": "7"}),
        ("users/{id}/drafts/{id}", "users/me/drafts/9", {"id": "me"}),
        ("**/channels/{channel}", "v1/team/channels/C1", {"channel": "C1"}),
        ("a/{b}/**", "a/1/c/d", {"b": "1"}),
        ("lists/*", "lists/7", {}),
    ],
)
def test_named_segments_are_captured(pattern: str, path: str, captured: dict[str, str]) -> None:
    """By name, as they are sent; of two with one name the first."""
    assert RequestMatch.from_settings({"path": pattern}).capture(path) == captured


def test_the_table_finds_what_each_match_says() -> None:
    """For random entries and requests, in order; the control is the plain way, one match after the other."""
    chance = random.Random(7)
    words = ["a", "b", "{x}", "{y}.json", "*", "**"]
    matches = []
    for _ in range(300):
        match: dict[str, Any] = {}
        if chance.random() < 0.9:
            pattern = [chance.choice(words) for _ in range(chance.randrange(4))]
            match["path"] = "/".join(p for i, p in enumerate(pattern) if p != "**" or "**" not in pattern[:i])
        if chance.random() < 0.5:
            match["method"] = chance.choice(["GET", "POST", ["GET", "PUT"]])
        for part in ("params", "body", "config"):
            if chance.random() < 0.3:
                match[part] = {name: chance.choice(["1", "2", "1,2"]) for name in chance.sample("mn", 1)}
        matches.append(RequestMatch.from_settings(match))
    table = MatchTable(matches)
    lengths = set()
    for _ in range(2000):
        values = [{name: chance.choice(["1", "2", "1,2"]) for name in "mn"} for _ in range(3)]
        path = "/".join(chance.choice(["a", "b", "7.json"]) for _ in range(chance.randrange(5)))
        facts = RequestFacts(chance.choice(["GET", "POST", "PUT"]), path, *values)
        expected = tuple(number for number, match in enumerate(matches) if match.fits(facts))
        assert table.all(facts) == expected
        assert table.first(facts) == (expected[0] if expected else None)
        lengths.add(len(expected))
    assert len(lengths) > 5


def tried(table: MatchTable, facts: RequestFacts, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many matches are compared to find the first."""
    count = 0
    original = RequestMatch.fits_rest

    def counting(self: RequestMatch, facts: RequestFacts) -> bool:
        nonlocal count
        count += 1
        return original(self, facts)

    with monkeypatch.context() as patch:
        patch.setattr(RequestMatch, "fits_rest", counting)
        table.first(facts)
    return count


@pytest.mark.parametrize("size", [10, 300, 3000])
def test_the_work_does_not_grow_with_the_entries(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry is compared, whether entries differ by path, by parameter, by body or by setting."""
    by_path = [RequestMatch.from_settings({"path": f"things/{number}/{{id}}"}) for number in range(size)]
    assert tried(MatchTable(by_path), RequestFacts("GET", f"things/{size - 1}/7"), monkeypatch) == 1
    for part in ("params", "body", "config"):
        matches = [
            RequestMatch.from_settings({"path": "things", part: {"kind": f"k{number}"}})
            for number in range(size)
        ]
        facts = RequestFacts("GET", "things", **{part: {"kind": f"k{size - 1}"}})
        assert tried(MatchTable(matches), facts, monkeypatch) == 1
    anything = [RequestMatch.from_settings({"method": "POST"})] * size
    assert tried(MatchTable(anything), RequestFacts("GET", "a"), monkeypatch) == size  # the control
