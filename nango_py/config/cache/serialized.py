"""Serializes a checked configuration as JSON, without any text of integrations.yaml.

Trees of blueprints are stored as they are. A text of integrations.yaml is stored as the place from which it
can be read again: an offset in the file, or a path in the settings from Python. So secrets in the file or
from the environment are not stored.
"""

from __future__ import annotations

import binascii
import json
import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nango_py.config.assemble import Parent, assemble_integration
from nango_py.config.model import Configuration, Status
from nango_py.config.settings import read_config, request_settings
from nango_py.config.template.compiled import TemplateText
from nango_py.config.template.compiler import compile_template, substitute_environment
from nango_py.config.template.parser import dump_trees, load_trees
from nango_py.config.values import EnvironmentText
from nango_py.config.yaml.merge import Origins, origins_of_places
from nango_py.errors import Position, Problem
from nango_py.record import field_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path as FilePath

    from nango_py.config.loading import LoadResult
    from nango_py.config.model import Config, Integration
    from nango_py.config.template.compiled import Template
    from nango_py.config.values import Path
    from nango_py.config.yaml.tree import Node, Place
    from nango_py.json_types import Settings

Form = dict[str, Any]
"""A JSON object; only this module reads its values."""

Pieces = list[Any]
"""Where a text is: a path, or words as offset and length and the blanks between them."""

FILE, SOURCE, OVERRIDES = "file", "source", "overrides"


class NotSerializableError(Exception):
    """A text cannot be read from its place again, for example because it is written with escapes."""


class Texts(NamedTuple):
    """Where the texts of a serialized configuration are read from.

    Attributes:
        file: the content of integrations.yaml; "" for settings from Python.
        source: the settings from Python, with their `integrations:` key.
        overrides: the settings merged over them.
    """

    file: str
    source: Settings
    overrides: Settings


def serialize(loaded: LoadResult, texts: Texts) -> list[bytes]:
    """The serialized configuration: a line of JSON, and two for each integration, of which one is packed.

    Raises:
        NotSerializableError: a text cannot be read again.
    """
    writer = _Writer(loaded, texts)
    document, configuration = loaded.document, loaded.configuration
    config = document.data.get("config") or {}
    if any(isinstance(name, EnvironmentText) for name in _names_of_files(loaded, config)):
        # A value of the environment would be stored as a path or name.
        raise NotSerializableError("a blueprint or folder is named by an environment variable")
    lines = []
    for name, (tree, blueprint) in loaded.trees.items():
        status = configuration.integrations[name].status
        kept = {
            "blueprint": "" if blueprint is None else blueprint.ref,
            "title": "" if blueprint is None else blueprint.title,
            "status": {part: getattr(status, part) for part in field_names(Status)},
            "tree": writer.tree(tree.settings, ("integrations", name), tree.origins.place),
        }
        places = [[path, *place] for path, place in tree.origins.places()]
        lines += [_line(kept), pack(_line(places))]
    form: Form = {
        "file": document.file,
        "config": writer.tree(config, ("config",), lambda path: document.place(("config", *path))),
        "warnings": [_serialize_problem(warning) for warning in configuration.warnings],
        "integrations": list(loaded.trees),
        "expressions": [[text, dump_trees(text)] for text in sorted(writer.blueprint_templates)],
    }
    return [_line(form), *lines]


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def pack(line: bytes) -> bytes:
    """The places of an integration in a tenth of their bytes: names of keys and files, and no texts."""
    return binascii.b2a_base64(zlib.compress(line, 1), newline=False)


def unpack(line: bytes) -> Any:
    """The places of a packed line."""
    return json.loads(zlib.decompress(binascii.a2b_base64(line)))


def deserialize(
    lines: list[bytes], texts: Texts, environ: Mapping[str, str], folder: FilePath | None
) -> Configuration:
    """The configuration, without any check: the caller knows that nothing changed.

    Args:
        lines: what `serialize` returned.
        texts: where to read the texts.
        environ: the values of the environment variables that were read; they must not change later.
        folder: the folder of integrations.yaml.
    """
    form = json.loads(lines[0])
    for text, trees in form["expressions"]:
        load_trees(text, trees)
    config = read_config(_tree(form["config"], texts, environ), folder)
    stored = dict(zip(form["integrations"], zip(lines[1::2], lines[2::2], strict=True), strict=True))
    warnings = tuple(Problem(Position(*where), *said) for where, said in form["warnings"])
    return Configuration(LazyIntegrations(stored, texts, environ, config), config, form["file"], warnings)


class LazyIntegrations(Mapping[str, "Integration"]):
    """Integrations that are made on first use, so that a start takes as long as what it uses."""

    def __init__(
        self,
        lines: Mapping[str, tuple[bytes, bytes]],
        texts: Texts,
        environ: Mapping[str, str],
        config: Config,
    ) -> None:
        self._lines = lines
        self._texts = texts
        self._environ = environ
        self._config = config
        self._made: dict[str, Integration] = {}

    def __getitem__(self, name: str) -> Integration:
        found = self._made.get(name)
        if found is None:
            kept, places = self._lines[name]
            found = _integration(name, json.loads(kept), places, self._texts, self._environ, self._config)
            found = self._made.setdefault(name, found)  # another thread may have been faster
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def _integration(
    name: str, kept: Form, line: bytes, texts: Texts, environ: Mapping[str, str], config: Config
) -> Integration:
    tree = _tree(kept["tree"], texts, environ)
    parent = Parent(kept["blueprint"], kept["title"], Status(**kept["status"]))
    requests = request_settings(tree, _LazyTemplates(tree), config)
    return assemble_integration(name, parent, tree, LazyOrigins(line), requests, config)


