"""Tests of examples/ run only if their folder is named: `pytest tests/examples` with the extra `examples`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nango_py import Nango, Sandbox
from tests.support.example_apps import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore everything here unless the command names this folder or a file in it."""
    named = [Path(config.invocation_params.dir, name.partition("::")[0]).resolve() for name in config.args]
    if any(name == FOLDER or FOLDER in name.parents for name in named):
        return None
    return FOLDER in collection_path.resolve().parents


@pytest.fixture
def klaviyo() -> Iterator[Sandbox]:
    """A stand-in for Klaviyo that accepts only the key of Ada, and has two metrics."""
    with Nango(EXAMPLES / "notebook" / "integrations.yaml", environ={}) as nango:
        settings = nango.configuration.integrations["klaviyo"].settings
    with Sandbox(settings, credentials={"ada": {"api_key": "pk_ada"}}) as sandbox:
        yield sandbox
