"""Planted secrets, and the search for any trace of them in whatever a program shows."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import logging
import re
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CORE = "CanarYbIrD"
"""Part of every planted secret; made of letters, so that percent-encoding, JSON and repr leave it alone."""


def secret(number: int, tail: str = "") -> str:
    """A secret unlike any other. The core stands at both ends, so that half a secret is found too."""
    return f"{CORE}{number:04d}{tail}{CORE}"


HALVES = ("\ud83d", "\ude00", "\udce9")
"""Halves of surrogate pairs: a high one, a low one, and what Python makes of a byte that is not UTF-8."""


def _base64_cores() -> Iterator[str]:
    """What base64 makes of the core wherever it stands in a longer text."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + CORE.encode()).decode()
        first, last = -(-shift * 8 // 6), (shift + len(CORE)) * 8 // 6
        yield encoded[first:last]


PATTERN = re.compile(
    "|".join(map(re.escape, [CORE, CORE[::-1], CORE.encode().hex(), *_base64_cores()])), re.IGNORECASE
)


def traces(text: str | bytes) -> list[str]:
    """Every trace of a planted secret in a text, with what stands around it."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return [text[max(0, found.start() - 60) : found.end() + 30] for found in PATTERN.finditer(text)]


class Collector(logging.Handler):
    """Keeps what every logger writes: the formatted line, and the record's own attributes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.lines.append(self.format(record))
        self.lines.append(shown({key: value for key, value in vars(record).items() if key != "exc_info"}))


@contextlib.contextmanager
def listening(collector: Collector) -> Iterator[Collector]:
    """Give it the records of every logger of the process, from DEBUG on."""
    root = logging.getLogger()
    level = root.level
    root.addHandler(collector)
    root.setLevel(logging.DEBUG)
    try:
        yield collector
    finally:
        root.removeHandler(collector)
        root.setLevel(level)


def shown(value: Any, depth: int = 6) -> str:
    """A value as error trackers and debuggers show it: containers and dataclasses opened, else repr."""
    if depth == 0 or isinstance(value, type | ModuleType):
        return repr(value)
    if isinstance(value, Mapping):
        return "".join(f"{key!r}: {shown(item, depth - 1)}, " for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return "".join(f"{shown(item, depth - 1)}, " for item in value)
    is_open = dataclasses.is_dataclass(value) and "__create_fn__" in type(value).__repr__.__qualname__
    if is_open:
        fields = dataclasses.fields(value)
        return "".join(f"{field.name}={shown(getattr(value, field.name), depth - 1)}, " for field in fields)
    return repr(value)


def everything_of(error: BaseException, own_file: str) -> str:
    """All that can be read from an error: texts, attributes, causes, contexts, notes and frames' locals.

    Args:
        error: the error.
        own_file: the test's own file, whose frames hold the secrets that it plants.
    """
    parts: list[str] = []
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        current = queue.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        parts += [repr(current), str(current), shown(current.args), shown(vars(current))]
        parts += [line for line in traceback.format_exception(current, chain=False) if own_file not in line]
        parts += frames_of(current, own_file)
        nested = [value for value in vars(current).values() if isinstance(value, BaseException)]
        queue += [current.__cause__, current.__context__, *nested]
    return "\n".join(parts)


def frames_of(error: BaseException, own_file: str) -> Iterable[str]:
    """The locals of every frame of a traceback, but those of the test itself."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != own_file:
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{code.co_filename}:{code.co_name}.{name} = {shown(value)}"
        trace = trace.tb_next
