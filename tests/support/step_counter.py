"""A backtracking matcher that counts its steps, and random patterns for it."""

from __future__ import annotations

import re
import re._parser as sre
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

ATOMS = ["a", "b", "-", "[ab]", "[a-c]", "[^-]", "[0-9]", ".", "\\d", "[a-z]", "0"]
REPEATS = ["", "", "", "*", "+", "?", "{0}", "{2}", "{1,3}", "{2,}", "*?", "+?"]


class TooManySteps(Exception):
    """The matcher would go on."""


def random_pattern(dice: random.Random, depth: int = 2) -> str:
    """A pattern of classes, groups, alternatives and repetitions."""

    def sequence(depth: int) -> str:
        return "".join(part(depth) for _ in range(dice.randint(1, 4)))

    def part(depth: int) -> str:
        if depth and dice.random() < 0.3:
            inside = "|".join(sequence(depth - 1) for _ in range(dice.choice([1, 1, 2])))
            return f"({inside}){dice.choice(REPEATS)}"
        return dice.choice(ATOMS) + dice.choice(REPEATS)

    return dice.choice(["^", "^", "^", ""]) + sequence(depth) + dice.choice(["$", "$", ""])


def random_text(dice: random.Random, length: int) -> str:
    """A text that repeats a short piece, and ends with something else."""
    piece = "".join(dice.choice("aab-0c") for _ in range(dice.randint(1, 4)))
    return (piece * length)[: length - 1] + dice.choice("!a-")


def count_steps(pattern: str, text: str, limit: int) -> int:
    """The steps of a search by backtracking, as Python and browsers do it.

    Raises:
        TooManySteps: it takes more than the limit.
    """
    matcher = _Matcher(text, limit)
    tree = list(sre.parse(pattern))
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)  # the matcher calls itself for each character
    try:
        any(matcher.match(tree, start, lambda _: True) for start in range(len(text) + 1))
    finally:
        sys.setrecursionlimit(usual)  # other tests need the usual one: how deep JSON may be depends on it
    return matcher.steps


class _Matcher:
    """Tries every way, in the order of the pattern."""

    def __init__(self, text: str, limit: int) -> None:
        self._text = text
        self._limit = limit
        self.steps = 0

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._limit:
            raise TooManySteps

    def match(self, nodes: list[Any], at: int, then: Callable[[int], bool]) -> bool:
        """Whether the nodes match at this place, and what comes then."""
        if not nodes:
            return then(at)
        self._step()
        (op, value), rest = nodes[0], nodes[1:]
        kind = str(op)
        if kind == "AT":
            place = 0 if str(value) == "AT_BEGINNING" else len(self._text)
            return at == place and self.match(rest, at, then)
        if kind == "SUBPATTERN":
            return self.match(list(value[3]), at, lambda end: self.match(rest, end, then))
        if kind == "BRANCH":
            return any(self.match(list(branch) + rest, at, then) for branch in value[1])
        if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
            return self._repeat(kind, value, 0, at, lambda end: self.match(rest, end, then))
        return self._fits(kind, value, at) and self.match(rest, at + 1, then)

    def _repeat(self, kind: str, value: Any, done: int, at: int, then: Callable[[int], bool]) -> bool:
        self._step()
        least, most, body = value

        def go_on(end: int) -> bool:
            return (end > at or done < least) and self._repeat(kind, value, done + 1, end, then)

        def again() -> bool:
            return done < most and self.match(list(body), at, go_on)

        if done < least:
            return again()
        return (again() or then(at)) if kind == "MAX_REPEAT" else (then(at) or again())

    def _fits(self, kind: str, value: Any, at: int) -> bool:
        if at >= len(self._text):
            return False
        char = self._text[at]
        if kind in {"LITERAL", "NOT_LITERAL"}:
            return (char == chr(value)) == (kind == "LITERAL")
        if kind == "ANY":
            return char != "\n"
        return any(_is_in(member, char) for member in value) != (str(value[0][0]) == "NEGATE")


def _is_in(member: tuple[Any, Any], char: str) -> bool:
    kind, value = str(member[0]), member[1]
    if kind == "LITERAL":
        return ord(char) == value
    if kind == "RANGE":
        return bool(value[0] <= ord(char) <= value[1])
    return kind == "CATEGORY" and re.match(r"\d", char) is not None
