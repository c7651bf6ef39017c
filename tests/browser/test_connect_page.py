"""The page before anything is connected: its links, its grid, its search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nango_py.connections.connect_sessions import seal_session
from tests.browser.product import SHOP, Product
from tests.browser.visitor import Visitor, expect

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.watch import Watch


def token_of(link: str) -> str:
    """The token in the link of a session."""
    return link.partition("#session=")[2]


def expired(product: Product) -> str:
    """A token whose time is over, in all else a good one."""
    claims = product.nango.read_session(token_of(product.link()))
    return seal_session(product.nango.store.active_key, replace(claims, ends_at=1.0)).reveal()


def edited(product: Product) -> str:
    """A token of which one character was changed."""
    token = token_of(product.link())
    return token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]


def cut(product: Product) -> str:
    """A token that was cut when it was copied."""
    return token_of(product.link())[:40]


BAD_LINKS: dict[Callable[[Product], str], str] = {
    expired: "This link has expired",
    edited: "This link does not work",
    cut: "This link does not work",
}


def test_an_invalid_link_reveals_nothing(visitor: Visitor, product: Product, watch: Watch) -> None:
    """A visitor with an invalid link reads what to do, and nothing of the product's users or integrations."""
    watch.expect("401")
    page = visitor.page
    page.goto(f"{product.origin}/connect")
    expect(page.get_by_role("heading", level=1)).to_have_text("This page needs a link")
    for make, title in BAD_LINKS.items():
        page.goto(f"{product.origin}/static/icon.svg")
        page.goto(f"{product.origin}/connect#session={make(product)}")
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page).to_have_title(title)
        assert "Mail" not in page.locator("body").inner_text()


def test_only_integrations_of_the_session_are_shown(visitor: Visitor, product: Product) -> None:
    """A session shows what it was created for, whatever the URL asks for."""
    visitor.visit("mail", "birds")
    expect(visitor.page.locator(".card")).to_have_count(2)
    visitor.page.goto(f"{product.origin}/static/icon.svg")
    visitor.page.goto(product.link("user-1", "mail", "birds") + "&integration=shop")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("There is nothing to connect here")


def test_the_token_is_removed_from_the_url_and_the_page_can_be_reloaded(
    visitor: Visitor, product: Product
) -> None:
    """The address bar and the history hold no token, and a reload shows the page as before."""
    visitor.visit(user_label="ada@example.com")
    assert visitor.page.url == f"{product.origin}/connect"
    visitor.page.reload()
    expect(visitor.page.get_by_text("For ada@example.com")).to_be_visible()
    expect(visitor.card("Mail")).to_be_visible()
    visitor.page.goto(f"{product.origin}/static/icon.svg")
    visitor.page.go_back()
    expect(visitor.card("Mail")).to_be_visible()
    assert visitor.page.url == f"{product.origin}/connect"


def test_each_user_sees_their_own_connections(visitor: Visitor, product: Product) -> None:
    """What one user connected is not connected for another."""
    product.nango.register_connection("weather", "user-2", {})
    visitor.visit(user="user-1")
    expect(visitor.page.get_by_role("region", name="Available")).to_contain_text("Weather")
    visitor.visit(user="user-2")
    expect(visitor.page.locator(".card").first).to_contain_text("Weather")
    expect(visitor.card("Weather").get_by_text("Connected", exact=True)).to_be_visible()


def many() -> dict[str, Any]:
    """Two hundred integrations."""
    return {
        f"app-{number:03}": {
            **SHOP,
            "title": f"App number {number:03}",
            "categories": [f"shelf-{'abcdefg'[number % 7]}"],
        }
        for number in range(200)
    }


def test_two_hundred_integrations_can_be_searched(
    page: Page, servers: contextlib.ExitStack, tmp_path: Path
) -> None:
    """All are shown, words in any order narrow them down, and screen readers get the count."""
    product = servers.enter_context(Product(tmp_path, **many()))
    visitor = Visitor(page, product)
    visitor.visit()
    expect(page.locator(".card")).to_have_count(205)
    search = page.get_by_role("searchbox", name="Search accounts")
    search.fill("042 number")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#live")).to_have_text("1 account found")
    search.fill("SHELF-C")
    expect(page.locator(".card")).to_have_count(29)
    search.fill("nobody has this name")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()
    visitor.button("Show all").click()
    expect(page.locator(".card")).to_have_count(205)
    expect(search).to_be_focused()
    search.fill("app 199")
    visitor.card("App number 199").click()
    expect(visitor.dialog.get_by_role("heading", name="App number 199")).to_be_visible()


def test_few_integrations_need_no_search(visitor: Visitor) -> None:
    """A short grid has no search field."""
    visitor.visit()
    expect(visitor.card("Mail")).to_be_visible()
    expect(visitor.page.get_by_role("searchbox")).to_be_hidden()
