"""`nango blueprints test` runs the examples of actions, and finds what is not as they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nango_py.blueprint_tests.runner import find_differences
from nango_py.config.catalogue import Catalogue
from nango_py.errors import Position
from nango_py.sandbox.action_routes import action_routes
from nango_py.sandbox.declared import declared_routes
from nango_py.sandbox.responses import ApiResponses

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.blueprint_tests.difference import Difference

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
pagination: {kind: next_url, next: next, records: items}
errors: {message: error.message, code: error.code}
verification: {method: GET, path: me}
credentials:
  api_key: {title: API key, help: "In Acme under Settings."}
actions:
  copy-orders:
    title: Copy orders
    description: Copies all orders to an archive.
    changes: [archives]
    input:
      type: object
      properties: {archive: {type: string, default: main, description: The name of the archive}}
      additionalProperties: false
    steps:
      - {name: orders, request: {method: GET, path: orders, paginate: true}}
      - name: copied
        for_each: {in: steps.orders, concurrency: 2}
        request: {method: POST, path: "archives/${input.archive}", json: {order: "${item.id}"}}
        outcomes: [{when: {status: 409}}]
        result: id
    result: {ids: "steps.copied[?@]"}
    output: {type: object}
    examples:
      - title: Two pages, and an order that is in the archive
        sends:
          - {method: GET, url: "https://api.acme.test/v1/orders"}
          - {url: "https://api.acme.test/v1/orders?after=1"}
          - {method: POST, url: "https://api.acme.test/v1/archives/main", json: {order: 1}}
          - {method: POST, json: {order: 2}, headers: {X-Acme-Key: key_test_1}}
        responses:
          - {status: 200, json: {items: [{id: 1}], next: "https://api.acme.test/v1/orders?after=1"}}
          - {status: 200, json: {items: [{id: 2}]}}
          - {status: 409, json: {error: {code: known}}}
          - {status: 201, json: {id: a2}}
        output: {ids: [a2]}
      - title: The archive is full
        input: {archive: full}
        responses:
          - {status: 200, json: {items: [{id: 1}]}}
          - {status: 422, json: {error: {code: full, message: No space}}}
        error: full
examples:
  - call: {method: GET, path: me}
    credentials: {api_key: key_test_1}
    sends: {url: "https://api.acme.test/v1/me", headers: {X-Acme-Key: key_test_1}}
    response: {status: 200, json: {id: 1}}
sources: [{covers: auth, url: https://docs.acme.test/auth, read_on: 2026-11-30}]
gotchas: [None.]
"""


def differences(
    folder: Path, text: str, *, is_strict: bool = False, name: str = "acme:v1"
) -> list[Difference]:
    """What the tests of a blueprint find; acme:v1 has this text."""
    (folder / "acme.v1.yaml").write_text(text)
    catalogue = Catalogue([("local", folder)])
    return find_differences(catalogue.find(name, Position("test")), catalogue, is_strict=is_strict)


def test_one_request_may_be_a_mapping(tmp_path: Path) -> None:
    """A single request of an example needs no list, and is compared all the same."""
    one = """\
actions:
  find-order:
    title: Find an order
    description: Returns an order.
    reads: true
    input:
      type: object
      required: [id]
      properties: {id: {type: string, description: The id}}
      additionalProperties: false
    request: {method: GET, path: "orders/${input.id}"}
    output: {type: object}
    examples:
      - input: {id: a/b}
        sends: {method: GET, url: "https://api.acme.test/v1/orders/a%2Fb"}
        responses: [{status: 200, json: {id: 1}}]
        output: {id: 1}
"""
    head, _, rest = ACME.partition("actions:\n")
    text = head + one + rest[rest.index("examples:\n  - call") :]
    assert differences(tmp_path, text, is_strict=True) == []
    assert differences(tmp_path, text.replace("a%2Fb", "a-b"))


def test_right_examples_have_no_differences(tmp_path: Path) -> None:
    """The control: pages, items, expected and other errors are as the file says."""
    assert differences(tmp_path, ACME, is_strict=True) == []


