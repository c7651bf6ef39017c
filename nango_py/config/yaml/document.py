"""Reads files as plain values with YAML 1.2 types, each value and key with its place. Only this imports yaml.

A file is one UTF-8 document of text, numbers, true/false, null, lists, and mappings with text keys. `no`,
`on`, `012`, `1_000` and dates are text (YAML 1.2, section 10.3, except for leading zeros).
"""

from __future__ import annotations

import hashlib
import math
import re
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nango_py.config.yaml.reader import INVISIBLE, MAX_DEPTH, MAX_VALUES, Reader, StopError
from nango_py.config.yaml.tree import Document, Node, kind_of
from nango_py.errors import MAX_PROBLEMS, ConfigError, Position, Problem, printable
from nango_py.record import replaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from nango_py.config.values import Path

__all__ = ["MAX_BYTES", "Document", "document_from_python", "load_document", "parse_document"]

MAX_BYTES = 1_048_576
_MAX_INVISIBLE_WARNINGS = 10
_JOINED_KEY = re.compile(r"\s*([a-z][a-z0-9_]*):[^\s/]\S*\s*\Z")
_TOO_DEEP = "nesting depth"  # from libyaml's message
# Characters that YAML does not allow, and for which libyaml reports no place.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def load_document(
    path: FilePath,
    shown_as: str | None = None,
    problems: list[Problem] | None = None,
    if_missing: str = "",
    size_factor: int = 1,
) -> Document:
    """The values of a file.

    Args:
        path: the file.
        shown_as: the name for messages; by default the path.
        problems: receives problems that concern one place only (a repeated key, a key that is not text), so
            that the rest of the file is checked too. By default they are raised.
        if_missing: what to do if the file is missing, for the message.
        size_factor: how many times larger than a file of settings it may be.

    Raises:
        ConfigError: the file cannot be read, or is not one UTF-8 YAML document within the limits.
    """
    file = shown_as if shown_as is not None else str(path)
    raw, failure, help_ = b"", "", ""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            failure = "not a regular file"
        elif found.st_size <= MAX_BYTES * size_factor:
            with path.open("rb") as opened:
                raw = opened.read(MAX_BYTES * size_factor + 1)
    except OSError as error:
        failure = (error.strerror or "cannot be read").lower()
        help_ = if_missing if isinstance(error, FileNotFoundError) else ""
    except ValueError:
        failure = "not a file name"
    if failure:
        raise ConfigError([Problem(Position(file), "E010", failure, help=help_)])
    _check_size(file, max(found.st_size, len(raw)), size_factor)
    document = parse_document(raw, file, problems, size_factor)
    if found.st_mode & stat.S_IWOTH:
        warning = Problem(Position(file), "W501", "other users can write this file", "", "chmod 600")
        return replaced(document, warnings=(warning, *document.warnings))
    return document


def parse_document(
    text: str | bytes, file: str, problems: list[Problem] | None = None, size_factor: int = 1
) -> Document:
    """The values of a YAML text; see `load_document` for the arguments and errors."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    _check_size(file, size, size_factor)
    decoded = _decode(text, file)
    control = _CONTROL.search(decoded)
    if control is not None:
        what = f"control character U+{ord(control[0]):04X}"
        raise ConfigError([Problem(_at(file, decoded, control.start()), "E004", what, "plain text only")])
    collected = problems if problems is not None else []
    reader = Reader(file, collected, MAX_VALUES * size_factor)
    failure = _read(reader, decoded)
    if failure is not None:
        raise ConfigError([*collected, failure])
    if len(collected) > MAX_PROBLEMS or (problems is None and collected):
        raise ConfigError(collected)
    warnings = () if decoded.isascii() else tuple(_invisible(decoded, file))
    root = reader.root if reader.root is not None else Node(file, 1, 1, None)
    digest = hashlib.sha256(text).hexdigest() if isinstance(text, bytes) else ""
    return Document(root.value, file, root, warnings, has_infinity=reader.has_infinity, digest=digest)


def document_from_python(data: object, name: str = "Nango(integrations=...)") -> Document:
    """Settings from Python, checked like those of a file. Places are key paths such as `name["klaviyo"]`.

    Raises:
        ConfigError: a key is not text, a value has another type, or the data is nested too deeply.
    """
    reader = _PythonReader(name)
    root = reader.read(data, ())
    if reader.problems:
        raise ConfigError(reader.problems)
    return Document(root.value, name, root, is_from_python=True, has_infinity=reader.has_infinity)


class _PythonReader:
    """Copies settings from Python into nodes, within the limits of files."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self.has_infinity = False
        self._name = name
        self._values = 0

    def read(self, value: object, path: Path) -> Node:
        self._values += 1
        if len(path) > MAX_DEPTH:
            raise self._stop(path, "E007", f"nested deeper than {MAX_DEPTH} levels")
        if self._values > MAX_VALUES:
            raise self._stop(path, "E006", f"more than {MAX_VALUES} values")
        node = Node(self._show(path), 0, 0, value)
        if isinstance(value, Mapping):
            node.value = {}
            for key, item in value.items():
                if isinstance(key, str):
                    node.add_entry(key, 0, 0, self.read(item, (*path, key)))
                else:
                    what = f"keys are text, found {kind_of(key)} as a key"
                    self.problems.append(Problem(Position(node.file), "E207", what))
        elif isinstance(value, list | tuple):
            node.items = [self.read(item, (*path, index)) for index, item in enumerate(value)]
            node.value = [item.value for item in node.items]
        elif isinstance(value, float) and not math.isfinite(value):
            self.has_infinity = True
        elif value is not None and not isinstance(value, str | bool | int | float):
            what = f"expected text, a number, a list or a mapping, found {kind_of(value)}"
            self.problems.append(Problem(Position(node.file), "E201", what))
        return node

    def _show(self, path: Path) -> str:
        shown = path[1:] if path and f"{path[0]}=" in self._name else path
        return self._name + "".join(
            f"[{part}]" if isinstance(part, int) else f'["{printable(part)}"]' for part in shown
        )

    def _stop(self, path: Path, code: str, what: str) -> ConfigError:
        return ConfigError([*self.problems, Problem(Position(self._show(path[:2])), code, what)])


