"""`match`: which requests an entry of a blueprint is for. One implementation for every list of entries.

All parts of a match must fit. Entries are found by path and by the values they ask for, so the time does not
grow with their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from nango_py.config.values import as_tuple
from nango_py.record import field, record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nango_py.json_types import Settings

REST = "**"
"""The segment of a pattern that stands for any number of segments, also none."""

PARAMS, BODY, CONFIG = "params", "body", "config"


@lru_cache(maxsize=4096)
def segments_of(path: str) -> tuple[str, ...]:
    """The segments of a path, without its query and without slashes at either end."""
    return tuple(segment for segment in path.partition("?")[0].split("/") if segment)


@record
class RequestFacts:
    """What a match looks at.

    Attributes:
        method: in upper case.
        path: below its base, without the query.
        params: the query, by name: a text, a number, or a list of them.
        body: the JSON value or the form of the call; None if it has neither.
        config: the additional_config of the connection.
    """

    method: str
    path: str
    params: Mapping[str, object] = field(default_factory=dict)
    body: object = None
    config: Mapping[str, object] = field(default_factory=dict)

    def texts(self, source: str, name: str) -> frozenset[str]:
        """The values of a parameter, of a field of the body or of a setting, as texts.

        Parameters may have several values in one text, separated by commas.
        """
        if source == PARAMS:
            return value_texts(self.params.get(name), is_split=True)
        if source == CONFIG:
            return value_texts(self.config.get(name))
        return value_texts(value_at(self.body, name))


def value_at(value: object, path: str) -> object:
    """The value at a dotted path such as `data.0.id` of a body; None if there is none."""
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def value_texts(value: object, *, is_split: bool = False) -> frozenset[str]:
    """A value, or each item of a list, as the text that files write."""
    if isinstance(value, bool):
        return frozenset({"true" if value else "false"})
    if isinstance(value, str | int | float):
        text = str(value)
        return frozenset(map(str.strip, text.split(","))) if is_split else frozenset({text})
    if isinstance(value, list | tuple | set | frozenset):
        return frozenset().union(*(value_texts(item, is_split=is_split) for item in value))
    return frozenset()


class Condition(NamedTuple):
    """One value that a match asks for: all `texts` must be among the request's."""

    source: str
    name: str
    texts: frozenset[str]


@record
class RequestMatch:
    """A checked `match:` block. Without any part it fits every request.

    Attributes:
        methods: in upper case; empty for any.
        patterns: the segments of each path that is meant; empty for any.
        conditions: the values that parameters, body and settings must have.
    """

    methods: frozenset[str] = frozenset()
    patterns: tuple[tuple[str, ...], ...] = ()
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings | None) -> RequestMatch:
        """The match of a block that passed the schema; None fits every request."""
        settings = settings or {}
        conditions = (
            Condition(source, str(name), value_texts(wanted, is_split=source == PARAMS))
            for source in (PARAMS, BODY, CONFIG)
            for name, wanted in settings.get(source, {}).items()
        )
        return cls(
            frozenset(name.upper() for name in as_tuple(settings.get("method"))),
            tuple(map(segments_of, as_tuple(settings.get("path")))),
            tuple(conditions),
        )

    def fits(self, facts: RequestFacts) -> bool:
        """Whether the request is meant."""
        return (not self.patterns or self._pattern_of(facts.path) is not None) and self.fits_rest(facts)

    def fits_rest(self, facts: RequestFacts) -> bool:
        """Whether everything but the path fits."""
        return (not self.methods or facts.method in self.methods) and (
            not self.conditions
            or all(texts <= facts.texts(source, name) for source, name, texts in self.conditions)
        )

    def covers(self, other: RequestMatch) -> bool:
        """Whether every request that the other fits, this fits too. False if that is not certain."""
        if self.methods and not (other.methods and other.methods <= self.methods):
            return False
        if self.patterns and not (other.patterns and all(map(self._covers_pattern, other.patterns))):
            return False
        return all(
            any(own[:2] == one[:2] and own.texts <= one.texts for one in other.conditions)
            for own in self.conditions
        )

    def pattern_of(self, path: str) -> str:
        """The first pattern that a path fits, as text; "" if there is none."""
        return "/".join(self._pattern_of(path) or ())

    def _pattern_of(self, path: str) -> tuple[str, ...] | None:
        segments = segments_of(path)
        return next((pattern for pattern in self.patterns if path_fits(pattern, segments)), None)

    def _covers_pattern(self, narrow: tuple[str, ...]) -> bool:
        return any(_pattern_covers(pattern, narrow) for pattern in self.patterns)

    def capture(self, path: str) -> dict[str, str]:
        """The segments of a fitting path by the `{name}` of its pattern, as they are sent."""
        pattern, segments = self._pattern_of(path) or (), segments_of(path)
        found: dict[str, str] = {}
        for wanted, segment in _pairs(pattern, segments):
            before, name, after = _split(wanted)
            if name:
                found.setdefault(name, segment[len(before) : len(segment) - len(after)])
        return found


