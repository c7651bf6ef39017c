"""What a blueprint calls secret, or sends as a key, is masked like the secrets of its auth mode."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import Nango
from tests.support.sandbox_product import ENCRYPTION_KEY

SECRET_USER = {"username": {"secret": True}}
KEY = "k3y+of/the=user"

CUSTOM: dict[str, dict[str, Any]] = {
    "declared": {"credentials": SECRET_USER, "requests": {"headers": {"X-Id": "${username}"}}},
    "inside": {
        "credentials": SECRET_USER,
        "requests": {"headers": {"X-Id": "v1 ${username | upper}"}, "params": {"u": "${username}"}},
    },
    "header": {"requests": {"headers": {"DD-API-KEY": "${username}"}}},
    "mixed": {"requests": {"headers": {"X-App-Token": "app-${username}"}}},
    "param": {"requests": {"params": {"access_token": "${username}"}}},
    "path": {"credentials": SECRET_USER, "requests": {"base_url": "https://x.test/${username}/"}},
}  # fmt: skip


def open_nango(**entries: dict[str, Any]) -> Nango:
    """A Nango in memory with these integrations."""
    return Nango(entries, database_url="sqlite:///:memory:", encryption_keys=ENCRYPTION_KEY, environ={})


def show(nango: Nango, integration: str) -> str:
    """A plan that repeats the key wherever the caller may write."""
    executor = nango.executor(integration, "u")
    plan = executor.plan("POST", f"keys/{KEY}", params={"q": KEY}, headers={"X-Copy": KEY}, json={"key": KEY})
    return f"{plan} {plan!r} {plan.masked_endpoint()}"


@pytest.mark.parametrize("name", CUSTOM)
def test_user_name_that_is_a_key_is_masked(name: str) -> None:
    """In a header, a parameter, a path, and wherever the caller repeats it."""
    requests = {"base_url": "https://x.test/", **CUSTOM[name]["requests"]}
    entry = {"auth": {"auth_mode": "USERNAME_PASSWORD"}, **CUSTOM[name], "requests": requests}
    with open_nango(**{name: entry}) as nango:
        nango.register_connection(name, "u", {"username": KEY, "password": ""})
        text = show(nango, name)
    assert "***" in text
    assert "k3y" not in text.lower()


@pytest.mark.parametrize("blueprint", ["close:v0", "greenhouse-harvest:v0"])
def test_key_of_shipped_blueprints_is_masked(blueprint: str) -> None:
    """Their API key is the user name."""
    with open_nango(shop={"extends_blueprint": blueprint}) as nango:
        nango.register_connection("shop", "u", {"username": KEY, "password": ""})
        assert "k3y" not in show(nango, "shop")


def test_ordinary_user_name_is_shown() -> None:
    """Control: nothing calls it secret, and it is not sent as a key."""
    requests = {"base_url": "https://x.test/", "headers": {"X-User": "${username}", "X-Auth": "${password}"}}
    entry = {"auth": {"auth_mode": "USERNAME_PASSWORD"}, "requests": requests}
    with open_nango(shop=entry) as nango:
        nango.register_connection("shop", "u", {"username": "ada.lovelace", "password": KEY})
        text = str(nango.executor("shop", "u").plan("GET", "x"))
    assert "X-User: ada.lovelace" in text
    assert "k3y" not in text