def _read(reader: Reader, text: str) -> Problem | None:
    """Reads the text; returns the problem that stopped it, or None."""
    import yaml

    failure: Problem | None = None
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        reader.read(parser)
    except StopError as stopped:
        failure = stopped.problem
    except yaml.MarkedYAMLError as error:
        if _TOO_DEEP in str(error.problem) and type(parser) is not yaml.SafeLoader:
            failure = _read_in_python(reader.file, text)
        failure = failure or _syntax_problem(error, reader, text)
    finally:
        parser.dispose()
    return failure


def _read_in_python(file: str, text: str) -> Problem | None:
    """The problem that stops the parser in Python, which reads less far ahead than libyaml.

    Since 0.2.6 libyaml has its own depth limit, and reaches it before it returns the first events.
    """
    import yaml

    parser = yaml.SafeLoader(text)
    try:
        Reader(file, []).read(parser)
    except StopError as stopped:
        return stopped.problem
    except yaml.MarkedYAMLError:
        pass
    finally:
        parser.dispose()
    return None


def _syntax_problem(error: Any, reader: Reader, text: str) -> Problem:
    mark, opened, message = error.problem_mark, error.context_mark, str(error.problem)
    here = Position(reader.file, mark.line + 1, mark.column + 1)
    never_closed = "quote opened here is never closed"
    lines = text.splitlines()
    if lines[mark.line : mark.line + 1] and lines[mark.line][mark.column : mark.column + 1] == "\t":
        return Problem(here, "E001", "tab used for indentation", "YAML needs spaces")
    if "quoted scalar" in str(error.context) and (
        "end of stream" in message or "document indicator" in message
    ):
        return Problem(Position(reader.file, opened.line + 1, opened.column + 1), "E002", never_closed)
    joined = _find_joined_key(lines, mark.line)
    if joined:
        return Problem(here, "E002", f"not YAML: {message}", "", f'write a space after "{joined}:"')
    quoted = reader.last_quoted
    if quoted is None or quoted.end_mark.line != mark.line:
        return Problem(here, "E002", f"not YAML: {message}")
    start = quoted.start_mark
    if start.line < mark.line:
        closed = f"the next quote is on line {mark.line + 1}"
        return Problem(Position(reader.file, start.line + 1, start.column + 1), "E002", never_closed, closed)
    doubled = "write an apostrophe inside single quotes twice" if quoted.style == "'" else ""
    return Problem(here, "E002", f"not YAML: {message}", "", doubled)


def _find_joined_key(lines: list[str], number: int) -> str:
    """The key of the last line with text at or above a number, if no space follows its colon; else ""."""
    above = [line for line in lines[: number + 1] if line.strip()]
    found = next(filter(None, map(_JOINED_KEY.match, reversed(above[-2:]))), None)
    return found[1] if found is not None else ""


def _decode(text: str | bytes, file: str) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The error contains the whole file, so only its offset is kept.
        start = error.start
    before = text[:start].decode("utf-8")
    what = f"not UTF-8 (byte 0x{text[start]:02X})"
    problem = Problem(_at(file, before, len(before)), "E004", what, "", "save the file as UTF-8")
    raise ConfigError([problem])


def _check_size(file: str, size: int, factor: int) -> None:
    if size > MAX_BYTES * factor:
        raise ConfigError(
            [Problem(Position(file), "E008", f"{size} bytes", f"limit is {MAX_BYTES * factor}")]
        )


def _at(file: str, text: str, offset: int) -> Position:
    start = text.rfind("\n", 0, offset) + 1
    return Position(file, text.count("\n", 0, offset) + 1, offset - start + 1)


def _invisible(text: str, file: str) -> Iterator[Problem]:
    for number, match in enumerate(INVISIBLE.finditer(text)):
        if number == _MAX_INVISIBLE_WARNINGS:
            return
        what = f"invisible character U+{ord(match[0]):04X}"
        yield Problem(
            _at(file, text, match.start()), "W502", what, "", "the text may differ from what is displayed"
        )
