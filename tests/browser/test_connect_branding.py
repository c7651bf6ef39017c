"""The page in the product's colours and in other languages: logos, accounts, scopes, and ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.looks import sideways_pixels, small_targets, too_faint, unlabelled
from tests.browser.product import RIGHT_KEY, WRONG_KEY, Product
from tests.browser.visitor import Visitor, expect

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from tests.browser.elsewhere import Elsewhere
    from tests.browser.watch import Watch

LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 24">'
    '<rect width="80" height="24" fill="#635bff"/></svg>'
)
SCREENS = [(360, 740, "light"), (360, 740, "dark"), (1280, 860, "light"), (1280, 860, "dark")]


@pytest.fixture
def branded(servers: contextlib.ExitStack, tmp_path: Path) -> Product:
    """A product with a logo, a colour, a support link and integrations with logos."""
    (tmp_path / "logo.svg").write_text(LOGO)
    config = {
        "product_logo": str(tmp_path / "logo.svg"),
        "product_color": "#ffd400",
        "support_url": "mailto:help@acme.test",
    }
    shipped = {"extends_blueprint": "stripe:v1"}
    login = {
        "extends_blueprint": "slack:v0",
        "oauth_client_id": "id",
        "oauth_client_secret": "secret",
        "oauth_scopes": ["channels:read", "chat:write", "odd:scope"],
    }
    return servers.enter_context(Product(tmp_path, config=config, stripe=shipped, slack=login))


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_a_branded_page_on_every_screen(
    new_context: Callable[..., BrowserContext], branded: Product, width: int, height: int, scheme: str
) -> None:
    """Phone and desktop, light and dark: readable, nothing sideways, nothing too small, nothing unnamed."""
    page = new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    visitor = Visitor(page, branded)
    branded.nango.register_connection("stripe", "user-1", {"api_key": "sk_test_0123456789"})
    credentials = {"access_token": "xoxb-1234567890", "raw": {"team": {"name": "Acme Workspace"}}}
    branded.nango.register_connection("slack", "user-1", credentials)

    def check(name: str) -> None:
        visitor.keep(f"branded-{name}-{width}-{scheme}")
        assert not too_faint(page)
        assert not sideways_pixels(page)
        assert not small_targets(page)
        assert not unlabelled(page)

    visitor.visit(user_label="ada@example.com", return_url=f"{branded.url}/back")
    expect(page.locator("#product img")).to_be_visible()
    expect(page.get_by_role("link", name="Return to Acme Reports")).to_have_attribute(
        "href", f"{branded.url}/back"
    )
    expect(page.get_by_role("link", name="Get help")).to_have_attribute("href", "mailto:help@acme.test")
    expect(visitor.card("Stripe").locator("img")).to_be_visible()
    expect(visitor.card("Slack")).to_contain_text("Acme Workspace")
    check("grid")
    visitor.open("Slack")
    expect(visitor.dialog).to_contain_text("Connected as Acme Workspace")
    check("account")
    visitor.button("Connect again").click()
    page.get_by_text("Permissions requested", exact=True).click()
    scopes = visitor.dialog.locator(".scopes li")
    expect(scopes).to_have_text(
        [
            "View basic information about public channels",
            "Post messages in channels and conversations",
            "odd:scope",
        ]
    )
    expect(visitor.dialog).to_contain_text("You'll sign in to Slack in a new window.")
    check("scopes")
    visitor.button("Close").click()
    visitor.open("Shop")
    visitor.button("Connect").click()
    expect(visitor.key).to_have_accessible_description(
        "Shop shows it under Settings, API keys. Enter your Shop secret key."
    )
    check("errors")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_dialog_stays_where_it_is_when_an_error_appears(
    new_context: Callable[..., BrowserContext], product: Product, watch: Watch, width: int
) -> None:
    """Neither the dialog's top nor the field that the user typed into moves."""
    watch.expect("422")
    page = new_context(viewport={"width": width, "height": 800}).new_page()
    visitor = Visitor(page, product)
    visitor.visit()
    visitor.open("Shop")
    visitor.dialog.evaluate("dialog => Promise.all(dialog.getAnimations().map(({ finished }) => finished))")
    before = [found.bounding_box() for found in (visitor.dialog, visitor.key)]
    visitor.fill_shop(WRONG_KEY)
    expect(visitor.alert).to_contain_text("Not accepted")
    after = [found.bounding_box() for found in (visitor.dialog, visitor.key)]
    assert [box["y"] for box in before if box] == [box["y"] for box in after if box]


