"""Lists the files of a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def list_names(folder: Path | str) -> list[str]:
    """The names of everything in a folder, sorted; none if the folder is missing.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_yaml(name: str) -> bool:
    """Whether a file name ends as those of YAML files do, in upper or lower case."""
    return name.lower().endswith((".yaml", ".yml"))
