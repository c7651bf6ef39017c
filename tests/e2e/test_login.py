"""The user journey of a login, against providers whose rules are Authlib's and oauthlib's."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import CredentialsError
from nango_py.connect.login import Logins
from nango_py.connect.outcome import LoginOutcome
from nango_py.errors import ConfigError, ConnectFailed
from nango_py.protocols.oauth2_protocol import code_challenge
from tests.support.fake_clock import ManualClock
from tests.support.login_product import (
    COOKIE,
    ROOT_URL,
    a_product,
    callback_of,
    log_in,
    pending_rows,
    rows,
    stored,
)
from tests.support.oauth1_login_provider import LoginProvider1
from tests.support.oauth2_login_provider import METHODS, LoginProvider, consent
from tests.support.provider_server import ProviderResponse, query_of

if TYPE_CHECKING:
    from nango_py.engine.events import Event

SIGNATURES = ("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "PLAINTEXT")


@pytest.mark.parametrize("method", METHODS)
def test_a_user_logs_in_with_oauth_2(method: str, database_url: str) -> None:
    """From the click to a call, with each kind of client authentication, on SQLite and PostgreSQL."""
    with LoginProvider(method) as provider, a_product(provider.entry(), database_url) as nango:
        assert log_in(nango) == LoginOutcome(ok=True, integration="mail", user_id="user-1")
        response = nango.executor("mail", "user-1").get("me")
        assert (response.status_code, response.json()["user"]) == (200, "sarah")
        assert provider.exchanges() == ["granted"]
        assert provider.api_calls == [(stored(nango)["access_token"], 200)]
        assert pending_rows(nango) == 0


@pytest.mark.parametrize("method", SIGNATURES)
def test_a_user_logs_in_with_oauth_1(method: str, database_url: str) -> None:
    """Temporary credentials, consent, token credentials and a signed call, each verified by oauthlib."""
    with LoginProvider1(method) as provider, a_product(provider.entry(), database_url) as nango:
        assert log_in(nango) == LoginOutcome(ok=True, integration="mail", user_id="user-1")
        response = nango.executor("mail", "user-1").get("me?a=b c&a=%26")
        assert (response.status_code, response.json()["user"]) == (200, "sarah")
        assert [(route, outcome) for route, outcome, _ in provider.calls] == [
            ("request_token", "granted"), ("access_token", "granted"), ("api", "good"),
        ]  # fmt: skip
        nonces = [nonce for _, _, nonce in provider.calls]
        assert len(set(nonces)) == 3
        assert pending_rows(nango) == 0


def test_a_wrong_signature_is_refused() -> None:
    """The control: the provider verifies signatures."""
    with LoginProvider1("HMAC-SHA1") as provider:
        entry = {**provider.entry(), "oauth_client_secret": "not the secret"}
        with a_product(entry) as nango, pytest.raises(ConnectFailed) as caught:
            log_in(nango)
    assert caught.value.code == "exchange_failed"
    assert [outcome for _, outcome, _ in provider.calls] == ["401"]


@pytest.mark.parametrize("kind", [LoginProvider, LoginProvider1])
@pytest.mark.parametrize("denial", ["denied", "oauth_problem"])
def test_a_user_may_decline(kind: Any, denial: str) -> None:
    """Nothing is exchanged or stored; the outcome says only that access was denied."""
    with kind() as provider, a_product(provider.entry()) as nango:
        provider.denial = denial
        outcome = log_in(nango, "deny")
        assert (outcome.ok, outcome.code, outcome.user_id) == (False, "access_denied", "user-1")
        assert provider.exchanges() == []
        assert rows(nango) == []


def test_the_code_is_bound_to_a_secret_verifier() -> None:
    """PKCE: S256 of at least 43 characters, new in each login, and never in the browser's URL."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        urls = [Logins(nango.accounts).begin("mail", "user-1", browser=COOKIE) for _ in range(5)]
        for url in urls:
            Logins(nango.accounts).finish(query_of(consent(url)), COOKIE)
        verifiers = [form["code_verifier"] for _, _, form in provider.token_calls]
        challenges = [asked["code_challenge"] for asked in provider.authorizations]
        assert challenges == [code_challenge(verifier) for verifier in verifiers]
        assert {asked["code_challenge_method"] for asked in provider.authorizations} == {"S256"}
        assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)
        assert len(set(verifiers)) == 5
        assert not any(verifier in url for verifier in verifiers for url in urls)


