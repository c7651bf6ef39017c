"""`nango connections` and `nango keys`: credentials come from prompts, files or pipes, never printed."""

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

    from tests.support.cli_product import CommandResult, Product

pytest_plugins = ("tests.support.cli_product",)

KEY = "pk_planted_0123456789"


def stored(integration: str, user: str) -> dict[str, str]:
    """The stored credentials, decrypted."""
    with Nango() as opened:
        credentials = opened.store.get(integration, user).credentials
        return {name: value.reveal() for name, value in credentials.items()}


def test_register_reads_a_file(product: Product) -> None:
    """The key of the file is stored, and the output does not contain it."""
    found = product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}), "--config", '{"list": "X"}')
    assert found.code == 0
    assert found.out.startswith("registered klaviyo/user-1 (")
    assert KEY not in found.out + found.err
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    shown = json.loads(product.run("connections", "show", "klaviyo", "user-1", "--json").out)
    assert shown["additional_config"] == {"list": "X"}


@pytest.mark.usefixtures("product")
def test_register_reads_standard_input() -> None:
    """--credentials-file - reads standard input."""
    arguments = ["connections", "register", "klaviyo", "user-1", "--credentials-file", "-", "--no-verify"]
    found = CliRunner().invoke(nango, arguments, input=json.dumps({"api_key": KEY}))
    assert found.exit_code == 0
    assert stored("klaviyo", "user-1") == {"api_key": KEY}


def register_with_input(*typed: str, integration: str = "basic") -> Any:
    """`connections register` with these lines as input of the prompts."""
    words = ["connections", "register", integration, f"user-{len(typed)}", "--no-verify", "--config", "{}"]
    return CliRunner().invoke(nango, words, input="".join(f"{line}\n" for line in typed))


def test_register_prompts_without_echo(product: Product) -> None:
    """Secrets are not echoed, other values are, and an optional value may be empty."""
    headers = {"Authorization": "Basic ${basic_auth_encoded}"}
    entry = {
        "auth": {"auth_mode": "USERNAME_PASSWORD"},
        "requests": {"base_url": "https://x.test/", "headers": headers},
    }
    product.write("integrations.yaml", json.dumps({"integrations": {"basic": entry}}))
    found = register_with_input("someone", KEY)
    assert found.exit_code == 0, found.output
    assert "someone" in found.output
    assert KEY not in found.output
    assert stored("basic", "user-2") == {"username": "someone", "password": KEY}
    empty = register_with_input("someone", "", "")
    assert empty.exit_code == 0
    assert stored("basic", "user-3") == {"username": "someone", "password": ""}


@pytest.mark.usefixtures("product")
def test_prompts_use_the_titles_of_the_blueprint() -> None:
    """Close sends its API key as user name: there is one prompt for the API key and none for a password."""
    found = register_with_input(KEY, integration="close")
    assert found.exit_code == 0, found.output
    assert "API key" in found.output
    assert "User name" not in found.output
    assert KEY not in found.output
    assert stored("close", "user-1") == {"username": KEY, "password": ""}


def test_tokens_and_the_settings_of_a_login_are_prompted_for(product: Product) -> None:
    """Without a login, tokens and the settings that the provider would return are entered by hand."""
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


def test_a_multiline_key_is_read_from_a_file(product: Product) -> None:
    """@FILE at a prompt reads a file; a missing file is an error."""
    entry = {
        "auth": {"auth_mode": "JWT", "jwt": {"algorithm": "HS256", "payload": {"iss": "x"}}},
        "requests": {"base_url": "https://x.test/", "headers": {"Authorization": "Bearer ${token}"}},
    }
    product.write("integrations.yaml", json.dumps({"integrations": {"signed": entry}}))
    path = product.write("key.pem", f"-----BEGIN\n{KEY}\n-----END\n")
    words = ["connections", "register", "signed", "user-1", "--no-verify", "--config", "{}"]
    gone = CliRunner().invoke(nango, words, input="@nowhere.pem\n\n\n")
    assert gone.exit_code == 2
    assert "cannot read" in gone.output
    found = CliRunner().invoke(nango, words, input=f"@{path}\n\n\n")
    assert found.exit_code == 0, found.output
    assert KEY not in found.output
    assert stored("signed", "user-1")["private_key"].startswith("-----BEGIN\n")


