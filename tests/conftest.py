"""Fixtures of the whole suite: a clean environment, a clock, and databases."""

from __future__ import annotations

import gc
import logging
import os
import signal
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.databases import fresh_postgres, fresh_redis
from tests.support.fake_clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# Without bytecode each of the many processes that tests start would compile the whole package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that runs the suite in the background lets it ignore Ctrl-C, and the commands that tests start
# would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes depends on the machine; benchmarks measure that. `--thorough` is for a weekly run.
hypothesis.settings.register_profile("suite", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--thorough`."""
    parser.addoption("--thorough", action="store_true", help="try a thousand examples in each property test")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples the property tests try; the collection makes no garbage worth collecting."""
    gc.disable()
    hypothesis.settings.load_profile("thorough" if config.getoption("--thorough") else "suite")


def pytest_collection_finish() -> None:
    """Exempt what the collection made from garbage collection, and collect less often: a fifth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No NANGO_* variable of the developer's shell reaches a test, but those that name test servers."""
    for name in list(os.environ):
        if name.startswith("NANGO_") and not name.startswith("NANGO_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_loggers() -> Iterator[None]:
    """The `log_level` of one test's integration is not that of the next test's integration with its name."""
    yield
    for name, logger in list(logging.root.manager.loggerDict.items()):
        # setLevel takes the time of a visit to every logger, and late in a run there are many.
        if name.startswith("nango_py.integrations.") and isinstance(logger, logging.Logger) and logger.level:
            logger.setLevel(logging.NOTSET)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test moves."""
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
