"""What a user is asked for: from the auth mode, the templates and the blueprint's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, Nango
from nango_py.connect.form_values import FormValues, clean_settings, clean_text, parse_value
from nango_py.connect.forms import Field, make_form
from nango_py.connect.listing import list_integrations
from tests.support.sandbox_product import ENCRYPTION_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nango_py.connect.forms import Form

REQUESTS = {"base_url": "https://api.acme.test/"}


def nango_of(folder: Path, **integrations: Mapping[str, Any]) -> Nango:
    """A product with these integrations."""
    return Nango(
        {"integrations": integrations, "config": {"product_name": "Acme Reports"}},
        database_url=f"sqlite:///{folder}/nango.db",
        encryption_keys=ENCRYPTION_KEY,
        environ={},
    )


def form(folder: Path, entry: Mapping[str, Any]) -> Form:
    """The form of an integration with this entry."""
    return make_form(
        nango_of(folder, acme={"requests": REQUESTS, **entry}).configuration.integrations["acme"]
    )


def asked(found: Form) -> dict[str, tuple[str, bool]]:
    """The fields of a form with their kind and whether they are required."""
    return {field.name: (field.kind, field.required) for field in found.fields}


LOGIN = {
    "auth": {
        "auth_mode": "OAUTH2",
        "authorization_url": "https://acme.test/login",
        "token_url": "https://acme.test/token",
        "keep_from_response": {"instance": "instance_id"},
    },
    "oauth_client_id": "id",
    "oauth_client_secret": "secret",
    "connection_config": {
        "required": ["instance", "region"],
        "properties": {"instance": {"type": "string"}, "region": {"type": "string", "enum": ["eu", "us"]}},
    },
}


def test_a_key_is_a_password_field_with_the_blueprints_texts(tmp_path: Path) -> None:
    """The blueprint's title, help, example, pattern and link override those of the auth mode."""
    said = {"title": "Private key", "help": "Under Settings.", "example": "pk_1", "pattern": "^pk_"}
    found = form(tmp_path, {"auth": {"auth_mode": "API_KEY"}, "credentials": {"api_key": said}})
    assert found.kind == "form"
    (field,) = (field.to_json() for field in found.fields)
    assert said.items() <= field.items()
    assert (field["group"], field["kind"], field["required"]) == ("credentials", "password", True)


def test_auth_modes_have_default_titles(tmp_path: Path) -> None:
    """Without texts in the blueprint the mode's are used; user names are visible, passwords are not."""
    found = form(tmp_path, {"auth": {"auth_mode": "USERNAME_PASSWORD"}})
    assert asked(found) == {"username": ("text", True), "password": ("password", True)}
    assert [field.title for field in found.fields] == ["User name", "Password"]


def test_fixed_credentials_are_not_in_the_form(tmp_path: Path) -> None:
    """A field with a fixed value is stored with it, and input for it is refused."""
    words = {"username": {"title": "API key", "secret": True}, "password": {"value": ""}}
    found = form(tmp_path, {"auth": {"auth_mode": "USERNAME_PASSWORD"}, "credentials": words})
    assert asked(found) == {"username": ("password", True)}
    assert FormValues(found, {"username": "k"}, {}).credentials == {"username": "k", "password": ""}
    assert "password" in FormValues(found, {"username": "k", "password": "x"}, {}).errors


def test_an_oauth_form_has_only_settings_that_the_provider_does_not_send(tmp_path: Path) -> None:
    """OAuth forms have no credentials, and no settings that the token response contains."""
    found = form(tmp_path, LOGIN)
    assert (found.kind, asked(found)) == ("oauth", {"region": ("choice", True)})


