"""The cache of checked files, sealed with what the connections are sealed with."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nango_py.config.cache.cache_folder import ConfigCache
from nango_py.connections.keys import key_text, with_keys
from nango_py.database.base import sqlite_folder
from nango_py.errors import StorageError
from nango_py.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ConfigCacheOpener:
    """Gives the place where the checked form of files is kept: beside the database, once there are keys.

    Args:
        database_url: the one that was given for the database, or None for the usual place.
        environ: the environment.
        keys: encryption keys that were given; they count more than those of the environment.
    """

    def __init__(self, database_url: str | None, environ: Mapping[str, str], keys: Secret | None) -> None:
        self._database_url = Secret(database_url or "")
        self._environ = environ
        self._keys = keys

    def __call__(self, folder: Path) -> ConfigCache | None:
        """The cache for files in `folder`, or None."""
        beside = None
        with contextlib.suppress(StorageError):  # a wrong URL is told when the store is opened
            beside = sqlite_folder(self._database_url.reveal())
        home = beside or folder / ".nango"
        key = key_text(with_keys(self._environ, self._keys), home)
        return None if key is None else ConfigCache(home, key)
