"""The configuration cache, sealed with the key that seals the connections."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nango_py.config.cache.cache_folder import ConfigCache
from nango_py.connections.keys import find_key_file, key_text, with_keys
from nango_py.database.opening import sqlite_file
from nango_py.errors import StorageError
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ConfigCacheOpener:
    """Opens the cache of checked configuration files: next to the database, once there is an encryption key.

    Args:
        database_url: None for the default database.
        environ: the environment.
        keys: encryption keys that take precedence over those of the environment.
    """

    def __init__(self, database_url: str | None, environ: Mapping[str, str], keys: Secret | None) -> None:
        self._database_url = Secret(database_url or "")
        self._environ = environ
        self._keys = keys

    def __call__(self, folder: Path) -> ConfigCache | None:
        """The cache for files in `folder`, or None."""
        file, place = None, folder / ".nango"
        cache_folder = place
        with contextlib.suppress(StorageError):  # reported when the store is opened
            file = sqlite_file(self._database_url.reveal())
            if file is not None:
                cache_folder, place = file.parent, find_key_file(file)
        key = key_text(with_keys(self._environ, self._keys), place)
        return None if key is None else ConfigCache(cache_folder, key)
