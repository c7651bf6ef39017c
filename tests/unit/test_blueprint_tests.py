"""`nango blueprints test` finds what is not as a blueprint says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nango_py.blueprint_tests.runner import find_differences
from nango_py.config.catalogue import Catalogue
from nango_py.errors import Position

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.blueprint_tests.difference import Difference
    from tests.support.cli_product import Product
pytest_plugins = ["tests.support.cli_product"]

ACME = """\
# yaml-language-server: $schema=blueprint.schema.json
name: acme
version: v1
title: Acme
docs_url: https://docs.acme.test/
comment: The REST API with a key.
categories: [shop]
auth: {auth_mode: API_KEY}
requests:
  base_url: https://api.acme.test/v1/
  headers: {X-Acme-Key: "${api_key}"}
rate_limits:
  budgets:
    - key: all
      cases: [{match: {method: POST}, windows: [20/second], cost: 5}]
      otherwise: [10/second]
  headers: {retry_after: Acme-Wait}
retries:
  rules:
    - {when: {status: 200, json: {path: ok, equals: false}}, do: fail}
pagination: {kind: next_url, next: next, records: items}
errors: {message: error.message, code: error.code}
verification: {method: GET, path: me}
credentials:
  api_key: {title: API key, help: "In Acme under Settings.", example: key_1, pattern: "^key_"}
examples:
  - call: {method: GET, path: me}
    credentials: {api_key: key_test_1}
    sends:
      url: https://api.acme.test/v1/me
      headers: {X-Acme-Key: key_test_1}
    response: {status: 200, json: {id: 1}}
  - call: {method: POST, path: orders, json: {id: 7}}
    sends: {method: POST, json: {id: 7}, headers: {X-Acme-Key: key_example_1234}}
    response: {status: 429, headers: {Acme-Wait: "30"}, json: {error: {code: slow, message: Wait}}}
    expects: {error: slow, retries: true, wait_seconds: 30, counts: [5 of 20/second]}
  - call: {method: GET, path: orders}
    response: {status: 200, json: {items: [{id: 1}], next: /v1/orders?after=1}}
    expects: {next_page: "https://api.acme.test/v1/orders?after=1"}
  - call: {method: GET, path: orders/none}
    response: {status: 404, json: {error: {code: missing, message: No such order}}}
  - call: {method: PUT, path: orders/1, json: {id: 1}}
    response: {error: reset}
    expects: {retries: true}
