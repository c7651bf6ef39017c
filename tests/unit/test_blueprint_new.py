"""`nango blueprints new`: drafts that pass `nango check` and `nango blueprints test`."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.yaml.document import load_document
from nango_py.importers.drafts.draft import LOGINS, PAGINATIONS
from nango_py.importers.drafts.openapi import read_openapi
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

OAUTH = (
    "--authorization-url", "https://id.acme.test/authorize", "--token-url", "https://id.acme.test/token",
)  # fmt: skip
FILE = "blueprints/acme.v1.yaml"
PETS: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "description": "**Pets** and [owners](https://a.test).\n\nMore."},
    "externalDocs": {"url": "https://docs.pets.test/"},
    "servers": [
        {
            "url": "https://{region}.pets.test/{version}",
            "variables": {
                "region": {"default": "eu", "enum": ["eu", "us"], "description": "Where data is stored"},
                "version": {"default": "v2", "enum": ["v2"]},
            },
        }
    ],
    "components": {
        "securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Pets-Key"},
            "login": {
                "type": "oauth2",
                "flows": {
                    "authorizationCode": {
                        "authorizationUrl": "https://id.pets.test/authorize",
                        "tokenUrl": "https://id.pets.test/token",
                        "scopes": {"pets.read": "See your pets", "none": ""},
                    }
                },
            },
        },
        "parameters": {"limit": {"name": "limit", "in": "query"}},
        "schemas": {"Pets": {"type": "object", "properties": {"pets": {"type": "array"}}}},
        "responses": {"Slow": {"headers": {"X-RateLimit-Remaining": {}, "X-RateLimit-Reset": {}}}},
    },
    "paths": {
        "/pets/{id}": {"get": {"responses": {}}},
        "/pets": {
            "parameters": [{"$ref": "#/components/parameters/limit"}],
            "get": {
                "parameters": [{"name": "offset", "in": "query"}],
                "responses": {
                    "200": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pets"}}}
                    },
                    "429": {"$ref": "#/components/responses/Slow"},
                },
            },
        },
        "/owners/me": {
            "get": {"responses": {"200": {"content": {"application/json": {"example": {"id": 7}}}}}}
        },
    },
}
SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Old"},
    "host": "api.old.test",
    "basePath": "/v3",
    "schemes": ["http", "https"],
    "securityDefinitions": {"key": {"type": "apiKey", "in": "query", "name": "api_key"}},
    "paths": {
        "/items": {
            "get": {
                "parameters": [{"name": "page", "in": "query"}, {"name": "per_page", "in": "query"}],
                "responses": {
                    "200": {"schema": {"type": "array"}, "examples": {"application/json": [{"id": 1}]}}
                },
            }
        }
    },
}
ACME: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Acme"},
    "servers": [{"url": "https://api.acme.test"}],
    "components": {
        "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}},
        "schemas": {
            "Meta": {"properties": {"next_cursor": {"type": ["string", "null"]}}},
            "Page": {"properties": {"meta": {"$ref": "#/components/schemas/Meta"}}},
        },
    },
    "paths": {
        "/orders": {
            "get": {
                "parameters": [
                    {"name": "after", "in": "query"},
                    {"name": "page_size", "in": "query", "schema": {"type": "integer", "maximum": 50}},
                ],
                "responses": {
                    "200": {
                        "headers": {"link": {}},
                        "content": {
                            "application/json": {
                                "schema": {
                                    "allOf": [{"$ref": "#/components/schemas/Page"}],
                                    "properties": {"orders": {"type": "array"}},
                                }
                            }
                        },
                    }
                },
            }
        }
    },
}


def acme(params: list[str], texts: list[str], headers: list[str]) -> dict[str, Any]:
    """A document with one list."""
    schema = {name: {"type": "string"} for name in texts} | {"data": {"type": "array"}}
    content = {"application/json": {"schema": {"properties": schema}}}
    response = {"headers": {name: {} for name in headers}, "content": content}
    parameters = [{"name": name, "in": "query"} for name in params]
    path = {"get": {"parameters": parameters, "responses": {"200": response}}}
    return {**ACME, "paths": {"/a": path}}


def passes(product: Product, file: str = FILE) -> bool:
    """Whether a file passes both commands."""
    checked = product.run("check", file)
    assert (checked.code, checked.out) == (0, "1 blueprint: no problems\n"), checked.err
    tested = product.run("blueprints", "test", file)
    assert tested.code == 0, tested.out
    return True


@pytest.mark.parametrize(("login", "pagination"), [*itertools.product(LOGINS, PAGINATIONS)])
def test_every_draft_passes(product: Product, login: str, pagination: str) -> None:
    """Each login with each pagination, by options alone."""
    words = ("--base-url", "https://api.acme.test/v1", "--login", login, "--verify", "me", *OAUTH)
    written = product.run("blueprints", "new", "acme", *words, "--pagination", pagination)
    assert written.code == 0, written.err
    assert passes(product)


@pytest.mark.parametrize("key", ["Authorization", "X-Api-Key", "?api_key"])
@pytest.mark.parametrize(
    "host", ["api.acme.test", "{tenant}.acme.test", "${additional_config.tenant}.acme.test"]
)
def test_keys_and_settings_have_their_place(product: Product, key: str, host: str) -> None:
    """The key in a header or the query, and a setting of the connection in the host."""
    words = ("--base-url", f"https://{host}/", "--login", "key", "--key-place", key)
    assert product.run("blueprints", "new", "acme", *words).code == 0
    assert passes(product)
    settings = load_document(product.folder / FILE).data
    assert ("connection_config" in settings) is ("tenant" in host)
    assert (settings["requests"].get("params") or {}).keys() == ({"api_key"} if key[0] == "?" else set())


def test_a_draft_from_openapi(product: Product) -> None:
    """URL with its variables, login and scopes, the user's call, a list and limits are read."""
    source = product.write("openapi.json", json.dumps(PETS))
    assert product.run("blueprints", "new", "pets:v2", "--from", str(source)).code == 0
    assert passes(product, "blueprints/pets.v2.yaml")
    settings = load_document(product.folder / "blueprints" / "pets.v2.yaml").data
    assert settings["requests"]["base_url"] == "https://${additional_config.region}.pets.test/v2/"
    assert settings["connection_config"]["properties"]["region"]["enum"] == ["eu", "us"]
    assert settings["auth"]["token_url"] == "https://id.pets.test/token"
    assert settings["scopes"] == {"pets.read": "See your pets"}
    assert settings["verification"]["path"] == "owners/me"
    assert settings["examples"][0]["response"]["json"] == {"id": 7}
    assert settings["pagination"]["records"] == "pets"
    assert settings["rate_limits"]["headers"]["reset"] == "X-RateLimit-Reset"
    assert (settings["title"], settings["comment"]) == ("Pets", "Pets and owners.")


