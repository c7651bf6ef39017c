"""All built-in blueprints pass `nango check` and `nango blueprints test --strict`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nango_py import Nango
from nango_py.blueprint_tests.runner import find_differences
from nango_py.config.catalogue import Catalogue
from nango_py.config.schema.validation import check_integrations
from nango_py.config.yaml.document import load_document
from nango_py.errors import Position, Problem

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "blueprints").glob("*.yaml"))
CATALOGUE = Catalogue([("local", ROOT / "blueprints")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_what_its_sandbox_shows(path: Path) -> None:
    """It has no warnings, is complete and explained, and its examples, lists and refusals are as it says."""
    warnings: list[Problem] = []
    blueprint = CATALOGUE.find(path.stem.replace(".", ":", 1), Position(path.name), warnings)
    assert [str(warning) for warning in warnings] == []
    differences = find_differences(blueprint, CATALOGUE, is_strict=True)
    assert [str(difference) for difference in differences] == []


def test_the_shipped_integrations_load_with_an_empty_environment(tmp_path: Path) -> None:
    """The shipped integrations.yaml is valid and needs no environment variables."""
    path = ROOT / "integrations.yaml"
    assert check_integrations(load_document(path)) == []
    database = f"sqlite:///{tmp_path / 'nango.db'}"
    with Nango(path, blueprints=ROOT / "blueprints", database_url=database, environ={}) as nango:
        found = {each.name: each.blueprint for each in nango.configuration}
    assert found == {"klaviyo": "klaviyo:v0", "klaviyo-today": "klaviyo:v1", "close": "close:v0"}