def test_few_cards_are_one_column_and_not_connected_is_not_repeated(
    page: Page, product: Product, servers: contextlib.ExitStack, tmp_path: Path
) -> None:
    """Five cards stand below each other; six have columns. What is not connected has no mark."""
    page.set_viewport_size({"width": 1280, "height": 860})
    visitor = Visitor(page, product)
    visitor.visit()
    boxes = [card.bounding_box() for card in page.locator(".card").all()]
    assert len(boxes) == 5
    assert len({box["x"] for box in boxes if box}) == 1
    assert "Not connected" not in page.locator("body").inner_text()
    (tmp_path / "more").mkdir()
    more = servers.enter_context(Product(tmp_path / "more", stripe={"extends_blueprint": "stripe:v1"}))
    Visitor(page, more).visit()
    boxes = [card.bounding_box() for card in page.locator(".card").all()]
    assert len(boxes) == 6
    assert len({box["x"] for box in boxes if box}) > 1


LANGUAGES = {
    "de": ("Verbinden Sie Ihre Konten", "Verbinden", "Bitte geben Sie „Secret key“ ein.", "ist verbunden"),
    "fr": ("Connectez vos comptes", "Connecter", "Veuillez saisir « Secret key ».", "est connecté"),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_language_of_the_browser(
    new_context: Callable[..., BrowserContext], product: Product, watch: Watch, language: str
) -> None:
    """From the first heading to the last message, errors of the server included, nothing is in English."""
    watch.expect("422", "400")
    title, connect, missing, done = LANGUAGES[language]
    page = new_context(locale=f"{language}-CH").new_page()
    visitor = Visitor(page, product)
    visitor.visit()
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    visitor.open("Shop")
    visitor.keep(f"language-{language}")
    visitor.button(connect).click()
    assert missing.replace("Secret key", "Shop secret key") in visitor.dialog.inner_text()
    visitor.key.fill(WRONG_KEY)
    visitor.region.select_option(label="eu")
    visitor.button(connect).click()
    expect(visitor.alert).to_contain_text("Shop")
    assert "accept" not in visitor.alert.inner_text().replace("accepté", "").replace("akzeptiert", "")
    visitor.key.fill(RIGHT_KEY)
    visitor.button(connect).click()
    expect(visitor.dialog.get_by_role("status")).to_contain_text(done)
    page.goto(f"{product.url}/oauth/callback?state=x")
    expect(page.locator("html")).to_have_attribute("lang", language)


def test_the_session_chooses_the_language(visitor: Visitor) -> None:
    """An option of the session wins over the browser, on the provider's way back too."""
    visitor.visit(language="de")
    page = visitor.page
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("heading", level=1)).to_have_text("Verbinden Sie Ihre Konten")
    visitor.open("Mail")
    with page.expect_popup() as opening:
        visitor.button("Weiter zu Mail").click()
    popup = opening.value
    popup.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("status").first).to_contain_text("Mail ist verbunden.")


def test_a_single_integration_has_a_way_back(page: Page, product: Product, elsewhere: Elsewhere) -> None:
    """After connecting, the user returns to the product, or reads that the page can be closed."""
    visitor = Visitor(page, product)
    back = elsewhere.page("<main><h1>Settings</h1></main>")
    visitor.visit("shop", user="user-1", return_url=back)
    visitor.fill_shop(RIGHT_KEY)
    expect(page.get_by_role("status").first).to_contain_text("We checked the key and it works.")
    page.locator("#main").get_by_role("link", name="Return to Acme Reports").click()
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    visitor.visit("shop", user="user-2")
    visitor.fill_shop(RIGHT_KEY)
    expect(page.get_by_text("You can close this page.")).to_be_visible()


CONTRASTS: dict[str, Any] = {
    "#ffd400": "rgb(0, 0, 0)",
    "#1f2933": "rgb(255, 255, 255)",
    "#777777": "rgb(0, 0, 0)",
}


@pytest.mark.parametrize(("color", "text"), CONTRASTS.items())
def test_buttons_stay_readable_in_any_colour(
    page: Page, servers: contextlib.ExitStack, tmp_path: Path, color: str, text: str
) -> None:
    """The text on a button is black or white, whichever can be read on the product's colour."""
    product = servers.enter_context(Product(tmp_path, config={"product_color": color}))
    visitor = Visitor(page, product)
    visitor.visit("shop")
    expect(visitor.button("Connect")).to_have_css("color", text)
    assert not too_faint(page)
