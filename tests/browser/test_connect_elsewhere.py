"""The product's own pages: nango-connect.js on another site, and what pages of strangers are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.elsewhere import Elsewhere
from tests.browser.product import RIGHT_KEY, Product
from tests.browser.visitor import Visitor, expect, press_button

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.watch import Watch

PAGE = """
<main><h1>Reports</h1><button id="connect">Connect</button><output></output></main>
<script src="{server}/nango-connect.js"></script>
<script>
  window.heard = [];
  addEventListener("message", ({{origin, data}}) => heard.push({{origin, data}}));
  const nango = new NangoConnect("{server}", {{patienceSeconds: {patience}}});
  document.querySelector("#connect").onclick = async () => {{
    let ended;
    try {{
      ended = await nango.connect("{integration}", {session});
    }} catch (error) {{
      ended = {{name: error.name, code: error.code, message: error.message, integration: error.integration}};
    }}
    document.querySelector("output").textContent = JSON.stringify(ended);
  }};
</script>
"""


def reports(
    site: Elsewhere, product: Product, integration: str, session: str = "", patience: int = 60
) -> str:
    """The address of a page of this site with a button that connects an integration."""
    token = json.dumps(session or product.nango.connect_session("user-1").token.reveal())
    parts = {"server": product.url, "integration": integration, "session": token, "patience": patience}
    return site.page(PAGE.format(**parts))


def click_connect(page: Page) -> Page:
    """Click the button; the window that opens."""
    with page.expect_popup() as opening:
        page.get_by_role("button", name="Connect").click()
    popup: Page = opening.value
    return popup


def ended(page: Page) -> dict[str, Any]:
    """What `connect` came to."""
    expect(page.locator("output")).not_to_be_empty()
    found: dict[str, Any] = json.loads(page.locator("output").inner_text())
    return found


@pytest.mark.parametrize("integration", ["mail", "archive", "birds"])
def test_the_products_page_connects_with_a_promise(
    page: Page, product: Product, elsewhere: Elsewhere, watch: Watch, integration: str
) -> None:
    """On another origin `connect` goes straight to the provider and resolves, and its window closes."""
    token = product.nango.connect_session("user-1").token.reveal()
    page.goto(reports(elsewhere, product, integration, token))
    popup = click_connect(page)
    press_button(popup, "Allow")
    assert ended(page) == {"integration": integration, "missingScopes": []}
    assert product.is_connected(integration)
    if not popup.is_closed():
        popup.wait_for_event("close")
    assert {said["origin"] for said in page.evaluate("heard")} <= {product.origin}
    seen = [*watch.requests, *elsewhere.lines, *((asked.target,) for asked in product.received)]
    assert not [parts for parts in seen if token in str(parts)]


def test_the_server_may_have_a_path(
    page: Page, elsewhere: Elsewhere, servers: contextlib.ExitStack, tmp_path: Path
) -> None:
    """Page, script, popup and callback work if oauth_server_root_url has a path."""
    product = servers.enter_context(Product(tmp_path, origins=(elsewhere.origin,), prefix="/accounts/nango"))
    page.goto(reports(elsewhere, product, "birds"))
    press_button(click_connect(page), "Allow")
    assert ended(page) == {"integration": "birds", "missingScopes": []}
    visitor = Visitor(page, product)
    visitor.visit()
    assert page.url == f"{product.origin}/accounts/nango/connect"
    expect(visitor.card("Birds").get_by_text("Connected", exact=True)).to_be_visible()
    visitor.open("Mail")
    visitor.allow_login("Mail")
    assert {asked.target.split("/")[1] for asked in product.received} == {"accounts"}


def test_a_form_in_the_window_resolves_the_promise_too(
    page: Page, product: Product, elsewhere: Elsewhere, watch: Watch
) -> None:
    """For a key the window shows the form; a wrong key keeps it open, the right one ends it."""
    watch.expect("422")
    page.goto(reports(elsewhere, product, "shop"))
    popup = click_connect(page)
    visitor = Visitor(popup, product)
    visitor.fill_shop("sk_test_wrong_0123456789")
    expect(visitor.alert).to_contain_text("Shop did not accept this")
    visitor.fill_shop(RIGHT_KEY)
    assert ended(page) == {"integration": "shop", "missingScopes": []}
    if not popup.is_closed():
        popup.wait_for_event("close")
    assert product.is_connected("shop")
    assert RIGHT_KEY not in json.dumps(page.evaluate("heard"))


def test_the_promise_rejects_with_a_code(
    page: Page, product: Product, elsewhere: Elsewhere, watch: Watch
) -> None:
    """A denied login, a closed window, a blocked window and an ended session have different messages."""
    watch.expect("400", "401")
    page.goto(reports(elsewhere, product, "mail", patience=0))
    press_button(click_connect(page), "Deny")
    denied = ended(page)
    assert (denied["name"], denied["code"], denied["integration"]) == (
        "NangoConnectError",
        "access_denied",
        "mail",
    )
    page.reload()
    popup = click_connect(page)
    popup.wait_for_url("**/authorize**")  # closed before it arrives there, a window may not report it
    popup.close()
    said = ended(page)
    assert (said["code"], said["message"]) == ("popup_closed", "The window was closed.")
    page.goto(reports(elsewhere, product, "mail", "no-token"))
    click_connect(page)
    assert ended(page)["code"] == "session_invalid"
    page.add_init_script("window.open = () => null")
    page.reload()
    page.get_by_role("button", name="Connect").click()
    assert ended(page)["code"] == "popup_blocked"
    assert not product.is_connected("mail")


def test_a_foreign_page_receives_nothing(
    page: Page, product: Product, servers: contextlib.ExitStack, watch: Watch
) -> None:
    """With a stolen session a page outside of connect_origins connects nothing, and learns why not."""
    watch.expect("403", "CORS", "ERR_FAILED", "postMessage")
    stranger = servers.enter_context(Elsewhere("localhost"))
    page.goto(reports(stranger, product, "mail", patience=0))
    popup = click_connect(page)
    popup.get_by_role("button", name="Continue to Mail").click()
    expect(popup.get_by_role("alert")).to_contain_text("not allowed to connect")
    popup.close()
    said = ended(page)
    assert (said["code"], stranger.origin in said["message"]) == ("popup_closed", True)
    assert "connect_origins" in said["message"]
    assert page.evaluate("heard") == []
    assert not product.mail.authorizations


def test_a_foreign_page_with_a_false_origin_receives_nothing(
    page: Page, product: Product, elsewhere: Elsewhere, servers: contextlib.ExitStack, watch: Watch
) -> None:
    """Its window continues only after a click, and the result goes to the origin that was named."""
    watch.expect("postMessage", "target origin")
    stranger = servers.enter_context(Elsewhere("localhost"))
    page.goto(reports(stranger, product, "mail"))
    link = f"{product.link()}&integration=mail&attempt=a1&origin={elsewhere.origin}"
    with page.expect_popup() as opening:
        page.evaluate("link => void open(link, 'mine')", link)
    popup = opening.value
    expect(popup.get_by_role("button", name="Continue to Mail")).to_be_visible()
    assert not product.mail.authorizations
    popup.get_by_role("button", name="Continue to Mail").click()
    press_button(popup, "Allow")
    expect(popup.get_by_role("status")).to_contain_text("Mail is connected.")
    assert page.evaluate("heard") == []


@pytest.mark.parametrize("who", ["declared", "stranger"])
def test_only_declared_origins_may_ask_the_server(
    page: Page,
    product: Product,
    elsewhere: Elsewhere,
    servers: contextlib.ExitStack,
    watch: Watch,
    who: str,
) -> None:
    """Scripts of declared origins may read the responses; others may not, not even with a valid token."""
    watch.expect(*([] if who == "declared" else ["CORS", "ERR_FAILED"]))
    site = elsewhere if who == "declared" else servers.enter_context(Elsewhere("localhost"))
    page.goto(site.page("<h1>Somebody</h1>"))
    token = product.nango.connect_session("user-1").token.reveal()
    ask = """([server, token]) => Promise.all(["session", "attempts/a1"].map((path) =>
      fetch(`${server}/connect/${path}`, {headers: {Authorization: `Bearer ${token}`}})
        .then((response) => response.status, () => 'refused')))"""
    found = page.evaluate(ask, [product.origin, token])
    assert found == ([200, 200] if who == "declared" else ["refused", "refused"])


@pytest.mark.parametrize("who", ["declared", "stranger"])
def test_only_declared_origins_may_frame_the_page(
    page: Page,
    product: Product,
    elsewhere: Elsewhere,
    servers: contextlib.ExitStack,
    watch: Watch,
    who: str,
) -> None:
    """The connect page works in a frame of the product's own page, and shows nothing in one of a stranger."""
    watch.expect(*([] if who == "declared" else ["frame-ancestors", "Framing", "ERR_BLOCKED"]))
    site = elsewhere if who == "declared" else servers.enter_context(Elsewhere("localhost"))
    page.goto(site.page("<h1>Somebody</h1><iframe title=accounts width=900 height=700></iframe>"))
    page.evaluate("link => { document.querySelector('iframe').src = link }", product.link())
    frame = page.frame_locator("iframe")
    if who == "declared":
        expect(frame.get_by_role("button", name="Mail")).to_be_visible()
        return
    expect(frame.locator("#main-frame-error")).to_be_attached()
    assert frame.get_by_role("button", name="Mail").count() == 0


def test_login_pages_cannot_be_framed(
    page: Page, product: Product, elsewhere: Elsewhere, watch: Watch
) -> None:
    """Not even the product's own page may frame a popup's page, where a click could be stolen."""
    watch.expect("frame-ancestors", "Framing", "ERR_BLOCKED", "400")
    page.goto(elsewhere.page("<h1>Somebody</h1><iframe title=accounts></iframe>"))
    address = f"{product.origin}/oauth/callback?state=x"
    page.evaluate("address => { document.querySelector('iframe').src = address }", address)
    expect(page.frame_locator("iframe").locator("#main-frame-error")).to_be_attached()
