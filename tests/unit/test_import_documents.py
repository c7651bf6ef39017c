"""`nango blueprints import openapi` and `postman`: a draft and a report of what the document states."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from nango_py.importers.drafts.openapi import read_openapi
from nango_py.importers.reading import read_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from nango_py.json_types import JsonObject
    from tests.support.cli_product import Product

pytest_plugins = ("tests.support.cli_product",)

OPENAPI: JsonObject = {
    "openapi": "3.2.0",
    "info": {"title": "Acme Orders", "version": "1"},
    "servers": [{"url": "https://api.acme.test/v2"}],
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
    "paths": {
        "/me": {"get": {"responses": {"200": {"content": {"application/json": {"example": {"id": 7}}}}}}},
        "/orders": {
            "get": {
                "parameters": [
                    {"name": "cursor", "in": "query", "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 200}},
                ],
                "responses": {
                    "200": {
                        "headers": {"X-RateLimit-Remaining": {}, "X-RateLimit-Reset": {}},
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {
                                        "next_cursor": {"type": "string"},
                                        "data": {"type": "array"},
                                    },
                                }
                            }
                        },
                    }
                },
            }
        },
    },
}
COLLECTION: JsonObject = {
    "info": {
        "name": "Acme Mail",
        "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
        "description": "Sends **mail**.\n\nMore.",
    },
    "variable": [{"key": "root", "value": "https://{{site}}.mail.test/api"}],
    "auth": {
        "type": "apikey",
        "apikey": [{"key": "key", "value": "X-Mail-Key"}, {"key": "value", "value": "k"}],
    },
    "item": [
        {
            "name": "Messages",
            "item": [
                {"name": "Get", "request": {"method": "GET", "url": {"raw": "{{root}}/v1/messages/:id"}}},
                {"name": "List", "request": {"method": "GET", "url": {"raw": "{{root}}/v1/messages?page=1"}}},
                {"name": "Send", "request": {"method": "POST", "url": "{{root}}/v1/messages"}},
            ],
        },
        {"name": "Me", "request": {"method": "GET", "url": {"raw": "{{root}}/v1/users/me"}}},
        {"name": "Elsewhere", "request": {"method": "GET", "url": {"raw": "https://other.test/x"}}},
        "not a mapping",
    ],
}


def test_an_openapi_document_becomes_a_file_that_passes_its_test(product: Product) -> None:
    """The name is from the title; base URL, key, pagination with its size, verification and limit headers."""
    product.write("orders.json", json.dumps(OPENAPI))
    result = product.run("blueprints", "import", "openapi", "orders.json")
    assert result.code == 0, result.err
    settings = yaml.safe_load((product.folder / "blueprints/acme-orders.v1.yaml").read_text())
    assert settings["requests"] == {
        "base_url": "https://api.acme.test/v2/", "headers": {"X-Key": "${api_key}"},
    }  # fmt: skip
    assert settings["pagination"]["size"] == {"param": "limit", "value": 100, "max": 200}
    assert settings["verification"]["path"] == "me"
    assert settings["rate_limits"]["headers"]["reset"] == "X-RateLimit-Reset"
    assert "scopes: not in the document" in result.out
    assert product.run("blueprints", "test", "acme-orders").code == 0


def test_fixed_headers_key_words_and_token_offsets_are_read(product: Product) -> None:
    """A version that every call requires, the word before the key, and an offset that is a token."""
    document = json.loads(json.dumps(OPENAPI))
    document["components"]["securitySchemes"]["key"] = {
        "type": "apiKey", "in": "header", "name": "Authorization", "description": "`Acme-Key your-key`",
    }  # fmt: skip
    version = {"name": "revision", "in": "header", "required": True, "schema": {"default": "2026-07-15"}}
    orders = document["paths"]["/orders"]["get"]
    orders["parameters"] = [
        version, {"name": "offset", "in": "query", "schema": {"type": "string"}}, *orders["parameters"][1:],
    ]  # fmt: skip
    document["paths"]["/me"]["get"]["parameters"] = [version]
    schema = orders["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    schema["next_page"] = {"type": "object", "properties": {"offset": {"type": "string"}}}
    product.write("orders.json", json.dumps(document))
    assert product.run("blueprints", "import", "openapi", "orders.json", "--name", "acme").code == 0
    settings = yaml.safe_load((product.folder / "blueprints/acme.v1.yaml").read_text())
    assert settings["requests"]["headers"] == {
        "Authorization": "Acme-Key ${api_key}", "revision": "2026-07-15",
    }  # fmt: skip
    assert settings["pagination"]["kind"] == "cursor"
    assert settings["pagination"]["cursor"] == "next_page.offset"
    assert settings["verification"]["path"] == "me"
    assert product.run("blueprints", "test", "acme").code == 0


@pytest.mark.parametrize(
    ("auth", "login"),
    [
        (COLLECTION["auth"], "API_KEY"),
        ({"type": "bearer", "bearer": []}, "API_KEY"),
        ({"type": "basic", "basic": {"username": "x"}}, "USERNAME_PASSWORD"),
        (
            {
                "type": "oauth2",
                "oauth2": [
                    {"key": "authUrl", "value": "https://id.mail.test/authorize"},
                    {"key": "accessTokenUrl", "value": "https://id.mail.test/token"},
                ],
            },
            "OAUTH2",
        ),
        (
            {
                "type": "oauth2",
                "oauth2": [
                    {"key": "grant_type", "value": "client_credentials"},
                    {"key": "accessTokenUrl", "value": "https://id.mail.test/token"},
                ],
            },
            "OAUTH2_CC",
        ),
    ],
)
def test_a_postman_collection_becomes_a_file_that_passes_its_test(
    product: Product, auth: JsonObject, login: str
) -> None:
    """Variables become the base URL and settings; the login is that of the collection."""
    product.write("mail.json", json.dumps({**COLLECTION, "auth": auth}))
    result = product.run("blueprints", "import", "postman", "mail.json", "--name", "mail")
    assert result.code == 0, result.err
    settings = yaml.safe_load((product.folder / "blueprints/mail.v1.yaml").read_text())
    assert settings["requests"]["base_url"] == "https://${additional_config.site}.mail.test/api/v1/"
    assert settings["auth"]["auth_mode"] == login
    assert settings["verification"]["path"] == "users/me"
    assert settings["comment"] == "Sends mail."
    assert product.run("blueprints", "test", "mail").code == 0


SERVERS: list[tuple[JsonObject, str]] = [
    ({"url": " HTTPS://api.acme.test/v2 "}, "https://api.acme.test/v2/"),
    ({"url": "https://acme.test:{p}", "variables": {"p": {"default": 8443, "enum": [8443, 443]}}},
     "https://acme.test:8443/"),
    ({"url": "{s}://acme.test", "variables": {"s": {"default": "https", "enum": ["https", "http"]}}},
     "https://acme.test/"),
    ({"url": "https://acme.test/{x}v2", "variables": {"x": {"default": ""}}}, "https://acme.test/v2/"),
    ({"url": "https://{1x}.acme.test", "variables": {"1x": {"default": "a"}}},
     "https://${additional_config.name_1x}.acme.test/"),
    ({"url": "https://{a-b}.acme.test", "variables": {"a-b": {"default": "a"}}},
     "https://${additional_config.a_b}.acme.test/"),
]  # fmt: skip


@pytest.mark.parametrize(("server", "expected"), SERVERS)
def test_a_server_becomes_the_base_url(server: JsonObject, expected: str) -> None:
    """Schemes and ports are values of the file, and settings get names that templates can have."""
    assert read_openapi({**OPENAPI, "servers": [server]})["base_url"] == expected


def test_keys_of_yaml_that_are_not_text_are_read_as_text(tmp_path: Path) -> None:
    """A status is a number in YAML, and other keys may be one by mistake; yes and no stay text."""
    file = tmp_path / "acme.yaml"
    file.write_text(
        "openapi: 3.1.0\ninfo: {title: Acme}\nservers: [{url: 'https://{r}.acme.test', variables: {1: {},"
        " r: {default: no, enum: [no, se]}}}]\npaths: {/me: {get: {responses: {200: {headers: {3: {}, on: {},"
        " null: {}, true: {}}, content: {2: {}, application/json: {example: {id: 7}}}}}}}}\n"
    )
    data = read_mapping(file)
    responses = data["paths"]["/me"]["get"]["responses"]  # type: ignore[index, call-overload]
    assert list(responses["200"]["headers"]) == ["3", "on", "null", "true"]  # type: ignore[index, arg-type, call-overload]
    found = read_openapi(data)
    assert found["response"] == {"id": 7}
    assert [setting.choices for setting in found["settings"] if setting.name == "r"] == [("no", "se")]


def test_a_document_without_what_a_draft_needs_names_the_command_that_asks(product: Product) -> None:
    """An import has no options for the base URL and the login; what the draft cannot hold is left out."""
    relative = {**OPENAPI, "servers": [{"url": "/v2"}], "externalDocs": {"url": "https://not a url"}}
    product.write("orders.json", json.dumps(relative))
    result = product.run("blueprints", "import", "openapi", "orders.json", "--name", "acme")
    assert result.code == 2
    assert "nango blueprints new acme --from orders.json" in result.err
    options = ("--from", "orders.json", "--base-url", "https://api.acme.test/v2")
    assert product.run("blueprints", "new", "acme", *options).code == 0


def test_a_draft_that_does_not_load_is_not_written(product: Product) -> None:
    """The name of the key's header is checked as in any file."""
    auth = {"type": "apikey", "apikey": [{"key": "key", "value": "Host"}, {"key": "value", "value": "k"}]}
    product.write("mail.json", json.dumps({**COLLECTION, "auth": auth}))
    result = product.run("blueprints", "import", "postman", "mail.json", "--name", "mail")
    assert result.code != 0
    assert "E313" in result.err
    assert not (product.folder / "blueprints/mail.v1.yaml").exists()


