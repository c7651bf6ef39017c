"""What a configuration was made of, in a form that says cheaply whether anything of it has changed."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py._version import __version__
from nango_py.config.settings import with_integrations_key
from nango_py.config.yaml.listing import yaml_files
from nango_py.registry import AUTH_MODES, PAGINATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nango_py.clock import Clock
    from nango_py.config.loading import Loaded
    from nango_py.secret import Secret

FORMAT = 2
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

Stamp = dict[str, Any]


class Inputs:
    """The arguments of one load, and the digests of everything that takes part in it.

    Every digest is keyed, so none of them can be tried out against guesses of what was digested.

    Args:
        source: integrations.yaml, or the same from Python.
        overrides: settings laid over it.
        blueprints: the folder of the project's own blueprints.
        environ: the environment.
        key: the key of the digests.
        clock: what day it is.
    """

    def __init__(
        self,
        source: Path | Mapping[str, Any],
        overrides: Mapping[str, Mapping[str, Any]] | None,
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

    def seal(self, data: bytes) -> str:
        """The keyed digest (HMAC-SHA-256) of some bytes, as hex."""
        return hmac.digest(self._key.reveal().encode(), data, "sha256").hex()

    def whole(self) -> Mapping[str, Any]:
        """The settings from Python with their `integrations:` key; nothing where they are in a file."""
        return {} if isinstance(self.source, Path) else with_integrations_key(self.source)

    def name(self) -> str:
        """A short name for "these files, seen from here": its form is replaced when they change."""
        shown = str(self.source) if isinstance(self.source, Path) else ""
        return self.seal(_json(["name", os.getcwd(), shown, str(self._blueprints), *self.overrides]))[:16]  # noqa: PTH109

    def match(self, stamp: Stamp) -> bool:
        """Whether nothing has changed since the stamp was made. Reads `text`, the bytes of the source.

        Raises:
            OSError: a file is gone, or cannot be read.
            ValueError: the source is of values that have no plain form.
        """
        first, end = stamp["days"]
        return (
            not (AUTH_MODES.additions() or PAGINATORS.additions())
            and first <= self._today < end
            and stamp["program"] == self.seal(_program())
            and stamp["source"] == self._source()
            and stamp["environ"] == self._environment(stamp["names"])
            and all(names == yaml_files(folder) for folder, names in stamp["folders"])
            and all(self._file(path, Path(path).read_bytes()) == known for path, known in stamp["files"])
        )

    def stamp(self, loaded: Loaded) -> Stamp | None:
        """The stamp of what was loaded, or None where something took part that a stamp cannot tell.

        Raises:
            OSError, ValueError: as in `match`.
        """
        read = loaded.catalogue.read()
        if read is None or AUTH_MODES.has_external() or PAGINATORS.has_external():
            return None
        names = sorted(loaded.environ)
        stamp: Stamp = {
            "program": self.seal(_program()),
            "days": self._days(loaded),
            "source": self._source(),
            "names": names,
            "environ": self._environment(names),
            "folders": [[str(path.absolute()), list(seen)] for path, seen in loaded.catalogue.listed()],
            "files": [],
        }
        # What was checked is what was read then, and not what stands there now.
        is_same = loaded.document.digest in {"", hashlib.sha256(self.text).hexdigest()}
        for path, document in read:
            content = path.read_bytes()
            stamp["files"].append([str(path.absolute()), self._file(path, content)])
            is_same = is_same and document.digest == hashlib.sha256(content).hexdigest()
        return stamp if is_same else None

    def _days(self, loaded: Loaded) -> tuple[str, str]:
        """From when to when the warnings about APIs that end stay the same."""
        ends = [
            day
            for _, blueprint in loaded.trees.values()
            if blueprint is not None
            for day in (blueprint.status.deprecated_on, blueprint.status.retires_on)
            if day is not None and day > self._today
        ]
        return self._today, min(ends, default="9999")

    def _source(self) -> str:
        overrides = _json(_plain(self.overrides))
        if not isinstance(self.source, Path):
            return self.seal(b"python\0" + _json(_plain(self.source)) + b"\0" + overrides)
        self.text = self.source.read_bytes()
        digest = hashlib.sha256(self.text).digest()
        return self.seal(b"file\0" + _kind(self.source) + digest + overrides)

    def _environment(self, names: Iterable[str]) -> str:
        return self.seal(_json(["environ", [self.environ.get(name) for name in names]]))

    def _file(self, path: Path | str, content: bytes) -> str:
        return self.seal(_kind(path) + content)


def _kind(path: Path | str) -> bytes:
    """What is looked at beside a file's content: who may write it, and where it really is."""
    others = os.stat(path).st_mode & stat.S_IWOTH  # noqa: PTH116
    return f"{os.path.realpath(path)}\0{others}\0".encode(errors="surrogateescape")


def _program() -> bytes:
    """This version of everything that reads files and is no file of the project."""
    package = Path(__file__).parents[2]
    own = [entry for name in _OWN_FOLDERS for entry in _stats(package / name)]
    installed = [entry for folder in sys.path for entry in _packages(folder or ".")]
    return _json([FORMAT, __version__, sys.version, own, installed])


def _packages(folder: str) -> Iterator[tuple[str, int, int]]:
    """The packages installed in one place of sys.path: they may bring blueprints and parts."""
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


def _plain(value: Any) -> Any:
    """The value if JSON can say exactly that."""
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise ValueError("a key is no text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or type(value) in {str, int, float, bool}:
        return value
    raise ValueError("a value of another type")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
