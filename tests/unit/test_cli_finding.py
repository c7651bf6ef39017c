"""Finding an API: search, categories, the facts of a blueprint, and the first integrations.yaml."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_product import Product

pytest_plugins = ["tests.support.cli_product"]


def found_by(product: Product, *arguments: str) -> list[str]:
    """The blueprints that a command lists, in its order."""
    result = product.run("blueprints", *arguments, "--json")
    assert result.code == 0, result.err
    return [row["blueprint"] for row in json.loads(result.out)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("send email", "google-mail:v1"),
        ("read calendar events", "google-calendar:v3"),
        ("salesforce crm", "salesforce:v0"),
        ("xero", "xero:v2"),
        ("klav", "klaviyo:v1"),
        ("invoices", "quickbooks:v3"),
    ],
)
def test_search_finds_what_people_ask_for(product: Product, words: str, expected: str) -> None:
    """Names, prefixes, categories and what scopes allow are searched."""
    assert expected in found_by(product, "search", words)


def test_search_without_a_match_says_where_all_are(product: Product) -> None:
    """The table is empty, and the note on standard error names the list."""
    result = product.run("blueprints", "search", "zebra")
    assert (result.code, result.out) == (0, "")
    assert "nango blueprints list" in result.err


def test_lists_of_a_category(product: Product) -> None:
    """Only blueprints of the category are listed; an unknown one is refused with the nearest name."""
    found = found_by(product, "list", "--category", "crm")
    assert "salesforce:v0" in found
    assert "stripe:v1" not in found
    refused = product.run("blueprints", "list", "--category", "crmm")
    assert refused.code == 2
    assert 'did you mean "crm"' in refused.err


def test_a_list_goes_on_after_a_file_that_is_wrong(product: Product) -> None:
    """Other files are listed, the problem has its place, and the exit code is that of `nango check`."""
    product.write("blueprints/bad.v1.yaml", "name: bad\nversion: v1\nauth: [\n")
    product.write("blueprints/first.v1.yaml", "name: first\nversion: v1\nextends: second:v1\n")
    product.write("blueprints/second.v1.yaml", "name: second\nversion: v1\nextends: first:v1\n")
    result = product.run("blueprints", "list")
    assert result.code == 2
    assert "klaviyo:v1" in result.out
    assert "blueprints/bad.v1.yaml:" in result.err
    assert "E106" in result.err
    assert product.run("blueprints", "search", "klaviyo").code == 0


def test_the_facts_of_a_blueprint_are_shown(product: Product) -> None:
    """Limits by endpoint, scopes, announced changes, sources with their days, and what is unconfirmed."""
    shown = product.run("blueprints", "show", "stripe:v1").out
    assert "\n  account: 100/second\n" in shown
    assert "POST payouts" in shown
    assert "https://docs.stripe.com/rate-limits" in shown
    assert "2026-11-30" in shown
    assert "\n  examples[9]" in shown
    shown = product.run("blueprints", "show", "xero:v2").out
    assert "2027-09-01: " in shown
    shown = product.run("blueprints", "show", "klaviyo:v1").out
    assert " more case" in shown
    assert "\n  read: " in product.run("blueprints", "show", "linear:v0").out


def test_init_writes_the_entries_of_named_apis(product: Product, tmp_path: Path) -> None:
    """Each entry has the settings that it needs, as names of environment variables, and passes the check."""
    (tmp_path / "integrations.yaml").unlink()
    result = product.run("init", "slack", "stripe:v1", "github-app", "linear")
    assert result.code == 0
    assert "SLACK_CLIENT_ID, SLACK_CLIENT_SECRET" in result.out
    entries = yaml.safe_load((tmp_path / "integrations.yaml").read_text())["integrations"]
    assert entries["slack"] == {
        "extends_blueprint": "slack:v0",
        "oauth_client_id": "${SLACK_CLIENT_ID}",
        "oauth_client_secret": "${SLACK_CLIENT_SECRET}",
    }
    assert entries["stripe"] == {"extends_blueprint": "stripe:v1"}
    assert set(entries) == {"slack", "stripe", "github-app", "linear"}
    checked = product.run("check", "--without-secrets")
    assert (checked.code, checked.err) == (0, "")


def test_init_with_an_existing_file_prints_the_entries(product: Product, tmp_path: Path) -> None:
    """The file is kept; an unknown name is an error, and nothing is written."""
    before = (tmp_path / "integrations.yaml").read_text()
    result = product.run("init", "jira")
    assert "extends_blueprint: jira:v3" in result.out
    assert (tmp_path / "integrations.yaml").read_text() == before
    refused = product.run("init", "jirra")
    assert refused.code == 2
    assert 'did you mean "jira"' in refused.err


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    """Names are taken as they are, words are searched with a choice, and unknown words are reported."""
    with Terminal(tmp_path, "init") as terminal:
        terminal.read_until("for an example): ")
        terminal.type("stripe, accounting, zebra\n")
        terminal.read_until("(0 for none) [1]: ")
        terminal.type("1\n")
        terminal.read_all()
        assert terminal.code == 0
        assert 'no blueprint matches "zebra"' in terminal.written
    entries = yaml.safe_load((tmp_path / "integrations.yaml").read_text())["integrations"]
    assert len(entries) == 2
    assert "stripe" in entries
