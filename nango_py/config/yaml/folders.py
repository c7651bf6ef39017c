"""The blueprint files of a folder by name and version.

A file is named after its blueprint and version, as in `acme.v1.yaml`. Files without a version in their name
are read to find out what they define. No file is passed over: what cannot be a blueprint is reported.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from nango_py.config.yaml.document import load_document
from nango_py.config.yaml.listing import is_yaml, list_entries, list_names
from nango_py.errors import ConfigError, Position, Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.config.yaml.tree import Document

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
VERSION = re.compile(r"v(?:0|[1-9][0-9]{0,8})\Z")
_FILE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})(?:\.(?P<version>v(?:0|[1-9][0-9]{0,8})))?(?i:\.ya?ml)\Z"
)
_OTHER_ENDING = re.compile(
    r"(?P<better>[a-z0-9][a-z0-9_-]{0,63}\.v[0-9]{1,9})(?i:\.json|\.toml|\.txt)?\Z"
    r"|(?P<same>[a-z0-9][a-z0-9_-]{0,63}(?:\.v[0-9]{1,9})?)(?i:\.ya?ml\.txt)\Z"
)
# Files that may stand beside blueprints: notes, the schema for editors, and those of a package.
_KNOWN_ENDINGS = (".md", ".schema.json", ".py")
_NUMBERED = re.compile(r"(?P<name>.+?)[ ._-]+v?(?:0*)(?P<number>[0-9]{1,9})\Z")
_FORM = "expected name.version.yaml, such as acme.v1.yaml"


def version_number(version: str) -> int:
    """The number to compare versions by: 10 for v10."""
    return int(version[1:])


def display_path(path: Path) -> str:
    """A path for messages, relative to the working folder if it is below it."""
    text = str(path)
    here = os.getcwd() + os.sep  # noqa: PTH109 - text is compared, and a Path costs a call per message
    return text.removeprefix(here)


class Folder:
    """One folder of blueprints, listed once."""

    def __init__(self, layer: str, path: Path) -> None:
        self.layer = layer
        self.path = path
        self._names: list[str] | None = None
        self._files: dict[str, list[tuple[str | None, str]]] = {}
        self._loose: dict[Path, Document] = {}
        self._other_names: list[str] = []
        self._doubtful: list[str] = []

    def listed_names(self) -> tuple[str, ...] | None:
        """The names of everything in the folder when it was listed; None if it was not."""
        return None if self._names is None else tuple(self._names)

    def names(self) -> Iterator[str]:
        """The names of all blueprints that have a file."""
        return iter(self._list_once())

    def versions(self, name: str) -> dict[str, Path]:
        """The file of each version of a blueprint.

        Raises:
            ConfigError: a version is defined twice (E107), a file is a link to outside of the folder (E104),
                or a file without a version in its name does not define one.
        """
        found: dict[str, Path] = {}
        for named, file in self._list_once().get(name, ()):
            path = self.path / file
            for version in (named,) if named is not None else self._versions_in(path):
                if version in found:
                    what = f"{name}:{version} defined twice: {display_path(found[version])} and "
                    raise _error(path, "E107", what + display_path(path), "", "remove one")
                found[version] = path
            self._refuse_outside(path)
        return found

    def doubtful_names(self) -> list[str]:
        """The names of blueprints whose `versions` may be wrong: the names of their files do not suffice."""
        self._list_once()
        return self._doubtful

    def has_loose_files(self, name: str) -> bool:
        """Whether a blueprint has a file without a version in its name."""
        return any(named is None for named, _ in self._list_once().get(name, ()))

    def loose_documents(self) -> dict[Path, Document]:
        """The files that were read to find out their versions."""
        return self._loose

    def check_names(self) -> list[Problem]:
        """Files that no blueprint can be read from: errors, and warnings for what may be there on purpose."""
        if self.layer == "path" and not os.path.isdir(self.path):  # noqa: PTH112 - it never raises
            help_ = "correct or remove it in blueprint_paths"
            return [
                Problem(Position(display_path(self.path)), "W102", "the folder does not exist", "", help_)
            ]
        self._list_once()
        return [problem for name in self._other_names for problem in self._check_name(name)]

    def _list_once(self) -> dict[str, list[tuple[str | None, str]]]:
        """The version in the name, and the name, of each file by the name of its blueprint."""
        if self._names is not None:
            return self._files
        failure = ""
        try:
            names, links = list_entries(self.path)
        except OSError as error:
            failure = (error.strerror or "cannot be listed").lower()
        except ValueError:
            failure = "not a folder name"
        if failure:
            raise _error(self.path, "E010", failure)
        doubtful: dict[str, None] = {}
        for file in names:
            match = _FILE.match(file)
            if match is None:
                self._other_names.append(file)
                continue
            name, version = match["name"], match["version"]
            files = self._files.setdefault(name, [])
            if version is None or file in links or any(version == other for other, _ in files):
                doubtful[name] = None
            files.append((version, file))
        self._names, self._doubtful = names, list(doubtful)
        return self._files

    def _check_name(self, name: str) -> Iterator[Problem]:
        where = Position(display_path(self.path / name))
        other = _OTHER_ENDING.match(name)
        if name.startswith(".") and is_yaml(name):
            yield Problem(where, "W102", "hidden files are not read", "", f"rename it to {name.lstrip('.')}")
        elif is_yaml(name):
            what = f'"{printable(name)}" is not the name of a blueprint file'
            yield Problem(where, "E109", what, _FORM, _suggest(name))
        elif other is not None:
            better = other["better"] or other["same"]
            yield Problem(where, "E108", "only .yaml files are read", "", f"rename it to {better}.yaml")
        elif name.startswith(".") or name.lower().endswith(_KNOWN_ENDINGS):
            return
        elif _has_yaml(f"{self.path}/{name}"):
            help_ = "move its files up, or add it to blueprint_paths"
            yield Problem(where, "W102", "folders below a blueprint folder are not searched", "", help_)
        elif (self.path / name).is_file():
            yield Problem(where, "W102", "this file is not read", "only .yaml files are")

    def _versions_in(self, path: Path) -> list[str]:
        """The versions that a file without a version in its name defines."""
        if path not in self._loose:
            problems: list[Problem] = []
            document = load_document(path, display_path(path), problems)
            if problems:
                raise ConfigError(problems)
            self._loose[path] = document
        document = self._loose[path]
        data = document.data if isinstance(document.data, dict) else {}
        if "integrations" in data:
            return []
        inside = data.get("versions")
        written = list(inside) if isinstance(inside, dict) else [data.get("version")]
        found = [version for version in written if isinstance(version, str) and VERSION.match(version)]
        if found and len(found) == len(written):
            return found
        where = document.key_position(("versions",) if "versions" in data else ("version",))
        help_ = f"add version: v0, or rename the file to {path.name.partition('.')[0]}.v0.yaml"
        what, expected = "the file does not say its version", "expected v and a number, such as v0"
        raise ConfigError([Problem(where, "E203", what, expected, help_)])

    def _refuse_outside(self, path: Path) -> None:
        try:
            is_outside = path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve())
        except (OSError, RuntimeError):  # a circle of links, which Python versions report in both ways
            is_outside = False  # reading the file will say so
        if is_outside:
            what = "the file is a link to outside of its folder"
            raise _error(path, "E104", what, "", "add its folder to blueprint_paths")


def _error(path: Path, code: str, *parts: str) -> ConfigError:
    return ConfigError([Problem(Position(display_path(path)), code, *parts)])


def _suggest(name: str) -> str:
    """A name in the right form that is like the wrong one."""
    stem = name.rpartition(".")[0].lower()
    numbered = _NUMBERED.match(stem)
    base = re.sub(r"[^a-z0-9_-]+", "-", numbered["name"] if numbered else stem).strip("-_")
    return f"rename it to {base}.v{numbered['number'] if numbered else 0}.yaml" if base else ""


def _has_yaml(folder: str) -> bool:
    try:
        return any(map(is_yaml, list_names(folder)))
    except OSError:
        return False
