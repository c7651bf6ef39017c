"""Patterns for texts of users: only those that take linear time, in Python and in browsers.

A backtracking matcher is linear if the next character decides every choice: whether a repetition goes on,
and which alternative is taken. Choices that it does not decide are counted, and few are allowed. An engine
without backtracking (google-re2) would need no check, but has no wheels for Alpine, and browsers have none.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

LONGEST_TEXT = 1024
"""Longer texts match no pattern."""

LONGEST_PATTERN = 300
MOST_WAYS = 512
MOST_UNANCHORED = 64
"""Maximum length of what a pattern without ^ matches: it is tried at every character of a text."""

_UNLIMITED = 1 << 20
_END = ""
_SAMPLE = (
    "".join(map(chr, range(0x180)))
    + "\u0391\u0436\u05d0\u0627\u0966\u3042\u4e00\uac00\u3000\u2028\uff10\U0001f600"
)
_TOKEN = re.compile(
    r"(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)|(?P<edge>[\^$])"
    r"|(?P<repeat>[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^0-9ABGNUZbgkux]|[^\\\[\](){}*+?|^$])"
)

Characters = frozenset[str]


class Item(NamedTuple):
    """A part of a pattern: characters, an edge (^ or $), or a group of alternatives."""

    characters: Characters
    alternatives: tuple[tuple[Item, ...], ...]
    edge: str
    least: int
    most: int

    def is_nullable(self) -> bool:
        """Whether it may match nothing."""
        if self.edge:
            return self.edge == "^"
        return self.least == 0 or any(all(map(Item.is_nullable, items)) for items in self.alternatives)

    def longest(self) -> int:
        """The length of the longest text that it matches."""
        if self.edge:
            return 0
        one = max((sum(map(Item.longest, items)) for items in self.alternatives), default=1)
        return min(one * self.most, _UNLIMITED)

    def first(self) -> Characters:
        """The characters that it may begin with."""
        if self.edge:
            return frozenset({_END} if self.edge == "$" else ())
        return self.characters.union(*(first_of(items, frozenset()) for items in self.alternatives))


def first_of(items: tuple[Item, ...], following: Characters) -> Characters:
    """What a sequence, and what follows it, may begin with."""
    found: Characters = frozenset()
    for item in items:
        found |= item.first() if item.most else frozenset()
        if not item.is_nullable():
            return found
    return found | following


def pattern_fault(pattern: str) -> str:
    """Why a pattern may not be used, or "".

    Characters, classes, groups, `|`, `^`, `$` and repetitions are allowed if Python and browsers read them in
    the same way. Look-arounds, back references, and patterns that some text makes slow are not: in `^a*b?a*$`
    the next character does not decide where the first repetition ends.
    """
    if len(pattern) > LONGEST_PATTERN:
        return f"is longer than {LONGEST_PATTERN} characters"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return "is not a regular expression"
    if "(?" in pattern.replace("(?:", ""):
        return "contains a look-around or a flag"
    tokens = _tokens(pattern)
    if tokens is None:
        return "contains a back reference or something else that browsers read differently"
    alternatives = _Parser(tokens, _SAMPLE + pattern).alternatives()
    if _ways_of_group(alternatives, frozenset({_END}), frozenset()) > MOST_WAYS:
        return "has repetitions that some texts make very slow; use different characters next to each other"
    for items in alternatives:
        is_anchored = bool(items) and items[0].edge == "^"
        if not is_anchored and sum(map(Item.longest, items)) > MOST_UNANCHORED:
            return "has long repetitions that some texts make very slow; begin it with ^"
    return ""


def matches_pattern(pattern: str, text: str) -> bool:
    """Whether the pattern matches somewhere in the text; texts of more than 1024 characters never match."""
    return len(text) <= LONGEST_TEXT and re.search(pattern, text) is not None


def _tokens(pattern: str) -> list[tuple[str, str]] | None:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(pattern):
        match = _TOKEN.match(pattern, at)
        if match is None or match.lastgroup is None:
            return None
        if match.lastgroup == "repeat" and found[-1][0] == "repeat":
            return None  # possessive: in Python since 3.11, not in browsers
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Parser:
    """Reads tokens as a tree."""

    def __init__(self, tokens: list[tuple[str, str]], sample: str) -> None:
        self._tokens = tokens
        self._sample = sample
        self._at = 0

    def alternatives(self) -> tuple[tuple[Item, ...], ...]:
        """The alternatives up to the end of the group."""
        found: list[list[Item]] = [[]]
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            self._at += 1
            if kind == "close":
                break
            if kind == "or":
                found.append([])
            elif kind == "edge":
                found[-1].append(Item(frozenset(), (), text, 1, 1))
            elif kind == "open":
                inside = self.alternatives()
                found[-1].append(Item(frozenset(), inside, "", *self._bounds()))
            else:
                found[-1].append(Item(_characters_of(text, self._sample), (), "", *self._bounds()))
        return tuple(map(tuple, found))

    def _bounds(self) -> tuple[int, int]:
        """The bounds of the repetition at this position."""
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != "repeat":
            return 1, 1
        repeat = self._tokens[self._at][1]
        self._at += 1
        if repeat in {"*", "+", "?"}:
            return (1 if repeat == "+" else 0), (1 if repeat == "?" else _UNLIMITED)
        least, comma, most = repeat[1:-1].partition(",")
        return int(least), int(most) if most else _UNLIMITED if comma else int(least)


@functools.lru_cache(maxsize=256)
def _characters_of(atom: str, sample: str) -> Characters:
    return frozenset(re.findall(atom, sample, re.DOTALL if atom == "." else 0))


def _ways_of_group(
    alternatives: tuple[tuple[Item, ...], ...], following: Characters, again: Characters
) -> int:
    """At most how many ways there are to match the alternatives, where the next character does not decide.

    Args:
        alternatives: the group.
        following: what may come after it.
        again: what it may begin with, if it is repeated.
    """
    after = following | again
    firsts = [first_of(items, after) for items in alternatives]
    ways = [_ways_of_items(items, after) for items in alternatives]
    is_decided = sum(map(len, firsts)) == len(frozenset().union(*firsts))
    return max(ways) if is_decided else sum(ways)


def _ways_of_items(items: tuple[Item, ...], following: Characters) -> int:
    ways = 1
    for index, item in enumerate(items):
        rest = items[index + 1 :]
        found = _ways_of_item(item, first_of(rest, following))
        if found > MOST_WAYS and following <= {_END} and _is_short_try(rest) and _is_decided_inside(item):
            found = MOST_UNANCHORED
        ways = min(ways * found, _UNLIMITED)
    return ways


def _is_decided_inside(item: Item) -> bool:
    """Whether only the end of a repetition is undecided."""
    empty: Characters = frozenset()
    return not item.alternatives or (
        not any(all(map(Item.is_nullable, items)) for items in item.alternatives)
        and _ways_of_group(item.alternatives, empty, item.first()) == 1
    )


def _is_short_try(rest: tuple[Item, ...]) -> bool:
    """Whether what follows an undecided repetition is tried at all its ends in linear time together.

    It is short, or it is a separator and characters without it: each try ends before the next separator.
    """
    if sum(map(Item.longest, rest)) <= MOST_UNANCHORED:
        return True
    separator, others = rest[0], rest[1:]
    is_plain = all(not item.alternatives for item in rest)
    is_one = (separator.least, separator.most, separator.edge) == (1, 1, "")
    return is_plain and is_one and not any(item.characters & separator.characters for item in others)


def _ways_of_item(item: Item, following: Characters) -> int:
    """As `_ways_of_group`, for one item with its repetition."""
    if item.edge or not item.most:
        return 1
    first, ways = item.first(), 1
    if item.least != item.most and first & following:
        ways = item.most - item.least + 1
    if item.alternatives:
        inside = _ways_of_group(item.alternatives, following, first if item.most > 1 else frozenset())
        is_empty = any(all(map(Item.is_nullable, items)) for items in item.alternatives)
        if item.most > 1 and (inside > 1 or is_empty):
            if item.most > MOST_WAYS:
                return _UNLIMITED
            inside = max(inside, 2) ** item.most
        ways *= inside
    return min(ways, _UNLIMITED)