@pytest.mark.parametrize(
    ("auth", "app", "expected"),
    [
        ({"auth_mode": "AWS_SIGV4", "region": "eu", "service": "s3"}, {},
         {"access_key_id": True, "secret_access_key": True, "session_token": False}),
        ({"auth_mode": "OAUTH2_CC", "token_url": "https://a.test/t"}, {},
         {"client_id": True, "client_secret": True}),
        ({"auth_mode": "OAUTH2_CC", "token_url": "https://a.test/t"},
         {"oauth_client_id": "i", "oauth_client_secret": "s"}, {}),
        ({"auth_mode": "OAUTH2_CC", "token_url": "https://a.test/t",
          "token_params": {"grant_type": "password", "username": "${username}", "password": "${password}"}},
         {"oauth_client_id": "i", "oauth_client_secret": "s"}, {"username": True, "password": True}),
        ({"auth_mode": "TWO_STEP", "token_url": "https://a.test/t",
          "token_params": {"user": "${username}", "key": '${api_key | default("")}'}}, {},
         {"username": True, "api_key": False}),
        ({"auth_mode": "TWO_STEP", "token_url": "https://a.test/t",
          "token_headers": {"Authorization": "Basic ${basic_auth_encoded}"}}, {},
         {"username": True, "password": True}),
        ({"auth_mode": "OAUTH2_JWT", "token_url": "https://a.test/t"}, {}, {"private_key": True}),
        ({"auth_mode": "OAUTH2_JWT", "token_url": "https://a.test/t",
          "assertion": {"signing_key": "${oauth_client_secret}", "payload": {"iss": "${client_email}"}}},
         {"oauth_client_id": "i", "oauth_client_secret": "s"}, {"client_email": True}),
        ({"auth_mode": "MTLS"}, {}, {"client_certificate": True, "client_key": True}),
        ({"auth_mode": "NONE"}, {}, {}),
    ],
    ids=lambda value: str(value.get("auth_mode", ""))[:12] if isinstance(value, dict) else "",
)  # fmt: skip
def test_the_form_has_only_credentials_that_templates_use(
    tmp_path: Path, auth: dict[str, Any], app: dict[str, str], expected: dict[str, bool]
) -> None:
    """Tokens are never in the form; of a mode's optional fields only those that this blueprint uses are."""
    found = form(tmp_path, {"auth": auth, **app})
    assert {field.name: field.required for field in found.fields} == expected


def test_multiline_keys_have_a_text_area(tmp_path: Path) -> None:
    """PEM texts are entered in a text area and keep their line breaks."""
    found = form(tmp_path, {"auth": {"auth_mode": "MTLS"}})
    assert {field.kind for field in found.fields} == {"multiline"}
    pem = "-----BEGIN CERTIFICATE-----\r\nabc\r\n-----END CERTIFICATE-----\r\n"
    assert parse_value(found.fields[0], pem) == (pem.replace("\r\n", "\n").strip(), "")


def test_settings_become_fields_of_their_type(tmp_path: Path) -> None:
    """Types, choices, defaults, bounds and texts of connection_config become those of the field."""
    config = {
        "required": ["plan"],
        "properties": {
            "plan": {"enum": ["free", "paid"], "title": "Plan", "description": "See your invoice."},
            "shard": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "beta": {"type": "boolean"},
            "site": {"type": "string", "suffix": ".acme.test", "examples": ["shop"]},
        },
    }
    found = form(tmp_path, {"auth": {"auth_mode": "NONE"}, "connection_config": config})
    assert found.kind == "none"
    plan, shard, beta, site = (field.to_json() for field in found.fields)
    assert (plan["kind"], plan["choices"], plan["help"]) == ("choice", ["free", "paid"], "See your invoice.")
    assert (shard["kind"], shard["value"], shard["minimum"], shard["whole"]) == ("number", 3, 1, True)
    assert (beta["kind"], beta["required"]) == ("boolean", False)
    assert (site["suffix"], site["example"], site["value"]) == (".acme.test", "shop", None)


def test_settings_of_the_product_are_stored_but_not_in_the_form(tmp_path: Path) -> None:
    """Settings with `asked: false` are not in the form; required ones are stored with their default."""
    config = {
        "required": ["version"],
        "properties": {
            "version": {"type": "string", "asked": False, "default": "2026-10"},
            "tuning": {"type": "string", "asked": False, "default": "x"},
        },
    }
    found = form(tmp_path, {"auth": {"auth_mode": "NONE"}, "connection_config": config})
    assert (found.fields, FormValues(found, {}, {}).additional_config) == ((), {"version": "2026-10"})
    assert FormValues(found, {}, {"version": "1999"}).errors


