"""`nango connections export` and `import`: exit codes, JSON output, and no key in any output."""

from __future__ import annotations

import io
import json
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from nango_py.cli.root import nango
from tests.support.nango_exports import a_response

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

PLANTED = "pk_planted_0123456789"
ELSEWHERE = ("--database", "sqlite:///elsewhere/nango.db")


@pytest.fixture
def filled(product: Product) -> Product:
    """A product with three connections and an export key."""
    for integration, user in (("klaviyo", "user-1"), ("klaviyo", "user-2"), ("old", "user-1")):
        product.register(integration, user, json.dumps({"api_key": PLANTED}))
    assert product.run("keys", "generate", "export.key").code == 0
    return product


def test_a_backup_is_made_and_restored(filled: Product) -> None:
    """An export is encrypted, readable by its owner only, and can be imported into another database."""
    made = filled.run("connections", "export", "backup.nango", "--key-file", "export.key")
    assert (made.code, made.out, made.err) == (0, "exported 3 connections to backup.nango\n", "")
    path = filled.folder / "backup.nango"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PLANTED.encode() not in path.read_bytes()
    command = (*ELSEWHERE, "connections", "import", "backup.nango", "--key-file", "export.key")
    tried = filled.run(*command, "--dry-run")
    assert (tried.code, tried.out, tried.err) == (0, "would import 3 connections\n", "")
    assert filled.run(*ELSEWHERE, "connections", "list").err == "no connections\n"
    done = filled.run(*command)
    assert (done.code, done.out, done.err) == (0, "imported 3 connections\n", "")
    assert filled.run(*command).out == "imported 0 connections (3 unchanged)\n"
    shown = [filled.run(*more, "connections", "list", "--json").out for more in ((), ELSEWHERE)]
    assert shown[0] == shown[1]


def test_exports_can_be_filtered(filled: Product) -> None:
    """Connections can be exported by integration and user, and --json prints the counts."""
    key = ("--key-file", "export.key", "--json")
    made = filled.run("connections", "export", "a", "--integration", "klaviyo", *key)
    assert json.loads(made.out) == {"exported": 2, "file": "a"}
    made = filled.run("connections", "export", "b", "--user", "user-1", *key)
    assert json.loads(made.out)["exported"] == 2
    wrong = filled.run("connections", "export", "c", "--integration", "klavio", *key)
    assert wrong.code == 2
    assert 'did you mean "klaviyo"?' in wrong.err
    done = filled.run(*ELSEWHERE, "connections", "import", "a", *key)
    assert json.loads(done.out) == {
        "imported": 2, "replaced": 0, "skipped": 0, "unchanged": 0,
        "problems": [], "left_out": [], "dry_run": False,
    }  # fmt: skip


def test_users_who_have_another_connection(filled: Product) -> None:
    """Different connections of the same users are an error unless they are skipped or replaced."""
    filled.run("connections", "export", "backup.nango", "--key-file", "export.key")
    filled.register("klaviyo", "user-1", '{"api_key": "pk_other_planted"}', "--replace")
    command = ("connections", "import", "backup.nango", "--key-file", "export.key")
    refused = filled.run(*command)
    assert refused.code == 2
    assert "klaviyo/user-1" in refused.err
    assert "planted" not in refused.err
    tried = filled.run(*command, "--dry-run", "--json")
    assert tried.code == 2
    assert [each["user_id"] for each in json.loads(tried.out)["problems"]] == ["user-1"]
    tried = filled.run(*command, "--dry-run")
    assert (tried.code, tried.err) == (2, refused.err)
    assert filled.run(*command, "--skip").out == "imported 0 connections (1 skipped, 2 unchanged)\n"
    assert filled.run(*command, "--replace").out == "imported 0 connections (1 replaced, 2 unchanged)\n"


