"""The connect page in a frame of the product's own page, which hears what was connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.browser.product import RIGHT_KEY
from tests.browser.visitor import expect, press_button

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

    from tests.browser.elsewhere import Elsewhere
    from tests.browser.product import Product

PAGE = """
<main><h1>Reports</h1><iframe title="Accounts" width="900" height="800"></iframe></main>
<script>
  window.heard = [];
  addEventListener("message", ({origin, data}) => heard.push({origin, data}));
</script>
"""


def framed(page: Page, product: Product, elsewhere: Elsewhere, origin: str) -> FrameLocator:
    """The connect page in a frame, which knows the page that listens to it."""
    page.goto(elsewhere.page(PAGE))
    link = f"{product.link()}&origin={quote(origin, safe='')}"
    page.evaluate("link => { document.querySelector('iframe').src = link }", link)
    return page.frame_locator("iframe")


def connect_shop(frame: FrameLocator) -> None:
    """Type the right key, up to the message that it is connected."""
    frame.locator(".card", has_text="Shop").click()
    frame.get_by_role("textbox", name="Secret key").fill(RIGHT_KEY)
    frame.get_by_role("combobox", name="Region").select_option(label="eu")
    frame.get_by_role("button", name="Connect", exact=True).click()
    expect(frame.get_by_role("status").first).to_contain_text("Shop is connected.")


def test_a_frame_reports_to_its_page(page: Page, product: Product, elsewhere: Elsewhere) -> None:
    """By a form and by a login window, with the same payload as windows, from the server's own origin."""
    frame = framed(page, product, elsewhere, elsewhere.origin)
    connect_shop(frame)
    frame.get_by_role("button", name="Done").click()
    frame.locator(".card", has_text="Mail").click()
    with page.expect_popup() as opening:
        frame.get_by_role("button", name="Continue to Mail").click()
    press_button(opening.value, "Allow")
    expect(frame.get_by_role("status").first).to_contain_text("Mail is connected.")
    heard: list[dict[str, Any]] = page.evaluate("heard")
    assert [said["origin"] for said in heard] == [product.origin] * 2
    assert [said["data"]["integration"] for said in heard] == ["shop", "mail"]
    assert {said["data"]["type"] for said in heard} == {"AUTHORIZATION_SUCEEDED"}


@pytest.mark.parametrize("origin", ["", "http://localhost:1", "*"])
def test_a_frame_reports_only_to_declared_origins(
    page: Page, product: Product, elsewhere: Elsewhere, origin: str
) -> None:
    """Without an origin, or with one that is not in connect_origins, nothing is posted."""
    connect_shop(framed(page, product, elsewhere, origin))
    assert page.evaluate("heard") == []
