"""The blueprints that were compared with the OpenAPI documents of their vendors are still as they were."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "check_openapi.py"))
RESULTS = json.loads((ROOT / "tools" / "openapi_checks.json").read_text())
DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://{region}.stripe.com/v1"}],
    "components": {
        "securitySchemes": {
            "o": {"type": "oauth2", "flows": {"x": {"tokenUrl": "https://id.stripe.com/token"}}}
        }
    },
    "paths": {
        "/customers/{id}": {"get": {}},
        "/customers": {"get": {}, "post": {}},
        "/files": {"servers": [{"url": "https://files.stripe.com/v1"}], "post": {}},
    },
}


def test_the_checked_paths_are_those_of_the_blueprints() -> None:
    """A result names its kind of document; another path makes it stale, and each difference has a reason."""
    catalogue = TOOL["open_catalogue"](ROOT / "blueprints")
    for name, result in RESULTS.items():
        settings = catalogue.find(name, TOOL["Position"]("test")).settings
        assert [f"{method} {path}" for method, path in TOOL["calls_of"](settings)] == result["paths"], name
        assert result["reasons"].keys() == set(result["differences"]), name
        assert all(result["reasons"].values()), name
        assert result["source"].startswith("https://"), name
        assert result["compared_with"] in TOOL["KINDS"], name
    assert len(RESULTS) > 20


def test_what_a_document_does_not_have_is_a_difference() -> None:
    """Paths with parameters, and servers of single operations, are known; others are not."""
    result = TOOL["check"]("stripe:v1", [DOCUMENT])
    assert "POST /v1/customers" in result["paths"]
    assert "POST /v1/files" in result["paths"]
    missing = {difference.split(" is not in")[0] for difference in result["differences"]}
    assert (
        not {"POST /v1/customers", "GET /v1/customers", "GET /v1/customers/none", "POST /v1/files"} & missing
    )
    assert "GET /v1/charges" in missing


@pytest.mark.parametrize(
    ("url", "differs"), [("https://api.stripe.com/v1", False), ("https://api.stripe.example/v1", True)]
)
def test_another_host_is_a_difference(url: str, *, differs: bool) -> None:
    """The host of the base URL has to be that of a server."""
    result = TOOL["check"]("stripe:v1", [{**DOCUMENT, "servers": [{"url": url}]}])
    assert any("the host" in difference for difference in result["differences"]) is differs


def test_another_token_endpoint_is_a_difference() -> None:
    """The token endpoint has to be one of the document's."""
    result = TOOL["check"]("stripe-oauth:v1", [DOCUMENT])
    assert any("token endpoint" in difference for difference in result["differences"])
