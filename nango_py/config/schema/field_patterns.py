"""Patterns for texts of users: only those that no text can make slow, in Python and in browsers.

A backtracking matcher may try every way to divide a text among the parts of a pattern. These ways are counted
before a pattern is used, for the longest text.
"""

from __future__ import annotations

import re

LONGEST_TEXT = 1024
"""Longer texts match no pattern."""

MOST_STEPS = 1 << 22
LONGEST_PATTERN = 300
LONGEST_AMBIGUOUS = 22
_TOO_MANY = MOST_STEPS + 1
_TOKEN = re.compile(
    r"(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)|(?P<edge>[\^$])"
    r"|(?P<repeat>[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??"
    r"|(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\[^0-9ABGZbgkx]|[^\\\[\](){}*+?|^$])"
)
_LITERAL = re.compile(r"\\\W|[^\w\\\[.]|\w")


def pattern_fault(pattern: str) -> str:
    """Why a pattern may not be used, or "".

    Characters, classes, groups, `|`, `^`, `$` and repetitions are allowed if Python and browsers read them in
    the same way. Look-arounds, back references, and nested repetitions that may take more than four million
    steps, such as `(a+)+`, are not.
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
    steps = _Counting(tokens).group()[1] * (1 if pattern.startswith("^") else LONGEST_TEXT)
    return "" if steps <= MOST_STEPS else "has repetitions that some texts make very slow"


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


class _Counting:
    """Counts at most how many ways a pattern can match a text, and the steps to try them all."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def group(self) -> tuple[int, int]:
        """The ways and steps of the alternatives up to the end of the group."""
        total, ways, steps = 0, 1, 1
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            self._at += 1
            if kind == "close":
                break
            if kind == "or":
                total, ways = total + ways, 1
            elif kind != "edge":
                more_ways, more_steps = self._group_part() if kind == "open" else self._atom_part(text)
                steps = min(steps + ways * more_steps, _TOO_MANY)
                ways = min(ways * more_ways, _TOO_MANY)
        return min(total + ways, _TOO_MANY), steps

    def _atom_part(self, atom: str) -> tuple[int, int]:
        choices = self._choices()
        if choices is None:
            return 1, 1
        least, most = choices
        following = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        ends_itself = following[0] == "atom" and _excludes(atom, following[1])
        return 1 if ends_itself else most - least + 1, most

    def _group_part(self) -> tuple[int, int]:
        begin = self._at
        ways, steps = self.group()
        is_delimited = _is_delimited(self._tokens[begin : self._at - 1])
        choices = self._choices()
        if choices is None:
            return ways, steps
        least, most = choices
        if ways == 1 or is_delimited:
            # Each repetition takes another part of the text, so together they read the text once.
            return most - least + 1, max(steps, LONGEST_TEXT)
        if most > LONGEST_AMBIGUOUS:
            return _TOO_MANY, _TOO_MANY
        powers = [ways**times for times in range(most + 1)]
        return min(sum(powers[least:]), _TOO_MANY), min(steps * sum(powers[:most]), _TOO_MANY)

    def _choices(self) -> tuple[int, int] | None:
        """The bounds of the repetition at this position, or None."""
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != "repeat":
            return None
        repeat = self._tokens[self._at][1]
        self._at += 1
        if repeat in {"*", "+", "?"}:
            return (1 if repeat == "+" else 0), (1 if repeat == "?" else LONGEST_TEXT)
        least, comma, most = repeat[1:-1].partition(",")
        return int(least), int(most) if most else LONGEST_TEXT if comma else int(least)


def _is_delimited(body: list[tuple[str, str]]) -> bool:
    """Whether a group is a separator and a class without it, as in `(-[a-z]+)`: one way for each text."""
    kinds = [kind for kind, _ in body]
    return kinds in (["atom", "atom", "repeat"], ["atom", "atom"]) and _excludes(body[1][1], body[0][1])


def _excludes(atom: str, other: str) -> bool:
    """Whether `other` is a single character that the atom does not match."""
    return _LITERAL.fullmatch(other) is not None and re.fullmatch(atom, other[-1]) is None
