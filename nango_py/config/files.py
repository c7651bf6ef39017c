"""The configuration files of a program, read once, or again when they change during development."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nango_py.config.yaml.listing import is_yaml, list_names
from nango_py.errors import ConfigError
from nango_py.forks import forget_in_children

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.cache.cache_folder import ConfigCache
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.loading import LoadResult
    from nango_py.config.model import Configuration
    from nango_py.json_types import Settings

logger = logging.getLogger("nango_py.config")

ANNOUNCED_CHANGE = "W505"
# A change is in the future, so that saying it once in a process is enough.
_LOGGED_CHANGES: set[str] = set()

Fingerprint = tuple[tuple[str, int, int, int], ...]


class ConfigFiles:
    """integrations.yaml and the blueprint folders as one checked Configuration.

    Args:
        integrations: the path of integrations.yaml, or its content.
        blueprints: the folder of blueprints; by default `blueprints` beside the file.
        overrides: settings by integration, merged over the file.
        environ: the environment.
        reload: whether `current()` reads changed files again. If they are wrong, the last valid
            configuration stays in use and the problems are logged once.
        cache: returns the cache for a folder of configuration files, or None.
    """

    def __init__(
        self,
        integrations: str | os.PathLike[str] | Settings | None,
        blueprints: str | os.PathLike[str] | None,
        overrides: Mapping[str, Settings] | None,
        environ: Mapping[str, str],
        *,
        reload: bool,
        cache: Callable[[Path], ConfigCache | None] = lambda _: None,
    ) -> None:
        is_path = integrations is None or isinstance(integrations, str | os.PathLike)
        if not is_path and not hasattr(integrations, "items"):
            found = type(integrations).__name__
            raise TypeError(
                f"integrations is of type {found}; expected a path, or the content of the file as a mapping"
            )
        self._source: Path | Settings = (
            Path(integrations or "integrations.yaml") if is_path else integrations  # type: ignore[arg-type, assignment]
        )
        self.folder = self._source.parent if isinstance(self._source, Path) else Path()
        self._blueprints = Path(blueprints) if blueprints is not None else self.folder / "blueprints"
        self._overrides = overrides
        self._environ = environ
        self._reload = reload
        self._cache = cache(self.folder)
        self._seen: Fingerprint = self._fingerprint() if reload else ()
        self._configuration = self._load()
        self.forget_inherited()
        forget_in_children(self)
        for warning in self._configuration.warnings:
            if warning.code == ANNOUNCED_CHANGE:
                if warning.what in _LOGGED_CHANGES:
                    continue
                _LOGGED_CHANGES.add(warning.what)
            logger.warning("%s", warning)

    def current(self) -> Configuration:
        """The configuration, one consistent object; with reload, that of the files as they are now."""
        if self._reload:
            self._reload_if_changed()
        return self._configuration

    def catalogue(self) -> Catalogue:
        """The blueprints that can be found."""
        from nango_py.config.catalogue import open_catalogue

        return open_catalogue(self._blueprints)

    def _load(self) -> Configuration:
        """The configuration from the cache, or else from the files."""
        if self._cache is None:
            return self._read().configuration
        inputs = self._cache.inputs(self._source, self._overrides, self._blueprints, self._environ)
        cached = self._cache.load(inputs)
        if cached is not None:
            return cached
        loaded = self._read()
        self._cache.save(inputs, loaded)
        return loaded.configuration

    def _read(self) -> LoadResult:
        from nango_py.config.loading import load

        return load(
            self._source, catalogue=self.catalogue(), environ=self._environ, overrides=self._overrides
        )

    def forget_inherited(self) -> None:
        """See `Forkable`."""
        self._lock = threading.Lock()

    def _reload_if_changed(self) -> None:
        fingerprint = self._fingerprint()
        if fingerprint == self._seen:
            return
        with self._lock:
            if fingerprint == self._seen:
                return
            try:
                self._configuration = self._load()
            except ConfigError as error:
                # Without the traceback: the problems say everything.
                what = "the files changed but are invalid; the last valid configuration stays in use"
                logger.error("%s:\n%s", what, error)  # noqa: TRY400
            else:
                logger.info("configuration files changed and were reloaded")
            finally:
                self._seen = fingerprint  # not before: a child that is forked in between reloads again

    def _fingerprint(self) -> Fingerprint:
        """Time, size and inode of every file that the configuration may depend on."""
        paths = [self._source] if isinstance(self._source, Path) else []
        folders = [self._blueprints, *(Path(path) for path in self._extra_folders())]
        for folder in folders:
            with contextlib.suppress(OSError):  # loading reports it
                paths += [folder / name for name in list_names(folder) if is_yaml(name)]
        return tuple((str(path), *_stat(path)) for path in paths)

    def _extra_folders(self) -> tuple[str, ...]:
        known = getattr(self, "_configuration", None)
        return known.config.blueprint_paths if known is not None else ()


def _stat(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
