"""The commands on files: init, check, blueprints, integrations and schema."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from nango_py.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

ACME = """\
name: acme
version: v1
auth: {auth_mode: API_KEY}
requests:
  base_url: https://api.acme.test/
  headers: {Authorization: "Bearer ${api_key}"}
"""


def test_init_writes_valid_files(product: Product, tmp_path: Path) -> None:
    """`nango check` accepts the files of `nango init`, and git ignores the key folder."""
    (tmp_path / "integrations.yaml").unlink()
    assert product.run("init").code == 0
    assert (tmp_path / "blueprints").is_dir()
    assert (tmp_path / ".gitignore").read_text() == ".nango/\n*.key\n"
    found = product.run("check")
    assert (found.code, found.out, found.err) == (0, "1 integration, 1 blueprint: no problems\n", "")


def test_init_overwrites_nothing(product: Product, tmp_path: Path) -> None:
    """A second `nango init` does not change existing files."""
    product.write(".gitignore", "*.log")
    before = (tmp_path / "integrations.yaml").read_text()
    product.run("init")
    product.run("init")
    assert (tmp_path / "integrations.yaml").read_text() == before
    assert (tmp_path / ".gitignore").read_text() == "*.log\n.nango/\n*.key\n"


def test_check_names_every_problem_of_every_file(product: Product) -> None:
    """Problems of integrations.yaml and of unused blueprints are reported together, with their positions."""
    product.write("integrations.yaml", "integrations:\n  klaviyo:\n    extends_blueprint: klavio:v1\n")
    product.write("blueprints/acme.v1.yaml", ACME.replace("${api_key}", "${apikey}"))
    found = product.run("check")
    assert found.code == 2
    assert found.out == ""
    lines = found.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["blueprints/acme.v1.yaml", "integrations.yaml"]
    assert "E306" in lines[0]
    assert "api_key" in lines[0]
    assert lines[1].startswith("integrations.yaml:3:24: error[E101]: ")


def test_check_prints_counts_and_warnings(product: Product) -> None:
    """A retired API is a warning on standard error, not a problem."""
    product.write("blueprints/acme.v1.yaml", ACME)
    found = product.run("check")
    assert (found.code, found.out) == (0, "3 integrations, 4 blueprints: 1 warning\n")
    assert found.err.count("warning[W503]") == 1


def test_check_of_one_blueprint_file_reads_no_integrations(product: Product, tmp_path: Path) -> None:
    """A blueprint file can be checked without integrations.yaml."""
    (tmp_path / "integrations.yaml").unlink()
    product.write("drafts/acme.v1.yaml", ACME)
    assert product.run("check", "drafts/acme.v1.yaml").out == "1 blueprint: no problems\n"
    product.write("drafts/acme.v1.yaml", ACME.replace("auth_mode: API_KEY", "auth_mode: APIKEY"))
    found = product.run("check", "drafts/acme.v1.yaml")
    assert found.code == 2
    assert "drafts/acme.v1.yaml:3:19: error[E204]" in found.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("acme.v1.json", "E109"),
        ("Acme.yaml", "E109"),
        ("other.v1.yaml", "E109"),
        ("absent.v1.yaml", "not exist"),
    ],
)
def test_check_reports_invalid_file_names(product: Product, name: str, said: str) -> None:
    """A blueprint file whose name does not match its content is an error."""
    if said != "not exist":
        product.write(f"drafts/{name}", ACME)
    found = product.run("check", f"drafts/{name}")
    assert found.code == 2
    assert said in found.err


def test_blueprints_are_listed_and_shown(product: Product) -> None:
    """A local blueprint hides the built-in one with the same name and version."""
    product.write("blueprints/acme.v1.yaml", ACME)
    product.write("blueprints/close.v0.yaml", ACME.replace("acme", "close").replace("v1", "v0"))
    listed = json.loads(product.run("blueprints", "list", "--json").out)
    layers = {row["blueprint"]: row["layer"] for row in listed}
    assert layers["acme:v1"] == layers["close:v0"] == "local"
    assert layers["klaviyo:v1"] == "shipped"
    assert "acme:v1" in product.run("blueprints", "list").out
    shown = product.run("blueprints", "show", "close").out
    assert "blueprints/close.v0.yaml (local)" in shown
    assert "hides" in shown
    assert product.run("blueprints", "path", "close:v0").out.strip().endswith("blueprints/close.v0.yaml")
    assert "E101" in product.run("blueprints", "show", "klavio").err
    fields = product.run("blueprints", "show", "greenhouse-harvest:v0").out
    assert "credential username   Harvest API key: In Greenhouse under" in fields
    assert "credential password" not in fields  # it is always empty


def test_integrations_show_prints_the_origin_of_each_setting(product: Product) -> None:
    """Each setting has the file and line of the blueprint or of the entry that sets it."""
    product.write(
        "integrations.yaml",
        "integrations:\n  klaviyo:\n    extends_blueprint: klaviyo:v1\n"
        "    requests:\n      base_url: https://proxy.example.test/api/\n",
    )
    lines = product.run("integrations", "show", "klaviyo").out.splitlines()
    shown = {line.split()[0]: line for line in lines}
    assert shown["requests.base_url"].split()[1:] == [
        "https://proxy.example.test/api/",
        "(integrations.yaml:5)",
    ]
    assert "klaviyo.v1.yaml:" in shown["requests.headers.Authorization"]
    assert "Klaviyo-API-Key ${api_key}" in shown["requests.headers.Authorization"]


def test_integrations_show_masks_secrets(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """Literal secrets and values of the environment are masked in text and JSON."""
    monkeypatch.setenv("PLANTED", "planted-environment")
    product.write(
        "integrations.yaml",
        "integrations:\n  mine:\n    app_api_key: planted-literal\n    oauth_client_secret: planted-other\n"
        "    auth: {auth_mode: API_KEY}\n"
        "    requests:\n      base_url: https://api.acme.test/\n"
        "      headers: {X-Token: planted-token, X-Env: '${PLANTED}', X-Mixed: 'a ${PLANTED} ${api_key}'}\n",
    )
    for arguments in (["show", "mine"], ["show", "mine", "--json"], ["list"], ["list", "--json"]):
        found = product.run("integrations", *arguments)
        assert found.code == 0
        assert "planted" not in found.out + found.err
    assert "***" in product.run("integrations", "show", "mine").out


@pytest.mark.parametrize("kind", ["blueprint", "integrations"])
def test_schema_prints_a_json_schema(product: Product, kind: str) -> None:
    """`nango schema` prints a JSON Schema of draft 2020-12."""
    assert json.loads(product.run("schema", kind).out)["$schema"].endswith("2020-12/schema")


def test_a_missing_integrations_file_is_an_error(product: Product, tmp_path: Path) -> None:
    """The one-line message names the missing file and `nango init`."""
    (tmp_path / "integrations.yaml").unlink()
    found = product.run("integrations", "list")
    assert found.code == 2
    assert found.err.startswith("integrations.yaml: error[E010]")
    assert "`nango init`" in found.err
    assert found.err.count("\n") == 1


def test_a_file_with_the_other_ending_is_not_ignored_in_silence(product: Product, tmp_path: Path) -> None:
    """Both endings of YAML are usual: one file alone names the way, and two are a warning."""
    (tmp_path / "integrations.yaml").rename(tmp_path / "integrations.yml")
    missing = product.run("check")
    assert missing.code == 2
    assert "rename integrations.yml to integrations.yaml" in missing.err
    assert product.run("--integrations", "integrations.yml", "check").code == 0
    product.write("integrations.yaml", "integrations: {close: {extends_blueprint: 'close:v0'}}\n")
    both = product.run("check")
    assert both.code == 0
    assert "integrations.yml: warning[W102]: this file is not read" in both.err
    other = product.run("--integrations", "integrations.yml", "check")
    assert "integrations.yaml: warning[W102]" in other.err


NEEDS_SECRETS = """
integrations:
  chat:
    extends_blueprint: slack:v0
    oauth_client_id: ${SLACK_CLIENT_ID}
    oauth_client_secret: ${SLACK_CLIENT_SECRET}
    requests: {headers: {X-Region: '${REGION | default("eu")}'}}
