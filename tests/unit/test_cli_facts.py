"""`nango check --facts`: announced changes and the ends of APIs, by date."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

BASE = """\
name: {name}
version: v0
status: {{deprecated_on: {deprecated}, retires_on: {retired}, migrate_to: "acme:v9"}}
auth: {{auth_mode: NONE}}
requests: {{base_url: https://api.acme.test/}}
sources: [{{covers: auth, url: https://acme.test/auth, read_on: 2026-01-02}}]
unconfirmed: [requests.base_url]
changes: [{{on: {changed}, what: Keys end., affects: [auth], url: https://acme.test/news, then: Log in.}}]
"""


def day(days: int) -> str:
    """The date some days from today."""
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def blueprint(product: Product, *, deprecated: int = -9, retired: int = 400, changed: int = 200) -> str:
    """A file whose dates are some days from today."""
    days = {"deprecated": day(deprecated), "retired": day(retired), "changed": day(changed)}
    product.write("drafts/acme.v0.yaml", BASE.format(name="acme", **days))
    return "drafts/acme.v0.yaml"


def test_facts_are_listed_by_date(product: Product) -> None:
    """Changes and ends with what they affect, what to do, the page and the place; then the sources."""
    file = blueprint(product)
    found = product.run("check", "--facts", file)
    assert found.code == 0
    lines = found.out.splitlines()
    assert [line[:10] for line in lines if not line.startswith(" ")][:3] == [day(-9), day(200), day(400)]
    assert [line.strip() for line in lines[4:8]] == [
        "affects: auth", "Log in.", "https://acme.test/news", "drafts/acme.v0.yaml:8:11",
    ]  # fmt: skip
    assert "1 source, the oldest read on 2026-01-02, 1 unconfirmed value" in lines[-1]


def test_facts_as_json(product: Product) -> None:
    """One object for each fact."""
    found = json.loads(product.run("check", "--facts", "--json", blueprint(product)).out)
    assert [fact["on"] for fact in found] == [day(-9), day(200), day(400)]
    assert (found[1]["affects"], found[1]["is_end"], found[2]["is_end"]) == (["auth"], False, True)
    assert product.run("check", "--json").code == 2


@pytest.mark.parametrize(
    ("days", "code"),
    [
        ({}, 0),
        ({"changed": 91}, 0),
        ({"changed": 90}, 1),
        ({"changed": -1}, 1),
        ({"retired": 90}, 1),
        ({"retired": -1}, 0),
        ({"deprecated": 90}, 1),
    ],
)
def test_a_near_change_fails_if_strict(product: Product, days: dict[str, int], code: int) -> None:
    """A change fails from 90 days before it until it is removed; an end only until it has come."""
    file = blueprint(product, **days)
    assert product.run("check", "--facts", "--strict", file).code == code
    assert product.run("check", "--facts", file).code == 0


@pytest.mark.parametrize(("changed", "code"), [(1, 0), (0, 1), (-1, 1)])
def test_days_is_how_far_ahead_a_change_fails(product: Product, changed: int, code: int) -> None:
    """With --days 0 a change fails from its day on, as in the CI of a catalogue."""
    file = blueprint(product, changed=changed)
    assert product.run("check", "--facts", "--strict", "--days", "0", file).code == code


@pytest.mark.parametrize(("read", "is_old"), [(-366, True), (-365, False)])
def test_a_source_read_more_than_a_year_ago_is_a_warning(
    product: Product, read: int, *, is_old: bool
) -> None:
    """W506 with the place of the day; only --facts says so, and it does not fail."""
    file = blueprint(product)
    text = (product.folder / file).read_text().replace("2026-01-02", day(read))
    product.write(file, text)
    found = product.run("check", "--facts", "--strict", file)
    assert (f"{file}:6:" in found.err and "W506" in found.err) is is_old
    assert found.code == 0
    assert "W506" not in product.run("check", file).err


def test_the_facts_of_a_project_are_those_of_its_apis(product: Product) -> None:
    """The blueprints that integrations extend, and those of the project's folder."""
    found = json.loads(product.run("check", "--facts", "--json").out)
    assert {fact["blueprint"] for fact in found} == {"klaviyo:v0"}


def test_warnings_fail_if_strict(product: Product) -> None:
    """Without --facts, --strict fails if there is a warning."""
    assert product.run("check").code == 0
    assert product.run("check", "--strict").code == 1
    product.write("integrations.yaml", "integrations:\n  klaviyo: {extends_blueprint: 'klaviyo:v1'}\n")
    assert product.run("check", "--strict").code == 0
