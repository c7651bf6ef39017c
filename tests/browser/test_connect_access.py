"""Whether everybody can use the page: by keyboard, by ear, on a phone, in light and dark, without motion."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.looks import contrasts, sideways_pixels, small_targets, too_faint, unlabelled
from tests.browser.product import RIGHT_KEY, WRONG_KEY, Product
from tests.browser.visitor import Visitor, expect, press_button

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext, Page

    from tests.browser.watch import Watch

SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1200, "height": 800}}


def views(visitor: Visitor) -> Iterator[tuple[str, Page]]:
    """Walk through all that the page can show, and stop at each view."""
    page, product = visitor.page, visitor.product
    held = {"access_token": "old", "refresh_token": "withdrawn", "expires_at": "2020-01-01T00:00:00Z"}
    product.nango.register_connection("mail", "user-1", held)
    product.call_in_vain("mail")
    product.nango.register_connection("weather", "user-1", {})
    visitor.visit(user_label="ada@example.com")
    yield "grid", page
    visitor.open("Mail")
    yield "needs-reauth", page
    page.keyboard.press("Escape")
    visitor.open("Shop")
    yield "form", page
    visitor.button("Connect").click()
    expect(visitor.key).to_have_attribute("aria-invalid", "true")
    yield "form-incomplete", page
    visitor.fill_shop(WRONG_KEY)
    expect(visitor.alert).to_be_visible()
    yield "wrong-key", page
    visitor.fill_shop(RIGHT_KEY)
    expect(visitor.button("Done")).to_be_visible()
    yield "success", page
    visitor.button("Done").click()
    visitor.open("Shop")
    yield "overview", page
    visitor.button("Disconnect").click()
    yield "disconnect", page
    page.keyboard.press("Escape")
    visitor.open("Birds")
    yield "login", page
    popup = visitor.begin_login("Birds")
    yield "waiting", page
    press_button(popup, "Deny")
    expect(popup.get_by_role("alert")).to_be_visible()
    yield "popup-failed", popup
    yield "login-denied", page
    page.goto(f"{product.origin}/connect#session=none")
    expect(page.get_by_role("heading", name="This link does not work")).to_be_visible()
    yield "bad-link", page


def problems_of(page: Page) -> list[Any]:
    """What keeps somebody from reading or operating a page as it is shown now."""
    wide = sideways_pixels(page)
    found = [*unlabelled(page), *too_faint(page), *small_targets(page)]
    return [*found, *([f"{wide} px too wide"] if wide > 0 else [])]


def test_every_view_is_accessible(
    new_context: Callable[..., BrowserContext], product: Product, watch: Watch
) -> None:
    """In each view: WCAG AA contrast, a name and enough room for each control, nothing cut off."""
    watch.expect("422", "400", "401")
    visitor = Visitor(new_context(reduced_motion="reduce").new_page(), product)
    problems: dict[str, list[Any]] = {}
    seen = []
    for view, page in views(visitor):
        for (place, size), theme in itertools.product(SIZES.items(), ("light", "dark")):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=theme)
            name = f"{view}-{place}-{theme}"
            visitor.keep(name, page)
            seen += [name] if contrasts(page) else []
            problems |= {name: found} if (found := problems_of(page)) else {}
    assert not problems
    assert len(seen) == 13 * 4


def test_a_form_can_be_filled_in_by_keyboard_alone(visitor: Visitor, product: Product, watch: Watch) -> None:
    """Tab, Enter and Escape are enough, the focus stays in what is open, and comes back to where it was."""
    watch.expect("422")
    page, press = visitor.page, visitor.page.keyboard.press
    visitor.visit()
    for title in ("Mail", "Archive", "Birds", "Shop"):
        press("Tab")
        expect(visitor.card(title)).to_be_focused()
    press("Enter")
    expect(visitor.key).to_be_focused()
    for _ in range(12):
        press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    press("Escape")
    expect(visitor.dialog).to_be_hidden()
    expect(visitor.card("Shop")).to_be_focused()
    press("Enter")
    expect(visitor.key).to_be_focused()
    page.keyboard.type(WRONG_KEY)
    press("Tab")
    press("Tab")
    expect(visitor.region).to_be_focused()
    page.keyboard.type("eu")
    press("Tab")
    press("Enter")
    expect(visitor.alert).to_be_visible()
    expect(visitor.key).to_be_focused()
    page.keyboard.type(RIGHT_KEY)
    press("Enter")
    expect(visitor.button("Done")).to_be_visible()
    assert product.is_connected("shop")
    while not visitor.button("Done").evaluate("button => button === document.activeElement"):
        press("Tab")
    press("Enter")
    expect(visitor.card("Shop")).to_be_focused()


def test_a_login_can_be_made_by_keyboard_alone(visitor: Visitor, product: Product) -> None:
    """From the card to the provider and back without a pointer."""
    visitor.visit()
    visitor.page.keyboard.press("Tab")
    visitor.page.keyboard.press("Enter")
    expect(visitor.dialog.get_by_role("heading", name="Mail")).to_be_focused()
    button = visitor.button("Continue to Mail")
    while not button.evaluate("button => button === document.activeElement"):
        visitor.page.keyboard.press("Tab")
    with visitor.page.expect_popup() as opening:
        visitor.page.keyboard.press("Enter")
    opening.value.get_by_role("button", name="Allow").press("Enter")
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Mail is connected.")
    assert product.is_connected("mail")


def test_the_focus_is_visible(visitor: Visitor) -> None:
    """An element focused by keyboard has an outline."""
    visitor.visit()
    visitor.page.keyboard.press("Tab")
    style = (
        "element => { const s = getComputedStyle(element); return s.outlineStyle + ' ' + s.outlineWidth; }"
    )
    assert visitor.card("Mail").evaluate(style) == "solid 3px"


def test_screen_readers_get_the_whole_page(visitor: Visitor, watch: Watch) -> None:
    """The accessibility tree names every part: groups and cards, fields, their help, errors and endings."""
    watch.expect("422")
    visitor.visit(user_label="ada@example.com")
    expect(visitor.page.locator("body")).to_match_aria_snapshot(GRID)
    visitor.open("Shop")
    expect(visitor.dialog).to_match_aria_snapshot(FORM)
    expect(visitor.key).to_have_accessible_description("Shop shows it under Settings, API keys.")
    for control in (visitor.key, visitor.region):
        expect(control).to_have_attribute("aria-required", "true")
    visitor.fill_shop(WRONG_KEY)
    expect(visitor.alert).to_have_attribute("role", "alert")
    expect(visitor.alert).to_contain_text("Shop did not accept this")
    visitor.fill_shop(RIGHT_KEY)
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Shop is connected.")
    expect(visitor.page.locator("#live[role=status]")).to_have_text("Shop is connected.")


GRID = """
- banner:
  - paragraph: Acme Reports
  - paragraph: For ada@example.com
