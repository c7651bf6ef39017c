"""What every auth mode keeps, built in or from another package."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from nango_py.config.template.variables import COMMON_NAMES
from nango_py.errors import ConfigError, CredentialsError
from nango_py.protocols.signed_request import SignedRequest
from nango_py.protocols.token_exchange import TokenContext, TokenRefused, TokenResponse
from nango_py.registry import AUTH_MODES
from tests.support.made_values import a_connection, a_plan, an_integration, bound_settings

APP = {"oauth_client_id": "client_id_1234", "oauth_client_secret": "client_secret_1234"}
every_mode = pytest.mark.parametrize("name", AUTH_MODES.names())


def leaves(value: Any) -> list[str]:
    """Every text inside a value."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [value] if isinstance(value, str) else []


@every_mode
def test_the_credentials_schema_is_a_flat_json_schema(name: str) -> None:
    """An object of named, typed fields that takes no others."""
    schema = AUTH_MODES.get(name).credentials_schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(schema["properties"])
    assert all("type" in field for field in schema["properties"].values())


@every_mode
def test_the_settings_schema_is_a_json_schema(name: str) -> None:
    """What the mode adds under `auth:`, with the keys it requires among them."""
    mode = AUTH_MODES.get(name)
    schema = {"type": "object", "properties": mode.settings_schema}
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(mode.required_settings) <= set(mode.settings_schema)


@every_mode
def test_the_example_fits_the_schema_and_the_mode(name: str) -> None:
    """What docs and sandbox use is accepted by both checks, and comes back as it was."""
    mode = AUTH_MODES.get(name)
    jsonschema.Draft202012Validator(mode.credentials_schema).validate(mode.example_credentials)
    assert mode().check_credentials(mode.example_credentials, "shop/user-1") == mode.example_credentials


@every_mode
def test_the_mode_says_what_it_is(name: str) -> None:
    """A title for people and a docstring."""
    mode = AUTH_MODES.get(name)
    assert mode.title
    assert mode.__doc__
    assert mode.name == name


@every_mode
def test_the_variables_exist_and_have_values(name: str) -> None:
    """Each declared name renders from the example, but those that the application gives."""
    mode = AUTH_MODES.get(name)
    values = mode().variables_of(mode.example_credentials)
    assert set(values) <= set(mode.variables)
    from_app = {"oauth_client_id", "oauth_client_secret"}
    assert set(mode.variables) - set(values) <= from_app
    assert set(mode.secret_variables) <= set(mode.variables)
    assert not set(mode.variables) & COMMON_NAMES


def rendered(name: str, placing: str) -> tuple[Any, Any]:
    """A plan in which every variable of a mode stands in a header or a parameter."""
    mode = AUTH_MODES.get(name)
    values = {f"v-{variable}": f"${{{variable}}}" for variable in mode.variables}
    integration = an_integration(auth_mode=name, app=APP, **{placing: values})
    return mode, a_plan(settings=bound_settings(integration, a_connection(mode.example_credentials)))


@every_mode
@pytest.mark.parametrize("placing", ["headers", "params"])
def test_secret_variables_are_masked_and_others_shown(name: str, placing: str) -> None:
    """Printing a plan hides what the mode calls secret, wherever the blueprint puts it."""
    mode, plan = rendered(name, placing)
    sent = (
        {key: value for key, (_, value) in plan.headers.items()}
        if placing == "headers"
        else unquote(plan.url)
    )
    shown = str(plan)
    values = {**APP, **mode().variables_of(mode.example_credentials)}
    for variable in mode.variables:
        value = str(values[variable]).rstrip("=")
        assert value in str(sent)
        assert (value in shown) is (variable not in mode.secret_variables)


@every_mode
def test_credentials_are_never_shown_by_default(name: str) -> None:
    """A mode that offers a credential under a name that is not secret would leak it into logs."""
    mode = AUTH_MODES.get(name)
    values = mode().variables_of(mode.example_credentials)
    open_values = {str(value) for key, value in values.items() if key not in mode.secret_variables}
    secret_fields = set(mode.example_credentials) - {"username"}
    assert not open_values & {mode.example_credentials[field] for field in secret_fields}


@every_mode
@pytest.mark.parametrize("wrong", [None, 5, ["x"], {"a": "planted-secret"}, True, b"planted-secret"])
def test_a_field_of_another_type_is_named_and_not_shown(name: str, wrong: Any) -> None:
    """The message says which field and what it must be."""
    mode = AUTH_MODES.get(name)
    for field in mode.credentials_schema["required"]:
        with pytest.raises(CredentialsError, match=f'credential "{field}" must be') as caught:
            mode().check_credentials({**mode.example_credentials, field: wrong}, "shop/user-1")
        assert str(caught.value).startswith("shop/user-1: ")
        assert "planted-secret" not in str(caught.value)


@every_mode
def test_missing_and_unknown_fields_are_named(name: str) -> None:
    """A typo gets the right name, and values stay out of the message."""
    mode = AUTH_MODES.get(name)
    for field in mode.credentials_schema["required"]:
        rest = {key: value for key, value in mode.example_credentials.items() if key != field}
        with pytest.raises(CredentialsError, match=f'needs credential "{field}"'):
            mode().check_credentials(rest, "shop/user-1")
        misspelt = {**mode.example_credentials, f"{field}s": "planted-secret"}
        with pytest.raises(CredentialsError, match=f'unknown credential "{field}s"; did you mean') as caught:
            mode().check_credentials(misspelt, "shop/user-1")
        assert "planted-secret" not in str(caught.value)


