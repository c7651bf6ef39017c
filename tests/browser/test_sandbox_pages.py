"""The pages of the sandbox: its ledger with the budgets, and the login of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py import Sandbox
from nango_py.sandbox import FaultPlan
from nango_py.testing import merge
from tests.browser.looks import sideways_pixels, small_targets, too_faint, unlabelled
from tests.browser.product import Product
from tests.browser.visitor import SCREENSHOTS, Visitor, expect, press_button
from tests.support.sandbox_logins import MAIL

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

SETTINGS: dict[str, Any] = {
    "name": "shop",
    "title": "Shop <b>",
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://api.shop.test/v1/",
        "headers": {"Authorization": "Key ${api_key}"},
        "params": {"key": "${api_key}"},
    },
    "rate_limits": {"budgets": [{"key": "${method} ${endpoint}", "otherwise": ["5/hour", "100/day"]}]},
}
KEY = "key_planted_0123456789"
LOOKS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]


def call(api: Sandbox, path: str) -> int:
    """The status of a request with the key."""
    params = {"key": KEY, "q": f"a {KEY}", "page": "2"}
    headers = {"Authorization": f"Key {KEY}"}
    return requests.get(api.base_url + path, headers=headers, params=params, timeout=5).status_code


@pytest.fixture
def api(servers: contextlib.ExitStack) -> Sandbox:
    """A sandbox with some requests, of which one is refused and one has a fault."""
    faults = FaultPlan.script([None, 503])
    sandbox = servers.enter_context(Sandbox(SETTINGS, strict=False, faults=faults))
    statuses = [call(sandbox, f"orders/{number}") for number in (*range(7), KEY)]
    statuses.append(call(sandbox, "<img src=x onerror=alert(1)>"))
    assert statuses.count(429) == 2
    return sandbox


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_ledger_is_shown(
    width: int, scheme: str, api: Sandbox, new_context: Callable[..., BrowserContext]
) -> None:
    """Requests and budgets fit on phones and screens, are readable in light and dark, and hold no secret."""
    page = new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    page.goto(api.watch_url)
    expect(page.locator(".requests li")).to_have_count(9)
    expect(page.get_by_role("heading", name="Shop <b>")).to_be_visible()
    assert "5 of 5" in page.locator(".budgets").inner_text()
    assert "fault: 503" in page.locator(".requests").inner_text()
    assert "page=2" in page.locator(".requests").inner_text()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"sandbox-{width}-{scheme}.png", full_page=True)
    assert KEY not in page.content()
    assert too_faint(page) == []
    assert sideways_pixels(page) == 0
    assert small_targets(page) == []
    assert unlabelled(page) == []


def test_the_ledger_is_live(api: Sandbox, page: Page) -> None:
    """A new request appears without a reload, and not while the page is paused."""
    page.goto(api.watch_url)
    expect(page.locator(".requests li")).to_have_count(9)
    call(api, "later")
    expect(page.locator(".requests li")).to_have_count(10)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    call(api, "later")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".requests li")).to_have_count(11)


def test_several_sandboxes_are_on_one_page(api: Sandbox, servers: contextlib.ExitStack, page: Page) -> None:
    """Each has a section, on the page of each."""
    other = servers.enter_context(Sandbox({**SETTINGS, "title": "Other"}, strict=False))
    other.watch_with([api])
    call(other, "things")
    page.goto(other.watch_url)
    expect(page.get_by_role("heading", level=2)).to_have_text(["Other", "Shop <b>"])


def test_other_hosts_cannot_read_the_ledger(api: Sandbox) -> None:
    """The name in the request must be that of this machine; the control is the address itself."""
    for path in ("", "state", "watch.js"):
        url = api.watch_url + path
        evil = requests.get(url, headers={"Host": f"evil.test:{api.port}"}, timeout=5)
        assert (evil.status_code, "orders" in evil.text) == (403, False)
        found = requests.get(url, timeout=5)
        assert found.status_code == 200
        assert found.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert KEY not in found.text
    assert requests.post(api.watch_url, timeout=5).status_code == 405


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_a_user_connects_at_the_sandbox(
    width: int,
    scheme: str,
    servers: contextlib.ExitStack,
    new_context: Callable[..., BrowserContext],
    tmp_path: Path,
) -> None:
    """From the connect page through the login page of the sandbox to a stored connection."""
    settings = {**MAIL, "title": "Letters", "oauth_scopes": ["read", "write"]}
    mail = servers.enter_context(Sandbox(settings, credentials={"ada": {}, "bob": {}}))
    product = servers.enter_context(Product(tmp_path, letters=merge(settings, mail.overrides)))
    page = new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    visitor = Visitor(page, product)
    visitor.visit("letters", "weather")
    visitor.open("Letters")
    with page.expect_popup() as opening:
        visitor.button("Continue to Letters").click()
    window = opening.value
    expect(window.get_by_role("heading", level=1)).to_have_text("Log in to Letters")
    window.get_by_role("combobox").select_option("bob")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    window.screenshot(path=SCREENSHOTS / f"sandbox-login-{width}-{scheme}.png", full_page=True)
    assert too_faint(window) == []
    assert sideways_pixels(window) == 0
    assert small_targets(window) == []
    assert unlabelled(window) == []
    press_button(window, "Allow access")
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Letters is connected.")
    assert product.call("letters").status_code == 200
    assert mail.ledger.received[-1].user == "bob"