def test_a_provider_may_require_pkce() -> None:
    """The control: with `pkce: false` the same provider sends the browser back with an error."""
    with LoginProvider() as provider, a_product(provider.entry({"pkce": False})) as nango:
        outcome = log_in(nango)
        assert (outcome.ok, outcome.code) == (False, "provider_error")
        assert "PKCE with S256 is required" in outcome.message
        assert provider.exchanges() == []


def test_the_state_has_256_random_bits() -> None:
    """43 characters of base64url, different in each login."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        states = {query_of(Logins(nango.accounts).begin("mail", "user-1"))["state"] for _ in range(200)}
    assert len(states) == 200
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", state) for state in states)


@pytest.mark.parametrize("kind", [LoginProvider, LoginProvider1])
def test_the_redirect_uri_comes_from_the_configuration(kind: Any) -> None:
    """It is made from `oauth_server_root_url`, its path included, and not from the request."""
    config = {"oauth_server_root_url": f"{ROOT_URL}/"}
    with kind() as provider, a_product(provider.entry(), config=config) as nango:
        if kind is LoginProvider:
            uri = query_of(Logins(nango.accounts).begin("mail", "user-1"))["redirect_uri"]
        else:
            with pytest.raises(ConnectFailed):  # this provider takes only callbacks to this machine
                Logins(nango.accounts).begin("mail", "user-1")
            uri = provider.callbacks[0].partition("?")[0]
    assert uri == f"{ROOT_URL}/oauth/callback"


def test_a_second_login_replaces_the_first() -> None:
    """The uuid and date stay; the tokens are new, and the connection is active again."""
    clock = ManualClock()
    with (
        LoginProvider(rotation="strict", life=10, now=clock.now) as provider,
        a_product(provider.entry(), clock=clock) as nango,
    ):
        assert log_in(nango).ok
        first, tokens = rows(nango)[0], stored(nango)
        provider.families[tokens["refresh_token"]].is_revoked = True
        clock.advance(11)
        with pytest.raises(CredentialsError):
            nango.executor("mail", "user-1").get("me")
        assert nango.store.get("mail", "user-1").status == "needs_reauth"
        assert log_in(nango).ok
        second = rows(nango)
        assert [(row["uuid"], row["date_created"]) for row in second] == [
            (first["uuid"], first["date_created"])
        ]
        assert stored(nango)["refresh_token"] != tokens["refresh_token"]
        assert nango.store.get("mail", "user-1").status == "active"
        assert nango.executor("mail", "user-1").get("me").status_code == 200


@pytest.mark.parametrize("rotation", ["none", "grace", "strict"])
def test_tokens_of_a_login_are_refreshed(rotation: str) -> None:
    """A token of ten seconds, used for two minutes: every call succeeds, and no expired token is sent."""
    clock = ManualClock()
    with (
        LoginProvider("client_secret_basic", rotation, life=10, now=clock.now) as provider,
        a_product(provider.entry(), clock=clock) as nango,
    ):
        assert log_in(nango).ok
        for _ in range(60):
            assert nango.executor("mail", "user-1").get("me").status_code == 200
            clock.advance(2)
        refreshes = [outcome for kind, outcome, _ in provider.token_calls if kind == "refresh_token"]
        assert set(refreshes) == {"granted"}
        assert 10 <= len(refreshes) <= 20
        assert {status for _, status in provider.api_calls} == {200}


@pytest.mark.parametrize(("status", "wait"), [(503, None), (429, "3"), (503, "0")])
def test_a_code_is_sent_again_if_nothing_was_exchanged(status: int, wait: str | None) -> None:
    """429 and 503 prove it; the second response is final, and no more than five seconds are waited for."""
    headers = {"Retry-After": wait} if wait else {}
    for faults, ok in ((1, True), (2, False)):
        clock = ManualClock()
        with LoginProvider() as provider, a_product(provider.entry(), clock=clock) as nango:
            provider.token_faults.extend([ProviderResponse(status, "later", headers)] * faults)
            assert log_in(nango).ok is ok
            assert len(provider.token_calls) == 2
            assert sum(clock.slept) == float(wait or 1)


def test_a_login_keeps_nothing_of_an_earlier_one() -> None:
    """A refresh token of an earlier login, perhaps of another account, is not kept beside a new token."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        nango.register_connection("mail", "user-1", {"access_token": "old", "refresh_token": "old refresh"})
        response = b'{"access_token": "new", "token_type": "Bearer"}'
        callback = callback_of(nango)
        provider.token_faults.append(_response(response))
        assert Logins(nango.accounts).finish(callback, COOKIE).ok
        found = stored(nango)
        assert found["access_token"] == "new"
        assert "refresh_token" not in found


def _response(body: bytes) -> Any:
    from tests.support.provider_server import ProviderResponse

    return ProviderResponse(200, body, {"Content-Type": "application/json"})


