"""Credentials that a blueprint adds to its auth mode, and those of the product: used, and never shown."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, CredentialsError, ProviderError, Sandbox
from nango_py.auth.base import mode_of
from nango_py.connect.forms import make_form
from nango_py.engine.bound_settings import bind_settings
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from nango_py import Nango
    from tests.support.recording_server import Received

API_KEY, APP_KEY, ACCOUNT = "api_test_12345678", "app_test_87654321", "account-4711-001"
PARTNER = "partner_test_24680246"


def entry_of(base_url: str, **changes: Any) -> dict[str, Any]:
    """An API with a key of the mode, a secret and a plain field beside it, and a key of the product."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "title": "Acme",
        "credentials": {
            "api_key": {"title": "API key"},
            "application_key": {"title": "Application key", "secret": True, "help": "In Settings."},
            "account": {"title": "Account", "secret": False, "required": False},
        },
        "app_credentials": {"partner_key": {"title": "Partner key"}, "partner": {"secret": False}},
        "app": {"partner_key": PARTNER, "partner": "fleetly"},
        "requests": {
            "base_url": base_url,
            "headers": {
                "DD-API-KEY": "${api_key}",
                "DD-APPLICATION-KEY": "${application_key}",
                "X-Account": "${account | default('none')}",
                "X-Partner": "${app.partner} ${app.partner_key}",
            },
        },
        "verification": {"path": "me"},
        **changes,
    }


CREDENTIALS = {"api_key": API_KEY, "application_key": APP_KEY, "account": ACCOUNT}
SECRETS = (API_KEY, APP_KEY, PARTNER)


@EXECUTORS
def test_both_keys_are_sent(run: Any) -> None:
    """Each in its header; a field that is not required may be missing."""
    with (
        RecordingServer(lambda _: {}) as api,
        open_product(entry_of(api.url), credentials=CREDENTIALS) as nango,
    ):
        run(nango, lambda shop: shop.get("a"))
        nango.register_connection("shop", "u", {"api_key": API_KEY, "application_key": APP_KEY}, replace=True)
        run(nango, lambda shop: shop.get("a"))
    names = ("dd-api-key", "dd-application-key", "x-account", "x-partner")
    partner = f"fleetly {PARTNER}"
    assert [tuple(one.headers[name] for name in names) for one in api.received] == [
        (API_KEY, APP_KEY, ACCOUNT, partner),
        (API_KEY, APP_KEY, "none", partner),
    ]


def test_registration_checks_them() -> None:
    """A missing, empty, unknown or unusable value is an error that names the field and not the value."""
    with open_product(entry_of("https://api.acme.test/")) as nango:
        for credentials, word in [
            ({"api_key": API_KEY}, "application_key"),
            ({**CREDENTIALS, "application_key": ""}, "application_key"),
            ({**CREDENTIALS, "application_key": 7}, "application_key"),
            ({**CREDENTIALS, "application_kye": APP_KEY}, "application_key"),
            ({**CREDENTIALS, "application_key": f"{APP_KEY}\nX: 1"}, "application_key"),
        ]:
            with pytest.raises(CredentialsError, match=word) as caught:
                nango.register_connection("shop", "u", credentials)
            assert not any(secret in str(caught.value) for secret in SECRETS)
        nango.register_connection("shop", "u", {**CREDENTIALS, "application_key": f" {APP_KEY}\n"})
        assert nango.executor("shop", "u").plan("GET", "a").headers["dd-application-key"][1] == APP_KEY


