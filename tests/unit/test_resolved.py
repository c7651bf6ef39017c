"""`nango blueprints show --resolved`: a blueprint as the engine sees it, with the origin of each key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.cli.resolved import resolved_lines
from nango_py.config import settings as request_settings
from nango_py.config.catalogue import Catalogue
from nango_py.config.schema.defaults import with_defaults
from nango_py.config.schema.format import definitions
from nango_py.config.schema.validation import check_blueprint
from nango_py.config.yaml.document import document_from_python, parse_document
from nango_py.connections.connection import thaw
from nango_py.engine import retry
from nango_py.engine.outage import BreakerSettings
from nango_py.errors import Position
from tests.support.shipped_files import FILES, with_every_key

if TYPE_CHECKING:
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

FOLDER = Path(__file__).resolve().parents[2] / "blueprints"
CATALOGUE = Catalogue([("local", FOLDER)])
BASE = """\
name: base
version: v0
auth: {auth_mode: OAUTH2, authorization_url: "https://a.test/a", token_url: "https://a.test", pkce: required}
requests:
  base_url: https://api.test/
  headers: {Authorization: "Bearer ${access_token}"}
retries: {max_attempts: 3, circuit_breaker: false}
"""
TOP = """\
name: top
version: v1
extends: base:v0
pagination:
  kind: page
  param: page
connection_config:
  properties:
    region: {title: "Region: yes"}
"""


def test_the_output_is_a_blueprint_with_its_defaults(pytestconfig: pytest.Config) -> None:
    """It is YAML with the same values, and is valid itself. With `--thorough`, all blueprints are tried."""
    files = FILES if pytestconfig.getoption("--thorough") else with_every_key(FILES)
    assert len(files) > 20
    for path in files:
        blueprint = CATALOGUE.find(path.stem.replace(".", ":", 1), Position(path.name))
        parsed = parse_document("\n".join(resolved_lines(blueprint)), "resolved").data
        whole, added = with_defaults(blueprint.settings, "blueprint")
        # The paths of facts name keys of the file, in which the logins are side by side.
        left_out = {"extends", *(("sources", "unconfirmed", "changes") if blueprint.logins else ())}
        assert parsed == thaw(whole), path
        own = _without(parsed, added)
        assert [key for key, value in blueprint.settings.items() if own.get(key) != thaw(value)] == [], path
        valid = {key: value for key, value in parsed.items() if key not in left_out}
        problems = check_blueprint(document_from_python(valid))
        assert [str(problem) for problem in problems] == [], path


def _without(value: Any, added: frozenset[tuple[Any, ...]], path: tuple[Any, ...] = ()) -> Any:
    """The value without the keys that were added."""
    if not isinstance(value, dict):
        return value
    return {
        key: _without(item, added, (*path, key)) for key, item in value.items() if (*path, key) not in added
    }


def test_each_line_has_its_origin(product: Product) -> None:
    """Keys of the file, of the extended file, and defaults; a block that is false gets none."""
    product.write("blueprints/base.v0.yaml", BASE)
    product.write("blueprints/top.v1.yaml", TOP)
    found = product.run("blueprints", "show", "top:v1", "--resolved")
    assert found.code == 0
    lines = {
        re.sub(r":? .*", "", line.strip()): line.rpartition("  # ")[2] for line in found.out.splitlines()
    }
    assert lines["extends"] == "blueprints/top.v1.yaml:3"
    assert lines["pkce"] == "blueprints/base.v0.yaml:3"
    assert lines["max_attempts"] == "blueprints/base.v0.yaml:7"
    assert lines["circuit_breaker"] == "blueprints/base.v0.yaml:7"
    assert lines["deadline_seconds"] == lines["start"] == lines["scope_separator"] == "default"
    assert "failures" not in found.out
    assert product.run("blueprints", "show", "blueprints/base.v0.yaml", "--resolved").code == 0


def schema_of(*path: str) -> Any:
    """The schema of a key of a blueprint."""
    node: Any = definitions()["blueprint"]
    for key in path:
        node = node["properties"][key]
        while "$ref" in node:
            node = {**definitions()[node["$ref"].removeprefix("#/$defs/")], "default": node.get("default")}
    return node


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("requests", "timeout_seconds", "connect"), request_settings.CONNECT_SECONDS),
        (("requests", "timeout_seconds", "read"), request_settings.READ_SECONDS),
        (("requests", "max_response_bytes"), request_settings.MAX_RESPONSE_BYTES),
        (("retries", "max_attempts"), retry.DEFAULT_MAX_ATTEMPTS),
        (("retries", "deadline_seconds"), retry.DEFAULT_DEADLINE_SECONDS),
        (("retries", "backoff", "base_seconds"), retry.Backoff().base),
        (("retries", "backoff", "min_seconds"), retry.Backoff().floor),
        (("retries", "backoff", "max_seconds"), retry.Backoff().cap),
        (("retries", "circuit_breaker", "failures"), BreakerSettings().failures),
        (("retries", "circuit_breaker", "seconds"), BreakerSettings().seconds),
        (("retries", "circuit_breaker", "pause_seconds"), BreakerSettings().pause_seconds),
        (("retries", "circuit_breaker", "longest_pause_seconds"), BreakerSettings().longest_pause_seconds),
    ],
)
def test_the_defaults_are_those_of_the_code(path: tuple[str, ...], value: float) -> None:
    """The schema states what the engine uses if a key is missing."""
    assert schema_of(*path)["default"] == value


def test_nothing_is_added_to_items_of_lists() -> None:
    """Cases of limits keep their size; blocks that need a key are not made up."""
    settings = {
        "rate_limits": {"budgets": [{"key": "a", "cases": [{"match": {"method": "GET"}, "windows": []}]}]}
    }
    whole, added = with_defaults(settings, "blueprint")
    assert whole["rate_limits"]["budgets"] == settings["rate_limits"]["budgets"]
    assert "verification" not in whole
    assert ("rate_limits", "counted_per") in added
