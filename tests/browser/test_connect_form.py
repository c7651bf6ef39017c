"""Connecting by a form: what is typed is tried at the API before it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.product import RIGHT_KEY, WRONG_KEY, Product
from tests.browser.visitor import Visitor, expect

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.watch import Watch
    from tests.support.fake_clock import ManualClock


@pytest.fixture
def at_shop(visitor: Visitor) -> Visitor:
    """Somebody before the form of `shop`."""
    visitor.visit()
    visitor.open("Shop")
    return visitor


def test_only_an_accepted_key_is_stored(at_shop: Visitor, product: Product, watch: Watch) -> None:
    """The API refuses the first key, so nothing is saved; the second one is, and is never shown again."""
    watch.expect("422")
    at_shop.fill_shop(WRONG_KEY)
    expect(at_shop.alert).to_contain_text("Shop did not accept this")
    expect(at_shop.alert).to_contain_text("Nothing was saved.")
    expect(at_shop.key).to_be_focused()
    expect(at_shop.key).to_have_value(WRONG_KEY)
    assert not product.is_connected("shop")
    at_shop.fill_shop(RIGHT_KEY)
    expect(at_shop.dialog.get_by_role("status")).to_contain_text("Shop is connected.")
    assert [held["additional_config"] for held in product.nango.connections_for_user("user-1")] == [
        {"region": "eu"}
    ]
    assert product.call("shop").status_code == 200
    at_shop.button("Done").click()
    at_shop.open("Shop")
    assert RIGHT_KEY not in at_shop.page.content()


def test_invalid_input_is_not_sent(at_shop: Visitor, product: Product) -> None:
    """A malformed key and an empty field are marked with a sentence, and no request is sent."""
    before = len(product.received)
    at_shop.key.fill("pk_not_like_the_example")
    at_shop.button("Connect").click()
    expect(at_shop.key).to_have_accessible_description("Shop shows it under Settings, API keys. " + SHAPE)
    expect(at_shop.region).to_have_accessible_description("Please choose an option.")
    expect(at_shop.key).to_be_focused()
    for control in (at_shop.key, at_shop.region):
        expect(control).to_have_attribute("aria-invalid", "true")
    at_shop.key.fill(RIGHT_KEY)
    expect(at_shop.key).not_to_have_attribute("aria-invalid", "true")
    assert len(product.received) == before
    assert not product.sandbox.ledger.received


SHAPE = "Keys start with sk_, for example sk_test_1234567890."


@pytest.mark.parametrize(
    ("responses", "said", "status"),
    [
        ([403], "A permission is missing", "422"),
        ([503, 503], "We couldn't reach Shop to check your key. Nothing was saved.", "503"),
    ],
    ids=["missing-scope", "away"],
)
def test_refusals_and_outages_are_distinguished(
    at_shop: Visitor, product: Product, watch: Watch, responses: list[int], said: str, status: str
) -> None:
    """A missing permission and an unreachable API have different messages, and the input stays."""
    watch.expect(status)
    product.faults.add(*responses)
    at_shop.fill_shop(RIGHT_KEY)
    expect(at_shop.alert).to_contain_text(said)
    expect(at_shop.key).to_have_value(RIGHT_KEY)
    assert not product.is_connected("shop")
    at_shop.button("Connect").click()
    expect(at_shop.dialog.get_by_role("status")).to_contain_text("Shop is connected.")


def test_input_survives_a_network_failure(at_shop: Visitor, product: Product, watch: Watch) -> None:
    """Without a network the page says so, keeps the input, and continues when the network is back."""
    watch.expect("ERR_INTERNET_DISCONNECTED")
    at_shop.page.context.set_offline(True)
    at_shop.fill_shop(RIGHT_KEY)
    expect(at_shop.alert).to_contain_text("Check your network")
    at_shop.page.context.set_offline(False)
    at_shop.button("Connect").click()
    expect(at_shop.dialog.get_by_role("status")).to_contain_text("Shop is connected.")
    assert product.is_connected("shop")


def test_a_secret_is_shown_on_request_only(at_shop: Visitor) -> None:
    """A key is hidden until the user asks to see it."""
    at_shop.key.fill(RIGHT_KEY)
    expect(at_shop.key).to_have_attribute("type", "password")
    show = at_shop.page.get_by_role("button", name="Show Secret key")
    show.click()
    expect(at_shop.key).to_have_attribute("type", "text")
    at_shop.page.get_by_role("button", name="Hide Secret key").click()
    expect(at_shop.key).to_have_attribute("type", "password")


def test_an_api_without_credentials_takes_one_click(visitor: Visitor, product: Product) -> None:
    """An API without credentials takes one button."""
    visitor.visit()
    visitor.open("Weather")
    visitor.button("Connect").click()
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Weather is connected.")
    assert product.is_connected("weather")


def test_a_connection_can_be_replaced_and_deleted(visitor: Visitor, product: Product) -> None:
    """Connecting again keeps the connection and takes new settings; disconnecting deletes it, once sure."""
    product.sandbox.accept("older", {"api_key": "sk_test_older_0123456789"})
    first = product.nango.register_connection(
        "shop", "user-1", {"api_key": "sk_test_older_0123456789"}, {"region": "us", "nickname": "Main"}
    )
    visitor.visit()
    visitor.open("Shop")
    expect(visitor.dialog.get_by_role("definition")).to_have_text(["us", "Main"])
    visitor.button("Connect again").click()
    expect(visitor.key).to_have_value("")
    expect(visitor.page.get_by_role("textbox", name="Nickname")).to_have_value("Main")
    visitor.fill_shop(RIGHT_KEY)
    expect(visitor.dialog.get_by_role("status")).to_contain_text("Shop is connected.")
    held = product.nango.connection("shop", "user-1")
    assert (held["uuid"], held["additional_config"]) == (first["uuid"], {"region": "eu", "nickname": "Main"})
    visitor.button("Done").click()
    visitor.open("Shop")
    visitor.button("Disconnect").click()
    visitor.button("Keep it").click()
    assert product.is_connected("shop")
    visitor.button("Disconnect").click()
    visitor.button("Disconnect").click()
    expect(visitor.page.get_by_role("region", name="Available")).to_contain_text("Shop")
    assert not product.is_connected("shop")
    expect(visitor.page.locator("#live")).to_have_text("Shop is disconnected.")


def test_a_session_that_expires_in_use_says_so(
    page: Page, servers: contextlib.ExitStack, clock: ManualClock, tmp_path: Path, watch: Watch
) -> None:
    """A user who waited too long reads that the link has expired, and nothing is stored."""
    watch.expect("401")
    visitor = Visitor(page, servers.enter_context(Product(tmp_path, clock=clock)))
    visitor.visit("shop")
    clock.advance(1801)
    visitor.fill_shop(RIGHT_KEY)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link has expired")
    assert not visitor.product.is_connected("shop")