def test_missing_scopes_are_reported() -> None:
    """The user unticked one; the connection is stored, and the outcome and the log name the scope."""
    with LoginProvider(grants=("things.read",)) as provider, a_product(provider.entry()) as nango:
        outcome = log_in(nango)
        assert outcome.ok
        assert outcome.missing_scopes == ("things.write",)
    aliases = {"scope_aliases": {"things.write": "things.read"}}
    with LoginProvider(grants=("things.read",)) as provider, a_product(provider.entry(aliases)) as nango:
        assert log_in(nango).missing_scopes == ()


def test_an_outcome_can_be_looked_up() -> None:
    """By session and attempt, for pages that lost the window: first nothing, then the outcome."""
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        logins = Logins(nango.accounts)
        callback = callback_of(nango, session_id="s1", attempt="a1")
        assert logins.find_outcome("s1", "a1") is None
        outcome = logins.finish(callback, COOKIE)
        assert logins.find_outcome("s1", "a1") == outcome
        assert outcome.attempt == "a1"
        assert logins.find_outcome("s1", "a1") == outcome
        assert logins.find_outcome("s2", "a1") is None
        assert logins.find_outcome("s1", "a2") is None
        refused = logins.finish(callback_of(nango, "deny", session_id="s1", attempt="a3"), COOKIE)
        assert logins.find_outcome("s1", "a3") == refused


def test_a_login_that_cannot_start_has_an_outcome() -> None:
    """The waiting page receives it even if the popup shows nothing."""
    with LoginProvider() as provider:
        entry = provider.entry({"authorization_url": f"{provider.url}/${{additional_config.tenant}}"})
        schema = {"type": "object", "required": ["tenant"], "properties": {"tenant": {"type": "string"}}}
        with a_product({**entry, "connection_config": schema}) as nango:
            with pytest.raises(ConnectFailed) as caught:
                Logins(nango.accounts).begin("mail", "user-1", session_id="s1", attempt="a1")
            found = Logins(nango.accounts).find_outcome("s1", "a1")
    assert (caught.value.code, list(caught.value.fields)) == ("invalid_credentials", ["tenant"])
    assert found is not None
    assert (found.ok, found.code) == (False, "invalid_credentials")


def test_details_for_developers_are_in_the_cause(caplog: pytest.LogCaptureFixture) -> None:
    """A template without a value: the user gets a code, the log and the cause name the setting."""
    auth = {"authorization_params": {"tenant": "${additional_config.tenant}"}}
    with LoginProvider() as provider, a_product(provider.entry(auth)) as nango:
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).begin("mail", "user-1")
        assert pending_rows(nango) == 0
    assert (caught.value.code, caught.value.status) == ("misconfigured", 500)
    assert "tenant" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ConfigError)
    assert "authorization_params.tenant" in str(caught.value.__cause__)
    assert any("authorization_params.tenant" in record.getMessage() for record in caplog.records)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    "entry",
    [
        {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_url": "https://api.example.test/"}},
        {
            "auth": {
                "auth_mode": "OAUTH2",
                "authorization_url": "https://id.example.test/authorize",
                "token_url": "https://id.example.test/token",
                "token_params": {"grant_type": "client_credentials"},
            },
            "oauth_client_id": "id",
            "oauth_client_secret": "secret",
            "requests": {"base_url": "https://api.example.test/"},
        },
    ],
)
def test_integrations_without_a_browser_login_are_refused(entry: dict[str, Any]) -> None:
    """Keys are entered in a form, and tokens of the application need no user."""
    with a_product(entry) as nango, pytest.raises(ConnectFailed) as caught:
        Logins(nango.accounts).begin("mail", "user-1")
    assert caught.value.code == "not_allowed"


def test_unknown_integrations_and_origins_are_refused() -> None:
    """Only declared integrations and configured origins can start a login."""
    config = {"oauth_server_root_url": ROOT_URL, "connect_origins": ["https://app.example.test"]}
    with LoginProvider() as provider, a_product(provider.entry(), config=config) as nango:
        logins = Logins(nango.accounts)
        for origin in ("", "https://app.example.test", "https://connect.example.test"):
            assert logins.begin("mail", "user-1", origin=origin)
        for name, origin, code in (
            ("mial", "", "unknown_integration"), ("mail", "https://evil.example.test", "not_allowed"),
        ):  # fmt: skip
            with pytest.raises(ConnectFailed) as caught:
                logins.begin(name, "user-1", origin=origin)
            assert caught.value.code == code


