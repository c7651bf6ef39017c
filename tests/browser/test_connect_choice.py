"""Choosing an account in the login window, if a login gives access to several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.looks import sideways_pixels, too_faint, unlabelled
from tests.browser.product import Product
from tests.browser.visitor import Visitor, expect, press_button
from tests.support.login_accounts import AccountsProvider

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

SCRIPT = "<img src=x onerror='window.__pwned=1'><script>window.__pwned=1</script>"
ACCOUNTS = [
    {"id": "site-1", "name": "Acme"},
    {"id": "site-2", "name": SCRIPT},
    *(
        {"id": f"site-{number}", "name": f"A site with a long name, number {number}, of the group"}
        for number in range(3, 40)
    ),
]


@pytest.fixture
def sites(servers: contextlib.ExitStack, tmp_path: Path) -> Product:
    """A product whose integration `sites` has many accounts behind each login."""
    provider = servers.enter_context(AccountsProvider(ACCOUNTS))
    entry = provider.entry_with(title="Sites")
    return servers.enter_context(Product(tmp_path, sites=entry))


def choose(visitor: Visitor) -> Page:
    """Log in, up to the question."""
    visitor.visit()
    visitor.open("Sites")
    popup = visitor.begin_login("Sites")
    press_button(popup, "Allow")
    expect(popup.get_by_role("heading", name="Connect Sites")).to_be_visible()
    return popup


def test_the_user_chooses_in_the_window(page: Page, sites: Product) -> None:
    """Labels are text, whatever the provider writes; the choice closes the window and connects."""
    visitor = Visitor(page, sites)
    popup = choose(visitor)
    field = popup.get_by_label("Site")
    assert field.locator("option").nth(1).text_content() == SCRIPT
    assert popup.evaluate("window.__pwned") is None
    visitor.keep("popup-choice", popup)
    assert not sites.is_connected("sites", "user-2")
    field.select_option("site-2")
    press_button(popup, "Connect")
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Sites is connected.")
    view = sites.nango.connection("sites", "user-1")
    assert (view["status"], view["additional_config"]["cloud_id"]) == ("active", "site-2")


def test_nothing_is_sent_without_a_choice(page: Page, sites: Product) -> None:
    """The browser asks for one; by keyboard it can be made without a mouse."""
    popup = choose(Visitor(page, sites))
    popup.get_by_role("button", name="Connect").click()
    expect(popup.get_by_role("heading", name="Connect Sites")).to_be_visible()
    popup.get_by_label("Site").focus()
    popup.keyboard.press("Home")
    with popup.expect_event("close"):
        popup.keyboard.press("Enter")
    assert sites.nango.connection("sites", "user-1")["additional_config"]["cloud_id"] == "site-1"


@pytest.mark.parametrize(("width", "height", "scheme"), [(520, 740, "light"), (360, 640, "dark")])
def test_the_question_is_readable_on_every_screen(
    new_context: Callable[..., BrowserContext], sites: Product, width: int, height: int, scheme: str
) -> None:
    """Enough contrast, a label for the list, and no scrolling sideways."""
    context = new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    popup = choose(Visitor(context.new_page(), sites))
    popup.set_viewport_size({"width": width, "height": height})
    assert too_faint(popup) == []
    assert unlabelled(popup) == []
    assert sideways_pixels(popup) == 0


def test_a_closed_window_leaves_the_question_open(page: Page, sites: Product) -> None:
    """The page offers to connect again; until then the connection is not used."""
    visitor = Visitor(page, sites)
    popup = choose(visitor)
    popup.close()
    assert sites.nango.connection("sites", "user-1")["status"] == "needs_choice"
    visitor.visit()
    expect(visitor.card("Sites")).to_contain_text("Needs to be connected again")