config:
  database_url: ${DATABASE_URL}
  rate_limit_store: ${REDIS_URL}
  oauth_server_root_url: ${ROOT_URL}
"""


def test_files_are_checked_without_secrets(product: Product) -> None:
    """Unset variables are made up with --without-secrets only, and mistakes are found all the same."""
    product.write("integrations.yaml", NEEDS_SECRETS)
    assert product.run("check").code == 2
    assert product.run("check", "--without-secrets").code == 0
    product.write("integrations.yaml", NEEDS_SECRETS.replace("slack:v0", "slak:v0"))
    wrong = product.run("check", "--without-secrets")
    assert (wrong.code, "slack" in wrong.err) == (2, True)
    product.write("integrations.yaml", NEEDS_SECRETS.replace("${SLACK_CLIENT_ID}", "${slack_client_id}"))
    assert "E306" in product.run("check", "--without-secrets").err


@pytest.mark.parametrize(
    ("encoding", "shown"), [("cp1252", b"dir\\u2713\\udcff"), ("utf-8", "dir✓".encode() + b"\xff")]
)
def test_every_text_can_be_printed(
    product: Product, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: bytes
) -> None:
    """In a pipe on Windows or an old terminal, and names of files that are not text."""
    folder = product.folder / "dir✓\udcff"
    folder.mkdir()
    (folder / "acme.v1.yaml").write_text(ACME)
    printed = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(printed, encoding))
    assert main(("--blueprints", str(folder), "blueprints", "path", "acme:v1")) == 0
    assert shown in printed.getvalue()
