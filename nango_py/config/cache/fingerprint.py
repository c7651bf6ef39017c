"""Fingerprints of everything that a configuration was made from, to notice changes cheaply."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nango_py._version import __version__
from nango_py.config.lifecycle import warning_days
from nango_py.config.settings import with_integrations_key
from nango_py.config.yaml.listing import find_twin, list_names
from nango_py.registry import AUTH_MODES, PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nango_py.clock import Clock
    from nango_py.config.loading import LoadResult
    from nango_py.json_types import JsonValue, Settings
    from nango_py.secret import Secret

FORMAT = 3
_OWN_FOLDERS = (
    "",
    "config",
    "config/cache",
    "config/schema",
    "config/template",
    "config/urls",
    "config/yaml",
    "protocols",
    "auth",
    "pagination",
)
_SOURCES = (".py", ".json")
_METADATA = (".dist-info", ".egg-info", ".egg", ".whl", ".zip")

Fingerprint = dict[str, Any]
"""A JSON object; only this module reads its values."""


class LoadInputs:
    """The arguments of one load, and the digests of everything that it reads.

    Every digest is keyed, so that it cannot be used to test guesses of the content.

    Args:
        source: integrations.yaml, or the same from Python.
        overrides: settings merged over it.
        blueprints: the folder of the project's blueprints.
        environ: the environment.
        key: the key of the digests.
        clock: the time.
    """

    def __init__(
        self,
        source: Path | Settings,
        overrides: Mapping[str, Settings] | None,
        blueprints: Path,
        environ: Mapping[str, str],
        key: Secret,
        clock: Clock,
    ) -> None:
        self.source = source
        self.overrides = overrides or {}
        self.environ = environ
        self._blueprints = blueprints
        self._key = key
        self._today = datetime.fromtimestamp(clock.now(), UTC).date().isoformat()
        self.text = b""

    def sign(self, data: bytes) -> str:
        """The keyed digest (HMAC-SHA-256) of the data, as hex."""
        return hmac.digest(self._key.reveal().encode(errors="surrogateescape"), data, "sha256").hex()

    def settings(self) -> Settings:
        """The settings from Python with their `integrations:` key; empty if they are in a file."""
        return {} if isinstance(self.source, Path) else with_integrations_key(self.source)

    def name(self) -> str:
        """A short name for these files in this working folder. A changed file keeps its name."""
        shown = str(self.source) if isinstance(self.source, Path) else ""
        return self.sign(_json(["name", os.getcwd(), shown, str(self._blueprints), *self.overrides]))[:16]  # noqa: PTH109

    def matches(self, fingerprint: Fingerprint) -> bool:
        """Whether nothing has changed since the fingerprint was made. Reads the source into `text`.

        Raises:
            OSError: a file cannot be read.
            ValueError: the settings from Python contain values that JSON cannot represent.
        """
        first, end = fingerprint["days"]
        return (
            not (AUTH_MODES.additions() or PAGINATORS.additions())
            and first <= self._today < end
            and fingerprint["program"] == self.sign(_program_version())
            and fingerprint["source"] == self._source()
            and fingerprint["environ"] == self._environment(fingerprint["names"])
            and all(names == list_names(folder) for folder, names in fingerprint["folders"])
            and all(
                self._file(path, Path(path).read_bytes()) == known for path, known in fingerprint["files"]
            )
        )

    def make_fingerprint(self, loaded: LoadResult) -> Fingerprint | None:
        """The fingerprint of a load, or None if it depends on something that has none.

        Raises:
            OSError, ValueError: as in `matches`.
        """
        if AUTH_MODES.has_external() or PAGINATORS.has_external():
            return None
        names = sorted(loaded.environ)
        fingerprint: Fingerprint = {
            "program": self.sign(_program_version()),
            "days": self._valid_days(loaded),
            "source": self._source(),
            "names": names,
            "environ": self._environment(names),
            "folders": [
                [str(path.absolute()), list(names)] for path, names in loaded.catalogue.searched_folders()
            ],
            "files": [],
        }
        # A file may have changed since it was read and checked.
        is_same = loaded.document.digest in {"", hashlib.sha256(self.text).hexdigest()}
        for path, document in loaded.catalogue.read_files():
            content = path.read_bytes()
            fingerprint["files"].append([str(path.absolute()), self._file(path, content)])
            is_same = is_same and document.digest == hashlib.sha256(content).hexdigest()
        return fingerprint if is_same else None

    def _valid_days(self, loaded: LoadResult) -> tuple[str, str]:
        """The first day, and the day after the last, on which warnings about APIs stay the same."""
        ends = [
            day
            for _, blueprint in loaded.trees.values()
            if blueprint is not None
            for day in warning_days(blueprint)
            if day > self._today
        ]
        return self._today, min(ends, default="9999")

    def _source(self) -> str:
        overrides = _json(_plain(self.overrides))
        if not isinstance(self.source, Path):
            return self.sign(b"python\0" + _json(_plain(self.source)) + b"\0" + overrides)
        self.text = self.source.read_bytes()
        digest = hashlib.sha256(self.text).digest()
        twin = str(find_twin(self.source)).encode(errors="surrogateescape")  # the warning about it
        return self.sign(b"file\0" + _file_traits(self.source) + twin + digest + overrides)

    def _environment(self, names: Iterable[str]) -> str:
        return self.sign(_json(["environ", [self.environ.get(name) for name in names]]))

    def _file(self, path: Path | str, content: bytes) -> str:
        return self.sign(_file_traits(path) + content)


def _file_traits(path: Path | str) -> bytes:
    """Whether other users can write a file, and its real path."""
    others = os.stat(path).st_mode & stat.S_IWOTH  # noqa: PTH116
    return f"{os.path.realpath(path)}\0{others}\0".encode(errors="surrogateescape")


def _program_version() -> bytes:
    """The versions of nango_py, Python and everything that is installed."""
    package = Path(__file__).parents[2]
    own = [entry for name in _OWN_FOLDERS for entry in _stats(package / name)]
    installed = [entry for folder in sys.path for entry in _packages(folder or ".")]
    return _json([FORMAT, __version__, sys.version, own, installed])


def _packages(folder: str) -> Iterator[tuple[str, int, int]]:
    """The packages in one folder of sys.path, which may bring blueprints and plugins."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_METADATA))  # noqa: PTH208
    except NotADirectoryError:
        yield _stat(folder)
    except OSError:
        return
    else:
        for name in names:
            yield _stat(f"{folder}/{name}/entry_points.txt")


def _stats(folder: Path) -> Iterator[tuple[str, int, int]]:
    names = sorted(name for name in os.listdir(folder) if name.endswith(_SOURCES))  # noqa: PTH208
    return (_stat(f"{folder}/{name}") for name in names)


def _stat(path: str) -> tuple[str, int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every file at every start
    except OSError:
        return path, 0, 0
    return path, found.st_size, found.st_mtime_ns


def _plain(value: object) -> JsonValue:
    """The value, if JSON represents it exactly."""
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise ValueError("a key is not text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or type(value) in {str, int, float, bool}:
        return cast("str | float | bool | None", value)
    raise ValueError("a value that JSON does not have")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