def test_settings_come_from_the_user_and_the_provider() -> None:
    """User settings are validated first, then those of the callback and the token response."""
    auth = {"keep_from_callback": ["iss"], "keep_from_response": {"kind": "token_type"}}
    schema = {
        "type": "object",
        "required": ["tenant", "iss", "kind"],
        "properties": {
            "tenant": {"type": "string", "pattern": "^[a-z]+$"},
            "iss": {"type": "string"},
            "kind": {"type": "string", "enum": ["Bearer"]},
        },
        "additionalProperties": False,
    }
    with (
        LoginProvider() as provider,
        a_product({**provider.entry(auth), "connection_config": schema}) as nango,
    ):
        for wrong, field in (({}, "tenant"), ({"tenant": "A1"}, "tenant"), ({"tenant": "a", "x": 1}, "x")):
            with pytest.raises(ConnectFailed) as caught:
                Logins(nango.accounts).begin("mail", "user-1", additional_config=wrong)
            assert (caught.value.code, list(caught.value.fields)) == ("invalid_credentials", [field])
        # What the provider reports cannot come from the user.
        asked = {"tenant": "acme", "kind": "MAC"}
        assert log_in(nango, additional_config=asked).ok
        assert rows(nango)[0]["additional_config"] == {
            "tenant": "acme", "iss": provider.url, "kind": "Bearer",
        }  # fmt: skip
        callback = callback_of(nango, additional_config=asked)
        provider.token_faults.append(_response(b'{"access_token": "new"}'))
        outcome = Logins(nango.accounts).finish(callback, COOKIE)
        assert (outcome.ok, outcome.code) == (False, "exchange_failed")
        assert stored(nango)["access_token"] != "new"


@pytest.mark.parametrize("shop", ["evil.example#", "a.b", "x@evil", "127.0.0.1", "acme/", "", " ", "a" * 64])
def test_a_users_setting_cannot_redirect_the_login(shop: str) -> None:
    """The hosts of login pages and token endpoints follow the rules of every other URL."""
    entry = {
        "auth": {
            "auth_mode": "OAUTH2",
            "authorization_url": "https://${additional_config.shop}.shop.example/authorize",
            "token_url": "https://${additional_config.shop}.shop.example/token",
        },
        "oauth_client_id": "id",
        "oauth_client_secret": "secret",
        "requests": {"base_url": "https://${additional_config.shop}.shop.example/"},
    }
    with a_product(entry) as nango:
        with pytest.raises(ConnectFailed) as caught:
            Logins(nango.accounts).begin("mail", "user-1", additional_config={"shop": shop})
        assert caught.value.code == "invalid_credentials"
        url = Logins(nango.accounts).begin("mail", "user-1", additional_config={"shop": "acme"})
        assert url.startswith("https://acme.shop.example/authorize?")


@pytest.mark.parametrize("kind", [LoginProvider, LoginProvider1])
def test_concurrent_logins_are_not_mixed_up(kind: Any, database_url: str) -> None:
    """24 users log in concurrently: each connection belongs to the user who consented."""
    with kind() as provider, a_product(provider.entry(), database_url) as nango:

        def whole(number: int) -> tuple[str, str]:
            user = f"user-{number}"
            url = Logins(nango.accounts).begin(
                "mail", user, browser=f"cookie {number}", session_id=f"s{number}"
            )
            callback = query_of(consent(url, user=f"account-{number}"))
            assert Logins(nango.accounts).finish(callback, f"cookie {number}").ok
            return user, nango.executor("mail", user).get("me").json()["user"]

        with ThreadPoolExecutor(12) as threads:
            seen = dict(threads.map(whole, range(24)))
        assert seen == {f"user-{number}": f"account-{number}" for number in range(24)}
        assert len(rows(nango)) == 24
        assert pending_rows(nango) == 0


def test_each_login_is_logged_and_emitted(caplog: pytest.LogCaptureFixture) -> None:
    """One event and one log record per login; an unknown state is only logged."""
    heard: list[Event] = []
    with LoginProvider() as provider, a_product(provider.entry()) as nango:
        nango.on("connected", heard.append)
        nango.on("connect_failed", heard.append)
        with caplog.at_level(logging.INFO):
            log_in(nango)
            log_in(nango, "deny")
            with pytest.raises(ConnectFailed):
                Logins(nango.accounts).finish({"state": "x"}, COOKIE)
    assert [(event.kind, event.user_id) for event in heard] == [
        ("connected", "user-1"), ("connect_failed", "user-1"),
    ]  # fmt: skip
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "mail user-1 connected"
    assert lines[1].startswith("mail user-1 connect_failed: access_denied (")
    assert lines[2:] == ["connect_failed: state_invalid (no login expects this callback)"]
