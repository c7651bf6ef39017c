"""What `nango check` finds in a blueprint: names, hosts, rules that no call reaches, wrong examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

ACME = """\
name: acme
version: v1
auth: {auth_mode: API_KEY}
requests:
  base_url: https://${additional_config.region}.acme.test/
  headers: {X-Key: "${api_key}"}
connection_config:
  properties: {region: {type: string, enum: [eu, us]}}
"""
RIGHT = """\
rate_limits:
  budgets:
    - key: all
      cases:
        - {match: {method: GET, path: "lists/{id}/items"}, windows: [1/second]}
        - {match: {path: "lists/{id}/{part}", params: {full: "1"}}, windows: [2/second], cost: 2}
        - {match: {path: "lists/**"}, windows: [{burst: 5, per_second: 1}], cost: 5}
      otherwise: [10/second]
  headers: {remaining: X-Left, reset: {name: X-Reset, means: unix_seconds}}
retries:
  idempotency_header: Idempotency-Key
  rules: [{when: {status: 403, header: {X-Left: "0"}}, do: wait}]
endpoints:
  - {match: {path: "lists/{id}"}, safe: true}
  - {match: {path: "lists/*"}, safe: false, timeout_seconds: {read: 9}}
examples:
  - {call: {path: a}, credentials: {api_key: k}, additional_config: {region: eu}, response: {status: 200},
     expects: {error: a}}
"""

FIELDS = (
    "name: acme", "version: v1", "auth: {auth_mode: API_KEY}", "requests: {base_url: https://a.test/}",
)  # fmt: skip
EXAMPLE = """\
examples:
  - {call: {path: a}, credentials: {api_key: k}, additional_config: {tenant: a}, response: {status: 200}}"""

# By name: text that replaces a part of the blueprint, and the place, code and a word of the problem.
WRONG: dict[str, tuple[str, str, str, str]] = {
    "a space in a limit header": ("remaining: X-Left", "remaining: X Left", "17:24 E313", "X-Left"),
    "a colon in a reset header": ("{name: X-Reset", '{name: "X-Reset:"', "17:46 E313", "X-Reset"),
    "a space in the idempotency header": ("Idempotency-Key", "Idempotency Key", "19:23 E313", "space"),
    "a space in the header of a rule": ('{X-Left: "0"}', '{X Left: "0"}', "20:41 E313", "X-Left"),
    "a choice with a dot in a host": ("enum: [eu, us]", "enum: [eu, api.eu]", "8:50 E305", '"api.eu"'),
    "a default with a dot in a host": ("enum: [eu, us]", "default: api.eu", "8:48 E305", '"api.eu"'),
    "a case that no call reaches": (
        '{match: {path: "lists/**"}, windows: [{burst: 5, per_second: 1}], cost: 5}',
        '{match: {method: [GET], path: "lists/1/items"}, windows: [1/second]}',
        "15:11 W106",
        "line 13",
    ),
    "a path of a case that no call reaches": (
        '{match: {path: "lists/**"}, windows: [{burst: 5, per_second: 1}], cost: 5}',
        '{match: {path: [users, "lists/1/items", users]}, windows: [1/second]}',
        "15:51 W106",
        "line 15",
    ),
    "a limit below the cost of a call": ("[2/second], c", "[1/second], c", "14:79 E405", "2"),
    "a bucket below the cost of a call": ("burst: 5,", "burst: 4,", "15:49 E405", "cost 5"),
    "an entry of endpoints that no call reaches": (
        "safe: false, timeout_seconds: {read: 9}", "safe: false", "23:5 W106", "no call",
    ),
    "an example with an unknown credential": ("{api_key: k}", "{key: k}", "25:36 E326", "api_key"),
    "an example with a wrong setting": ("{region: eu}, r", "{region: asia}, r", "25:69 E326", "region"),
    "an example that expects without a response": ("response: {status: 200},", "", "26:16 E326", "error"),
    "a header in an example": ("{path: a}", "{path: a, headers: {X Key: a}}", "25:32 E313", "X-Key"),
}  # fmt: skip


def test_a_right_file_has_no_problems(product: Product) -> None:
    """The control: nothing is reported for the file that the cases break."""
    product.write("drafts/acme.v1.yaml", ACME + RIGHT)
    assert product.run("check", "drafts/acme.v1.yaml").out == "1 blueprint: no problems\n"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_has_a_problem_at_its_place(product: Product, name: str) -> None:
    """Each problem has its exact line and column, its code, and says what was found."""
    old, new, place, word = WRONG[name]
    text = ACME + RIGHT
    assert old in text
    product.write("drafts/acme.v1.yaml", text.replace(old, new, 1))
    found = product.run("check", "drafts/acme.v1.yaml").err.splitlines()
    reported = [line.removeprefix("drafts/acme.v1.yaml:").replace(": error[", " ").replace(": warning[", " ")
                for line in found]  # fmt: skip
    assert [line.partition("]")[0] for line in reported] == [place], found
    assert word in reported[0]


def test_all_stages_report_together(product: Product) -> None:
    """An unknown key, a wrong template, a wrong JMESPath and an unreachable case are all named."""
    text = ACME + RIGHT.replace(
        'match: {path: "lists/{id}/{part}", params: {full: "1"}}',
        'match: {method: GET, path: "lists/1/items"}',
    )
    text = (
        text.replace("${api_key}", "${apikey}")
        + "pagination: {kind: next_url, next: '@odata.nextLink'}\nlimit: 1\n"
    )
    product.write("drafts/acme.v1.yaml", text)
    found = product.run("check", "drafts/acme.v1.yaml")
    assert found.code == 2
    codes = [line.partition("[")[2].partition("]")[0] for line in found.err.splitlines()]
    assert sorted(codes) == ["E202", "E306", "E324", "W106"]


@pytest.mark.parametrize(
    "block",
    [
        "connection_config: text",
        "connection_config: {type: object, properties: 7}",
        "connection_config: {type: object, properties: {tenant: text}}",
        "connection_config: {type: object, properties: {tenant: {type: texts}}}",
        "credentials: text",
        "credentials: {api_key: text}",
        "auth: text",
        "endpoints: [{match: {path: a, method: null}, safe: true}]",
        "endpoints: [{match: {path: null}, safe: true}]",
    ],
)
def test_examples_beside_wrong_fields(product: Product, block: str) -> None:
    """Fields of another type are errors at their place, and the examples are not compared with them."""
    others = [line for line in FIELDS if line.partition(":")[0] != block.partition(":")[0]]
    product.write("drafts/acme.v1.yaml", "\n".join([block, *others, EXAMPLE, ""]))
    found = product.run("check", "drafts/acme.v1.yaml")
    assert found.code == 2
    assert found.err.startswith("drafts/acme.v1.yaml:1:")
    assert re.findall("E326|bug", found.err) == []


def test_a_blueprint_whose_rules_are_wrong_is_different_from_its_sandbox(product: Product) -> None:
    """`nango blueprints test` reports what `nango check` finds."""
    product.write("drafts/acme.v1.yaml", (ACME + RIGHT).replace("[2/second], cost: 2", "[1/second], cost: 2"))
    found = product.run("blueprints", "test", "drafts/acme.v1.yaml")
    assert found.code == 1
    assert "drafts/acme.v1.yaml:14:79: check: error[E405]" in found.out