def test_options_precede_the_document(product: Product) -> None:
    """Another login and another call than those of the document."""
    source = product.write("openapi.json", json.dumps(PETS))
    words = ("--login", "key", "--key-place", "X-Key", "--verify", "pets", "--title", "My pets")
    assert product.run("blueprints", "new", "acme", "--from", str(source), *words).code == 0
    assert passes(product)
    settings = load_document(product.folder / FILE).data
    assert settings["requests"]["headers"] == {"X-Key": "${api_key}"}
    assert (settings["title"], settings["verification"]["path"]) == ("My pets", "pets")
    assert "scopes" not in settings


def test_a_draft_from_openapi_2_in_yaml(product: Product) -> None:
    """Host and base path, a key in the query, and status codes without quotes."""
    text = json.dumps(SWAGGER).replace('"200":', "200:")
    source = product.write("swagger.yaml", text)
    assert product.run("blueprints", "new", "acme", "--from", str(source)).code == 0
    assert passes(product)
    settings = load_document(product.folder / FILE).data
    assert settings["requests"] == {
        "base_url": "https://api.old.test/v3/", "params": {"api_key": "${api_key}"},
    }  # fmt: skip
    assert settings["pagination"]["kind"] == "page"


def test_a_key_and_a_cursor_from_openapi(product: Product) -> None:
    """The key stands alone in its header, and a list goes on by a cursor of a schema elsewhere."""
    source = product.write("acme.json", json.dumps(ACME))
    assert product.run("blueprints", "new", "acme", "--from", str(source)).code == 0
    assert passes(product)
    settings = load_document(product.folder / FILE).data
    assert settings["requests"]["headers"] == {"X-Api-Key": "${api_key}"}
    assert settings["pagination"] == {
        "kind": "cursor", "cursor": "meta.next_cursor", "param": "after", "records": "orders",
        "size": {"param": "page_size", "value": 50, "max": 50},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "texts", "headers", "kind"),
    [
        (["pageToken"], ["nextPageToken"], [], "cursor"),
        (["cursor"], ["name"], [], None),
        (["cursor"], ["next"], [], "next_url"),
        (["offset", "limit"], ["next"], [], "offset"),
        (["offset"], [], [], None),
        (["page", "limit"], [], ["Link"], "page"),
        ([], [], ["Link"], "link_header"),
        (["limit"], ["name"], [], None),
    ],
)
def test_lists_of_openapi(params: list[str], texts: list[str], headers: list[str], kind: str | None) -> None:
    """The kind of pagination follows from the parameters, the response and its headers."""
    assert read_openapi(acme(params, texts, headers)).get("pagination", {}).get("kind") == kind


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "openapi: 3.0.0", '{"openapi": 1, "paths": []}', "[" * 2000, "\x00", "a: &a [*a]"],
)
@pytest.mark.parametrize("name", ["api.json", "api.yaml"])
def test_other_files_are_refused(product: Product, name: str, text: str) -> None:
    """A file that is not an OpenAPI document is an error with its name, and nothing is written."""
    source = product.write(name, text)
    found = product.run("blueprints", "new", "acme", "--from", str(source))
    assert found.code == 2
    assert name in found.err
    assert not (product.folder / FILE).exists()


