"""One Chromium for all tests of a worker, a fresh profile for each test, and a watch that misses nothing.

Chromium resolves no name and no address but loopback, and a test in which it tried one fails. So does one in
which a page wrote an error to the console, threw one, or broke its Content-Security-Policy, unless the test
said that this was to come. A test that fails leaves a trace in build/traces (`playwright show-trace`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.elsewhere import Elsewhere
from tests.browser.product import Product
from tests.browser.visitor import Visitor
from tests.browser.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

BUILD = Path(__file__).resolve().parents[2] / "build"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
]
PATIENCE_MS = 15_000
"""How long a page may take to become as expected; nothing takes as long on a machine that is awake."""

_failed = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put these tests first: each worker gets a slice of the suite, so that few of them need a browser."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/browser/"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Remember a failure, for the trace that is kept then."""
    report: pytest.TestReport = yield
    item.stash[_failed] = report.failed or item.stash.get(_failed, False)
    return report


class LoopOfPlaywright:
    """Playwright keeps an event loop running in this thread; other tests of the worker must not meet it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Playwright may be called inside."""
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            self._loop = asyncio._get_running_loop()
            asyncio._set_running_loop(None)


def missing() -> str:
    """What this machine lacks for the tests of this folder, or ""."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install -e '.[browser]'"
    if not any(map(shutil.which, CHROMIUMS)):
        return "there is no Chromium: apt-get install chromium"
    return ""


@pytest.fixture(scope="session")
def playwright_loop() -> LoopOfPlaywright:
    """Switches Playwright's event loop on and off."""
    return LoopOfPlaywright()


@pytest.fixture(scope="session")
def browser(playwright_loop: LoopOfPlaywright) -> Iterator[Browser]:
    """The Chromium of this worker. Without one, the tests fail in CI and are skipped elsewhere."""
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with playwright_loop():
        playwright = sync_playwright().start()
        program = next(filter(None, map(shutil.which, CHROMIUMS)))
        chromium = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
    yield chromium
    with playwright_loop():
        chromium.close()
        playwright.stop()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What the pages of this test did that they should not have."""
    watching = Watch()
    yield watching
    assert not watching.unexpected()


@pytest.fixture
def servers() -> Iterator[contextlib.ExitStack]:
    """Servers are entered here: they close after the pages, whose last requests would fail otherwise."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def elsewhere(servers: contextlib.ExitStack) -> Elsewhere:
    """A site of somebody else."""
    return servers.enter_context(Elsewhere("localhost"))


@pytest.fixture
def new_context(
    browser: Browser,
    playwright_loop: LoopOfPlaywright,
    watch: Watch,
    servers: contextlib.ExitStack,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., BrowserContext]]:
    """Makes fresh profiles: `new_context(viewport=..., color_scheme=...)`."""
    del servers  # asked for so that they close later
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**options)
        made.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.tracing.start(snapshots=True)
        watch.over(context)
        return context

    with playwright_loop():
        yield make
        for number, context in enumerate(made):
            kept = None
            if request.node.stash.get(_failed, False):
                name = re.sub(r"\W+", "-", request.node.name)
                kept = BUILD / "traces" / f"{name}-{number}.zip"
            context.tracing.stop(path=kept)
            context.close()


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A page of a fresh profile."""
    return new_context().new_page()


@pytest.fixture
def product(servers: contextlib.ExitStack, elsewhere: Elsewhere, tmp_path: Path) -> Product:
    """A product whose connect server knows the pages of `elsewhere` as its own."""
    return servers.enter_context(Product(tmp_path, origins=(elsewhere.origin,)))


@pytest.fixture
def visitor(page: Page, product: Product) -> Visitor:
    """Somebody before the product's connect page."""
    return Visitor(page, product)
