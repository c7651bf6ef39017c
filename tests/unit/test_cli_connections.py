"""connections and keys: credentials come in by a prompt, a file or a pipe, and never come out."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from nango_py.cli.app import nango
from nango_py.client import Nango

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli_support import Product

pytest_plugins = ("tests.cli_support",)

KEY = "pk_planted_0123456789"


def stored(integration: str, user: str) -> dict[str, str]:
    """The credentials as the store gives them to a call."""
    with Nango() as opened:
        credentials = opened.store.get(integration, user).credentials
        return {name: value.reveal() for name, value in credentials.items()}


def test_register_reads_a_file_and_says_nothing_of_it(product: Product) -> None:
    """The answer names the connection and not the key, and the store has the key."""
    found = product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}), "--config", '{"list": "X"}')
    assert found.code == 0
    assert found.out.startswith("registered klaviyo/user-1 (")
    assert KEY not in found.out + found.err
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    shown = json.loads(product.run("connections", "show", "klaviyo", "user-1", "--json").out)
    assert shown["additional_config"] == {"list": "X"}


@pytest.mark.usefixtures("product")
def test_register_reads_standard_input() -> None:
    """A pipe works as a file does."""
    arguments = ["connections", "register", "klaviyo", "user-1", "--credentials-file", "-"]
    found = CliRunner().invoke(nango, arguments, input=json.dumps({"api_key": KEY}))
    assert found.exit_code == 0
    assert stored("klaviyo", "user-1") == {"api_key": KEY}


@pytest.mark.usefixtures("product")
def test_register_asks_without_an_echo() -> None:
    """At the prompt the secret is hidden, what is no secret is not, and an optional part may stay empty."""
    arguments = ["connections", "register", "close", "user-1"]
    found = CliRunner().invoke(nango, arguments, input=f"someone\n{KEY}\n")
    assert found.exit_code == 0
    assert "someone" in found.output
    assert KEY not in found.output
    assert stored("close", "user-1") == {"username": "someone", "password": KEY}
    empty = CliRunner().invoke(nango, ["connections", "register", "close", "user-2"], input="someone\n\n")
    assert empty.exit_code == 0
    assert stored("close", "user-2") == {"username": "someone", "password": ""}


@pytest.mark.usefixtures("product")
def test_register_without_anyone_to_ask_says_how_to_pipe() -> None:
    """A script that forgot its input is told of --credentials-file."""
    found = CliRunner().invoke(nango, ["connections", "register", "klaviyo", "user-1"], input="")
    assert found.exit_code == 2
    assert "--credentials-file" in found.output


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (f'{{"apikey": "{KEY}"}}', 'did you mean "api_key"?'),
        ("{}", 'needs credential "api_key"'),
        (f'["{KEY}"]', "must be a JSON object"),
        (f'{{"api_key": "{KEY}"', "not JSON"),
        (f'{{"api_key": ["{KEY}"]}}', '"api_key" must be string'),
    ],
)
def test_wrong_credentials_are_refused_without_repeating_them(
    product: Product, credentials: str, said: str
) -> None:
    """Exit code 2, one line, and no part of what was given."""
    found = product.register("klaviyo", "user-1", credentials)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1
    assert KEY not in found.out + found.err
    assert product.run("connections", "list").err == "no connections\n"


def test_a_user_is_registered_once_unless_replaced(product: Product) -> None:
    """A second registering changes nothing; --replace says that it is meant."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    again = product.register("klaviyo", "user-1", '{"api_key": "pk_other_key"}')
    assert again.code == 2
    assert "already has a connection" in again.err
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    replaced = product.register("klaviyo", "user-1", '{"api_key": "pk_other_key"}', "--replace")
    assert replaced.out.startswith("replaced klaviyo/user-1 (")
    assert stored("klaviyo", "user-1") == {"api_key": "pk_other_key"}
    new = product.register("klaviyo", "user-2", json.dumps({"api_key": KEY}), "--replace")
    assert new.out.startswith("registered klaviyo/user-2 (")


def test_replacing_keeps_the_settings_unless_new_ones_are_given(product: Product) -> None:
    """--replace without --config changes the key alone; with it both."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}), "--config", '{"list": "X", "a": 1}')

    def settings(*options: str) -> object:
        product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}), "--replace", *options)
        shown = product.run("connections", "show", "klaviyo", "user-1", "--json").out
        return json.loads(shown)["additional_config"]

    assert settings() == {"list": "X", "a": 1}
    assert settings("--config", '{"list": "Y"}') == {"list": "Y"}


def test_connections_are_listed_by_integration_and_by_user(product: Product) -> None:
    """The lists show whose connections there are, and nothing secret."""
    for integration, user in (("klaviyo", "user-1"), ("klaviyo", "user-2"), ("old", "user-1")):
        product.register(integration, user, json.dumps({"api_key": KEY}))
    assert len(json.loads(product.run("connections", "list", "--json").out)) == 3
    by_user = json.loads(product.run("connections", "list", "--user", "user-1", "--json").out)
    assert [view["integration"] for view in by_user] == ["klaviyo", "old"]
    both = product.run("connections", "list", "--user", "user-2", "--integration", "klaviyo")
    assert both.out.splitlines()[1].split()[:2] == ["klaviyo", "user-2"]
    assert (
        KEY
        not in product.run("connections", "list").out
        + product.run("connections", "show", "old", "user-1").out
    )
    assert product.run("connections", "list", "--integration", "klavio").code == 2


def test_delete_asks_first(product: Product) -> None:
    """Without a yes nothing is deleted."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    refused = CliRunner().invoke(nango, ["connections", "delete", "klaviyo", "user-1"], input="n\n")
    assert refused.exit_code == 1
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    assert product.run("connections", "delete", "klaviyo", "user-1", "--yes").code == 0
    gone = product.run("connections", "delete", "klaviyo", "user-1", "--yes")
    assert gone.code == 2
    assert "no connection of user" in gone.err


def test_keys_are_shown_by_fingerprint_and_rotated(product: Product, tmp_path: Path) -> None:
    """After a rotation one new key seals everything, and the key itself is never printed."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    before = json.loads(product.run("keys", "show", "--json").out)
    assert [(key["active"], key["connections"]) for key in before["keys"]] == [(True, 1)]
    rotated = product.run("keys", "rotate")
    assert rotated.out.startswith("1 connection is now sealed with key ")
    after = json.loads(product.run("keys", "show", "--json").out)
    assert [key["connections"] for key in after["keys"]] == [1]
    assert after["keys"][0]["id"] != before["keys"][0]["id"]
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    secret = (tmp_path / ".nango" / "nango.key").read_text().splitlines()[-1]
    assert secret not in product.run("keys", "show").out + rotated.out + rotated.err


def test_keys_of_the_environment_are_rotated_by_their_order(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first key of NANGO_ENCRYPTION_KEYS seals everything after a rotation."""
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", old)
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", f"{new},{old}")
    assert product.run("keys", "rotate").code == 0
    monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", new)
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    monkeypatch.setenv("NANGO_ENCRYPTION_KEYS", old)
    refused = product.run("connections", "list")
    assert refused.code == 2
    assert old not in refused.err
