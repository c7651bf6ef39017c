"""`nango actions`: list, show, run, docs and stubs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nango_py import Sandbox
from tests.support.action_product import SHOP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

ACTIONS = {
    "find": {
        "title": "Find it",
        "description": "Finds an item.",
        "reads": True,
        "input": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}},
            "additionalProperties": False,
        },
        "request": {"method": "GET", "path": "items/${input.id}"},
        "output": {"type": "object"},
    },
    "add": {"changes": ["items", "lists"], "request": {"method": "POST", "path": "items"}},
}


@pytest.fixture
def shop(product: Product) -> Iterator[Sandbox]:
    """A project whose integration `shop` has two actions, and its sandbox."""
    settings = {**SHOP, "actions": ACTIONS}
    with Sandbox(settings, strict=False) as sandbox:
        requests = {**SHOP["requests"], "base_url": sandbox.base_url}
        entry = json.dumps({**settings, "requests": requests})
        product.write("integrations.yaml", f"integrations:\n  shop: {entry}\n")
        product.register("shop", "u", '{"api_key": "key_1"}')
        yield sandbox


@pytest.mark.usefixtures("shop")
def test_list_prints_what_actions_change(product: Product) -> None:
    """The table has a line for each action; --json has the schemas."""
    found = product.run("actions", "list")
    lines = [line.split() for line in found.out.splitlines()]
    assert lines[1:] == [["shop", "add", "items,", "lists", "add"], ["shop", "find", "nothing", "Find", "it"]]
    rows = json.loads(product.run("actions", "list", "shop", "--json").out)
    assert [(row["action"], row["reads"]) for row in rows] == [("add", False), ("find", True)]
    assert rows[1]["input"]["required"] == ["id"]


def test_list_all_prints_those_of_blueprints(product: Product) -> None:
    """The catalogue needs no integrations.yaml."""
    found = product.run("actions", "list", "--all", "--json")
    assert {"klaviyo:v1", "slack:v0"} <= {row["integration"] for row in json.loads(found.out)}
    assert product.run("actions", "list", "shop", "--all").code == 2


@pytest.mark.usefixtures("shop")
def test_show_prints_the_schemas(product: Product) -> None:
    """Description, input and result of one action; an unknown one suggests the nearest."""
    found = product.run("actions", "show", "shop", "find").out
    for words in ("Find it", "Finds an item.", '"required"', "result:", "integrations.yaml"):
        assert words in found
    assert json.loads(product.run("actions", "show", "shop", "find", "--json").out)["title"] == "Find it"
    missing = product.run("actions", "show", "shop", "fnd")
    assert missing.code != 0
    assert "find" in missing.err


def test_run_prints_the_result(product: Product, shop: Sandbox) -> None:
    """The result is JSON on standard output; a failure is one line and exit code 1."""
    shop.respond("GET", "items/7", json={"id": 7})
    shop.respond("GET", "items/8", json={"error": {"code": "gone"}}, status=410)
    done = product.run("actions", "run", "shop", "u", "find", "--input", '{"id": "7"}')
    assert (done.code, json.loads(done.out)) == (0, {"id": 7})
    failed = product.run("actions", "run", "shop", "u", "find", "--input", '{"id": "8"}')
    assert (failed.code, failed.out) == (1, "")
    assert "gone" in failed.err
    wrong = product.run("actions", "run", "shop", "u", "find")
    assert wrong.code != 0
    assert 'missing top-level key "id"' in wrong.err or '"id"' in wrong.err


def test_a_result_moves_no_cursor(product: Product, shop: Sandbox) -> None:
    """What an API sends is escaped where a terminal would obey it, or UTF-8 has no form; it stays JSON."""
    hostile = {"id": "\x1b[2J \x9b31m \u202e \ud800 \x7f ü"}
    shop.respond("GET", "items/7", json=hostile)
    done = product.run("actions", "run", "shop", "u", "find", "--input", '{"id": "7"}')
    assert (done.code, json.loads(done.out)) == (0, hostile)
    assert not {"\x1b", "\x9b", "\u202e", "\ud800", "\x7f"} & set(done.out)
    assert "ü" in done.out


@pytest.mark.usefixtures("shop")
def test_docs_and_stubs_are_written(product: Product) -> None:
    """Both contain every action."""
    page = product.run("actions", "docs").out
    assert "### shop add" in page
    assert "### shop find" in page
    stubs = product.run("actions", "stubs", "acts").out
    assert "class ShopFindInput(TypedDict):" in stubs
    assert "from acts import TypedNango" in stubs


def test_check_compiles_all_actions(product: Product) -> None:
    """An action that an entry breaks, and a module that is missing, are problems like others."""
    klaviyo = "integrations:\n  klaviyo:\n    extends_blueprint: klaviyo:v1\n"
    product.write("integrations.yaml", klaviyo)
    assert product.run("check").code == 0
    product.write("integrations.yaml", f"{klaviyo}config: {{actions: [no_such_module_of_shop]}}\n")
    found = product.run("check")
    assert found.code == 2
    assert "E705" in found.err


def test_no_command_prints_a_credential_that_the_api_repeats(product: Product, shop: Sandbox) -> None:
    """In bodies, headers, records and results; the rest of what the API sends is as it was."""
    key = "key_planted+0123"
    product.register("shop", "ada", json.dumps({"api_key": key}))
    shop.respond("GET", "items/7", json={"id": key, "n": 1}, headers={"X-Echo": key})
    shop.respond("GET", "list", json={"items": [{"id": key}, {"id": "b"}]})
    body = product.run("call", "shop", "ada", "GET", "items/7", "--include").out
    result = product.run("actions", "run", "shop", "ada", "find", "--input", '{"id": "7"}').out
    records = product.run("call", "shop", "ada", "GET", "list", "--paginate").out
    assert json.loads(body.splitlines()[-1]) == json.loads(result) == {"id": "***", "n": 1}
    assert "x-echo: ***" in body.lower()
    assert [json.loads(line)["id"] for line in records.splitlines()] == ["***", "b"]
    assert all(key not in text for text in (body, result, records))
    path = product.folder / "list.csv"
    product.run("call", "shop", "ada", "GET", "list", "--paginate", "-o", str(path))
    assert path.read_text().splitlines() == ["id", "***", "b"]