def odd_documents(number: int) -> Iterator[dict[str, Any]]:
    """Documents with parts that are missing, of another type, or refer to themselves."""
    generator = random.Random(7)
    odd = [None, 1, "x", "", [], {}, [1], {"$ref": "#/paths"}, {"$ref": "#/nothing"}, {"$ref": 1}, "a: {b}"]

    def change(value: Any) -> Any:
        if generator.random() < 0.1:
            return generator.choice(odd)
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        return [change(item) for item in value] if isinstance(value, list) else value

    for _ in range(number):
        data = {key: change(value) for key, value in generator.choice((PETS, SWAGGER, ACME)).items()}
        yield {**data, "paths": data["paths"] if isinstance(data["paths"], dict) else {}}


def test_odd_documents_are_read_as_far_as_they_go() -> None:
    """Reading them never fails."""
    for data in odd_documents(1000):
        assert isinstance(read_openapi(data), dict)


def test_drafts_of_odd_documents_pass_too(product: Product) -> None:
    """What is written passes; what is missing is named."""
    codes = set()
    for number, data in enumerate(odd_documents(40)):
        source = product.write("api.json", json.dumps(data))
        words = (
            ("--from", str(source), "--base-url", "https://a.test/")
            if number % 2
            else ("--from", str(source))
        )
        found = product.run("blueprints", "new", f"n{number}", *words)
        codes.add(found.code)
        assert "bug" not in found.err, data
        assert found.code != 0 or passes(product, f"blueprints/n{number}.v1.yaml"), data
    assert codes == {0, 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("Acme",), "NAME"),
        (("acme:2",), "NAME"),
        (("acme", "--login", "key"), "--base-url"),
        (("acme", "--base-url", "https://a.test"), "--login"),
        (("acme", "--base-url", "a.test", "--login", "key"), "https://"),
        (("acme", "--base-url", "https://a.test", "--login", "oauth2"), "--authorization-url"),
        (("acme", "--base-url", "https://a.test", "--login", "magic"), "--login"),
        (("acme", "--base-url", "http://a.test", "--login", "key"), "--base-url"),
        (("acme", "--base-url", "https://[1]/", "--login", "key"), "--base-url"),
    ],
)
def test_what_is_missing_is_named(product: Product, words: tuple[str, ...], said: str) -> None:
    """Without a terminal an option that is needed is an error, and nothing is written."""
    found = product.run("blueprints", "new", *words)
    assert found.code == 2
    assert said in found.err
    assert not (product.folder / "blueprints").exists()


def test_an_existing_file_is_kept(product: Product) -> None:
    """Nothing is overwritten."""
    product.write(FILE, "mine")
    words = ("--base-url", "https://a.test", "--login", "none")
    assert product.run("blueprints", "new", "acme", *words).code == 2
    assert (product.folder / FILE).read_text() == "mine"


def test_questions_on_a_terminal(tmp_path: Path) -> None:
    """It asks for what options leave open, and asks again after a wrong input."""
    answers = {
        "for people": "Acme Inc", "manual": "", "all calls lie": "acme.test", "starts with": "https://a.test/",
        "Login": "key", "with the key": "X-Key", "Path": "me", "Pagination": "none",
    }  # fmt: skip
    with Terminal(tmp_path, "blueprints", "new", "acme") as terminal:
        for question, answer in answers.items():
            terminal.read_until(question)
            terminal.type(f"{answer}\n")
        shown = terminal.read_all()
        assert terminal.code == 0, shown
    settings = load_document(tmp_path / FILE).data
    assert settings["title"] == "Acme Inc"
    assert settings["requests"] == {"base_url": "https://a.test/", "headers": {"X-Key": "${api_key}"}}
