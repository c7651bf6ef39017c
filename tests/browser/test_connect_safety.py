"""What must not happen on the connect page: foreign scripts, tokens in addresses, breaches of its policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.browser.product import RIGHT_KEY, SHOP, Product
from tests.browser.visitor import Visitor, expect

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.watch import Watch

SCRIPT = "\"'><script>window.__pwned=1</script><img src=x onerror=window.__pwned=1>"
POLICY = "Content Security Policy|requires 'Trusted"


def scripted(words: str) -> dict[str, Any]:
    """An integration that says these words wherever a blueprint may say something."""
    credentials = {"api_key": {"title": f"Key {words}", "help": words, "example": words}}
    config = {
        "type": "object",
        "description": words,
        "properties": {
            "one": {"type": "string", "title": words, "description": words, "suffix": words},
            "two": {"type": "string", "title": f"Two {words}", "enum": [words, "other"]},
        },
    }
    more = {"categories": [words], "credentials": credentials, "connection_config": config}
    return {**SHOP, "title": f"Scripted {words}", **more}


def test_no_text_becomes_markup(page: Page, servers: contextlib.ExitStack, tmp_path: Path) -> None:
    """Scripts in user ids, labels, titles, help texts, choices and search are shown, and do not run."""
    product = servers.enter_context(
        Product(tmp_path, scripted=scripted(SCRIPT), **{f"a{n}": SHOP for n in range(3)})
    )
    product.nango.register_connection(
        "scripted", SCRIPT, {"api_key": RIGHT_KEY}, {"one": SCRIPT, "two": SCRIPT}
    )
    visitor = Visitor(page, product)
    visitor.visit(user=SCRIPT, user_label=SCRIPT)
    expect(page.get_by_text(f"For {SCRIPT}")).to_be_visible()
    search = page.get_by_role("searchbox")
    search.fill(SCRIPT)
    expect(page.locator(".card")).to_have_count(1)
    page.locator(".card").click()
    expect(visitor.dialog.get_by_role("definition")).to_have_text([SCRIPT, SCRIPT])
    visitor.button("Connect again").click()
    shown = re.compile(re.escape(SCRIPT))
    expect(page.get_by_role("textbox", name="Key ")).to_have_attribute("placeholder", shown)
    page.keyboard.press("Escape")
    search.fill(f"nothing {SCRIPT}")
    expect(page.get_by_text(f"“nothing {SCRIPT}”")).to_be_visible()
    assert page.evaluate("window.__pwned") is None
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 0


ATTACKS = {
    "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.__pwned=1>')": "TrustedHTML",
    "put('img', {}).setAttribute('onerror', 'window.__pwned=1')": "TrustedScript|script-src-attr",
    "put('script', {textContent: 'window.__pwned=1'})": "TrustedScript",
    "put('script', {src: elsewhere})": "TrustedScriptURL",
    "put('img', {src: elsewhere})": "img-src",
    "fetch(elsewhere).catch(() => {})": "connect-src",
    "put('style', {textContent: 'body {color: red}'})": "style-src",
    "put('iframe', {src: elsewhere})": "frame-src|default-src",
    "put('form', {action: elsewhere}).submit()": "form-action",
    "put('base', {href: elsewhere})": "base-uri",
}
"""What could get into a page, and the word of the policy that stops it."""

PUT = """
const elsewhere = 'http://localhost:1/x';
const put = (tag, parts) => {
  const element = document.createElement(tag);
  document.body.append(element);
  return Object.assign(element, parts);
};
"""


def test_the_policy_stops_injected_code(visitor: Visitor, watch: Watch) -> None:
    """The control: injected code is stopped by the policy, and noticed by these tests."""
    watch.expect(POLICY)
    visitor.visit()
    for attack, word in ATTACKS.items():
        with visitor.page.expect_console_message(lambda said, word=word: re.search(word, said.text)):
            visitor.page.evaluate(f"() => {{ {PUT} try {{ {attack} }} catch {{}} }}")
        assert visitor.page.evaluate("window.__pwned") is None, attack
        assert [said for said in watch.complaints if re.search(word, said)], attack


def test_the_session_token_is_in_no_url_and_no_referer(
    visitor: Visitor, product: Product, watch: Watch
) -> None:
    """Over a form, a login and a popup no server gets the token in a request line or a Referer."""
    link = product.link()
    token = link.partition("#session=")[2]
    visitor.page.goto(link)
    visitor.open("Shop")
    visitor.fill_shop(RIGHT_KEY)
    visitor.button("Done").click()
    for title in ("Mail", "Birds"):
        visitor.open(title)
        visitor.allow_login(title)
        visitor.button("Done").click()
    posted = [received for received in product.received if received.target == "/oauth/connect/mail"]
    assert [received.method for received in posted] == ["POST"]
    assert any(token in received.headers.get("authorization", "") for received in product.received)
    parts = [token, token.partition(".")[2][:40], token[-40:]]
    addresses = [target for _, target in watch.requests] + [received.target for received in product.received]
    assert len(addresses) > 20
    assert not [address for address in addresses if any(part in address for part in parts)]
    for received in product.received:
        assert product.origin not in received.headers.get("referer", "")
        assert token not in str({**received.headers, "authorization": ""})
    for told in product.told_providers():
        assert product.origin not in told.get("Referer", "")
        assert token not in str(told)


def test_a_stored_key_is_never_returned(visitor: Visitor, product: Product) -> None:
    """A stored key is in no response of the server, and the browser keeps none."""
    visitor.visit("shop")
    visitor.fill_shop(RIGHT_KEY)
    expect(visitor.page.get_by_role("status").first).to_contain_text("Shop is connected.")
    visitor.page.reload()
    expect(visitor.button("Disconnect")).to_be_visible()
    assert not [received for received in product.received if RIGHT_KEY.encode() in received.response]
    kept = (
        "JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie, document.body.innerHTML])"
    )
    assert RIGHT_KEY not in visitor.page.evaluate(kept)
    assert visitor.page.context.cookies() == []
