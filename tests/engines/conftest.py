"""Tests with other engines run only if their folder is named: `pytest tests/engines`; extra `engines`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FOLDER = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore everything here unless the command names this folder or a file in it."""
    named = [Path(config.invocation_params.dir, name.partition("::")[0]).resolve() for name in config.args]
    if any(name == FOLDER or FOLDER in name.parents for name in named):
        return None
    return FOLDER in collection_path.resolve().parents
