"""nango connections export and import, and the keys for them: exit codes, JSON, and no key on a screen."""

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
    """A product with three connections and a key for exports."""
    for integration, user in (("klaviyo", "user-1"), ("klaviyo", "user-2"), ("old", "user-1")):
        product.register(integration, user, json.dumps({"api_key": PLANTED}))
    assert product.run("keys", "generate", "export.key").code == 0
    return product


def test_a_backup_is_made_and_restored(filled: Product) -> None:
    """Both commands say how many; the file shows nothing, and neither does the screen."""
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


def test_a_part_is_exported_and_told_in_json(filled: Product) -> None:
    """By integration and by user; scripts read how many."""
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
    """They stop the import with exit code 2, unless they are skipped or replaced."""
    filled.run("connections", "export", "backup.nango", "--key-file", "export.key")
    filled.register("klaviyo", "user-1", '{"api_key": "pk_other_planted"}', "--replace")
    command = ("connections", "import", "backup.nango", "--key-file", "export.key")
    refused = filled.run(*command)
    assert refused.code == 2
    assert "klaviyo/user-1 already has a connection" in refused.err
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
    """Without one there is a hint; a file that others can read, and a wrong key, are refused."""
    missing = filled.run("connections", "export", "backup.nango")
    assert missing.code == 2
    assert "--key-file FILE or NANGO_EXPORT_KEY; `nango keys generate FILE`" in missing.err
    key = (filled.folder / "export.key").read_text().strip()
    monkeypatch.setenv("NANGO_EXPORT_KEY", key)
    assert filled.run("connections", "export", "backup.nango").code == 0
    other = filled.run("keys", "generate", "other.key")
    assert other.out.startswith("wrote key ")
    wrong = filled.run("connections", "import", "backup.nango", "--key-file", "other.key")
    assert wrong.code == 2
    assert "is sealed with the key" in wrong.err
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


def test_a_damaged_file_and_a_wrong_name_are_one_line(filled: Product) -> None:
    """Exit code 2, and nothing is written, neither to the store nor over another file."""
    filled.run("connections", "export", "backup.nango", "--key-file", "export.key")
    path = filled.folder / "backup.nango"
    path.write_bytes(path.read_bytes()[:-1])
    damaged = filled.run(*ELSEWHERE, "connections", "import", "backup.nango", "--key-file", "export.key")
    assert (damaged.code, damaged.err.count("\n")) == (2, 1)
    assert "was cut off here" in damaged.err
    assert filled.run(*ELSEWHERE, "connections", "list").err == "no connections\n"
    over = filled.run("connections", "export", "integrations.yaml", "--key-file", "export.key")
    assert over.code == 2
    assert filled.run("check").code == 0


def test_an_export_goes_through_a_pipe(filled: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output has nothing but the export, and standard input is read like a file."""
    arguments = ["connections", "export", "-", "--key-file", "export.key"]
    made = CliRunner().invoke(nango, arguments)
    assert made.exit_code == 0
    assert made.stderr == "exported 3 connections\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made.stdout_bytes)))
    done = filled.run(*ELSEWHERE, "connections", "import", "-", "--key-file", "export.key")
    assert done.out == "imported 3 connections\n"


def test_a_key_is_made_once(filled: Product) -> None:
    """A file is not replaced; standard output gets the key alone, for a secret store."""
    again = filled.run("keys", "generate", "export.key")
    assert again.code == 2
    assert "already exists" in again.err
    printed = filled.run("keys", "generate", "-")
    assert len(printed.out.strip()) == 44
    assert printed.err == ""


def test_todays_nango_is_read(product: Product) -> None:
    """Names are mapped, what has no place is reported with a reason, and a plain file is a reason to warn."""
    product.write("responses/1.json", json.dumps(a_response("API_KEY", "prod", tags={"a": "b"})))
    product.write("responses/2.json", json.dumps(a_response("BASIC", "close", "user-2")))
    command = ("connections", "import", "--from-nango", "responses")
    refused = product.run(*command, "--dry-run")
    assert refused.code == 2
    assert 'no integration "prod"' in refused.err
    done = product.run(*command, "--map", "prod=klaviyo")
    assert (done.code, done.out) == (0, "imported 2 connections\n")
    assert "left out: klaviyo tags (1 connection, such as user-1): it has no place here\n" in done.err
    assert "responses holds credentials in plain text: delete it when all is well\n" in done.err
    assert "planted" not in done.err
    again = product.run(*command, "--map", "prod=klaviyo", "--json", "--dry-run")
    found = json.loads(again.out)
    assert found["unchanged"] == 2
    assert {"integration": "klaviyo", "field": "tags", "why": "it has no place here",
            "connections": 1, "example": "user-1"} in found["left_out"]  # fmt: skip
    typed = product.run(*command, "--map", "prod")
    assert typed.code == 2
    assert "--map takes THEIRS=OURS" in typed.err


def test_the_end_user_and_other_fields_are_chosen(product: Product) -> None:
    """--user-from and --field do what they do in Python."""
    product.write("integrations.yaml", "integrations:\n  zendesk:\n    extends_blueprint: zendesk:v2\n")
    response = a_response("BASIC", "zendesk", connection_config={"site": "acme"}, end_user={"id": "ada"})
    product.write("response.json", json.dumps(response))
    command = ("connections", "import", "--from-nango", "response.json", "--user-from", "end_user")
    assert "zendesk/ada: additional_config.subdomain is missing" in product.run(*command).err
    assert product.run(*command, "--field", "zendesk.site=subdomain").code == 0
    shown = json.loads(product.run("connections", "show", "zendesk", "ada", "--json").out)
    assert shown["additional_config"] == {"subdomain": "acme"}