FIELD = Field("additional_config", "site", "Site", suffix=".acme.test", pattern="^[a-z]+$", example="shop")


@pytest.mark.parametrize(
    "given",
    ["shop", "  shop\t", "\ufeffshop\u200b", "https://shop.acme.test/admin", "shop.acme.test"],
    ids=repr,
)
def test_pasted_values_are_cleaned(given: str) -> None:
    """Whitespace, invisible characters and the URL around a name are removed."""
    assert parse_value(FIELD, given) == ("shop", "")


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        (FIELD, "", "Enter the site."),
        (FIELD, "   ", "Enter the site."),
        (FIELD, None, "Enter the site."),
        (FIELD, 5, "text"),
        (FIELD, ["shop"], "text"),
        (FIELD, "PLANTED", "look like shop."),
        (FIELD, "PLANTED" * 400, "look right"),
        (FIELD, "shop\nPLANTED", "line break"),
        (FIELD, "shop\x00PLANTED", "invisible"),
        (FIELD, "shop\ud800", "invisible"),
        (Field("credentials", "k", "K", max_length=4), "PLANTED", "at most 4"),
        (Field("credentials", "k", "K", min_length=9), "PLANTED", "at least 9"),
        (Field("additional_config", "n", "N", kind="number"), "PLANTED", "a number"),
        (Field("additional_config", "n", "N", kind="number", is_integer=True), "1.5", "whole number"),
        (Field("additional_config", "n", "N", kind="number", minimum=2), 1, "at least 2"),
        (Field("additional_config", "n", "N", kind="number", maximum=2), 3, "at most 2"),
        (Field("additional_config", "n", "N", kind="number"), "nan", "cannot be used"),
        (Field("additional_config", "n", "N", kind="number"), "1e999", "cannot be used"),
        (Field("additional_config", "n", "N", kind="number", is_integer=True), "9" * 5000, "whole number"),
        (Field("additional_config", "c", "C", kind="choice", choices=("a",)), "PLANTED", "options"),
        (Field("additional_config", "c", "C", kind="choice", choices=("a",)), "", "choose"),
        (Field("additional_config", "b", "B", kind="boolean"), "PLANTED", "yes or no"),
        (Field("additional_config", "h", "H", format="host"), "PLANTED_", "a host name such as"),
        (Field("additional_config", "h", "H", format="host"), "10.0.0.1", "a host name such as"),
        (Field("additional_config", "o", "O", format="origin"), "PLANTED.test", "https://"),
    ],
    ids=lambda value: repr(value)[:24] if not isinstance(value, Field) else value.kind,
)
def test_an_invalid_value_is_explained_but_not_quoted(field: Field, given: Any, says: str) -> None:
    """The message says how to correct the field and does not contain the input."""
    value, fault = parse_value(field, given)
    assert value is None
    assert says in fault
    assert "PLANTED" not in fault


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        (Field("additional_config", "n", "N", kind="number", is_integer=True), " 7 ", 7),
        (Field("additional_config", "n", "N", kind="number"), 2.5, 2.5),
        (Field("additional_config", "c", "C", kind="choice", choices=(1, 2)), "2", 2),
        (Field("additional_config", "b", "B", kind="boolean"), False, False),
        (Field("additional_config", "b", "B", kind="boolean", required=False), None, None),
        (Field("credentials", "u", "U", append="/token"), "ada@acme.test", "ada@acme.test/token"),
        (Field("credentials", "u", "U", append="/token"), "ada@acme.test/token", "ada@acme.test/token"),
        (Field("additional_config", "h", "H", format="host"), "https://git.acme.test/ada", "git.acme.test"),
        (Field("credentials", "o", "O", required=False), "", None),
    ],
    ids=lambda value: repr(value)[:24] if not isinstance(value, Field) else value.kind,
)
def test_a_valid_value_is_converted_to_its_declared_type(field: Field, given: Any, value: Any) -> None:
    """Numbers, choices and booleans are stored as declared, not as the text of the form."""
    assert parse_value(field, given) == (value, "")


