"""Logging in at a provider, in a window of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.visitor import expect, press_button
from tests.support.oauth2_login_provider import Answer

if TYPE_CHECKING:
    from tests.browser.product import Product
    from tests.browser.visitor import Visitor
    from tests.browser.watch import Watch


@pytest.mark.parametrize("title", ["Mail", "Archive", "Birds"], ids=["oauth2", "oauth2-cut-off", "oauth1"])
def test_a_login_connects(visitor: Visitor, product: Product, title: str) -> None:
    """Allowed there, connected here: by OAuth 2, by OAuth 1.0a, and where the provider's pages cut us off."""
    visitor.visit()
    visitor.open(title)
    popup = visitor.begin_login(title)
    press_button(popup, "Allow")
    expect(visitor.dialog.get_by_role("status")).to_contain_text(f"{title} is connected.")
    assert product.is_connected(title.lower())
    if not popup.is_closed():
        popup.wait_for_event("close")
    visitor.button("Done").click()
    expect(visitor.dialog).to_be_hidden()
    expect(visitor.card(title)).to_be_focused()
    expect(visitor.card(title)).to_have_accessible_name(re.compile(rf"^{title} .*Connected$"))


@pytest.mark.parametrize(
    ("title", "denial"),
    [("Mail", ""), ("Birds", "denied"), ("Birds", "oauth_problem")],
    ids=["oauth2", "oauth1", "oauth1-without-token"],
)
def test_a_denied_login_connects_nothing(
    visitor: Visitor, product: Product, watch: Watch, title: str, denial: str
) -> None:
    """Who says no at the provider reads that nothing was connected, and can begin again at once."""
    watch.expect("400")
    product.birds.denial = denial
    visitor.visit()
    visitor.open(title)
    press_button(visitor.begin_login(title), "Deny")
    expect(visitor.alert).to_contain_text("Access was denied")
    expect(visitor.button(f"Continue to {title}")).to_be_focused()
    assert not product.is_connected(title.lower())
    visitor.allow_login(title)
    assert product.is_connected(title.lower())


def test_what_a_provider_says_is_shown_as_text(visitor: Visitor, product: Product, watch: Watch) -> None:
    """A script in a provider's error runs neither in the popup nor in the page; both show it as it is."""
    watch.expect("400")
    script = "<img src=x onerror='window.__pwned=1'><script>window.__pwned=1</script>"
    product.mail.refusals.append({"error": "strange_error", "error_description": script})
    visitor.visit()
    visitor.open("Mail")
    popup = visitor.begin_login("Mail")
    press_button(popup, "Allow")
    expect(popup.get_by_role("alert")).to_contain_text(script)
    expect(visitor.alert).to_contain_text(script)
    for page in (popup, visitor.page):
        assert page.evaluate("window.__pwned") is None
    visitor.keep("popup-result", popup)
    with popup.expect_event("close"):
        press_button(popup, "Close this window")
    assert not product.is_connected("mail")


def test_a_provider_that_is_away_is_told(visitor: Visitor, product: Product, watch: Watch) -> None:
    """A token endpoint that cannot answer is no fault of the user: the page says to try again later."""
    watch.expect("503")
    product.mail.token_faults.append(Answer(503, ""))
    visitor.visit()
    visitor.open("Mail")
    press_button(visitor.begin_login("Mail"), "Allow")
    expect(visitor.alert).to_contain_text("cannot be reached at the moment")
    assert not product.is_connected("mail")


def test_scopes_that_were_not_allowed_are_named(visitor: Visitor, product: Product) -> None:
    """A login that brought less than was asked for is kept, and the page says what is missing."""
    product.mail.grants = ("things.read",)
    visitor.visit()
    visitor.open("Mail")
    visitor.allow_login("Mail")
    expect(visitor.dialog).to_contain_text("Some permissions were not granted")
    expect(visitor.dialog.get_by_role("listitem")).to_have_text(["things.write"])
    assert product.is_connected("mail")


def test_a_window_that_is_closed_can_be_opened_again(visitor: Visitor, product: Product) -> None:
    """Closing the window is noticed within seconds; the same login can be begun anew."""
    visitor.visit()
    visitor.open("Mail")
    visitor.begin_login("Mail").close()
    expect(visitor.alert).to_contain_text("The window was closed")
    with visitor.page.expect_popup() as opening:
        visitor.button("Open it again").click()
    press_button(opening.value, "Allow")
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Mail is connected.")
    assert product.is_connected("mail")


def test_a_cancelled_login_changes_nothing(visitor: Visitor, product: Product) -> None:
    """Whoever cancels while the window is open is back where the login begins."""
    visitor.visit()
    visitor.open("Mail")
    visitor.begin_login("Mail")
    visitor.button("Cancel").click()
    expect(visitor.button("Continue to Mail")).to_be_visible()
    assert not product.is_connected("mail")


def test_a_blocked_window_shows_the_way_out(visitor: Visitor, product: Product) -> None:
    """Where the browser opens no window, the page says so, and a button leads to the login in a tab."""
    visitor.page.add_init_script("window.open = () => null")
    visitor.visit()
    visitor.open("Mail")
    visitor.button("Continue to Mail").click()
    expect(visitor.alert).to_contain_text("Your browser blocked the login window")
    with visitor.page.context.expect_page() as opening:
        visitor.button("Open the Mail login").click()
    press_button(opening.value, "Allow")
    expect(opening.value.get_by_role("status")).to_contain_text("Mail is connected.")
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Mail is connected.")
    assert product.is_connected("mail")


def test_a_connection_that_needs_it_is_connected_again(visitor: Visitor, product: Product) -> None:
    """A refresh token that the provider refuses for good puts the card on top; a login mends it."""
    held = {"access_token": "old", "refresh_token": "withdrawn", "expires_at": "2020-01-01T00:00:00Z"}
    before = product.nango.register_connection("mail", "user-1", held)["uuid"]
    product.call_in_vain("mail")
    visitor.visit()
    expect(visitor.page.get_by_role("heading", level=2).first).to_have_text("Needs to be connected again")
    expect(visitor.page.locator(".card").first).to_contain_text("Mail")
    visitor.open("Mail")
    expect(visitor.dialog).to_contain_text("This connection no longer works")
    visitor.allow_login("Mail")
    visitor.button("Done").click()
    expect(visitor.page.get_by_role("heading", level=2).first).to_have_text("Connected")
    assert product.nango.connection("mail", "user-1")["uuid"] == before
    assert product.nango.executor("mail", "user-1").get("me").json()["user"] == "sarah"


def test_a_session_for_one_integration_goes_straight_there(visitor: Visitor, product: Product) -> None:
    """With one thing to connect there is no grid: its page is the page."""
    visitor.visit("mail", user_label="ada@example.com")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Mail")
    expect(visitor.page.get_by_text("For ada@example.com")).to_be_visible()
    expect(visitor.page).to_have_title("Connect Mail · Acme Reports")
    visitor.allow_login("Mail")
    visitor.button("Show connection").click()
    expect(visitor.button("Disconnect")).to_be_visible()
    assert product.is_connected("mail")