sources: [{covers: auth, url: https://docs.acme.test/auth, read_on: 2026-11-30}]
gotchas: [None.]
"""


def differences(folder: Path, text: str, *, is_strict: bool = False) -> list[Difference]:
    """What the tests of the blueprint acme:v1 find."""
    (folder / "acme.v1.yaml").write_text(text)
    catalogue = Catalogue([("local", folder)])
    blueprint = catalogue.find("acme:v1", Position("test"))
    return find_differences(blueprint, catalogue, is_strict=is_strict)


def test_a_right_blueprint_has_no_differences(tmp_path: Path) -> None:
    """Neither the tests nor the rules for published blueprints find anything."""
    assert differences(tmp_path, ACME, is_strict=True) == []


WRONG = {
    "URL": ("url: https://api.acme.test/v1/me", "url: https://api.acme.test/me", "27 example 1", "/v1/me"),
    "header": (
        "headers: {X-Acme-Key: key_test_1}",
        "headers: {X-Acme-Key: k}",
        "27 example 1",
        "key_test_1",
    ),
    "header without a declaration": (
        "      headers: {X-Acme-Key: key_test_1}\n",
        "",
        "27 example 1",
        "x-acme-key",
    ),
    "method": ("sends: {method: POST", "sends: {method: PUT", "33 example 2", "POST"),
    "body": ("json: {id: 7}, headers", "json: {id: 8}, headers", "33 example 2", '{"id": 7}'),
    "credentials": ("{api_key: key_test_1}", "{key: key_test_1}", "27 example 1", "api_key"),
    "error code": ("{error: slow,", "{error: fast,", "33 example 2", "slow"),
    "retries": ("retries: true, wait", "retries: false, wait", "33 example 2", "retries: false"),
    "wait": ("wait_seconds: 30", "wait_seconds: 60", "33 example 2", "wait 30 s"),
    "header of the wait": ("retry_after: Acme-Wait", "retry_after: Acme-Pause", "33 example 2", "30 s"),
    "counts": ("[5 of 20/second]", "[10/second]", "33 example 2", "5 of 20/second"),
    "next page": ('orders?after=1"}', 'orders?after=2"}', "37 example 3", "orders?after=1"),
    "no next page": ("next: next,", "next: following,", "37 example 3", "none"),
    "last page": ('page: "https://api.acme.test/v1/orders?after=1"', "page: none", "37 example 3", "none"),
    "errors": ("message: error.message, code: error.code", "code: code", "40 example 4", "neither"),
    "message": ("message: error.message, code", "message: error.text, code", "40 example 4", "error.text"),
    "lost response": ("expects: {retries: true}", "expects: {retries: false}", "42 example 5", "is retried"),
    "repeated POST": ("PUT, path: orders/1", "POST, path: orders/1", "42 example 5", "not retried"),
    "success": ("json: {id: 1}}\n  - call: {method: POST", "json: {ok: false}}\n  - call: {method: POST",
                "27 example 1", "rule 1"),
    "verification": ("path: me}\ncredentials", "path: orders/none}\ncredentials", "23 verification", "404"),
    "verification that refuses nothing": (
        "path: me}\ncredentials",
        "path: me, refuses: [], accepts: [2xx, 401]}\ncredentials",
        "23 verification",
        "accepted",
    ),
    "pagination": ("next: next,", "next: following.url,", "37 example 3", "none"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_blueprint_has_a_difference(tmp_path: Path, name: str) -> None:
    """Each difference names its place, the test that found it, and what was found."""
    old, new, place, found = WRONG[name]
    assert old in ACME
    reported = [
        f"{each.position.line} {each.test}: {each.what}"
        for each in differences(tmp_path, ACME.replace(old, new, 1))
    ]
    assert [text for text in reported if text.startswith(f"{place}: ") and found in text], reported


STRICT = {
    "title": ("title: Acme\n", ""),
    "comment": ("comment: The REST API with a key.\n", ""),
    "verification": ("verification: {method: GET, path: me}\n", ""),
    "errors": ("errors: {message: error.message, code: error.code}\n", ""),
    "sources": ("sources: [{covers: auth, url: https://docs.acme.test/auth, read_on: 2026-11-30}]\n", ""),
    "gotchas": ("gotchas: [None.]\n", ""),
    "https": ("docs_url: https:", "docs_url: http:"),
    "first line": ("# yaml-language-server: $schema=blueprint.schema.json\n", ""),
    "120": ("comment: The REST API", f"comment: {'The REST API ' * 10}"),
    "contain the word test": ("{api_key: key_test_1}", "{api_key: key_real_1}"),
    "slash": ("https://api.acme.test/v1/\n", "https://api.acme.test/v1\n"),
    "help text": (', help: "In Acme under Settings."', ""),
    "an example": (', example: key_1, pattern: "^key_"', ', pattern: "^key_"'),
    "connect page refuses api_key": ("{api_key: key_test_1}", "{api_key: test_1}"),
}


@pytest.mark.parametrize("name", STRICT)
def test_a_blueprint_that_is_not_ready_to_be_published(tmp_path: Path, name: str) -> None:
    """The strict rules name what is missing; without them it is not a difference."""
    old, new = STRICT[name]
    assert old in ACME
    strict = differences(tmp_path, ACME.replace(old, new, 1), is_strict=True)
    assert [each.what for each in strict if each.test == "strict" and name in each.what]
    assert "strict" not in [each.test for each in differences(tmp_path, ACME.replace(old, new, 1))]


def test_the_strict_rules_name_the_file_that_extends(tmp_path: Path) -> None:
    """A long line, and a key that it lacks, are reported there, and not in the file that it extends."""
    base = ACME.replace("acme", "base", 1)
    (tmp_path / "base.v1.yaml").write_text(base)
    text = f"name: acme\nversion: v1\nextends: base:v1\n# {'long ' * 30}\n"
    strict = [each for each in differences(tmp_path, text, is_strict=True) if each.test == "strict"]
    assert [each.position.line for each in strict if "prose" in each.what] == [4]
    assert [each.position.line for each in strict if '"sources"' in each.what] == [1]
    assert {each.position.file.rpartition("/")[2] for each in strict} == {"acme.v1.yaml"}


LISTS = """\
name: acme
version: v1
auth: {auth_mode: API_KEY}
requests:
  base_url: https://api.acme.test/v1/
  bases: {files: 'https://${additional_config.region | default("eu")}.files.acme.test/up/'}
  headers: {X-Acme-Key: "${api_key}"}
connection_config: {properties: {region: {type: string}}}
pagination: {kind: cursor, cursor: next, param: cursor, records: items}
endpoints:
  - match: {method: POST, path: search}
    pagination: {next: {from: meta.cursor, to: {body: page.after}}, records: results}
  - {match: {path: uploads}, base: files}
examples:
  - call: {path: orders}
    response: {status: 200, json: {items: [{name: a}], next: "2"}}
    expects: {next_page: {cursor: "2"}}
  - call: {method: POST, path: search, json: {q: a}}
    response: {status: 200, json: {results: [{id: 1}], meta: {cursor: c2}}}
    expects: {next_page: {page.after: c2, q: a}}
  - call: {path: uploads}
    additional_config: {region: eu}
    sends: {url: https://eu.files.acme.test/up/uploads}
    response: {status: 200, json: {id: 1}}
"""


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "", ""),
        ("{page.after: c2,", "{page.after: c3,", "page.after c2; expected c3"),
        ("from: meta.cursor", "from: meta.next", "none"),
        ('{cursor: "2"}}', '{cursor: "3"}}', "cursor 2; expected 3"),
        ("base: files", "base: files, safe: true", ""),
        ("https://eu.files.acme.test/up/uploads", "https://eu.files.acme.test/uploads", "/up/uploads"),
    ],
)
def test_lists_and_bases_that_differ_are_tested(tmp_path: Path, old: str, new: str, found: str) -> None:
    """Lists whose cursor is in the body, records without ids, and other base URLs."""
    assert old in LISTS
    reported = [each.what for each in differences(tmp_path, LISTS.replace(old, new, 1))]
    assert bool(reported) is bool(found), reported
    assert not found or found in " ".join(reported)


def test_only_the_sandbox_is_reached(tmp_path: Path) -> None:
    """A redirect to another host of the API goes to the sandbox too, where nothing has that path."""
    text = ACME.replace(
        "response: {status: 200, json: {id: 1}}",
        'response: {status: 302, headers: {Location: "https://files.acme.test/me"}}',
        1,
    ).replace("  headers: {X-Acme", "  allowed_hosts: [files.acme.test]\n  headers: {X-Acme", 1)
    reported = [each.what for each in differences(tmp_path, text)]
    assert [what for what in reported if "404" in what]


def test_the_command_tests_names_and_files(product: Product) -> None:
    """Exit code 0 without differences, 1 with some; differences are lines that editors link, or JSON."""
    product.write("blueprints/acme.v1.yaml", ACME)
    found = product.run("blueprints", "test", "acme:v1")
    assert (found.code, found.out) == (0, "1 blueprint: no differences\n")
    product.write("drafts/acme.v1.yaml", ACME.replace("wait_seconds: 30", "wait_seconds: 60"))
    found = product.run("blueprints", "test", "acme:v1", "drafts/acme.v1.yaml")
    assert found.code == 1
    assert found.out.startswith("drafts/acme.v1.yaml:33:5: example 2: ")
    found = product.run("blueprints", "test", "drafts/acme.v1.yaml", "--json")
    assert found.code == 1
    (report,) = json.loads(found.out)
    (difference,) = report["differences"]
    assert (report["blueprint"], difference["line"], difference["test"]) == ("acme:v1", 33, "example 2")
    product.write("drafts/acme.v1.yaml", "name: acme\n")
    assert product.run("blueprints", "test", "drafts/acme.v1.yaml").code == 2
    assert product.run("blueprints", "test").code == 2
    assert product.run("blueprints", "test", "--all", "acme:v1").code == 2