@EXECUTORS
def test_secrets_are_masked_and_the_rest_is_shown(run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In plans, errors, explanations, settings, views and log records; the control is the plain field."""
    caplog.set_level(logging.DEBUG)
    echo = {"error": f"{API_KEY} {APP_KEY} {PARTNER} {ACCOUNT}"}
    with RecordingServer(lambda _: Reply(echo, 400)) as api:
        entry = entry_of(api.url, errors={"message": "error"})
        with open_product(entry, credentials=CREDENTIALS) as nango:
            texts = [str(run(nango, _error_of)), caplog.text]
            shop = nango.executor("shop", "u")
            plan = shop.plan("GET", f"a/{APP_KEY}", params={"p": PARTNER}, json={"k": APP_KEY})
            texts += [str(plan), repr(plan), repr(plan.settings), shop.explain()]
            texts += [repr(nango.configuration.integrations["shop"])]
            texts += [str(dict(nango.configuration.integrations["shop"].settings["app"]))]
            texts += [json.dumps(nango.connections_for_user("u"), default=str)]
    for text in texts:
        assert not any(secret in text for secret in SECRETS), text
    assert ACCOUNT in texts[0]
    assert f"X-Account: {ACCOUNT}" in texts[2]
    assert "X-Partner: fleetly ***" in texts[2]


def _error_of(shop: Any) -> Any:
    """The text of the error that a call raises, or a coroutine that brings it."""

    async def text_of(call: Any) -> str:
        with pytest.raises(ProviderError) as error:
            await call
        return repr(error.value) + str(error.value)

    try:
        call = shop.get("a", raise_for_error=True)
    except ProviderError as error:
        return repr(error) + str(error)
    return text_of(call)


def fields(nango: Nango) -> dict[str, tuple[str, bool]]:
    """The fields of the form, with kind and whether they are required."""
    form = make_form(nango.configuration.integrations["shop"])
    return {field.name: (field.kind, field.required) for field in form.fields}


def test_forms_ask_for_them() -> None:
    """Secrets as passwords, plain fields as text; a mode without credentials has a form too."""
    with open_product(entry_of("https://api.acme.test/")) as nango:
        assert fields(nango) == {
            "api_key": ("password", True),
            "application_key": ("password", True),
            "account": ("text", False),
        }
    credentials = {"token": {"secret": True}}
    requests = {"base_url": "https://api.acme.test/", "headers": {"X-Token": "${token}"}}
    entry = {"auth": {"auth_mode": "NONE"}, "credentials": credentials, "requests": requests}
    with open_product(entry, credentials={"token": APP_KEY}) as nango:
        assert fields(nango) == {"token": ("password", True)}
        assert make_form(nango.configuration.integrations["shop"]).kind == "form"
        assert nango.executor("shop", "u").plan("GET", "a").headers["x-token"][1] == APP_KEY


def respond(received: Received) -> Any:
    """A token endpoint, and an API that shows what it received."""
    if received.target == "/token":
        return {"access_token": f"access_test_{len(received.body)}", "expires_in": 3600}
    return dict(received.headers)


@EXECUTORS
def test_they_stay_when_a_token_is_fetched(run: Any) -> None:
    """A token request may use them, and the new credentials still hold them."""
    with RecordingServer(respond) as api:
        entry = entry_of(
            api.url,
            auth={
                "auth_mode": "OAUTH2_CC",
                "token_url": f"{api.url}token",
                "token_params": {"account": "${account}", "partner": "${app.partner_key}"},
            },
        )
        entry["credentials"] = {**entry["credentials"], "api_key": {"secret": True}}
        entry["requests"]["headers"]["Authorization"] = "Bearer ${access_token}"
        credentials = {**CREDENTIALS, "client_id": "id_test_1234", "client_secret": "secret_test_1234"}
        with open_product(entry, credentials=credentials) as nango:
            first = run(nango, lambda shop: shop.get("a")).json()
            second = run(nango, lambda shop: shop.get("a")).json()
    assert first["dd-application-key"] == second["dd-application-key"] == APP_KEY
    assert first["authorization"] == second["authorization"]
    token_request = api.received[0].body.decode()
    assert f"account={ACCOUNT}" in token_request
    assert f"partner={PARTNER}" in token_request


def test_exports_keep_them_encrypted(tmp_path: Any) -> None:
    """They are exported and imported with the other credentials; no plain part of the file holds one."""
    entry = entry_of("https://api.acme.test/")
    with open_product(entry, credentials=CREDENTIALS) as nango:
        from nango_py.connections.keys import generate_key

        key = generate_key().reveal()
        nango.export_connections(tmp_path / "connections.json", key=key)
        text = (tmp_path / "connections.json").read_text()
        assert not any(secret in text for secret in SECRETS)
        with open_product(entry) as other:
            other.import_connections(tmp_path / "connections.json", key=key)
            shown = other.executor("shop", "u").plan("GET", "a").headers
    assert shown["dd-application-key"][1] == APP_KEY


def test_a_sandbox_knows_them() -> None:
    """It accepts the keys of its users and refuses others, in each header."""
    entry = entry_of("https://api.acme.test/")
    with Sandbox(entry, credentials={"u": CREDENTIALS}) as sandbox:
        product = {**entry, "requests": {**entry["requests"], "base_url": sandbox.base_url}}
        with open_product(product, credentials=CREDENTIALS) as nango:
            assert nango.executor("shop", "u").verify().ok
            nango.register_connection("shop", "v", {**CREDENTIALS, "application_key": "other_1234"})
            assert nango.executor("shop", "v").verify().outcome == "refused"


def test_what_the_product_has_to_give() -> None:
    """A missing value, an unknown one, and one as another tool writes it are errors at load."""
    for app, code in [
        ({"partner": "fleetly"}, "E208"),
        ({"partner_key": "", "partner": "f"}, "E208"),
        ({"partner_key": PARTNER, "partner": "f", "partner_kye": "x"}, "E202"),
        ({"partner_key": "$PARTNER_KEY", "partner": "f"}, "E323"),
        (None, "E208"),
    ]:
        entry = entry_of("https://api.acme.test/", app=app)
        with pytest.raises(ConfigError, match=code) as caught, open_product(entry) as nango:
            _ = nango.configuration
        assert PARTNER not in str(caught.value)


def test_a_secret_of_the_product_does_not_go_where_users_say() -> None:
    """As for app_api_key: a host that users name may not receive it."""
    fields = {"host": {"type": "string", "format": "host"}}
    entry = entry_of("https://${additional_config.host}/", connection_config={"properties": fields})
    with pytest.raises(ConfigError, match="E322") as caught, open_product(entry) as nango:
        _ = nango.configuration
    assert PARTNER not in str(caught.value)


def test_the_mode_itself_is_unchanged() -> None:
    """Other integrations of the same mode do not have the fields."""
    entry = entry_of("https://api.acme.test/")
    with open_product(entry) as nango:
        extended = mode_of(nango.configuration.integrations["shop"])
    plain = {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://a.test/"}}
    with open_product(plain) as nango:
        mode = mode_of(nango.configuration.integrations["shop"])
        with pytest.raises(CredentialsError, match="application_key"):
            nango.register_connection("shop", "u", CREDENTIALS)
    assert "application_key" in extended.variables
    assert "application_key" not in mode.variables


def test_a_short_secret_is_masked_where_it_stands() -> None:
    """Even one of four characters, which would be too short to be searched for."""
    entry = entry_of("https://api.acme.test/")
    with open_product(entry, credentials={**CREDENTIALS, "application_key": "1234"}) as nango:
        plan = nango.executor("shop", "u").plan("GET", "a")
        assert "DD-APPLICATION-KEY: ***" in str(plan)
        settings = plan.settings
    assert "1234" not in repr(settings)
    assert bind_settings(settings.integration, settings.connection).headers["dd-application-key"][1] == "1234"
