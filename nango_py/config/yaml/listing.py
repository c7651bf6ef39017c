"""Lists the YAML files of a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def yaml_files(folder: Path | str) -> list[str]:
    """The names of a folder's YAML files, sorted; none if the folder is missing.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".yml")))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
