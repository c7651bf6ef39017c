"""connections and keys: credentials come in by a prompt, a file or a pipe, and never come out."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nango_py.cli.root import nango
from nango_py.client import Nango
from nango_py.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cli_product import Product, Ran

pytest_plugins = ("tests.support.cli_product",)

KEY = "pk_planted_0123456789"


def stored(integration: str, user: str) -> dict[str, str]:
    """The credentials as the store gives them to a call."""
    with Nango() as opened:
        credentials = opened.store.get(integration, user).credentials
        return {name: value.reveal() for name, value in credentials.items()}


def test_register_reads_a_file_and_says_nothing_of_it(product: Product) -> None:
    """The response names the connection and not the key, and the store has the key."""
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
    arguments = ["connections", "register", "klaviyo", "user-1", "--credentials-file", "-", "--no-verify"]
    found = CliRunner().invoke(nango, arguments, input=json.dumps({"api_key": KEY}))
    assert found.exit_code == 0
    assert stored("klaviyo", "user-1") == {"api_key": KEY}


def typed_in(*typed: str, integration: str = "basic") -> Any:
    """`connections register` at a prompt where these lines are typed."""
    words = ["connections", "register", integration, f"user-{len(typed)}", "--no-verify", "--config", "{}"]
    return CliRunner().invoke(nango, words, input="".join(f"{line}\n" for line in typed))


def test_register_asks_without_an_echo(product: Product) -> None:
    """At the prompt the secret is hidden, what is no secret is not, and an optional part may stay empty."""
    headers = {"Authorization": "Basic ${basic_auth_encoded}"}
    entry = {
        "auth": {"auth_mode": "USERNAME_PASSWORD"},
        "requests": {"base_url": "https://x.test/", "headers": headers},
    }
    product.write("integrations.yaml", json.dumps({"integrations": {"basic": entry}}))
    found = typed_in("someone", KEY)
    assert found.exit_code == 0, found.output
    assert "someone" in found.output
    assert KEY not in found.output
    assert stored("basic", "user-2") == {"username": "someone", "password": KEY}
    empty = typed_in("someone", "", "")
    assert empty.exit_code == 0
    assert stored("basic", "user-3") == {"username": "someone", "password": ""}


@pytest.mark.usefixtures("product")
def test_the_blueprints_words_are_shown_and_its_constants_are_not_asked_for() -> None:
    """Close takes its key as user name: one hidden prompt with the API's own word, and no password."""
    found = typed_in(KEY, integration="close")
    assert found.exit_code == 0, found.output
    assert "API key" in found.output
    assert "User name" not in found.output
    assert KEY not in found.output
    assert stored("close", "user-1") == {"username": KEY, "password": ""}


def test_who_brings_a_token_is_asked_for_all_that_a_login_would_tell(product: Product) -> None:
    """Access and refresh token are hidden, the latter may be left out; told settings are asked for too."""
    auth = {
        "auth_mode": "OAUTH2",
        "authorization_url": "https://x.test/authorize",
        "token_url": "https://x.test/token",
        "keep_from_callback": ["realm"],
    }
    entry = {
        "auth": auth,
        "oauth_client_id": "client",
        "oauth_client_secret": "client_secret",
        "requests": {"base_url": "https://x.test/", "headers": {"Authorization": "Bearer ${access_token}"}},
        "connection_config": {
            "type": "object",
            "properties": {"realm": {"type": "string", "title": "Realm"}},
        },
    }
    product.write("integrations.yaml", json.dumps({"integrations": {"books": entry}}))
    words = ["connections", "register", "books", "user-1", "--no-verify"]
    found = CliRunner().invoke(nango, words, input=f"{KEY}\nrefresh_{KEY}\n1234\n")
    assert found.exit_code == 0, found.output
    assert "nango connections connect books" in found.output
    assert KEY not in found.output
    assert stored("books", "user-1") == {"access_token": KEY, "refresh_token": f"refresh_{KEY}"}
    shown = json.loads(product.run("connections", "show", "books", "user-1", "--json").out)
    assert shown["additional_config"] == {"realm": "1234"}
    without = CliRunner().invoke(nango, [*words[:3], "user-2", "--no-verify"], input=f"{KEY}\n\n\n")
    assert without.exit_code == 0, without.output
    assert stored("books", "user-2") == {"access_token": KEY}


