"""All built-in blueprints pass `nango check` and `nango blueprints test --strict`."""

from __future__ import annotations

from pathlib import Path

import pytest

from nango_py import Nango
from nango_py.blueprint_tests.runner import find_differences
from nango_py.config.catalogue import Catalogue
from nango_py.config.schema.validation import check_blueprint, check_integrations
from nango_py.config.yaml.document import load_document
from nango_py.errors import Position
from nango_py.transport.sync_transport import Transport

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "blueprints").glob("*.yaml"))
CATALOGUE = Catalogue([("local", ROOT / "blueprints")])
every_blueprint = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@every_blueprint
def test_it_is_valid(path: Path) -> None:
    """Built-in blueprints have no problems and no warnings."""
    assert [str(problem) for problem in check_blueprint(load_document(path))] == []


@every_blueprint
def test_it_is_what_its_sandbox_shows(path: Path) -> None:
    """Examples, lists, verification and refusals are as the file says, and it is complete and explained."""
    blueprint = CATALOGUE.find(path.stem.replace(".", ":", 1), Position(path.name))
    transport = Transport()
    try:
        differences = find_differences(blueprint, CATALOGUE, transport, is_strict=True)
    finally:
        transport.close()
    assert [str(difference) for difference in differences] == []


def test_the_shipped_integrations_load_with_an_empty_environment(tmp_path: Path) -> None:
    """The shipped integrations.yaml is valid and needs no environment variables."""
    path = ROOT / "integrations.yaml"
    assert check_integrations(load_document(path)) == []
    database = f"sqlite:///{tmp_path / 'nango.db'}"
    with Nango(path, blueprints=ROOT / "blueprints", database_url=database, environ={}) as nango:
        found = {each.name: each.blueprint for each in nango.configuration}
    assert found == {"klaviyo": "klaviyo:v0", "klaviyo-today": "klaviyo:v1", "close": "close:v0"}