- main:
  - heading "Connect your accounts" [level=1]
  - region "Available":
    - heading "Available" [level=2]
    - list:
      - listitem:
        - button "Mail Email"
      - listitem:
        - button "Archive Files"
- contentinfo
"""
FORM = """
- dialog "Shop":
  - heading "Shop" [level=2]
  - paragraph: Commerce
  - button "Close"
  - text: Secret key
  - textbox "Secret key"
  - button "Show Secret key"
  - text: Region
  - combobox "Region":
    - option "Choose one" [selected]
    - option "eu"
    - option "us"
  - textbox "Nickname optional"
  - button "Connect"
  - paragraph:
    - link "Shop documentation (opens in a new tab)"
"""


@pytest.mark.parametrize(("wish", "moves"), [("reduce", False), ("no-preference", True)])
def test_reduced_motion_is_respected(
    new_context: Callable[..., BrowserContext], product: Product, wish: str, moves: Any
) -> None:
    """With reduced motion nothing slides or fades; without it the dialog does, which is the control."""
    visitor = Visitor(new_context(reduced_motion=wish).new_page(), product)
    visitor.visit()
    opened = """() => {
      document.querySelector(".card").click();
      return document.getAnimations().filter(({transitionProperty}) => transitionProperty).length > 0;
    }"""
    assert visitor.page.evaluate(opened) is moves
