"""Logging in at a provider, in a separate window."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.visitor import expect, press_button
from tests.support.provider_server import ProviderResponse

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
def test_a_declined_login_connects_nothing(
    visitor: Visitor, product: Product, watch: Watch, title: str, denial: str
) -> None:
    """A user who declines reads that nothing was connected, and can start again at once."""
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


def test_an_unreachable_provider_is_reported(visitor: Visitor, product: Product, watch: Watch) -> None:
    """A token endpoint that fails is not the user's fault: the page says to try again later."""
    watch.expect("503")
    product.mail.token_faults.append(ProviderResponse(503, "", {"Retry-After": "3600"}))
    visitor.visit()
    visitor.open("Mail")
    press_button(visitor.begin_login("Mail"), "Allow")
    expect(visitor.alert).to_contain_text("cannot be reached at the moment")
    assert not product.is_connected("mail")


def test_missing_scopes_are_shown(visitor: Visitor, product: Product) -> None:
    """A login with fewer scopes than requested is kept, and the page says what is missing."""
    product.mail.grants = ("things.read",)
    visitor.visit()
    visitor.open("Mail")
    visitor.allow_login("Mail")
    expect(visitor.dialog).to_contain_text("Some permissions were not granted")
    expect(visitor.dialog.get_by_role("listitem")).to_have_text(["things.write"])
    assert product.is_connected("mail")


def test_a_closed_window_can_be_opened_again(visitor: Visitor, product: Product) -> None:
    """Closing the window is noticed within seconds; the same login can be started again."""
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
    """Cancelling while the window is open returns to the start of the login."""
    visitor.visit()
    visitor.open("Mail")
    visitor.begin_login("Mail")
    visitor.button("Cancel").click()
    expect(visitor.button("Continue to Mail")).to_be_visible()
    assert not product.is_connected("mail")


def test_a_blocked_window_offers_a_tab(visitor: Visitor, product: Product) -> None:
    """If the browser blocks the window, the page says so, and a button opens the login in a tab."""
    visitor.page.add_init_script("window.open = () => null")
    visitor.visit()
    visitor.open("Mail")
    visitor.button("Continue to Mail").click()
    expect(visitor.alert).to_contain_text("Your browser blocked the sign-in window")
    with visitor.page.context.expect_page() as opening:
        visitor.button("Open the Mail sign-in").click()
    press_button(opening.value, "Allow")
    expect(opening.value.get_by_role("status")).to_contain_text("Mail is connected.")
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Mail is connected.")
    assert product.is_connected("mail")


def test_an_expired_connection_can_be_connected_again(visitor: Visitor, product: Product) -> None:
    """A refused refresh token puts the card on top; a login repairs the connection."""
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
    assert product.call("mail").json()["user"] == "sarah"


def test_a_session_for_one_integration_skips_the_grid(visitor: Visitor, product: Product) -> None:
    """With one integration there is no grid."""
    visitor.visit("mail", user_label="ada@example.com")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Mail")
    expect(visitor.page.get_by_text("For ada@example.com")).to_be_visible()
    expect(visitor.page).to_have_title("Connect Mail · Acme Reports")
    visitor.allow_login("Mail")
    visitor.button("Show connection").click()
    expect(visitor.button("Disconnect")).to_be_visible()
    assert product.is_connected("mail")
