"""The blueprint files of a folder by name and version. Only files in the old form are read for this."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nango_py.config.yaml.document import load_document
from nango_py.config.yaml.listing import yaml_files
from nango_py.errors import ConfigError, Position, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
VERSION = re.compile(r"v(?:0|[1-9][0-9]{0,8})\Z")
_FILE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})(?:\.(?P<version>v(?:0|[1-9][0-9]{0,8})))?\.(?P<end>ya?ml)\Z"
)


def version_number(version: str) -> int:
    """The number to compare versions by: 10 for v10."""
    return int(version[1:])


def display_path(path: Path) -> str:
    """A path for messages, relative to the working folder if it is below it."""
    text = str(path)
    here = os.getcwd() + os.sep  # noqa: PTH109 - text is compared, and a Path costs a call per message
    return text.removeprefix(here)


@dataclass(slots=True)
class _Files:
    """The files of one blueprint name in one folder."""

    by_version: dict[str, Path] = field(default_factory=dict)
    old_form: Path | None = None
    yml_by_version: dict[str, Path] = field(default_factory=dict)
    yml: Path | None = None


class Folder:
    """One folder of blueprints, listed once."""

    def __init__(self, layer: str, path: Path) -> None:
        self.layer = layer
        self.path = path
        self._listed: dict[str, _Files] | None = None
        self._inside: tuple[str, ...] = ()

    def listed_names(self) -> tuple[str, ...] | None:
        """The names of the YAML files when the folder was listed; None if it was not."""
        return None if self._listed is None else self._inside

    def has_loose_files(self, name: str) -> bool:
        """Whether a blueprint has files without a version in their name, which are read to find it."""
        files = self._files().get(name)
        return files is not None and (files.old_form is not None or files.yml is not None)

    def names(self) -> Iterator[str]:
        """The names of all blueprints that can be read."""
        return (name for name, files in self._files().items() if files.by_version or files.old_form)

    def versions(self, name: str) -> dict[str, Path]:
        """The file of each version of a blueprint.

        Raises:
            ConfigError: a version is defined twice (E107), a file has the wrong extension (E108), or a file
                is a link to outside of the folder (E104).
        """
        files = self._files().get(name)
        if files is None:
            return {}
        found = dict(files.by_version)
        if files.old_form is not None:
            for version in _read_versions(files.old_form):
                self._refuse_twice(name, version, found.get(version), files.old_form)
                found[version] = files.old_form
        for version, path in files.yml_by_version.items():
            self._refuse_twice(name, version, found.get(version), path)
            _refuse_extension(path, f"{name}.{version}.yaml")
        if files.yml is not None:
            inside = _read_versions(files.yml)
            for version in inside or ("v0",):
                self._refuse_twice(name, version, found.get(version), files.yml)
            _refuse_extension(files.yml, f"{name}.yaml" if inside else f"{name}.v0.yaml")
        for path in found.values():
            self._refuse_outside(path)
        return found

    def fingerprint(self) -> tuple[tuple[str, int, int, int], ...]:
        """Path, modification time, size and inode of each file."""
        paths = (str(self.path / name) for name in self._names() if _FILE.match(name))
        return tuple((path, *_stat(path)) for path in paths)

    def _names(self) -> list[str]:
        try:
            return yaml_files(self.path)
        except OSError as error:
            failure = (error.strerror or "cannot be listed").lower()
        raise ConfigError([Problem(Position(display_path(self.path)), "E010", failure)])

    def _files(self) -> dict[str, _Files]:
        if self._listed is None:
            listed: dict[str, _Files] = {}
            self._inside = tuple(self._names())
            for name in self._inside:
                match = _FILE.match(name)
                if match is not None:
                    _note(listed.setdefault(match["name"], _Files()), match, self.path / name)
            self._listed = listed
        return self._listed

    def _refuse_twice(self, name: str, version: str, first: Path | None, second: Path) -> None:
        if first is not None:
            what = f"{name}:{version} defined twice: {display_path(first)} and {display_path(second)}"
            raise ConfigError([Problem(Position(display_path(second)), "E107", what, "", "remove one")])

    def _refuse_outside(self, path: Path) -> None:
        if path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve()):
            what = "the file is a link to outside of its folder"
            raise ConfigError(
                [Problem(Position(display_path(path)), "E104", what, "", "add its folder to blueprint_paths")]
            )


def _note(files: _Files, match: re.Match[str], path: Path) -> None:
    version, is_yaml = match["version"], match["end"] == "yaml"
    if version is not None:
        (files.by_version if is_yaml else files.yml_by_version)[version] = path
    elif is_yaml:
        files.old_form = path
    else:
        files.yml = path


def _refuse_extension(path: Path, better: str) -> None:
    raise ConfigError(
        [
            Problem(
                Position(display_path(path)),
                "E108",
                "only .yaml files are read",
                "",
                f"rename it to {better}",
            )
        ]
    )


def _read_versions(path: Path) -> tuple[str, ...]:
    """The keys of `versions:` in a file in the old form; none if it cannot be read."""
    try:
        data = load_document(path, display_path(path), []).data
    except ConfigError:
        return ()
    inside = data.get("versions") if isinstance(data, dict) else None
    return tuple(key for key in inside if VERSION.match(key)) if isinstance(inside, dict) else ()


def _stat(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every file on every look
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
