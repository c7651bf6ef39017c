"""Which files of a folder are blueprints, by their names."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_-]{0,63})(?:\.(?P<version>v(?:0|[1-9][0-9]{0,8})))?\.(?P<end>ya?ml)\Z"
)


def blueprint_files(folder: Path | str) -> list[str]:
    """The names of a folder's blueprint files, sorted; none where there is no such folder.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        return sorted(name for name in os.listdir(folder) if FILE.match(name))  # noqa: PTH208 - names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return []
