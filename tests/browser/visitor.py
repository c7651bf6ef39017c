"""Somebody who visits the connect page: the steps that several tests take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.product import Product

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


def expect(found: Any) -> Any:
    """Playwright's assertions, which wait. Imported late, for machines that have no Playwright."""
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(found)


def press_button(window: Page, button: str) -> None:
    """Press a button of a window that goes on, or away, by it.

    The press comes after this call: a click of the driver may find the window gone before it is done.
    """
    found = window.get_by_role("button", name=button)
    found.wait_for()
    found.evaluate("button => setTimeout(() => button.click())")


@dataclass
class Visitor:
    """A browser window on a product's connect page."""

    page: Page
    product: Product

    @property
    def dialog(self) -> Locator:
        """What is open on top of the grid."""
        return self.page.get_by_role("dialog")

    @property
    def alert(self) -> Locator:
        """The messages shown at once, and announced to users of a screen reader."""
        return self.page.get_by_role("alert")

    def card(self, title: str) -> Locator:
        """An integration in the grid."""
        return self.page.locator(".card").filter(has=self.page.get_by_text(title, exact=True))

    @property
    def key(self) -> Locator:
        """The field for the key of `shop`."""
        return self.page.get_by_role("textbox", name="Secret key")

    @property
    def region(self) -> Locator:
        """The choice of a region of `shop`."""
        return self.page.get_by_role("combobox", name="Region")

    def button(self, name: str) -> Locator:
        """A button by all of its name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def visit(self, *integrations: str, user: str = "user-1", **options: Any) -> None:
        """Open the link of a new session; all integrations by default."""
        self.page.goto(self.product.link(user, *integrations, **options))
        expect(self.page.locator("#main:not([aria-busy])")).to_be_visible()

    def open(self, title: str) -> None:
        """Open an integration of the grid."""
        self.card(title).click()
        expect(self.dialog.get_by_role("heading", name=title)).to_be_visible()

    def begin_login(self, title: str) -> Page:
        """Click on the button that opens the provider's login; its window."""
        with self.page.expect_popup() as opening:
            self.button(f"Continue to {title}").click()
        popup: Page = opening.value
        expect(popup.get_by_role("heading", name="Sign in to Mail")).to_be_visible()
        return popup

    def allow_login(self, title: str) -> None:
        """Log in at the provider, from the open integration to the message that it is connected."""
        press_button(self.begin_login(title), "Allow")
        expect(self.page.get_by_role("status").first).to_contain_text(f"{title} is connected.")

    def fill_shop(self, key: str, region: str = "eu") -> None:
        """Fill in the form of `shop`, and send it."""
        self.key.fill(key)
        self.region.select_option(label=region)
        self.button("Connect").click()

    def keep(self, name: str, page: Page | None = None) -> Path:
        """A screenshot of what this page shows now, or another one, under a name that stays the same."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        (page or self.page).screenshot(path=path, animations="disabled", caret="hide")
        return path
