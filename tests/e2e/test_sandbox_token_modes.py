"""The token endpoints and signatures of the sandbox for each auth mode."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import requests

from nango_py import ConnectFailed, Sandbox
from nango_py.registry import AUTH_MODES
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_logins import MAIL, begin, key_for, log_in, open_nango, product, rsa_pem

TOKEN_URL = "https://login.mail.test/token"
ALGORITHMS = ("RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256", "HS512")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("mode", ["OAUTH2_JWT", "JWT"])
def test_signed_tokens_are_verified(mode: str, algorithm: str) -> None:
    """The signature names the user; another key is refused."""
    key = key_for(algorithm)
    part = {"algorithm": algorithm, "payload": {"iss": "robot"}}
    if mode == "JWT":
        auth: dict[str, Any] = {"auth_mode": mode, "jwt": part}
        headers = {"Authorization": "Bearer ${token}"}
    else:
        auth = {"auth_mode": mode, "token_url": TOKEN_URL, "assertion": part}
        headers = {"Authorization": "Bearer ${access_token}"}
    settings = {
        "auth": auth,
        "requests": {**MAIL["requests"], "headers": headers},
        "verification": {"path": "me"},
    }
    users = {"ada": {"private_key": key}}
    with product(settings, sandbox={"credentials": users}) as (nango, api):
        nango.register_connection("it", "ada", users["ada"])
        assert nango.executor("it", "ada").get("me").status_code == 200
        assert api.ledger.received[-1].user == "ada"
        nango.register_connection("it", "eve", {"private_key": key_for(algorithm, "another")})
        assert nango.executor("it", "eve").verify().outcome in {"refused", "unavailable"}
        assert api.ledger.count(path="me", status=200) == 1


def test_client_credentials_name_the_user() -> None:
    """Each user's own id and secret get a token; wrong ones are refused, sync and async."""
    settings = {
        "auth": {"auth_mode": "OAUTH2_CC", "token_url": TOKEN_URL, "authorization_method": "header"},
        "requests": MAIL["requests"],
        "verification": {"path": "me"},
    }  # fmt: skip
    users = {
        name: {"client_id": f"id_{name}", "client_secret": f"secret:of {name}"} for name in ("ada", "bob")
    }
    with product(settings, sandbox={"credentials": users}) as (nango, api):
        for name, given in users.items():
            nango.register_connection("it", name, given)
        nango.executor("it", "ada").get("me")
        asyncio.run(nango.async_executor("it", "bob").get("me"))
        assert [received.user for received in api.ledger.received] == ["ada", "bob"]
        nango.register_connection("it", "eve", {"client_id": "id_ada", "client_secret": "wrong"})
        assert nango.executor("it", "eve").verify().outcome == "refused"


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT", "RSA-SHA1"])
def test_oauth1_signatures_are_verified(method: str) -> None:
    """Logins and calls are signed; another secret of application or user is refused."""
    secret = rsa_pem() if method == "RSA-SHA1" else "app secret &+"
    settings: dict[str, Any] = {
        "auth": {
            "auth_mode": "OAUTH1",
            "request_url": "https://login.mail.test/request",
            "authorization_url": "https://login.mail.test/authorize",
            "token_url": "https://login.mail.test/token",
            "signature_method": method,
        },
        "requests": {"base_url": "https://api.mail.test/v1/"},
        "oauth_client_id": "app",
        "oauth_client_secret": secret,
    }
    with product(settings) as (nango, api):
        assert log_in(nango, api).ok
        executor = nango.executor("it", "ada")
        assert executor.get("a b", params={"x": "1 ä&"}).status_code == 200
        assert executor.post("form", data={"f": "g h", "é": "~"}).status_code == 200
        assert {received.user for received in api.ledger.received} == {"ada"}
        token = nango.store.get("it", "ada").credentials["oauth_token"].reveal()
        nango.register_connection("it", "eve", {"oauth_token": token, "oauth_token_secret": "wrong"})
        expected = 200 if method == "RSA-SHA1" else 401  # an RSA signature does not cover the token's secret
        assert nango.executor("it", "eve").get("me").status_code == expected
        other = {**settings, "oauth_client_secret": rsa_pem("other") if method == "RSA-SHA1" else "other"}
        with open_nango(other, overrides={"it": api.overrides}) as stranger, pytest.raises(ConnectFailed):
            begin(stranger)


TWO_STEP: dict[str, Any] = {
    "auth": {
        "auth_mode": "TWO_STEP",
        "token_url": "https://login.mail.test/session",
        "token_params": {"user": "${username}", "password": "${password}"},
        "additional_steps": [
            {"token_url": "https://login.mail.test/token", "token_params": {"session": "${raw.session.id}"}},
        ],
        "refresh_step": {"token_url": TOKEN_URL, "token_params": {"token": "${refresh_token}"}},
        "token_response": {
            "token": "data.token", "refresh_token": "data.refresh", "token_expiration": "data.until",
            "token_expiration_strategy": "expireAt",
        },
    },
    "requests": {**MAIL["requests"], "headers": {"X-Token": "${token}"}},
    "verification": {"path": "me"},
}  # fmt: skip


def test_login_calls_of_several_steps() -> None:
    """User name and password name the user; the token is refreshed by its own step."""
    clock = ManualClock()
    users = {name: {"username": name, "password": f"pass {name}"} for name in ("ada", "bob")}
    with product(TWO_STEP, clock=clock, sandbox={"credentials": users}) as (nango, api):
        for name, given in users.items():
            nango.register_connection("it", name, given)
            assert nango.executor("it", name).get("me").status_code == 200
        assert [received.user for received in api.ledger.received] == ["ada", "bob"]
        assert [received.endpoint for received in api.login_ledger.received] == ["login"] * 4
        clock.sleep(3590)
        assert nango.executor("it", "ada").get("me").status_code == 200
        assert api.login_ledger.received[-1].endpoint == "refresh"
        nango.register_connection("it", "eve", {"username": "ada", "password": "wrong"})
        assert nango.executor("it", "eve").verify().outcome == "refused"


@pytest.mark.parametrize("mode", AUTH_MODES.names())
def test_a_sandbox_starts_for_every_mode(mode: str) -> None:
    """Also for users who have no token yet, and for modes that make or fetch tokens."""
    kind = AUTH_MODES.get(mode)
    settings = {
        "auth": {"auth_mode": mode, **dict.fromkeys(kind.required_settings, "https://login.mail.test/x")},
        "requests": {
            "base_url": "https://api.mail.test/v1/",
            "headers": {"X-Key": "".join(f"${{{name}}}" for name in kind.secret_variables[:2])},
        },
    }
    given = {name: value for name, value in kind.example_credentials.items() if "token" not in name}
    with Sandbox(settings, credentials={"ada": given, "bob": {}}) as api:
        api.accept("eve", kind.example_credentials)
        api.revoke("ada")
        assert requests.get(api.base_url + "x", timeout=5).status_code in {401, 404}
        assert isinstance(api.overrides, dict)