def test_an_unknown_field_is_reported_with_a_suggestion(tmp_path: Path) -> None:
    """A misspelled field is reported with the closest known name; nothing unknown is stored."""
    found = FormValues(
        form(tmp_path, {"auth": {"auth_mode": "API_KEY"}}), {"api_kee": "x", "api_key": "y"}, {}
    )
    assert found.errors == {"api_kee": 'There is no such field; did you mean "api_key"?'}


def test_a_flood_of_unknown_fields_is_cheap(tmp_path: Path) -> None:
    """Thousands of unknown names are refused without searching a suggestion for each."""
    flood = {f"api_kee_{number}": "x" for number in range(5000)}
    found = FormValues(form(tmp_path, {"auth": {"auth_mode": "API_KEY"}}), {**flood, "api_key": "y"}, {})
    assert len(found.errors) == 20


def test_login_settings_are_cleaned_before_validation(tmp_path: Path) -> None:
    """A pasted shop URL becomes the shop's name; values that are not in the form stay unchanged."""
    entry = {"extends_blueprint": "shopify:v0", "oauth_client_id": "i", "oauth_client_secret": "s"}
    shop = nango_of(tmp_path, shop=entry).configuration.integrations["shop"]
    found = clean_settings(make_form(shop), {"shop": " https://acme.myshopify.com/admin ", "more": 1})
    assert found == {"shop": "acme", "more": 1}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ({"api_kee": {"title": "x"}}, "E202", 'API_KEY has no credential "api_kee"; did you mean "api_key"?'),
        ({"api_key": {"titel": "x"}}, "E202", 'did you mean "title"?'),
        ({"api_key": {"pattern": "(a+)+"}}, "E319", "very slow"),
        ({"api_key": {"pattern": "("}}, "E319", "not a regular expression"),
        ({"api_key": {"pattern": "^pk_", "example": "sk_1"}}, "E319", "example"),
        ({"api_key": {"docs_url": "javascript:alert(1)"}}, "E204", "https://"),
        ({"api_key": "Key"}, "E201", "mapping"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_invalid_form_texts_are_config_errors(tmp_path: Path, words: Any, code: str, says: str) -> None:
    """Texts for unknown credentials and unusable patterns are reported when the files are loaded."""
    with pytest.raises(ConfigError) as caught:
        form(tmp_path, {"auth": {"auth_mode": "API_KEY"}, "credentials": words})
    assert f"[{code}]" in str(caught.value)
    assert says in str(caught.value)


def test_integrations_yaml_overrides_form_texts(tmp_path: Path) -> None:
    """Texts of a field in integrations.yaml replace the blueprint's; the others are kept."""
    entry = {"extends_blueprint": "klaviyo:v1", "credentials": {"api_key": {"title": "Your Klaviyo key"}}}
    (field,) = make_form(nango_of(tmp_path, klaviyo=entry).configuration.integrations["klaviyo"]).fields
    assert (field.title, field.pattern) == ("Your Klaviyo key", "^pk_")


def test_the_listing_has_what_the_page_needs_and_no_credentials(tmp_path: Path) -> None:
    """It has titles, kinds, states and fields with current settings, and no undeclared integrations."""
    shop = {**LOGIN, "requests": REQUESTS, "title": "Shop"}
    first = nango_of(tmp_path, shop=shop, old={"auth": {"auth_mode": "NONE"}, "requests": REQUESTS})
    first.register_connection("shop", "u1", {"access_token": "PLANTED"}, {"instance": "i", "region": "eu"})
    claims = first.read_session(first.connect_session("u1", ["shop", "old"]).token.reveal())
    found = list_integrations(nango_of(tmp_path, shop=shop).accounts, claims)
    assert found["product_name"] == "Acme Reports"
    (offer,) = found["integrations"]
    assert (offer["title"], offer["kind"], offer["status"]) == ("Shop", "oauth", "connected")
    assert [field["value"] for field in offer["fields"]] == ["eu"]
    assert "PLANTED" not in repr(found)
    other = first.read_session(first.connect_session("u2", ["shop"]).token.reveal())
    assert list_integrations(first.accounts, other)["integrations"][0]["status"] == "not_connected"


def test_cleaning_does_not_change_keys() -> None:
    """A slash or a dot inside a key is part of it."""
    assert clean_text(" a/b.c==\n", Field("credentials", "k", "K")) == "a/b.c=="