def test_a_file_of_another_kind_is_refused(product: Product) -> None:
    """A collection is not an OpenAPI document; without a base URL the message names the option."""
    product.write("orders.json", json.dumps(OPENAPI))
    product.write("mail.json", json.dumps(COLLECTION))
    assert "E201" in product.run("blueprints", "import", "openapi", "mail.json").err
    assert "E201" in product.run("blueprints", "import", "postman", "orders.json").err
    product.write("bare.json", json.dumps({**OPENAPI, "servers": []}))
    assert "--base-url" in product.run("blueprints", "import", "openapi", "bare.json").err
    assert product.run("blueprints", "import", "openapi").code == 2
    assert product.run("blueprints", "import", "providers.yaml", "--name", "x").code == 2


def test_a_collection_that_is_nested_without_end_is_read_to_a_bound(product: Product) -> None:
    """Folders below the twentieth level are not read; texts in the wrong place do no harm."""
    item: JsonObject = {"request": {"method": "GET", "url": {"raw": "https://deep.mail.test/v1/me"}}}
    for _ in range(100):
        item = {"item": [item, {"request": "x"}, {"request": {"url": 7, "auth": [1]}}]}
    document = {**COLLECTION, "item": [item, *COLLECTION["item"]], "variable": "x"}  # type: ignore[misc]
    product.write("mail.json", json.dumps(document))
    result = product.run("blueprints", "import", "postman", "mail.json", "--name", "mail")
    assert "deep" not in result.out
