"""The blueprint files that were read and checked, kept for the next catalogue of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from nango_py.registry import AUTH_MODES, PAGINATORS

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.config.yaml.merge import Sourced
    from nango_py.config.yaml.tree import Document

    Checked = tuple[Document, Sourced]

MAX_FILES = 64

SETTLED_SECONDS = 2.0
"""Age of a change from which on another one gives the file another time, on every file system."""

_kept: dict[tuple[Path, str, str], tuple[object, Checked]] = {}


def identify(path: Path, now: float) -> object:
    """A value that changes whenever a file does; None if the file changed just now or cannot be read.

    It is None, too, if auth modes or paginators of other packages take part in the check.
    """
    if AUTH_MODES.additions() or PAGINATORS.additions():
        return None
    try:
        found = os.stat(path)  # noqa: PTH116 - called for each blueprint of each start
    except (OSError, ValueError):
        return None
    changed_at = max(found.st_mtime, found.st_ctime)
    if not 0 <= changed_at <= now - SETTLED_SECONDS:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev, found.st_mode


def find_checked(path: Path, shown_as: str, version: str, identity: object) -> Checked | None:
    """A file that was checked before and has not changed since, or None."""
    known = _kept.get((path, shown_as, version))
    return None if known is None or identity is None or known[0] != identity else known[1]


def keep_checked(path: Path, shown_as: str, version: str, identity: object, checked: Checked) -> None:
    """Keep a file without problems.

    Args:
        path: the file.
        shown_as: its name in messages.
        version: the version that was taken from it.
        identity: of the file before it was read.
        checked: its document and its own settings.
    """
    if identity is None:
        return
    while len(_kept) >= MAX_FILES:
        with suppress(StopIteration, RuntimeError):  # other threads may do the same
            _kept.pop(next(iter(_kept)), None)
    _kept[path, shown_as, version] = identity, checked
