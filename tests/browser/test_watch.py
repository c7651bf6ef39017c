"""The controls: what the other tests of this folder rely on would be noticed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.elsewhere import Elsewhere
    from tests.browser.watch import Watch


def test_a_request_that_leaves_the_machine_is_stopped_and_noticed(
    page: Page, watch: Watch, elsewhere: Elsewhere
) -> None:
    """Neither a name nor an address outside can be reached, and the attempt is a complaint."""
    watch.expect("left the machine", "ERR_NAME_NOT_RESOLVED")
    page.goto(elsewhere.page("<p>hello</p>"))
    ask = "address => fetch(address, {mode: 'no-cors'}).then(() => 'sent', () => 'stopped')"
    for address in ("http://example.com/", "http://10.255.255.1/", "https://[2001:db8::1]/"):
        assert page.evaluate(ask, address) == "stopped"
        assert f"left the machine: {address}" in watch.complaints


def test_an_error_of_a_page_is_noticed(page: Page, watch: Watch, elsewhere: Elsewhere) -> None:
    """What a page throws, writes as an error or asks in a dialog is a complaint."""
    watch.expect("planted")
    scripts = {
        "throw new Error('planted 1')": "thrown: planted 1",
        "Promise.reject(new Error('planted 2'))": "thrown: planted 2",
        "console.error('planted 3')": "error: planted 3",
        "alert('planted 4')": "alert: planted 4",
    }
    page.goto(elsewhere.page("".join(f"<script>{script}</script>" for script in scripts)))
    page.wait_for_function("true")
    for complaint in scripts.values():
        assert any(said.startswith(complaint) for said in watch.complaints), complaint


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
    """While the worker's browser is open, its other tests can run their own event loops."""
    assert browser.is_connected()
    assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"
