"""Documents that are made to hang, to crash or to deceive an import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nango_py.errors import ConfigError
from nango_py.importers import reading
from nango_py.importers.drafts.postman import read_postman
from nango_py.importers.reading import read_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def openapi(**more: Any) -> str:
    """A document with the base URL and the login."""
    scheme = {"type": "apiKey", "in": "header", "name": "X-Key"}
    document = {
        "openapi": "3.0.0",
        "info": {"title": "Acme"},
        "servers": [{"url": "https://api.acme.test/v2"}],
        "components": {"securitySchemes": {"key": scheme}},
        "paths": {"/me": {"get": {}}},
    }
    return json.dumps({**document, **more})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (BOMB, "E006"),
        ("a: &a {b: *a}", "E009"),
        ("a: [" + "[" * 100_000, "E001"),
        ('{"a":' * 100_000, "E007"),
        ('{"a": "\\ud800"}', "E004"),
        ('{"a": ' + "9" * 10_000 + "}", "E001"),
    ],
    ids=["bomb", "circle", "deep YAML", "deep JSON", "surrogate", "long number"],
)
def test_a_hostile_document_is_refused(tmp_path: Path, text: str, code: str) -> None:
    """With the code of what is wrong, before anything walks it."""
    file = tmp_path / ("file.json" if text.startswith("{") else "file.yaml")
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_mapping(file)
    assert caught.value.problems[0].code == code


def test_aliases_that_stay_small_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same list twice is data, unless it is too much."""
    file = tmp_path / "file.yaml"
    file.write_text("a: &a [x, y]\nb: [*a, *a]\n")
    assert read_mapping(file)["b"] == [["x", "y"]] * 2
    monkeypatch.setattr(reading, "MAX_VALUES", 8)
    with pytest.raises(ConfigError):
        read_mapping(file)


def test_variables_that_name_each_other_do_not_grow() -> None:
    """A URL that is longer than 2,000 characters is not one; a short one is read."""
    variables = [{"key": "a", "value": "{{a}}" * 400}]
    collection: dict[str, Any] = {
        "info": {"name": "Acme", "schema": "v2.1"},
        "variable": variables,
        "item": [{"request": {"method": "GET", "url": "{{a}}/me"}}],
    }
    assert "base_url" not in read_postman(collection)
    variables[0]["value"] = "https://api.acme.test"
    assert read_postman(collection)["base_url"] == "https://api.acme.test/"


def test_a_document_does_not_choose_the_host_or_the_caller(product: Product) -> None:
    """Fixed headers such as a version are taken over, Host and Authorization are not."""
    fixed = [
        {"name": name, "in": "header", "required": True, "schema": {"default": "evil.test"}}
        for name in ("Host", "AUTHORIZATION", "Cookie", "X-Version")
    ]
    product.write("acme.json", openapi(paths={"/me": {"get": {"parameters": fixed}}}))
    assert product.run("blueprints", "import", "openapi", "acme.json").code == 0
    settings = yaml.safe_load((product.folder / "blueprints/acme.v1.yaml").read_text())
    assert settings["requests"]["headers"] == {"X-Key": "${api_key}", "X-Version": "evil.test"}


def test_the_name_of_a_document_stays_in_its_comment(product: Product) -> None:
    """A line break in it would begin a key of the blueprint."""
    product.write("un\nrequests: {}.json", openapi())
    result = product.run("blueprints", "import", "openapi", "un\nrequests: {}.json", "--name", "acme")
    assert result.code == 0
    assert "\nrequests: {}" not in (product.folder / "blueprints/acme.v1.yaml").read_text()


def test_a_report_has_no_control_characters(product: Product) -> None:
    """Names, modes and paths of documents are escaped, so that they move no cursor and begin no line."""
    product.write("acme.json", openapi(paths={"/a\nwrote x\u001b[2J": {"get": {}}}))
    entry = {"auth_mode": "\u001b]0;x\u0007"}
    product.write("providers.json", json.dumps({"a\nwrote b": entry, "b\u001b[31m": entry, "c": entry}))
    for words in (("openapi", "acme.json"), ("providers.json",)):
        result = product.run("blueprints", "import", *words)
        assert ("\\x1b" in result.out) == (words[0] != "openapi")  # a call to such a path is not planned
        assert not {"\x1b", "\x07"} & set(result.out)
        assert "\nwrote x" not in result.out
        assert "\nwrote b" not in result.out