@pytest.mark.usefixtures("product")
def test_register_without_input_is_a_usage_error() -> None:
    """The message names --credentials-file."""
    found = CliRunner().invoke(nango, ["connections", "register", "klaviyo", "user-1"], input="")
    assert found.exit_code == 2
    assert "--credentials-file" in found.output


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (f'{{"apikey": "{KEY}"}}', 'did you mean "api_key"?'),
        ("{}", 'needs credential "api_key"'),
        (f'["{KEY}"]', "JSON object"),
        (f'{{"api_key": "{KEY}"', "valid JSON"),
        (f'{{"api_key": ["{KEY}"]}}', '"api_key" must be string'),
    ],
)
def test_invalid_credentials_are_not_repeated(product: Product, credentials: str, said: str) -> None:
    """The exit code is 2, and the one-line message does not contain the credentials."""
    found = product.register("klaviyo", "user-1", credentials)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1
    assert KEY not in found.out + found.err
    assert product.run("connections", "list").err == "no connections\n"


def test_a_user_is_registered_once_unless_replaced(product: Product) -> None:
    """A second registration is an error and changes nothing, unless --replace is given."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    again = product.register("klaviyo", "user-1", '{"api_key": "pk_other_key"}')
    assert again.code == 2
    assert "already" in again.err
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    replaced = product.register("klaviyo", "user-1", '{"api_key": "pk_other_key"}', "--replace")
    assert replaced.out.startswith("replaced klaviyo/user-1 (")
    assert stored("klaviyo", "user-1") == {"api_key": "pk_other_key"}
    new = product.register("klaviyo", "user-2", json.dumps({"api_key": KEY}), "--replace")
    assert new.out.startswith("registered klaviyo/user-2 (")


def test_replacing_keeps_the_settings_unless_new_ones_are_given(product: Product) -> None:
    """--replace changes the settings only if --config is given."""
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
    """The sandbox of an integration with settings, which accepts KEY only."""
    settings = {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {"base_url": "https://x.test/v1/", "headers": {"Authorization": "Key ${api_key}"}},
        "verification": {"path": "me"},
    }
    with Sandbox(settings, credentials={"any": {"api_key": KEY}}) as sandbox:
        product.write("integrations.yaml", SHOP.format(url=sandbox.base_url))
        yield sandbox


CONFIG = ("--config", '{"shop": "acme", "region": "eu"}')


@pytest.mark.usefixtures("shop")
def test_rejected_credentials_are_not_stored(product: Product) -> None:
    """A rejected key changes nothing and the exit code is 1; an accepted one is stored."""

    def register(key: str, *more: str) -> CommandResult:
        path = product.write("key.json", json.dumps({"api_key": key}))
        words = ("connections", "register", "shop", "user-1", "--credentials-file", str(path), *CONFIG, *more)
        return product.run(*words)

    refused = register("pk_wrong_planted_key")
    assert refused.code == 1
    assert "401" in refused.err
    assert "pk_wrong_planted_key" not in refused.err + refused.out
    assert product.run("connections", "list").err == "no connections\n"
    assert register(KEY).code == 0
    assert register("pk_wrong_planted_key", "--replace").code == 1
    assert stored("shop", "user-1") == {"api_key": KEY}
    assert register("pk_wrong_planted_key", "--replace", "--no-verify").code == 0
    assert stored("shop", "user-1") == {"api_key": "pk_wrong_planted_key"}


def test_an_unreachable_api_stores_nothing(product: Product, shop: Sandbox) -> None:
    """Credentials that cannot be verified are not stored; the message names --no-verify."""
    shop.stop()
    path = product.write("key.json", json.dumps({"api_key": KEY}))
    words = ("connections", "register", "shop", "user-1", "--credentials-file", str(path), *CONFIG)
    found = product.run(*words)
    assert found.code == 1
    assert "--no-verify" in found.err
    assert product.run("connections", "list").err == "no connections\n"


def test_a_connected_user_is_not_prompted(product: Product, shop: Sandbox) -> None:
    """Without --replace, register fails before it prompts or sends a request."""
    product.register("shop", "user-1", json.dumps({"api_key": KEY}), *CONFIG)
    found = CliRunner().invoke(nango, ["connections", "register", "shop", "user-1"], input=f"{KEY}\n")
    assert "API key" not in found.output
    assert len(shop.ledger) == 0


def test_a_connection_is_tested(product: Product, shop: Sandbox) -> None:
    """`connections test` reports the outcome as text, JSON and exit code."""
    product.register("shop", "user-1", json.dumps({"api_key": KEY}), *CONFIG)
    product.register("bare", "user-1", json.dumps({"api_key": KEY}))
    found = product.run("connections", "test", "shop", "user-1")
    assert (found.code, found.out.partition(":")[0]) == (0, "accepted")
    shop.revoke("any")
    refused = product.run("connections", "test", "shop", "user-1", "--json")
    assert refused.code == 1
    fields = json.loads(refused.out)
    assert [fields[name] for name in ("outcome", "ok", "status", "user_id")] == [
        "refused", False, 401, "user-1"
    ]  # fmt: skip
    assert KEY not in refused.out
    bare = product.run("connections", "test", "bare", "user-1")
    assert bare.code == 0
    assert bare.out.startswith("not_declared: ")
    shop.stop()
    away = product.run("connections", "test", "shop", "user-1")
    assert away.code == 1
    assert away.out.startswith("unavailable: ")
    assert product.run("connections", "test", "shop", "nobody").code == 2


def register_at_shop(*typed: str, more: tuple[str, ...] = ()) -> Any:
    """`connections register shop user-1` with these lines as input of the prompts."""
    words = ["connections", "register", "shop", "user-1", "--no-verify", *more]
    return CliRunner().invoke(nango, words, input="".join(f"{line}\n" for line in typed))


def settings_of_user(product: Product) -> Any:
    """The additional_config of user-1 at the shop."""
    return json.loads(product.run("connections", "show", "shop", "user-1", "--json").out)["additional_config"]


@pytest.mark.usefixtures("shop")
def test_settings_are_prompted_for(product: Product) -> None:
    """Prompts show titles, patterns, choices and defaults; empty optional settings are not stored."""
    found = register_at_shop(KEY, "acme", "", "", "")
    assert found.exit_code == 0, found.output
    for text in ("Shop name (like ^[a-z]+$)", "As in your address.", "Region (eu, us) [eu]", "Beta features"):
        assert text in found.output
    assert settings_of_user(product) == {"shop": "acme", "region": "eu"}
    assert KEY not in found.output


@pytest.mark.usefixtures("shop")
def test_settings_have_the_types_of_their_schema(product: Product) -> None:
    """Input is converted to the types of the schema, and stored values are defaults when replacing."""
    assert register_at_shop(KEY, "acme", "us", "yes", "50").exit_code == 0
    assert settings_of_user(product) == {"shop": "acme", "region": "us", "beta": True, "size": 50}
    again = register_at_shop(KEY, "", "", "no", "", more=("--replace",))
    assert again.exit_code == 0, again.output
    assert "[acme]" in again.output
    assert settings_of_user(product) == {"shop": "acme", "region": "us", "beta": False, "size": 50}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "typed", [("Acme 1",), ("acme", "asia"), ("acme", "eu", "perhaps"), ("acme", "eu", "", "0")]
)
def test_an_invalid_setting_stores_nothing(product: Product, typed: tuple[str, ...]) -> None:
    """Invalid settings are an error, and nothing is stored."""
    found = register_at_shop(KEY, *typed)
    assert found.exit_code == 2
    assert "nothing was stored" in found.output
    assert product.run("connections", "list").err == "no connections\n"


@pytest.mark.usefixtures("shop")
def test_settings_of_an_option_are_not_prompted_for(product: Product) -> None:
    """With --config there is a prompt for the key only."""
    found = register_at_shop(KEY, more=CONFIG)
    assert found.exit_code == 0
    assert "Shop name" not in found.output
    assert settings_of_user(product) == {"shop": "acme", "region": "eu"}


def test_connections_are_listed_by_integration_and_by_user(product: Product) -> None:
    """Lists can be filtered by integration and user, and contain no credentials."""
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


def test_delete_asks_for_confirmation(product: Product) -> None:
    """Without confirmation nothing is deleted and the exit code is 1."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    refused = CliRunner().invoke(nango, ["connections", "delete", "klaviyo", "user-1"], input="n\n")
    assert refused.exit_code == 1
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    assert product.run("connections", "delete", "klaviyo", "user-1", "--yes").code == 0
    gone = product.run("connections", "delete", "klaviyo", "user-1", "--yes")
    assert gone.code == 2
    assert "user-1" in gone.err


def test_keys_are_shown_by_fingerprint_and_rotated(product: Product, tmp_path: Path) -> None:
    """After a rotation every connection is encrypted with the new key, which is never printed."""
    product.register("klaviyo", "user-1", json.dumps({"api_key": KEY}))
    before = json.loads(product.run("keys", "show", "--json").out)
    assert [(key["active"], key["connections"]) for key in before["keys"]] == [(True, 1)]
    rotated = product.run("keys", "rotate")
    assert rotated.out.startswith("1 connection is now ")
    after = json.loads(product.run("keys", "show", "--json").out)
    assert [key["connections"] for key in after["keys"]] == [1]
    assert after["keys"][0]["id"] != before["keys"][0]["id"]
    assert stored("klaviyo", "user-1") == {"api_key": KEY}
    secret = (tmp_path / ".nango" / "nango.key").read_text().splitlines()[-1]
    assert secret not in product.run("keys", "show").out + rotated.out + rotated.err


def test_keys_of_the_environment_are_rotated_by_their_order(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rotation every connection is encrypted with the first key of NANGO_ENCRYPTION_KEYS."""
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
