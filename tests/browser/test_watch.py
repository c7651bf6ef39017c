"""The controls: what the other tests of this folder rely on would be noticed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.elsewhere import Elsewhere
    from tests.browser.watch import Watch


@pytest.mark.parametrize("address", ["http://example.com/", "http://10.255.255.1/", "https://[2001:db8::1]/"])
def test_a_request_that_leaves_the_machine_is_stopped_and_noticed(
    page: Page, watch: Watch, elsewhere: Elsewhere, address: str
) -> None:
    """Neither a name nor an address outside can be reached, and the attempt is a complaint."""
    watch.expect("left the machine", "ERR_NAME_NOT_RESOLVED", "CORS")
    page.goto(elsewhere.page("<p>hello</p>"))
    assert (
        page.evaluate(
            "address => fetch(address, {mode: 'no-cors'}).then(() => 'sent', () => 'stopped')", address
        )
        == "stopped"
    )
    assert f"left the machine: {address}" in watch.complaints
    assert not watch.unexpected()


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("throw new Error('planted')", "thrown: planted"),
        ("console.error('planted')", "error: planted"),
        ("Promise.reject(new Error('planted'))", "thrown: planted"),
    ],
    ids=["thrown", "console", "rejected"],
)
def test_an_error_of_a_page_is_noticed(
    page: Page, watch: Watch, elsewhere: Elsewhere, script: str, complaint: str
) -> None:
    """What a page throws or writes as an error is a complaint."""
    watch.expect("planted")
    with page.expect_event("console" if "console" in script else "pageerror"):
        page.goto(elsewhere.page(f"<script>{script}</script>"))
    assert any(said.startswith(complaint) for said in watch.complaints)


def test_an_error_of_a_popup_is_noticed(page: Page, watch: Watch, elsewhere: Elsewhere) -> None:
    """A window that a page opened is watched as well."""
    watch.expect("planted")
    page.goto(elsewhere.page("<script>console.log('opener')</script>"))
    with page.expect_popup() as popup:
        page.evaluate(
            "address => void open(address)", elsewhere.page("<script>console.error('planted')</script>")
        )
    popup.value.wait_for_load_state()
    assert any("planted" in said for said in watch.complaints)


def test_a_breach_of_a_policy_is_noticed(page: Page, watch: Watch, elsewhere: Elsewhere) -> None:
    """A script that a Content-Security-Policy forbids does not run, and is a complaint."""
    watch.expect("Content Security Policy")
    page.goto(
        elsewhere.page(
            "<script>window.__pwned = true</script>", {"Content-Security-Policy": "script-src 'self'"}
        )
    )
    assert page.evaluate("window.__pwned") is None
    assert any("Content Security Policy" in said for said in watch.complaints)


def test_other_tests_of_the_worker_meet_no_event_loop(browser: Browser) -> None:
    """While the browser of a worker is there, other tests of it can run event loops of their own."""
    assert browser.is_connected()
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"