WRONG = {
    "the method": ("{method: GET, url: ", "{method: PUT, url: ", "the method is GET; expected PUT"),
    "the URL": ('orders?after=1"}\n', 'orders?after=2"}\n', "request 2: the URL is"),
    "the body": ("json: {order: 1}}", "json: {order: 3}}", "request 3: the body is"),
    "a header": (
        "{X-Acme-Key: key_test_1}}\n        resp",
        "{X-Other: a}}\n        resp",
        "X-Other is missing",
    ),
    "the result": ("output: {ids: [a2]}", "output: {ids: [a3]}", 'expected {"ids": ["a3"]}'),
    "a failure that is none": ("output: {ids: [a2]}", "error: full", "expected the error full"),
    "another failure": ("error: full\n", "error: empty\n", "expected empty"),
    "a result that is a failure": ("error: full\n", "output: {ids: []}\n", "the action failed"),
    "a response too many": (
        "      - title: The archive is full\n        input: {archive: full}\n        responses:\n",
        (
            "      - title: The archive is full\n        input: {archive: full}\n        responses:\n"
            "          - {status: 200, json: {items: [], next: 'https://api.acme.test/v1/orders?after=1'}}\n"
            "          - {status: 200, json: {items: []}}\n"
        ),
        "responses were not asked for",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_example_is_found(tmp_path: Path, name: str) -> None:
    """Each difference names the action, the number of its example, and what is different."""
    old, new, words = WRONG[name]
    assert old in ACME
    found = differences(tmp_path, ACME.replace(old, new, 1))
    assert found
    assert all(each.test.startswith("action copy-orders, example ") for each in found)
    assert any(words in each.what for each in found), found


STRICT = {
    '"title"': ("    title: Copy orders\n", ""),
    '"description"': ("    description: Copies all orders to an archive.\n", ""),
    '"output"': ("    output: {type: object}\n", ""),
    "additionalProperties": ("      additionalProperties: false\n", ""),
    "archive of the action": (", description: The name of the archive", ""),
}


@pytest.mark.parametrize("name", STRICT)
def test_an_action_that_is_not_explained(tmp_path: Path, name: str) -> None:
    """The strict rules name what is missing; without them it is not a difference."""
    old, new = STRICT[name]
    assert old in ACME
    text = ACME.replace(old, new, 1)
    assert [each.what for each in differences(tmp_path, text, is_strict=True) if name in each.what]
    assert differences(tmp_path, text) == []


OTHER = (
    "{name: other, version: v1, extends: acme:v1, title: Other, BASE: {base_url: https://api.other.test/}}\n"
)


@pytest.mark.parametrize(("key", "is_tested"), [("requests", False), ("x-none", True)])
def test_an_inherited_example_has_the_urls_of_its_file(tmp_path: Path, key: str, *, is_tested: bool) -> None:
    """A blueprint with another base URL does not send to those of the one that it extends."""
    (tmp_path / "other.v1.yaml").write_text(OTHER.replace("BASE", key))
    old, new, _ = WRONG["the URL"]
    assert differences(tmp_path, ACME.replace(old, new, 1))
    found = differences(tmp_path, ACME.replace(old, new, 1), name="other:v1")
    assert any(each.test.startswith("action ") for each in found) is is_tested


@pytest.mark.parametrize(
    ("base", "is_served"),
    [
        ("https://api.acme.test/v1/", True),
        ("https://${additional_config.site}.acme.test/v1/", True),
        ("${additional_config.instance_url}/v1/", True),
        ("https://api.acme.test/v2/", False),
        ("https://${additional_config.site}/acme.test/v1/", False),
    ],
)
def test_a_sandbox_serves_what_examples_send(base: str, *, is_served: bool) -> None:
    """The paths are those below the base URL, whatever its templates stand for."""
    example = {"sends": [{"url": "https://api.acme.test/v1/me"}], "responses": [{"status": 200, "json": {}}]}
    made = {"requests": {"base_url": base}, "actions": {"a": {"examples": [example]}}}
    assert [route.path for route, _ in action_routes(made, ApiResponses(made))] == ["me"] * is_served


def test_a_request_gets_the_response_of_the_closest_example() -> None:
    """Examples with more parameters come before others, and those with a body before those without."""
    examples = [{"call": {"path": "me"}, "response": {"status": 200}}]
    sends = [{"url": "https://api.acme.test/me?a=1"}, {"method": "POST", "json": {"b": 1}}]
    action = {
        "request": {"method": "POST", "path": "me"},
        "examples": [{"sends": sends, "responses": [{"status": 200}, {"status": 201}]}],
    }
    made = {
        "requests": {"base_url": "https://api.acme.test/"},
        "examples": examples,
        "actions": {"a": action},
    }
    routes = declared_routes(made, ApiResponses(made))
    assert [(route.method, dict(route.params), route.body) for route in routes[:3]] == [
        ("GET", {"a": "1"}, None),
        ("POST", {}, {"b": 1}),
        ("GET", {}, None),
    ]