def path_fits(pattern: tuple[str, ...], segments: tuple[str, ...]) -> bool:
    """Whether the segments of a path fit a pattern."""
    fixed = len(pattern) - (REST in pattern)
    if len(segments) < fixed or (fixed == len(pattern) and len(segments) != fixed):
        return False
    return all(_segment_fits(wanted, segment) for wanted, segment in _pairs(pattern, segments))


def _pattern_covers(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    """Whether every path that fits the narrow pattern fits the wide one."""
    fixed = len(wide) - (REST in wide)
    if REST not in wide and (REST in narrow or len(narrow) != fixed):
        return False
    before = wide.index(REST) if REST in wide else fixed
    after = fixed - before
    if len(narrow) < fixed or REST in narrow[:before] or REST in narrow[len(narrow) - after :]:
        return False
    return all(_segment_covers(wanted, segment) for wanted, segment in _pairs(wide, narrow))


def _segment_covers(wide: str, narrow: str) -> bool:
    if wide in {narrow, "*"}:
        return True
    before, name, after = _split(wide)
    narrow_before, narrow_name, narrow_after = _split(narrow)
    if not name:
        return False
    if narrow == "*" or narrow_name:
        return (
            narrow_before.startswith(before) and narrow_after.endswith(after)
            if narrow_name
            else not before + after
        )
    return _surrounds(before, after, narrow)


def _pairs(pattern: tuple[str, ...], segments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each segment of a pattern with the one it stands for, without those of `**`."""
    if REST not in pattern:
        yield from zip(pattern, segments, strict=False)
        return
    before = pattern.index(REST)
    after = len(pattern) - before - 1
    yield from zip(pattern[:before], segments, strict=False)
    yield from zip(pattern[before + 1 :], segments[len(segments) - after :], strict=False)


def _segment_fits(wanted: str, segment: str) -> bool:
    if wanted in {segment, "*"}:
        return True
    before, name, after = _split(wanted)
    return bool(name) and _surrounds(before, after, segment)


def _surrounds(before: str, after: str, segment: str) -> bool:
    return len(segment) > len(before) + len(after) and segment.startswith(before) and segment.endswith(after)


@lru_cache(maxsize=4096)
def _split(wanted: str) -> tuple[str, str, str]:
    """The texts around the `{name}` of a segment, and the name; "" if it has none."""
    before, brace, rest = wanted.partition("{")
    name, closed, after = rest.partition("}")
    return (before, name, after) if brace and closed else (wanted, "", "")


class _Entries:
    """The numbers of the entries of one pattern, by a value that they ask for."""

    __slots__ = ("by_value", "others")

    def __init__(self) -> None:
        self.others: list[int] = []
        self.by_value: dict[tuple[str, str], dict[str, list[int]]] = {}

    def add(self, number: int, match: RequestMatch) -> None:
        known = next((one for one in match.conditions if one.texts), None)
        if known is None:
            self.others.append(number)
            return
        by_text = self.by_value.setdefault((known.source, known.name), {})
        by_text.setdefault(min(known.texts), []).append(number)


class _Node:
    """What may follow one segment of the patterns.

    Attributes:
        literal: the next node by segment; `*` is under "*".
        partial: (text before, text after, next node) for segments with a `{name}`.
        rest: the entries of the patterns that go on with `**`, by their other segments.
        ends: the entries whose pattern ends here.
    """

    __slots__ = ("ends", "literal", "partial", "rest")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.partial: dict[tuple[str, str], _Node] = {}
        self.rest: dict[tuple[str, ...], _Entries] = {}
        self.ends = _Entries()

    def place(self, pattern: tuple[str, ...]) -> _Entries:
        """Where the entries with this pattern are kept."""
        node = self
        for index, wanted in enumerate(pattern):
            before, name, after = _split(wanted)
            if wanted == REST:
                return node.rest.setdefault(pattern[index:], _Entries())
            if name:
                node = node.partial.setdefault((before, after), _Node())
            else:
                node = node.literal.setdefault(wanted, _Node())
        return node.ends

    def find(self, segments: tuple[str, ...]) -> Iterator[_Entries]:
        """The entries whose pattern fits the segments."""
        for pattern, entries in self.rest.items():
            if path_fits(pattern, segments):
                yield entries
        if not segments:
            yield self.ends
            return
        first, rest = segments[0], segments[1:]
        for key in {first, "*"}:
            if key in self.literal:
                yield from self.literal[key].find(rest)
        for (before, after), node in self.partial.items():
            if _surrounds(before, after, first):
                yield from node.find(rest)


class MatchTable:
    """Matches in the order of a list. Safe to share between threads.

    Args:
        matches: the matches; None fits every request.
    """

    def __init__(self, matches: Iterable[RequestMatch | None]) -> None:
        self._matches: Sequence[RequestMatch] = tuple(match or RequestMatch() for match in matches)
        self._anywhere, self._root = _Entries(), _Node()
        for number, match in enumerate(self._matches):
            for entries in map(self._root.place, match.patterns) if match.patterns else (self._anywhere,):
                entries.add(number, match)
        # Programs have few endpoints.
        self._entries_of = lru_cache(maxsize=1024)(self._find_entries)

    def __len__(self) -> int:
        return len(self._matches)

    def first(self, facts: RequestFacts) -> int | None:
        """The number of the first match that fits, from 0; None if none does."""
        for number in self._candidates(facts):
            if self._matches[number].fits_rest(facts):
                return number
        return None

    def all(self, facts: RequestFacts) -> tuple[int, ...]:
        """The numbers of all matches that fit, in order."""
        return tuple([one for one in self._candidates(facts) if self._matches[one].fits_rest(facts)])

    def _candidates(self, facts: RequestFacts) -> Sequence[int]:
        """The matches whose path fits, and of those that ask for a certain value, the ones that get it."""
        others, by_value = self._entries_of(facts.path)
        return sorted({*others, *_entries_asking_for(by_value, facts)}) if by_value else others

    def _find_entries(
        self, path: str
    ) -> tuple[tuple[int, ...], tuple[tuple[tuple[str, str], dict[str, list[int]]], ...]]:
        found = [self._anywhere, *self._root.find(segments_of(path))]
        others = sorted({number for entries in found for number in entries.others})
        return tuple(others), tuple(item for entries in found for item in entries.by_value.items())


def _entries_asking_for(
    by_value: Iterable[tuple[tuple[str, str], Mapping[str, list[int]]]], facts: RequestFacts
) -> Iterator[int]:
    """The numbers of the entries that ask for a value that the request has."""
    for (source, name), numbers in by_value:
        for text in facts.texts(source, name):
            yield from numbers.get(text, ())
