"""The cache of checked files, sealed with what the connections are sealed with."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nango_py.config.cache import Cache
from nango_py.connections.database import sqlite_folder
from nango_py.connections.keys import key_text
from nango_py.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nango_py.secret import Secret


def cache_beside(database: Secret | None, environ: Mapping[str, str], folder: Path) -> Cache | None:
    """Where the checked form of files in `folder` is kept: beside the database; None before there are keys.

    Args:
        database: the URL that was given for it, or None for the usual place.
        environ: the environment; its keys count more than those of a key file.
        folder: where integrations.yaml is.
    """
    beside = None
    with contextlib.suppress(StorageError):  # a wrong URL is told when the store is opened
        beside = sqlite_folder(database.reveal()) if database is not None else None
    home = beside or folder / ".nango"
    key = key_text(environ, home)
    return None if key is None else Cache(home, key)