def test_a_key_of_many_lines_comes_from_a_file(product: Product) -> None:
    """What a hidden prompt cannot take is read from @FILE; a file that is not there stores nothing."""
    entry = {
        "auth": {"auth_mode": "JWT", "jwt": {"algorithm": "HS256", "payload": {"iss": "x"}}},
        "requests": {"base_url": "https://x.test/", "headers": {"Authorization": "Bearer ${token}"}},
    }
    product.write("integrations.yaml", json.dumps({"integrations": {"signed": entry}}))
    path = product.write("key.pem", f"-----BEGIN\n{KEY}\n-----END\n")
    words = ["connections", "register", "signed", "user-1", "--no-verify", "--config", "{}"]
    gone = CliRunner().invoke(nango, words, input="@nowhere.pem\n\n\n")
    assert gone.exit_code == 2
    assert "cannot be read" in gone.output
    found = CliRunner().invoke(nango, words, input=f"@{path}\n\n\n")
    assert found.exit_code == 0, found.output
    assert KEY not in found.output
    assert stored("signed", "user-1")["private_key"].startswith("-----BEGIN\n")


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


SHOP = """\
integrations:
  shop:
    title: Shop
    auth: {{auth_mode: API_KEY}}
    requests: {{base_url: {url}, headers: {{Authorization: "Key ${{api_key}}"}}}}
    retries: {{backoff: {{base_seconds: 0.001, max_seconds: 0.002}}}}
    verification: {{path: me}}
    connection_config:
      type: object
      required: [shop, region]
      properties:
        shop: {{type: string, title: Shop name, description: As in your address., pattern: "^[a-z]+$"}}
        region: {{type: string, title: Region, enum: [eu, us], default: eu}}
        beta: {{type: boolean, title: Beta features}}
        size: {{type: integer, title: Page size, minimum: 1}}
  bare:
    auth: {{auth_mode: API_KEY}}
    requests: {{base_url: {url}, headers: {{Authorization: "Key ${{api_key}}"}}}}
"""


@pytest.fixture
def shop(product: Product) -> Iterator[Sandbox]:
    """The sandbox of an integration with settings, which knows the key."""
    settings = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://x.test/v1/", "headers": {"Authorization": "Key ${api_key}"}},
    }
    with Sandbox(settings, credentials={"any": {"api_key": KEY}}) as sandbox:
        product.write("integrations.yaml", SHOP.format(url=sandbox.base_url))
        yield sandbox


CONFIG = ("--config", '{"shop": "acme", "region": "eu"}')


@pytest.mark.usefixtures("shop")
def test_what_the_api_refuses_is_not_stored(product: Product) -> None:
    """A wrong key is exit code 1 and one line, and leaves what was there; the right one is stored."""

    def register(key: str, *more: str) -> Ran:
        path = product.write("key.json", json.dumps({"api_key": key}))
        words = ("connections", "register", "shop", "user-1", "--credentials-file", str(path), *CONFIG, *more)
        return product.run(*words)

    refused = register("pk_wrong_planted_key")
    assert refused.code == 1
    assert refused.err.startswith("error: Shop did not accept this API key (401")
    assert "Nothing was stored" in refused.err
    assert "pk_wrong_planted_key" not in refused.err + refused.out
    assert product.run("connections", "list").err == "no connections\n"
    assert register(KEY).code == 0
    assert register("pk_wrong_planted_key", "--replace").code == 1
    assert stored("shop", "user-1") == {"api_key": KEY}
    assert register("pk_wrong_planted_key", "--replace", "--no-verify").code == 0
    assert stored("shop", "user-1") == {"api_key": "pk_wrong_planted_key"}


def test_an_api_that_is_away_lets_nothing_be_stored_unasked(product: Product, shop: Sandbox) -> None:
    """Without a response nothing is stored, and the message says which option stores it all the same."""
    shop.stop()
    path = product.write("key.json", json.dumps({"api_key": KEY}))
    words = ("connections", "register", "shop", "user-1", "--credentials-file", str(path), *CONFIG)
    found = product.run(*words)
    assert found.code == 1
    assert "could not be asked" in found.err
    assert "--no-verify" in found.err
    assert product.run("connections", "list").err == "no connections\n"


