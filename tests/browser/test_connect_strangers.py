"""Pages of strangers that send their visitors to a login, to have what the visitors connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.elsewhere import Elsewhere
from tests.browser.visitor import expect

if TYPE_CHECKING:
    import contextlib

    from playwright.sync_api import Page

    from tests.browser.product import Product
    from tests.browser.watch import Watch

FORM = """<form method=post action="{address}"><input name=session value="{session}"></form>
<script>document.forms[0].submit()</script>"""
LINK = '<script>location = "{address}?session={session}"</script>'
POPUP = """<button onclick="window.open('{connect}#session={session}&integration=mail&attempt=a1' +
'&origin={origin}')">Prizes</button>"""


def strange(product: Product, site: Elsewhere, body: str, headers: dict[str, str] | None = None) -> str:
    """A page of a stranger with a session of the stranger's own."""
    session = product.nango.connect_session("mallory", user_label="mallory@evil.test").token.reveal()
    address, connect = f"{product.url}/oauth/connect/mail", f"{product.url}/connect"
    parts = {"address": address, "connect": connect, "session": session, "origin": product.origin}
    return site.page(body.format(**parts), headers)


@pytest.mark.parametrize("policy", ["no-referrer", "unsafe-url"])
def test_a_form_of_a_foreign_page_is_refused(
    page: Page, product: Product, servers: contextlib.ExitStack, watch: Watch, policy: str
) -> None:
    """Also if the page hides its origin, which makes it `null`."""
    watch.expect("403")
    site = servers.enter_context(Elsewhere("localhost"))
    page.goto(strange(product, site, FORM, {"Referrer-Policy": policy}))
    expect(page.get_by_role("alert")).to_contain_text("not allowed to connect accounts")
    assert page.context.cookies(product.url) == []


def test_a_link_of_a_foreign_page_needs_a_click(
    page: Page, product: Product, servers: contextlib.ExitStack
) -> None:
    """The visitor reads whose account it would become, and the provider is not contacted before a click."""
    site = servers.enter_context(Elsewhere("localhost"))
    page.goto(strange(product, site, LINK))
    expect(page.get_by_role("heading")).to_have_text("Connect Mail?")
    expect(page.get_by_role("status")).to_contain_text("connect your account for mallory@evil.test")
    assert not product.mail.authorizations
    page.get_by_role("link", name="Continue to Mail").click()
    expect(page.get_by_role("button", name="Allow")).to_be_visible()


def test_a_window_of_a_foreign_page_needs_a_click(
    page: Page, product: Product, servers: contextlib.ExitStack, watch: Watch
) -> None:
    """The connect page continues by itself only if its opener confirms the window."""
    watch.expect("postMessage", "target origin")
    site = servers.enter_context(Elsewhere("localhost"))
    page.goto(strange(product, site, POPUP))
    with page.expect_popup() as opening:
        page.get_by_role("button", name="Prizes").click()
    popup = opening.value
    expect(popup.get_by_role("button", name="Continue to Mail")).to_be_visible()
    expect(popup.get_by_text("For mallory@evil.test")).to_be_visible()
    assert not product.mail.authorizations
