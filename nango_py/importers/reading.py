"""Reads documents of others: JSON or YAML of up to 64 MiB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nango_py.errors import ConfigError, Position, Problem
from nango_py.json_types import as_object
from nango_py.pasted_text import has_surrogate

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.json_types import JsonObject

MAX_BYTES = 64 * 1024 * 1024
MAX_VALUES = 5_000_000
"""The most values, each alias counted with everything that it names."""


def read_mapping(path: Path) -> JsonObject:
    """The mapping that a JSON or YAML file holds.

    Raises:
        ConfigError: the file cannot be read (E010), is too large (E008), is neither JSON nor YAML (E001), is
            nested too deeply (E007), has half a surrogate pair (E004), aliases that expand to too many
            values (E006) or contain themselves (E009), or something else than a mapping (E201).
    """
    where = Position(str(path), 1, 1)
    try:
        size = path.stat().st_size
        text = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        what = (error.strerror or "cannot be read").lower()
        raise ConfigError([Problem(Position(str(path)), "E010", what)]) from None
    if size > MAX_BYTES:
        raise ConfigError([Problem(where, "E008", f"{size} bytes", f"limit is {MAX_BYTES}")])
    try:
        is_json = text.lstrip()[:1] == b"{" and path.suffix not in {".yaml", ".yml"}
        data = json.loads(text) if is_json else _read_yaml(text, path)
        _count(data, {}, where)
    except RecursionError:
        raise ConfigError([Problem(where, "E007", "nested too deeply")]) from None
    except ValueError as error:
        raise ConfigError([Problem(where, "E001", f"not JSON: {error}")]) from None
    if not isinstance(data, dict):
        raise ConfigError([Problem(where, "E201", "not a mapping", "expected a JSON or YAML mapping")])
    return as_object(data)


def _count(value: object, known: dict[int, int], where: Position) -> int:
    """The number of values, with aliases expanded; each list and mapping is read once."""
    if isinstance(value, str):
        if not value.isascii() and has_surrogate(value):
            raise ConfigError([Problem(where, "E004", "a text has half of a surrogate pair")])
        return 1
    if not isinstance(value, dict | list):
        return 1
    size = known.get(id(value))
    if size is None:
        known[id(value)] = 0  # begun
        if isinstance(value, dict):
            _name_by_text(value)
        below = (*value, *value.values()) if isinstance(value, dict) else value
        size = known[id(value)] = 1 + sum(_count(each, known, where) for each in below)
    elif size == 0:
        raise ConfigError([Problem(where, "E009", "an alias contains itself")])
    if size > MAX_VALUES:
        what = f"aliases expand to more than {MAX_VALUES} values"
        raise ConfigError([Problem(where, "E006", what)])
    return size


def _name_by_text(value: dict[object, object]) -> None:
    """Make the keys of a mapping text, as in JSON: YAML reads `200:` and `null:` as something else."""
    if not all(isinstance(key, str) for key in value):
        named = {key if isinstance(key, str) else json.dumps(key, default=str): value[key] for key in value}
        value.clear()
        value.update(named)


def _read_yaml(text: bytes, path: Path) -> object:
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # Dates stay text, as in JSON, and so do yes, no, on and off, as in YAML 1.2.
    resolvers = {
        letter: [
            (tag, pattern)
            for tag, pattern in every
            if not tag.endswith(":timestamp") and not (tag.endswith(":bool") and letter in "yYnNoO")
        ]
        for letter, every in base.yaml_implicit_resolvers.items()
    }
    loader = type("Loader", (base,), {"yaml_implicit_resolvers": resolvers})
    try:
        return yaml.load(text, loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Position(str(path), mark.line + 1, mark.column + 1) if mark else Position(str(path), 1, 1)
        raise ConfigError([Problem(where, "E001", f"not YAML: {error.problem}")]) from None
    except yaml.YAMLError:
        raise ConfigError([Problem(Position(str(path), 1, 1), "E004", "not text in UTF-8")]) from None
