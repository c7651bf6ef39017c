"""Logging in at a provider, in a window of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.visitor import expect

if TYPE_CHECKING:
    from tests.browser.product import Product
    from tests.browser.visitor import Visitor


@pytest.mark.parametrize("title", ["Mail", "Archive", "Birds"], ids=["oauth2", "oauth2-cut-off", "oauth1"])
def test_a_login_connects(visitor: Visitor, product: Product, title: str) -> None:
    """Allowed at the provider, connected here: by OAuth 2, by OAuth 1.0a, and where the provider cuts us off."""
    visitor.visit()
    visitor.open(title)
    popup = visitor.begin_login(title)
    popup.get_by_role("button", name="Allow").click()
    expect(visitor.dialog.get_by_role("status")).to_contain_text(f"{title} is connected.")
    assert product.is_connected(title.lower())
    visitor.button("Done").click()
    expect(visitor.card(title)).to_contain_text("Connected")
