"""`nango blueprints import`: blueprints from a provider file of today's Nango."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.provider_file import PROVIDERS, REFUSED, provider_file

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.json_types import Settings
    from tests.support.cli_product import CommandResult, Product

pytest_plugins = ("tests.support.cli_product",)


@pytest.fixture
def imported(product: Product) -> CommandResult:
    """The result of an import of the whole file."""
    product.write("providers.yaml", provider_file())
    return product.run("blueprints", "import", "providers.yaml")


def settings_of(product: Product, name: str) -> Settings:
    """What the file of a blueprint says."""
    return yaml.safe_load((product.folder / f"blueprints/{name}.v0.yaml").read_text())


def test_every_entry_is_written_or_listed_with_its_reason(product: Product, imported: CommandResult) -> None:
    """Files that were written pass `nango check`; each other entry has a line that says why it was not."""
    written = {path.name.removesuffix(".v0.yaml") for path in (product.folder / "blueprints").glob("*.yaml")}
    assert written == set(yaml.safe_load(PROVIDERS))
    lines = [line for line in imported.out.splitlines() if line.startswith("not imported: ")]
    reasons = dict(line.removeprefix("not imported: ").split(": ", 1) for line in lines)
    assert reasons.keys() == REFUSED.keys()
    for name, (_, word) in REFUSED.items():
        assert word in reasons[name], name
    checked = product.run("check")
    assert checked.code == 0, checked.err
    assert not list(product.folder.parent.glob("up*"))


def test_a_login_by_oauth_is_carried_over(product: Product, imported: CommandResult) -> None:
    """URLs, parameters, client authentication, PKCE, kept values, and what was left out as a comment."""
    assert imported.code == 0
    crm = settings_of(product, "crm")
    assert crm["auth"] == {
        "auth_mode": "OAUTH2",
        "authorization_url": "https://id.crm.test/authorize",
        "authorization_params": {"prompt": "consent", "forced": "true"},
        "token_url": "https://id.crm.test/token",
        "authorization_method": "header",
        "scope_separator": ",",
        "default_scopes": ["offline"],
        "keep_from_response": {"instance_url": "instance_url", "id": "team.id"},
        "pkce": "unsupported",
        "keep_from_callback": {"account_id": '"account-id"'},
    }
    assert crm["requests"]["base_url"] == "${additional_config.instance_url}/"
    assert crm["connection_config"]["properties"]["instance_url"] == {
        "type": "string", "title": "Instance", "format": "origin", "asked": False,
    }  # fmt: skip
    assert crm["rate_limits"]["headers"] == {
        "reset": {"name": "x-reset", "means": "unix_seconds"}, "remaining": "x-left",
    }  # fmt: skip
    assert crm["pagination"] == {
        "kind": "cursor", "cursor": 'meta."next-cursor"', "param": "after", "records": "data.items",
        "size": {"param": "limit"},
    }  # fmt: skip
    text = (product.folder / "blueprints/crm.v0.yaml").read_text()
    assert "#   post_connection_script: crmPostConnection\n" in text
    assert "#   proxy.retry.error_code: 403\n" in text


def test_an_alias_is_merged_at_every_level(product: Product, imported: CommandResult) -> None:
    """The entry has the keys of the one that it names, and its file needs no other."""
    assert imported.code == 0
    sandbox, crm = settings_of(product, "crm-sandbox"), settings_of(product, "crm")
    assert sandbox["auth"] == {**crm["auth"], "token_url": "https://id.sandbox.crm.test/token"}
    assert sandbox["pagination"] == crm["pagination"]
    assert "extends" not in sandbox


def test_keys_users_and_settings_are_carried_over(product: Product, imported: CommandResult) -> None:
    """Places of keys, fallbacks as defaults, patterns that are safe, constants, and tables of hosts."""
    assert imported.code == 0
    keyed, basic, client = (settings_of(product, name) for name in ("keyed", "basic", "client"))
    assert keyed["requests"]["params"] == {"key": "${api_key}"}
    assert keyed["requests"]["headers"] == {"X-Version": "${additional_config.version}"}
    assert keyed["connection_config"]["properties"]["region"]["default"] == "us"
    assert keyed["connection_config"]["properties"]["version"]["default"] == "2026-01-01"
    assert keyed["pagination"]["next"] == '"@odata.nextLink"'
    assert keyed["verification"] == {"method": "GET", "path": "v1/me"}
    assert basic["auth"] == {"auth_mode": "USERNAME_PASSWORD"}
    assert basic["credentials"] == {"username": {"title": "API key"}, "password": {"value": "x"}}
    assert basic["pagination"] == {"kind": "page", "param": "page", "start": 1}
    assert client["hosts"]["host"] == {
        "by": "additional_config.site",
        "client.test": "api.client.test",
        "eu.client.test": "api.eu.client.test",
    }  # fmt: skip
    assert client["requests"]["base_url"] == "https://${hosts.host}/"


def test_a_login_call_is_carried_over(product: Product, imported: CommandResult) -> None:
    """Its steps, the place of the token, and credentials of any name, of which secrets are declared."""
    assert imported.code == 0
    login = settings_of(product, "login")
    assert login["auth"]["token_params"] == {"user": "${username}", "pin": "${user_pin}", "stay": True}
    assert login["auth"]["additional_steps"][0]["token_url"].endswith("/session/${raw.data.id}")
    assert login["auth"]["token_response"]["token"] == "data.token"
    assert login["requests"]["headers"] == {
        "X-Session": "${token}", "X-Call": "${uuid}", "Authorization": "Bearer ${token}",
    }  # fmt: skip
    assert login["credentials"]["user_pin"]["secret"] is True
    assert login["connection_config"]["properties"]["domain"]["format"] == "host"
    assert settings_of(product, "self-made")["auth"]["jwt"]["algorithm"] == "ES256"
    assert settings_of(product, "tools")["auth"]["resource_url"] == "https://mcp.tools.test/mcp"


def test_named_entries_only_and_no_file_is_overwritten(product: Product, tmp_path: Path) -> None:
    """Other entries are not read; a second import keeps the files of the first."""
    product.write("providers.yaml", provider_file())
    assert product.run("blueprints", "import", "providers.yaml", "crm", "open", "--to", "own").code == 0
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["crm.v0.yaml", "open.v0.yaml"]
    (tmp_path / "own/open.v0.yaml").write_text("mine")
    again = product.run("blueprints", "import", "providers.yaml", "open", "--to", "own")
    assert "exists" in again.out
    assert (tmp_path / "own/open.v0.yaml").read_text() == "mine"
    assert again.code == 0
    assert product.run("blueprints", "import", "providers.yaml", "none-such").code == 2


def test_import_without_a_file_has_failed(product: Product) -> None:
    """The exit code is 1 if nothing was written or kept, or an entry that was named was not."""
    product.write("providers.yaml", provider_file())
    assert product.run("blueprints", "import", "providers.yaml", "plugin").code == 1
    assert product.run("blueprints", "import", "providers.yaml", "plugin", "open").code == 1
    assert (product.folder / "blueprints/open.v0.yaml").exists()
    product.write("none.yaml", "plugin: {auth_mode: INSTALL_PLUGIN}\nBAD: {auth_mode: NONE}\n")
    result = product.run("blueprints", "import", "none.yaml", "--to", "none")
    assert (result.code, result.out.count("not imported")) == (1, 2)
    assert product.run("blueprints", "import", "providers.yaml").code == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "E001"),
        ('{"a": ', "E001"),
        ("- a\n", "E201"),
        ("a: {b: 1}\n", "E201"),
        ("name: a\nversions: {v0: {auth: {auth_mode: NONE}}}\n", "copy it to your folder"),
        ("x: " + "[" * 5000, "E00"),
        ('{"a": ' + "[" * 200_000, "E00"),
        ("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "E201"),
        ("\x00", "E00"),
    ],
)
def test_other_files_are_refused_with_their_place(product: Product, text: str, code: str) -> None:
    """Broken, deep and foreign files are one error each, and nothing is written."""
    product.write("providers.yaml", text)
    result = product.run("blueprints", "import", "providers.yaml")
    assert result.code == 2
    assert code in result.err
    assert result.err.startswith("providers.yaml:")
    assert not (product.folder / "blueprints").exists()
