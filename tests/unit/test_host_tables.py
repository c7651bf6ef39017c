"""`hosts`: hosts of the file, of which a value of the connection chooses one, and never another."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import ConfigError, Nango, NangoError
from nango_py.config.urls.host_tables import chosen_hosts
from nango_py.engine.bound_settings import bind_settings
from nango_py.tokens.token_requests import token_context
from tests.support.both_executors import open_product
from tests.support.made_values import a_connection

REGION = {"type": "string", "enum": ["us", "eu"]}
TABLE = {"by": "additional_config.region", "us": "api.acme.test", "eu": "api.eu.acme.test:8443"}
ENTRY: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "hosts": {"api": TABLE},
    "requests": {
        "base_url": "https://${hosts.api}/v1/",
        "bases": {"files": "https://${hosts.api}/files/"},
        "headers": {"Authorization": "Bearer ${api_key}"},
    },
    "connection_config": {"required": ["region"], "properties": {"region": REGION}},
}
KEY = {"api_key": "key_test_12345678"}


def with_table(table: Any, **properties: Any) -> dict[str, Any]:
    """The integration with another table, and other fields."""
    fields = {"region": REGION, **properties}
    return {**ENTRY, "hosts": {"api": table}, "connection_config": {"properties": fields}}


@pytest.mark.parametrize(("region", "host"), [("us", "api.acme.test"), ("eu", "api.eu.acme.test:8443")])
def test_a_value_chooses_a_host(region: str, host: str) -> None:
    """In the base URL and in other bases; no guard is needed, because the file names the host."""
    with open_product(ENTRY, credentials=KEY, additional_config={"region": region}) as nango:
        executor = nango.executor("shop", "u")
        assert executor.plan("GET", "orders").url == f"https://{host}/v1/orders"
        assert executor.at("files").plan("GET", "a").url == f"https://{host}/files/a"
        assert executor.plan("GET", "orders").settings.guard is None


HOSTILE = [
    "evil.test",
    "by",
    "",
    "us ",
    "US",
    "us/eu",
    "api.acme.test",
    "eu.acme.test#",
    "../us",
    "\x00",
    "us,eu",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_other_value_chooses_anything(value: str) -> None:
    """It is refused at registration; one that was stored earlier renders nothing, and is not shown."""
    with open_product(ENTRY) as nango:
        with pytest.raises(NangoError, match="E317"):
            nango.register_connection("shop", "u", KEY, {"region": value})
        integration = nango.configuration.integrations["shop"]
    with pytest.raises(ConfigError) as caught:
        bind_settings(integration, a_connection(KEY, additional_config={"region": value}))
    (problem,) = caught.value.problems
    assert problem.code == "E305"
    assert "us, eu" in problem.what
    assert len(value) < 4 or value not in str(caught.value)


@pytest.mark.parametrize("value", [None, 1, ["us", "eu"], [], {"us": 1}])
def test_values_of_other_types_choose_nothing(value: Any) -> None:
    """A number, several values, or a mapping."""
    found = chosen_hosts({"api": TABLE}, {"additional_config": {"region": value}})
    assert not isinstance(found["api"], str)
    # The control: the same with a value of the table.
    assert chosen_hosts({"api": TABLE}, {"additional_config": {"region": "us"}}) == {"api": "api.acme.test"}


def test_a_default_chooses_for_older_connections() -> None:
    """The default of a required field is used by connections that are older than the field."""
    entry = {
        **ENTRY,
        "connection_config": {"required": ["region"], "properties": {"region": {**REGION, "default": "eu"}}},
    }
    with open_product(entry, credentials=KEY) as nango:
        assert nango.executor("shop", "u").base_url == "https://api.eu.acme.test:8443/v1/"


def test_a_flag_chooses_between_twins() -> None:
    """A sandbox and a production host by a boolean."""
    table = {"by": "additional_config.sandbox", "true": "sandbox.acme.test", "false": "api.acme.test"}
    entry = with_table(table, sandbox={"type": "boolean"})
    for flag, host in ((True, "sandbox.acme.test"), (False, "api.acme.test")):
        with open_product(entry, credentials=KEY, additional_config={"sandbox": flag}) as nango:
            assert nango.executor("shop", "u").base_url == f"https://{host}/v1/"


def test_token_requests_and_the_token_response_choose_hosts() -> None:
    """URLs of `auth` have tables too, and a value of the token response may choose."""
    tables = {
        "login": {"by": "additional_config.region", "us": "login.acme.test", "eu": "login.eu.acme.test"},
        "api": {"by": "raw.api.domain", "www.acme.test": "api.acme.test", "eu": "api.eu.acme.test"},
    }
    auth = {"auth_mode": "OAUTH2_CC", "token_url": "https://${hosts.login}/token"}
    headers = {"Authorization": "Bearer ${access_token}"}
    entry = {**ENTRY, "hosts": tables, "auth": auth, "requests": {**ENTRY["requests"], "headers": headers}}
    credentials = {"client_id": "i", "client_secret": "s", "raw": {"api": {"domain": "www.acme.test"}}}
    with open_product(entry) as nango:
        integration = nango.configuration.integrations["shop"]
    connection = a_connection({**credentials, "access_token": "t"}, additional_config={"region": "eu"})
    assert token_context(integration, connection, 0.0).url("token_url") == "https://login.eu.acme.test/token"
    assert bind_settings(integration, connection).base_url == "https://api.acme.test/v1/"


@pytest.mark.parametrize("url", ["https://a.${hosts.api}/", "https://${hosts.api}.test/", "${hosts.api}/"])
def test_a_table_gives_the_whole_host(url: str) -> None:
    """A part of a host from a table is an error at load."""
    entry = {**ENTRY, "requests": {**ENTRY["requests"], "base_url": url}}
    with pytest.raises(ConfigError, match="E304"):
        _ = Nango({"shop": entry}, environ={}).configuration


def test_secrets_of_the_product_may_go_to_a_table() -> None:
    """The file lists the hosts; the control is a host that users name, which is refused."""
    headers = {"Authorization": "Bearer ${api_key}", "X-App": "${app_api_key}"}
    entry = {**ENTRY, "app_api_key": "app_test_1234", "requests": {**ENTRY["requests"], "headers": headers}}
    with open_product(entry) as nango:
        assert "shop" in nango.configuration.integrations
    fields = {"region": REGION, "host": {"type": "string", "format": "host"}}
    entry["requests"] = {**entry["requests"], "base_url": "https://${additional_config.host}/"}
    entry["connection_config"] = {"properties": fields}
    with pytest.raises(ConfigError, match="E322"):
        _ = Nango({"shop": entry}, environ={}).configuration
