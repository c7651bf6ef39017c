"""The settings of a login: one rule for what a form, a page and a callback bring, and the product's stay."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from nango_py import ConfigError, ConnectFailed
from nango_py.connect.login import Logins
from tests.support.login_product import COOKIE, a_product, callback_of, log_in, rows
from tests.support.oauth2_login_provider import LoginProvider

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["tenant"],
    "properties": {
        "tenant": {"type": "string"},
        "note": {"type": "string"},
        "plan": {"type": "string", "asked": False, "default": "basic"},
    },
}

UNUSABLE = ["a\0b", "a\nb", "a\rb", "a\tb", "a\x1bb", "a\x7fb", "a\u0085b", "a\ud800b", "a\u200bb"]


@pytest.mark.parametrize("text", UNUSABLE)
@pytest.mark.parametrize("session_id", ["", "s1"])
def test_login_refuses_what_the_form_refuses(text: str, session_id: str) -> None:
    """In a declared setting, from the page and from the product's own code; nothing is stored."""
    with LoginProvider() as provider, a_product({**provider.entry(), "connection_config": SCHEMA}) as nango:
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).begin(
                "mail", "user-1", session_id=session_id, additional_config={"tenant": text}
            )
        assert (caught.value.code, list(caught.value.fields)) == ("invalid_credentials", ["tenant"])
        with pytest.raises(ConfigError):
            nango.register_connection("mail", "u", {"access_token": "t"}, {"tenant": text})


def test_page_cannot_set_what_the_product_decides() -> None:
    """A hidden or unknown setting is refused when a session's page sends it."""
    with LoginProvider() as provider, a_product({**provider.entry(), "connection_config": SCHEMA}) as nango:
        for name in ("plan", "other"):
            with pytest.raises(ConnectFailed) as caught:
                Logins(nango.accounts).begin(
                    "mail", "user-1", session_id="s1", additional_config={"tenant": "a", name: "gold"}
                )
            assert list(caught.value.fields) == [name]


def test_another_login_keeps_the_products_settings() -> None:
    """What is not asked stays; what the user enters and what the provider sends is new."""
    entry = {"connection_config": SCHEMA}
    with LoginProvider() as provider:
        product = {**provider.entry({"keep_from_callback": ["iss"]}), **entry}
        with a_product(product) as nango:
            assert log_in(nango, additional_config={"tenant": "one", "plan": "gold"}).ok
            first = rows(nango)[0]["additional_config"]
            assert first == {"tenant": "one", "plan": "gold", "iss": provider.url}
            nango.update_connection_config(
                "mail", "user-1", {**first, "iss": "https://old.test", "note": "n"}
            )
            assert log_in(nango, additional_config={"tenant": "two"}).ok
            assert rows(nango)[0]["additional_config"] == {
                "tenant": "two", "plan": "gold", "iss": provider.url,
            }  # fmt: skip


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "a\u200bb", "x" * 1025])
def test_callback_cannot_store_what_no_setting_may_hold(text: str) -> None:
    """A callback comes from the browser: its values are checked although no schema declares them."""
    with LoginProvider() as provider, a_product(provider.entry({"keep_from_callback": ["realm"]})) as nango:
        callback = {**callback_of(nango), "realm": text}
        callback = dict(parse_qsl(urlsplit("?" + urlencode(callback)).query, keep_blank_values=True))
        outcome = Logins(nango.accounts).finish(callback, COOKIE)
        assert (outcome.ok, outcome.code) == (False, "exchange_failed")
        assert rows(nango) == []
        good = {**callback_of(nango), "realm": "1234"}
        assert Logins(nango.accounts).finish(good, COOKIE).ok
        assert rows(nango)[0]["additional_config"] == {"realm": "1234"}
