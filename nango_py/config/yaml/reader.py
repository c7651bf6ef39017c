"""Builds a tree of values and places from a YAML parser's events, without recursion and within limits.

PyYAML's own composer is not used: libyaml's recurses and crashes the process on deep input, PyYAML keeps the
last of two equal keys, and neither limits what aliases expand to.
"""

from __future__ import annotations

import math
import re
from typing import Protocol, TypeAlias

from nango_py.config.yaml.tree import Node, kind_of
from nango_py.errors import MAX_PROBLEMS, Position, Problem, printable

MAX_DEPTH = 50
MAX_VALUES = 100_000
MAX_ALIASES = 100
_INT64 = 2**63

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS = _NULL.union(_BOOL)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_INT_OF_BASE = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
INVISIBLE = re.compile(
    "[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)

_CORE_TAGS: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:str": (str,),
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
    "tag:yaml.org,2002:map": (dict,),
    "tag:yaml.org,2002:seq": (list,),
}


class Mark(Protocol):
    """A place in a file, counted from 0."""

    line: int
    column: int


class Event(Protocol):
    """What is used of PyYAML's events."""

    start_mark: Mark
    end_mark: Mark
    anchor: str | None
    tag: str | None
    value: str
    style: str | None
    implicit: tuple[bool, bool]


class EventParser(Protocol):
    """What is used of PyYAML's loaders."""

    def check_event(self) -> bool:
        """Whether there is another event."""

    def get_event(self) -> Event:
        """The next event."""


Scalar: TypeAlias = "str | int | float | bool | None"


