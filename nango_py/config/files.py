"""The files of one product, read once, or read again when they change while developing."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nango_py.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nango_py.config.cache.cache_folder import ConfigCache
    from nango_py.config.catalogue import Catalogue
    from nango_py.config.loading import Loaded
    from nango_py.config.model import Configuration

logger = logging.getLogger("nango_py.config")

Fingerprint = tuple[Any, ...]


class ConfigFiles:
    """integrations.yaml and the blueprint folders as one checked Configuration.

    `cache` gives, for the folder of the files, where their checked form is kept.
    With reload, each look compares the files' times and sizes; a half-written or wrong file keeps the last
    good configuration and is logged once.
    """

    def __init__(
        self,
        integrations: str | os.PathLike[str] | Mapping[str, Any] | None,
        blueprints: str | os.PathLike[str] | None,
        overrides: Mapping[str, Mapping[str, Any]] | None,
        environ: Mapping[str, str],
        *,
        reload: bool,
        cache: Callable[[Path], ConfigCache | None] = lambda _: None,
    ) -> None:
        is_path = integrations is None or isinstance(integrations, str | os.PathLike)
        if not is_path and not hasattr(integrations, "items"):
            found = type(integrations).__name__
            raise TypeError(f"integrations is of type {found}; expected a path, or what the file would say")
        self._source: Path | Mapping[str, Any] = (
            Path(integrations or "integrations.yaml") if is_path else integrations  # type: ignore[arg-type, assignment]
        )
        self.folder = self._source.parent if isinstance(self._source, Path) else Path()
        self._blueprints = Path(blueprints) if blueprints is not None else self.folder / "blueprints"
        self._overrides = overrides
        self._environ = environ
        self._reload = reload
        self._cache = cache(self.folder)
        self._lock = threading.Lock()
        self._seen: Fingerprint = self._fingerprint() if reload else ()
        self._configuration = self._load()
        for warning in self._configuration.warnings:
            logger.warning("%s", warning)

    def current(self) -> Configuration:
        """The configuration; with reload, as the files are now if they are good."""
        if self._reload:
            self._look_again()
        return self._configuration

    def catalogue(self) -> Catalogue:
        """The blueprints that can be found from here."""
        from nango_py.config.catalogue import open_catalogue

        return open_catalogue(self._blueprints)

    def _load(self) -> Configuration:
        """The files as they are now: their checked form if there is one, else they are read and checked."""
        if self._cache is None:
            return self._loaded().configuration
        inputs = self._cache.inputs(self._source, self._overrides, self._blueprints, self._environ)
        known = self._cache.load(inputs)
        if known is not None:
            return known
        loaded = self._loaded()
        self._cache.save(inputs, loaded)
        return loaded.configuration

    def _loaded(self) -> Loaded:
        from nango_py.config.loading import load

        return load(
            self._source, catalogue=self.catalogue(), environ=self._environ, overrides=self._overrides
        )

    def _look_again(self) -> None:
        fingerprint = self._fingerprint()
        if fingerprint == self._seen:
            return
        with self._lock:
            if fingerprint == self._seen:
                return
            self._seen = fingerprint
            try:
                self._configuration = self._load()
            except ConfigError as error:
                logger.error("the files changed but are wrong; the last good ones stay in use:\n%s", error)  # noqa: TRY400 - the problems are the whole story
            else:
                logger.info("the files changed and were read again")

    def _fingerprint(self) -> Fingerprint:
        """Time, size and identity of every file that could matter."""
        paths = [self._source] if isinstance(self._source, Path) else []
        folders = [self._blueprints, *(Path(path) for path in self._extra_folders())]
        for folder in folders:
            if folder.is_dir():
                paths += sorted(folder.glob("*.y*ml"))
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
