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


def list_entries(folder: Path | str) -> tuple[list[str], set[str]]:
    """The names of everything in a folder, sorted, and those of them that are links.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_symlink() for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return [], set()
    return sorted(found), {name for name, is_link in found.items() if is_link}


def is_yaml(name: str) -> bool:
    """Whether a file name ends as those of YAML files do, in upper or lower case."""
    return name.lower().endswith((".yaml", ".yml"))


def find_twin(path: Path) -> Path | None:
    """The file of the same name with the other ending of YAML files; None if there is none."""
    other = {".yaml": ".yml", ".yml": ".yaml"}.get(path.suffix)
    twin = path.with_suffix(other) if other else None
    return twin if twin is not None and twin.exists() else None