class StopError(Exception):
    """Reading cannot continue; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class _Frame:
    """A list or mapping that has not ended."""

    __slots__ = ("anchor", "before", "deepest", "key", "mapping", "node")

    def __init__(self, node: Node, anchor: str | None, before: int, *, mapping: bool) -> None:
        self.node = node
        self.anchor = anchor
        self.before = before
        self.mapping = mapping
        self.deepest = 0
        self.key: tuple[str, int, int, bool] | None = None

    def attach(self, node: Node) -> None:
        """Add an item, or the value of the last key; a repeated key keeps its first value."""
        parent = self.node
        if not self.mapping:
            parent.items.append(node)
            parent.value.append(node.value)
        elif self.key is not None:
            text, line, column, plain = self.key
            self.key = None
            if text not in parent.entries:
                parent.entries[text] = (line, column, plain, node)
                parent.value[text] = node.value
                parent.has_nulls |= node.value is None or node.has_nulls


class Reader:
    """Reads the events of one document.

    Args:
        file: its name, for messages.
        problems: see below.
        max_values: the most values, aliases expanded.

    Attributes:
        root: the tree; None if there was no document.
        problems: what is wrong in one place only; reading continued after each.
        last_quoted: the event of the last quoted scalar, which explains many syntax errors after it.
        has_infinity: whether a number is infinite or not a number.
    """

    def __init__(self, file: str, problems: list[Problem], max_values: int = MAX_VALUES) -> None:
        self.file = file
        self._max_values = max_values
        self.problems = problems
        self.root: Node | None = None
        self.last_quoted: Event | None = None
        self.has_infinity = False
        self._open: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._open_anchors: dict[str, Position] = {}
        self._values = 0
        self._aliases = 0

    def read(self, parser: EventParser) -> None:
        """Build the tree from a parser's events.

        Raises:
            StopError: reading cannot continue; and whatever the parser raises.
        """
        steps = {
            "ScalarEvent": self._scalar,
            "MappingStartEvent": self._start,
            "SequenceStartEvent": self._start,
            "MappingEndEvent": self._end,
            "SequenceEndEvent": self._end,
            "AliasEvent": self._alias,
            "DocumentStartEvent": self._document,
        }
        while parser.check_event() and len(self.problems) <= MAX_PROBLEMS:
            event = parser.get_event()
            step = steps.get(type(event).__name__)
            if step is not None:
                step(event)

    def _document(self, event: Event) -> None:
        if self.root is not None:
            raise self._stop(event, "E003", 'second document ("---")', "only one is allowed")

    def _scalar(self, event: Event) -> None:
        plain: bool = event.implicit[0]
        if event.style in {"'", '"'}:
            self.last_quoted = event
        frame = self._open[-1] if self._open else None
        text: str = event.value
        if frame is not None and frame.mapping and frame.key is None:
            if (
                text.isidentifier()
                and text.isascii()
                and text not in _WORDS
                and text not in frame.node.entries
            ):
                # Nearly all keys; each call saved here is one for every key of a file.
                frame.key = (text, event.start_mark.line + 1, event.start_mark.column + 1, plain)
            else:
                self._key(frame, event, plain=plain)
            return
        if event.tag is not None and event.tag != "!":
            value = self._apply_tag(event, text)
        else:
            value = plain_value(text) if plain and not (text[:1].isalpha() and text not in _WORDS) else text
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            what = "the number does not fit into 64 bits"
            self._report(event, "E401", what, "", "quote it if it is an identifier")
            value = 0
        elif isinstance(value, float) and not math.isfinite(value):
            self.has_infinity = True
        mark = event.start_mark
        node = Node(self.file, mark.line + 1, mark.column + 1, value, text if plain else "")
        self._values += 1
        if self._values > self._max_values:
            raise self._too_many(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1, 0)
        if frame is None:
            self.root = node
        else:
            frame.attach(node)

    def _key(self, frame: _Frame, event: Event, *, plain: bool) -> None:
        text: str = event.value
        value = plain_value(text) if plain and not (text[:1].isalpha() and text not in _WORDS) else text
        if text == "<<" and plain:
            help_ = 'write the keys out, or use "extends"'
            self._report(event, "E011", 'merge key "<<"', "YAML 1.2 has none", help_)
        elif not isinstance(value, str):
            self.problems.append(key_problem(_position(self.file, event), text, value))
        elif not text.isascii() and INVISIBLE.search(text):
            self._report(event, "E012", f'invisible character in the key "{printable(text)}"')
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        earlier = frame.node.entries.get(text)
        if earlier is not None:
            what = f'"{printable(text)}" already defined at {self.file}:{earlier[0]}:{earlier[1]}'
            self._report(event, "E105", what, "", "rename or remove one")
        frame.key = (text, line, column, plain)

    def _start(self, event: Event) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._stop(event, "E007", f"nested deeper than {MAX_DEPTH} levels")
        if self._open and self._open[-1].mapping and self._open[-1].key is None:
            raise self._stop(event, "E207", "a key must be text, found a list or a mapping")
        mapping = type(event).__name__ == "MappingStartEvent"
        value: object = {} if mapping else []
        if event.tag is not None and event.tag != "!":
            self._apply_tag(event, value)
        node = Node(self.file, event.start_mark.line + 1, event.start_mark.column + 1, value)
        self._values += 1
        if self._values > self._max_values:
            raise self._too_many(event)
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
            self._open_anchors[event.anchor] = _position(self.file, event)
        self._open.append(_Frame(node, event.anchor, self._values, mapping=mapping))

    def _end(self, _: Event) -> None:
        frame = self._open.pop()
        height = frame.deepest + 1
        if frame.anchor is not None:
            self._open_anchors.pop(frame.anchor, None)
            self._anchors[frame.anchor] = (frame.node, self._values - frame.before + 1, height)
        if self._open:
            self._open[-1].deepest = max(self._open[-1].deepest, height)
            self._open[-1].attach(frame.node)
        else:
            self.root = frame.node

    def _alias(self, event: Event) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise self._stop(event, "E006", f"more than {MAX_ALIASES} aliases")
        if self._open and self._open[-1].mapping and self._open[-1].key is None:
            raise self._stop(event, "E207", "a key must be text, found an alias")
        name = printable(event.anchor or "")
        if event.anchor in self._open_anchors:
            raise StopError(Problem(self._open_anchors[event.anchor], "E009", f'"*{name}" contains itself'))
        if event.anchor not in self._anchors:
            raise self._stop(event, "E002", f'no value is anchored as "&{name}"')
        node, size, height = self._anchors[event.anchor]
        self._values += size
        if self._values > self._max_values:
            raise self._too_many(event, "aliases expand to more than")
        if len(self._open) + height > MAX_DEPTH:
            raise self._stop(event, "E007", f"nested deeper than {MAX_DEPTH} levels")
        if self._open:
            self._open[-1].deepest = max(self._open[-1].deepest, height)
            self._open[-1].attach(node)
        else:
            self.root = node

    def _too_many(self, event: Event, words: str = "more than") -> StopError:
        return self._stop(event, "E006", f"{words} {self._max_values} values")

    def _apply_tag(self, event: Event, value: object) -> object:
        """The value with the type of its core tag; any other tag stops reading."""
        kinds = _CORE_TAGS.get(event.tag or "")
        made = plain_value(value) if isinstance(value, str) and kinds != (str,) else value
        if kinds is None or not isinstance(made, kinds):
            # Without the tag the document would not mean what its author expects.
            raise self._stop(event, "E005", "tag not allowed", "plain YAML only")
        return made

    def _report(self, event: Event, code: str, *parts: str) -> None:
        self.problems.append(self._stop(event, code, *parts).problem)

    def _stop(self, event: Event, code: str, *parts: str) -> StopError:
        return StopError(Problem(_position(self.file, event), code, *parts))


def _position(file: str, event: Event) -> Position:
    return Position(file, event.start_mark.line + 1, event.start_mark.column + 1)


def plain_value(text: str) -> Scalar:
    """The value of an unquoted text in YAML 1.2's core schema, except that leading zeros make it text.

    Integers of 25 or more characters become 2**63, which is out of range.
    """
    if text in _NULL:
        return None
    if text[0] not in "+-.0123456789":
        return _BOOL.get(text, text)
    if _INT.match(text):
        return int(text) if len(text) < 25 else _INT64  # noqa: PLR2004 - longer than any 64-bit number
    if _INT_OF_BASE.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    if _NOT_FINITE.match(text):
        return math.nan if text.lower().endswith("nan") else math.inf
    return text


def key_problem(position: Position, text: str, value: Scalar) -> Problem:
    """The problem of a key that is not text but was written as `text`."""
    shown = printable(text, 30)
    if value is None:
        read = "nothing"
    elif isinstance(value, bool):
        read = str(value).lower()
    else:
        read = kind_of(value)
    return Problem(
        position, "E207", f'YAML reads "{shown}" as {read}', "keys are text", f'quote it: "{shown}"'
    )