def test_the_key_comes_from_a_private_file_or_the_environment(
    filled: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing key, a wrong key, and a key file that others can read are errors."""
    missing = filled.run("connections", "export", "backup.nango")
    assert missing.code == 2
    assert "--key-file" in missing.err
    assert "nango keys generate" in missing.err
    key = (filled.folder / "export.key").read_text().strip()
    monkeypatch.setenv("NANGO_EXPORT_KEY", key)
    assert filled.run("connections", "export", "backup.nango").code == 0
    other = filled.run("keys", "generate", "other.key")
    assert other.out.startswith("wrote key ")
    wrong = filled.run("connections", "import", "backup.nango", "--key-file", "other.key")
    assert wrong.code == 2
    (filled.folder / "other.key").chmod(0o644)
    open_to_all = filled.run("connections", "import", "backup.nango", "--key-file", "other.key")
    assert open_to_all.code == 2
    assert "chmod 600 other.key" in open_to_all.err
    assert filled.run("connections", "import", "backup.nango", "--key-file", "nowhere").code == 2
    monkeypatch.setenv("NANGO_EXPORT_KEY", "planted")
    bad = filled.run("connections", "export", "backup.nango")
    assert bad.code == 2
    assert "planted" not in bad.err
    assert key not in missing.err + wrong.err + open_to_all.err + other.out


def test_damaged_exports_and_existing_files_are_errors(filled: Product) -> None:
    """A damaged export is not imported, and an export does not overwrite other files."""
    filled.run("connections", "export", "backup.nango", "--key-file", "export.key")
    path = filled.folder / "backup.nango"
    path.write_bytes(path.read_bytes()[:-1])
    damaged = filled.run(*ELSEWHERE, "connections", "import", "backup.nango", "--key-file", "export.key")
    assert (damaged.code, damaged.err.count("\n")) == (2, 1)
    assert filled.run(*ELSEWHERE, "connections", "list").err == "no connections\n"
    over = filled.run("connections", "export", "integrations.yaml", "--key-file", "export.key")
    assert over.code == 2
    assert filled.run("check").code == 0


def test_an_export_goes_through_a_pipe(filled: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """- writes the export to standard output and reads it from standard input."""
    arguments = ["connections", "export", "-", "--key-file", "export.key"]
    made = CliRunner().invoke(nango, arguments)
    assert made.exit_code == 0
    assert made.stderr == "exported 3 connections\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.stdout_bytes)))
    done = filled.run(*ELSEWHERE, "connections", "import", "-", "--key-file", "export.key")
    assert done.out == "imported 3 connections\n"


def test_key_files_are_not_overwritten(filled: Product) -> None:
    """`keys generate` fails if the file exists; - prints only the key."""
    again = filled.run("keys", "generate", "export.key")
    assert again.code == 2
    assert "export.key" in again.err
    printed = filled.run("keys", "generate", "-")
    assert len(printed.out.strip()) == 44
    assert printed.err == ""


def test_responses_of_a_nango_server_are_imported(product: Product) -> None:
    """Names can be mapped, fields without a place are reported, and a warning says to delete the files."""
    product.write("responses/1.json", json.dumps(a_response("API_KEY", "prod", tags={"a": "b"})))
    product.write("responses/2.json", json.dumps(a_response("BASIC", "close", "user-2")))
    command = ("connections", "import", "--from-nango", "responses")
    refused = product.run(*command, "--dry-run")
    assert refused.code == 2
    assert "prod" in refused.err
    done = product.run(*command, "--map", "prod=klaviyo")
    assert (done.code, done.out) == (0, "imported 2 connections\n")
    assert "klaviyo tags (1 connection, such as user-1)" in done.err
    assert "responses holds unencrypted credentials" in done.err
    assert "planted" not in done.err
    again = product.run(*command, "--map", "prod=klaviyo", "--json", "--dry-run")
    report = json.loads(again.out)
    assert report["unchanged"] == 2
    assert [left.pop("why") for left in report["left_out"]]
    assert {"integration": "klaviyo", "field": "tags", "connections": 1, "example": "user-1"} in report[
        "left_out"
    ]
    invalid = product.run(*command, "--map", "prod")
    assert invalid.code == 2
    assert "--map" in invalid.err


def test_users_and_fields_are_mapped(product: Product) -> None:
    """--user-from chooses the user id, and --field maps a key of connection_config."""
    product.write("integrations.yaml", "integrations:\n  zendesk:\n    extends_blueprint: zendesk:v2\n")
    response = a_response("BASIC", "zendesk", connection_config={"site": "acme"}, end_user={"id": "ada"})
    product.write("response.json", json.dumps(response))
    command = ("connections", "import", "--from-nango", "response.json", "--user-from", "end_user")
    assert "additional_config.subdomain" in product.run(*command).err
    assert product.run(*command, "--field", "zendesk.site=subdomain").code == 0
    shown = json.loads(product.run("connections", "show", "zendesk", "ada", "--json").out)
    assert shown["additional_config"] == {"subdomain": "acme"}
