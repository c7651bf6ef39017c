"""Fixtures for pytest. It loads nothing of nango_py until a test uses one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py.clock import Clock
    from nango_py.sandbox.server import SandboxArguments
    from nango_py.testing import SandboxNango


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of the ini file."""
    parser.addini(
        "nango_integrations",
        "the integrations.yaml of nango_sandbox, relative to the root folder",
        default="integrations.yaml",
    )
    parser.addini("nango_blueprints", "the folder of its blueprints; beside that file by default", default="")


@pytest.fixture
def nango_environ() -> dict[str, str]:
    """Values of environment variables in integrations.yaml; others are made up. To be overridden."""
    return {}


@pytest.fixture
def nango_sandbox_options() -> SandboxArguments:
    """Arguments of all sandboxes, such as `{"strict": False}`. To be overridden."""
    return {}


@pytest.fixture
def nango_clock() -> Clock:
    """The clock of nango_sandbox; override it to return a `nango_py.VirtualClock`."""
    from nango_py.clock import SYSTEM_CLOCK

    return SYSTEM_CLOCK


@pytest.fixture
def nango_sandbox(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    nango_environ: dict[str, str],
    nango_sandbox_options: SandboxArguments,
    nango_clock: Clock,
) -> Iterator[SandboxNango]:
    """A Nango whose declared integrations all lead to sandboxes, without secrets in the environment."""
    from nango_py.testing import SandboxNango

    config = request.config
    folder = config.getini("nango_blueprints")
    with SandboxNango(
        config.rootpath / config.getini("nango_integrations"),
        blueprints=config.rootpath / folder if folder else None,
        environ=nango_environ,
        database_url=f"sqlite:///{tmp_path / 'nango_sandbox.db'}",
        options=nango_sandbox_options,
        clock=nango_clock,
    ) as nango:
        yield nango