def _names_of_files(loaded: LoadResult, config: Settings) -> Iterator[object]:
    yield from config.get("blueprint_paths") or ()
    for tree, _ in loaded.trees.values():
        yield tree.settings.get("extends_blueprint")


class _LazyTemplates(dict["Path", "Template"]):
    """The templates of a tree, compiled on first use."""

    def __init__(self, tree: Settings) -> None:
        self._tree = tree

    def __missing__(self, path: Path) -> Template:
        template = self[path] = compile_template(_at(self._tree, path))
        return template


class LazyOrigins(Origins):
    """Origins that are parsed on first use, because calls do not need them."""

    __slots__ = ("_line", "_parsed")

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._parsed: Origins | None = None

    @property
    def root(self) -> Node:
        """The tree of places."""
        return self._parse().root

    @property
    def key_place(self) -> tuple[int, int]:
        """Line and column of the key that holds the whole tree."""
        return self._parse().key_place

    def _parse(self) -> Origins:
        if self._parsed is None:
            lines = unpack(self._line)
            self._parsed = origins_of_places((tuple(path), tuple(place)) for path, *place in lines)
        return self._parsed


class _Writer:
    """Serializes trees with places instead of texts."""

    def __init__(self, loaded: LoadResult, texts: Texts) -> None:
        self.blueprint_templates: set[str] = set()
        self._texts = texts
        self._file = loaded.document.file
        self._over = loaded.overrides.file
        self._from_python = loaded.document.is_from_python
        self._scalars = dict(_scalars(loaded.document.root))
        self._starts = [0, *(match.end() for match in re.finditer("\r\n|[\n\r\x85\u2028\u2029]", texts.file))]

    def tree(self, settings: Settings, at: Path, place_of: Callable[[Path], Place]) -> Form:
        """The settings with null for each text of integrations.yaml, and where to read these texts."""
        texts: list[list[object]] = []

        def of(value: Any, path: Path) -> Any:
            if hasattr(value, "items"):
                return {key: of(item, (*path, key)) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [of(item, (*path, index)) for index, item in enumerate(value)]
            if not isinstance(value, str):
                return value
            origin = self._origin(value, (*at, *path), place_of(path))
            if origin is None:
                if "${" in value:
                    self.blueprint_templates.add(value)
                return value
            kind, found, written = origin
            is_changed = isinstance(value, EnvironmentText | TemplateText)
            texts.append([path, is_changed, kind, found, dump_trees(written)])
            return None

        return {"settings": of(settings, ()), "texts": texts}

    def _origin(self, value: str, path: Path, place: Place) -> tuple[str, Any, str] | None:
        """Where to read the text again, and as what it is written; None for a text of a blueprint."""
        file, line, column, _, _ = place
        found: Pieces | None
        if file.startswith(self._over):
            kind, raw, found = OVERRIDES, _at(self._texts.overrides, path[1:]), list(path[1:])
        elif self._from_python and file.startswith(self._file):
            kind, raw, found = SOURCE, _at(self._texts.source, path), list(path)
        elif file == self._file:
            raw = self._scalars.get((line, column))
            kind, found = FILE, self._pieces(raw, line, column) if isinstance(raw, str) else None
        elif type(value) is str:
            return None
        else:
            raise NotSerializableError(f"a text is in {file}")
        is_changed = isinstance(value, EnvironmentText | TemplateText)
        if found is None or not isinstance(raw, str) or (raw != value and not is_changed):
            raise NotSerializableError(f"the text in line {line} is written with escapes")
        return kind, found, raw

    def _pieces(self, text: str, line: int, column: int) -> Pieces | None:
        """The offset and length of each word of the text in the file, and the blanks between them."""
        index = self._starts[line - 1] + column - 1
        whole = self._texts.file.find(text, index, index + len(text) + 1)
        if whole >= 0:
            return [[whole, len(text)]]
        pieces: Pieces = []
        for part in re.split(r"(\s+)", text):
            if part.isspace() or not part:
                pieces.append(part)
                continue
            index = self._texts.file.find(part, index)
            if index < 0:
                return None
            pieces.append([index, len(part)])
            index += len(part)
        return pieces


def _scalars(node: Node) -> Iterator[tuple[tuple[int, int], str]]:
    if isinstance(node.value, str):
        yield (node.line, node.column), node.value
    for *_, below in node.entries.values():
        yield from _scalars(below)
    for below in node.items:
        yield from _scalars(below)


def _tree(kept: Form, texts: Texts, environ: Mapping[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = kept["settings"]
    for path, is_changed, kind, found, trees in kept["texts"]:
        text = _read(kind, found, texts)
        load_trees(text, trees)
        if is_changed:
            text = substitute_environment(text, environ, is_template=True)
        _at(settings, path[:-1])[path[-1]] = text
    return settings


def _read(kind: str, found: Any, texts: Texts) -> str:
    if kind == FILE:
        pieces = (
            part if isinstance(part, str) else texts.file[part[0] : part[0] + part[1]] for part in found
        )
        return "".join(pieces)
    text: str = _at(texts.overrides if kind == OVERRIDES else texts.source, found)
    return text


def _at(value: Any, path: Any) -> Any:
    for part in path:
        value = value[part]
    return value


def _serialize_problem(problem: Problem) -> list[list[str | int]]:
    where = problem.position
    return [
        [where.file, where.line, where.column],
        [problem.code, problem.what, problem.expected, problem.help],
    ]