def test_who_is_connected_already_is_not_asked_for_a_key(product: Product, shop: Sandbox) -> None:
    """Without --replace the command ends before it asks or sends anything."""
    product.register("shop", "user-1", json.dumps({"api_key": KEY}), *CONFIG)
    found = CliRunner().invoke(nango, ["connections", "register", "shop", "user-1"], input=f"{KEY}\n")
    assert "API key" not in found.output
    assert len(shop.ledger) == 0


def test_a_connection_is_tested(product: Product, shop: Sandbox) -> None:
    """`connections test` says what the API says, by its exit code too, and as JSON."""
    product.register("shop", "user-1", json.dumps({"api_key": KEY}), *CONFIG)
    product.register("bare", "user-1", json.dumps({"api_key": KEY}))
    found = product.run("connections", "test", "shop", "user-1")
    assert (found.code, found.out) == (0, "accepted: Shop accepted this API key.\n")
    shop.revoke("any")
    refused = product.run("connections", "test", "shop", "user-1", "--json")
    assert refused.code == 1
    told = json.loads(refused.out)
    assert (told["outcome"], told["ok"], told["status"], told["user_id"]) == ("refused", False, 401, "user-1")
    assert KEY not in refused.out
    bare = product.run("connections", "test", "bare", "user-1")
    assert bare.code == 0
    assert bare.out.startswith("not_declared: ")
    shop.stop()
    away = product.run("connections", "test", "shop", "user-1")
    assert away.code == 1
    assert away.out.startswith("unavailable: ")
    assert product.run("connections", "test", "shop", "nobody").code == 2


def asked(*typed: str, more: tuple[str, ...] = ()) -> Any:
    """`connections register shop user-1` at a prompt where these lines are typed."""
    words = ["connections", "register", "shop", "user-1", "--no-verify", *more]
    return CliRunner().invoke(nango, words, input="".join(f"{line}\n" for line in typed))


def settings_of_user(product: Product) -> Any:
    """The additional_config of user-1 at the shop."""
    return json.loads(product.run("connections", "show", "shop", "user-1", "--json").out)["additional_config"]


@pytest.mark.usefixtures("shop")
def test_the_settings_are_asked_for_at_the_prompt(product: Product) -> None:
    """Titles, descriptions, patterns, choices and defaults are shown; empty optional ones are left out."""
    found = asked(KEY, "acme", "", "", "")
    assert found.exit_code == 0, found.output
    for text in ("Shop name (like ^[a-z]+$)", "As in your address.", "Region (eu, us) [eu]", "Beta features"):
        assert text in found.output
    assert settings_of_user(product) == {"shop": "acme", "region": "eu"}
    assert KEY not in found.output


@pytest.mark.usefixtures("shop")
def test_settings_have_the_types_of_their_schema(product: Product) -> None:
    """A yes is true, digits are a number; a stored value is offered when a connection is replaced."""
    assert asked(KEY, "acme", "us", "yes", "50").exit_code == 0
    assert settings_of_user(product) == {"shop": "acme", "region": "us", "beta": True, "size": 50}
    again = asked(KEY, "", "", "no", "", more=("--replace",))
    assert again.exit_code == 0, again.output
    assert "[acme]" in again.output
    assert settings_of_user(product) == {"shop": "acme", "region": "us", "beta": False, "size": 50}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "typed", [("Acme 1",), ("acme", "asia"), ("acme", "eu", "perhaps"), ("acme", "eu", "", "0")]
)
def test_a_wrong_setting_stores_nothing(product: Product, typed: tuple[str, ...]) -> None:
    """What does not fit is said in words, and nothing is stored."""
    found = asked(KEY, *typed)
    assert found.exit_code == 2
    assert "nothing was stored" in found.output
    assert product.run("connections", "list").err == "no connections\n"


@pytest.mark.usefixtures("shop")
def test_settings_that_are_given_are_not_asked_for(product: Product) -> None:
    """With --config the prompt is for the key alone."""
    found = asked(KEY, more=CONFIG)
    assert found.exit_code == 0
    assert "Shop name" not in found.output
    assert settings_of_user(product) == {"shop": "acme", "region": "eu"}


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
