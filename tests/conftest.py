"""Fixtures of the whole suite: a clean environment, a clock, and databases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.databases import fresh_postgres, fresh_redis
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# How long an example takes says something of the machine only; benchmarks measure.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No NANGO_* variable of the developer's shell reaches a test, but those that name test servers."""
    for name in list(os.environ):
        if name.startswith("NANGO_") and not name.startswith("NANGO_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when told."""
    return ManualClock()


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL schema."""
    with fresh_postgres() as url:
        yield url


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis database."""
    with fresh_redis() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database, once for each kind that the connection store serves."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/.nango/nango.db"
        return
    with fresh_postgres() as url:
        yield url