@every_mode
def test_checking_changes_nothing_of_the_callers(name: str) -> None:
    """The caller's mapping is copied."""
    mode = AUTH_MODES.get(name)
    given = dict(mode.example_credentials)
    checked = mode().check_credentials(given, "shop/user-1")
    assert given == mode.example_credentials
    assert checked is not given


@pytest.mark.parametrize(
    ("expires_at", "stored"),
    [
        (1_800_000_000, 1_800_000_000), (1_800_000_000.5, 1_800_000_000.5),
        ("2027-01-15T08:00:00+00:00", 1_800_000_000.0), ("2027-01-15T08:00:00", 1_800_000_000.0),
        ("2027-01-15T08:00:00Z", 1_800_000_000.0), ("2027-01-15T09:00:00+01:00", 1_800_000_000.0),
    ],
)  # fmt: skip
def test_oauth2_keeps_the_expiry_as_unix_seconds(expires_at: Any, stored: float) -> None:
    """Numbers, ISO 8601 with and without a zone."""
    mode = AUTH_MODES.get("OAUTH2")()
    checked = mode.check_credentials({"access_token": "tok", "expires_at": expires_at}, "x")
    assert checked["expires_at"] == stored


def test_oauth2_rejects_an_expiry_that_is_not_a_time() -> None:
    """The text itself stays out of the message."""
    mode = AUTH_MODES.get("OAUTH2")()
    with pytest.raises(CredentialsError, match='"expires_at" must be ISO 8601') as caught:
        mode.check_credentials({"access_token": "tok", "expires_at": "planted-secret"}, "x")
    assert "planted-secret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("field", ["expires_at", "expires_in"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_oauth2_rejects_an_expiry_of_another_type(field: str, number: float) -> None:
    """NaN and infinity would never expire, and break what is stored."""
    with pytest.raises(CredentialsError, match=field):
        AUTH_MODES.get("OAUTH2")().check_credentials({"access_token": "tok", field: number}, "x")


def test_basic_auth_takes_an_empty_password_and_no_colon_in_the_name() -> None:
    """RFC 7617 section 2; keys are often sent as the user name alone."""
    mode = AUTH_MODES.get("USERNAME_PASSWORD")()
    checked = mode.check_credentials({"username": "key", "password": ""}, "x")
    assert mode.variables_of(checked)["basic_auth_encoded"] == "a2V5Og=="
    with pytest.raises(CredentialsError, match="colon"):
        mode.check_credentials({"username": "a:b", "password": "x"}, "x")


def test_a_setting_means_the_same_in_every_mode() -> None:
    """Without its mode, as in an override, a key is checked alike; only defaults depend on the mode."""
    found: dict[str, Any] = {}
    for name in AUTH_MODES.names():
        for key, schema in AUTH_MODES.get(name).settings_schema.items():
            plain = {keyword: value for keyword, value in schema.items() if keyword != "default"}
            assert found.setdefault(key, plain) == plain, f"{name}: {key}"


@every_mode
def test_a_token_that_is_fetched_is_a_secret_variable(name: str) -> None:
    """Without the token the mode is not ready, and it can fetch one without the user."""
    mode = AUTH_MODES.get(name)
    fetched = mode.token_variable
    assert mode().is_ready(mode.example_credentials)
    if not fetched:
        assert mode().expires_at(mode.example_credentials) is None
        assert not mode().can_refresh(mode.example_credentials, {})
        return
    assert fetched in mode.secret_variables
    assert fetched in mode.credentials_schema["properties"]
    assert not mode().is_ready({})
    assert mode().expires_at({}) == 0.0
    assert mode().expires_at({**mode.example_credentials, "expires_at": 5}) == 5.0


@every_mode
def test_only_modes_that_sign_add_headers(name: str) -> None:
    """Signing is last of all, so a mode that does not sign must not seem to."""
    mode = AUTH_MODES.get(name)
    variables = {**APP, **mode().variables_of(mode.example_credentials), "additional_config": {}}
    declared = {"region": "eu-west-1", "service": "s3"}
    request = SignedRequest("GET", "https://api.example.test/things")
    added = mode().sign(request, variables, declared, 1_800_000_000.0)
    assert bool(added) is mode.signs
    plain = [mode.example_credentials[key] for key in mode.credentials_schema["required"]][1:]
    assert not any(text in value for value in added.values() for text in plain)
    assert mode().answer_challenge({}, request, variables) is None


@every_mode
def test_errors_do_not_contain_the_credentials(name: str) -> None:
    """A refresh without settings, and one that the endpoint rejects with an echo of the request."""
    mode = AUTH_MODES.get(name)
    held = dict(mode.example_credentials)
    credentials = {**held, "refresh_token": "refresh_example_1234"} if name == "OAUTH2" else held
    for settings in ({}, {"token_url": "https://id.example.test/token"}):
        context = TokenContext(
            settings=settings, credentials=credentials, app=APP,
            variables={**APP, **mode().variables_of(credentials), "raw": {}}, now=1_800_000_000.0,
        )  # fmt: skip
        texts = [*leaves(credentials), *APP.values()]
        with pytest.raises((ConfigError, TokenRefused)) as caught:
            reject_with_echo(mode().refresh(context))
        shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
        assert not [text for text in texts if text in shown and text != "ada"]
        assert caught.value.__context__ is None


def reject_with_echo(refresh: Any) -> None:
    """Reject each request of a refresh with an error that repeats the request."""
    request = next(refresh)
    while True:
        echo = f"{request.url} {dict(request.headers)} {request.body!r}"
        body = json.dumps({"error": "invalid_grant", "error_description": echo}).encode()
        request = refresh.send(TokenResponse(400, {}, body))
