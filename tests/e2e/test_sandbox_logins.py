"""Logins against the sandbox: its pages and token endpoints behave as the blueprint says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
import requests

from nango_py import CredentialsError, Sandbox
from nango_py.connect.local_browser import log_in as log_in_here
from nango_py.connect.login import Logins
from nango_py.sandbox import FaultPlan, TokenRules
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_logins import (
    APP,
    MAIL,
    begin,
    finish,
    log_in,
    open_nango,
    product,
    rsa_pem,
)

if TYPE_CHECKING:
    from nango_py import Nango


BEARER = MAIL["requests"]["headers"]


def test_the_page_asks_and_redirects() -> None:
    """A browser gets a page without scripts; Allow and Decline lead to the callback."""
    with product({**MAIL, "title": "Mail <b>", "oauth_scopes": ["read", "write"]}) as (nango, api):
        url = begin(nango)
        page = requests.get(url, timeout=5)
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
        for part in ("Log in to Mail &lt;b&gt;", "<li>read</li><li>write</li>", "<script"):
            assert (part in page.text) == (part != "<script")
        agreed = requests.post(
            url, data={"decision": "approve", "user": "ada"}, allow_redirects=False, timeout=5
        )
        assert agreed.status_code == 302
        assert finish(nango, agreed.headers["Location"]).ok
        assert nango.executor("it", "ada").verify().outcome == "accepted"
        assert api.ledger.received[0].user == "ada"
        odd = quote("http://x.test/\u6f22\r\nSet-Cookie: a=b", safe="")
        elsewhere = re.sub("redirect_uri=[^&]*", f"redirect_uri={odd}", begin(nango))
        sent = requests.post(elsewhere, data={"decision": "deny"}, allow_redirects=False, timeout=5)
        assert sent.headers["Location"].startswith("http://x.test/%E6%BC%A2%0D%0ASet-Cookie:%20a=b?error=")
        assert "Set-Cookie" not in sent.headers
        declined = requests.post(begin(nango), data={"decision": "deny"}, allow_redirects=False, timeout=5)
        assert finish(nango, declined.headers["Location"]).code == "access_denied"
        assert finish(nango, api.decline(begin(nango))).code == "access_denied"


def test_only_the_users_of_the_sandbox_can_log_in() -> None:
    """The page offers the users, and their own tokens stay valid."""
    users = {"ada": {"access_token": "own_token"}, "bob": {}}
    with product(MAIL, sandbox={"credentials": users}) as (nango, api):
        page = requests.get(begin(nango), timeout=5).text
        assert "<option>ada</option><option>bob</option>" in page
        assert log_in(nango, api, "bob").ok
        nango.register_connection("it", "other", {"access_token": "own_token"})
        for name in ("bob", "other"):
            nango.executor("it", name).get("me")
        assert [received.user for received in api.ledger.received] == ["bob", "ada"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"redirect_uri": ""}, "redirect_uri"),
        ({"client_id": "other"}, "client_id"),
        ({"code_challenge_method": "plain"}, "challenge"),
        ({"response_type": "token"}, "response_type"),
    ],
)
def test_a_wrong_authorization_request_gets_no_callback(changes: dict[str, str], problem: str) -> None:
    """The page shows the reason, and `log_in` raises it."""
    with product(MAIL) as (nango, api):
        head, _, query = begin(nango).partition("?")
        url = requests.Request("GET", head, params={**dict(parse_qsl(query)), **changes}).prepare().url
        assert url is not None
        page = requests.get(url, timeout=5)
        assert (page.status_code, problem in page.text) == (400, True)
        with pytest.raises(ValueError, match=problem):
            api.log_in(url)


def exchange(api: Sandbox, **changes: str) -> requests.Response:
    """A token request with some parameters changed; None removes one."""
    params = {
        "grant_type": "authorization_code",
        "redirect_uri": "http://localhost:3003/oauth/callback",
        "client_id": APP["oauth_client_id"],
        "client_secret": APP["oauth_client_secret"],
        **changes,
    }
    found: Any = api.overrides["auth"]
    return requests.post(found["token_url"], data={k: v for k, v in params.items() if v}, timeout=5)


PLAIN = {**MAIL, "auth": {**MAIL["auth"], "pkce": False}}


def code_of(nango: Nango, api: Sandbox) -> str:
    """The code of a new login."""
    return dict(parse_qsl(urlsplit(api.log_in(begin(nango), "ada")).query))["code"]


def test_a_code_is_valid_once_and_its_second_use_ends_the_grant() -> None:
    """The tokens of the first use are revoked by the second (RFC 6749 4.1.2)."""
    with product(PLAIN) as (nango, api):
        code = code_of(nango, api)
        first = exchange(api, code=code).json()
        assert exchange(api, code=code).json()["error"] == "invalid_grant"
        refreshed = exchange(api, grant_type="refresh_token", refresh_token=first["refresh_token"])
        assert refreshed.json()["error"] == "invalid_grant"
        nango.register_connection("it", "late", {"access_token": first["access_token"]})
        assert nango.executor("it", "late").verify().outcome == "refused"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code": "made_up"}, 400, "invalid_grant"),
        ({"redirect_uri": "http://localhost:3003/other"}, 400, "invalid_grant"),
        ({"code_verifier": "unexpected"}, 400, "invalid_grant"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"refresh_token": "made_up"}, 400, "invalid_grant"),
    ],
)
def test_a_wrong_token_request_is_refused(changes: dict[str, str], status: int, error: str) -> None:
    """With the status and code of RFC 6749; the control is the same request unchanged."""
    with product(PLAIN) as (nango, api):
        code = code_of(nango, api)
        refused = exchange(api, **{"code": code, **changes})
        assert (refused.status_code, refused.json()["error"]) == (status, error)
        assert exchange(api, code=code_of(nango, api)).status_code == 200


@pytest.mark.parametrize("method", ["header", "body", "none", "private_key_jwt"])
@pytest.mark.parametrize("other", ["header", "body"])
def test_the_client_is_only_read_from_its_place(method: str, other: str) -> None:
    """A client that sends its secret elsewhere is refused."""
    secret = rsa_pem() if method == "private_key_jwt" else APP["oauth_client_secret"]
    settings = {**MAIL, "oauth_client_secret": secret}
    served = {**settings, "auth": {**MAIL["auth"], "authorization_method": method}}
    with Sandbox(served, strict=False) as api:
        for used in {method, other} if method != "none" else {method}:
            client = {**settings, "auth": {**MAIL["auth"], "authorization_method": used}}
            with open_nango(client, overrides={"it": api.overrides}) as nango:
                assert log_in(nango, api).ok == (used == method)


def test_pkce_is_checked() -> None:
    """A verifier of another login is refused."""
    with product(MAIL) as (nango, api):
        first, second = begin(nango), begin(nango)
        callback = dict(parse_qsl(urlsplit(api.log_in(first, "ada")).query))
        callback["state"] = dict(parse_qsl(urlsplit(second).query))["state"]
        outcome = Logins(nango.accounts).finish(callback, "")
        assert (outcome.ok, outcome.code) == (False, "exchange_failed")


def test_tokens_expire_and_refresh_tokens_rotate() -> None:
    """An hour later a call refreshes; a replaced refresh token ends the grant."""
    clock = ManualClock()
    with product(MAIL, clock=clock, sandbox={"tokens": TokenRules(lifetime_seconds=3600)}) as (nango, api):
        assert log_in(nango, api).ok
        executor = nango.executor("it", "ada")
        assert executor.get("me").status_code == 200
        assert len(api.login_ledger) == 1
        clock.sleep(3500)
        assert executor.get("me").status_code == 200
        assert len(api.login_ledger) == 2
        clock.sleep(4000)
        assert executor.get("me").status_code == 200
        replaced = dict(parse_qsl(api.login_ledger.received[1].body.decode()))["refresh_token"]
        assert exchange(api, grant_type="refresh_token", refresh_token=replaced).status_code == 400
        clock.sleep(4000)
        with pytest.raises(CredentialsError):
            executor.get("me", raise_for_error=True)


@pytest.mark.parametrize(
    ("rules", "statuses"),
    [
        (TokenRules(rotates=False), [200, 200, 200]),
        (TokenRules(grace_seconds=30), [200, 200, 400]),
        (TokenRules(), [200, 400, 400]),
        (TokenRules(refresh_lifetime_seconds=5, rotates=False), [200, 200, 400]),
    ],
)
def test_rotation_has_rules(rules: TokenRules, statuses: list[int]) -> None:
    """The same refresh token is used three times, the last time after a minute."""
    clock = ManualClock()
    with product(PLAIN, clock=clock, sandbox={"tokens": rules}) as (nango, api):
        token = exchange(api, code=code_of(nango, api)).json()["refresh_token"]
        found = []
        for pause in (0, 0, 60):
            clock.sleep(pause)
            found.append(exchange(api, grant_type="refresh_token", refresh_token=token).status_code)
    assert found == statuses


def test_tokens_may_live_without_end() -> None:
    """With a lifetime of zero there is no expiry and no refresh token."""
    with product(PLAIN, sandbox={"tokens": TokenRules(lifetime_seconds=0)}) as (nango, api):
        found = exchange(api, code=code_of(nango, api)).json()
    assert found.keys() == {"access_token", "token_type"}


def test_a_deleted_connection_is_revoked() -> None:
    """The revocation endpoint withdraws the tokens, and refuses an unknown client."""
    with product(MAIL) as (nango, api):
        assert log_in(nango, api).ok
        token = nango.store.get("it", "ada").credentials["access_token"]
        nango.delete_connection("it", "ada")
        assert {received.endpoint for received in api.login_ledger.received} >= {"revoke"}
        nango.register_connection("it", "ada", {"access_token": token.reveal()})
        assert nango.executor("it", "ada").verify().outcome == "refused"


def test_the_token_response_has_what_the_blueprint_reads() -> None:
    """Nested tokens, lifetimes in minutes, kept values and `raw` members are where the blueprint looks."""
    auth = {
        **MAIL["auth"],
        "token_path": "authed_user.access_token",
        "expires_in_path": "authed_user.minutes",
        "expires_in_unit": "minutes",
        "keep_from_response": {"site": "team.site", "region": "region"},
        "keep_from_callback": ["shop"],
    }
    settings = {
        **MAIL,
        "auth": auth,
        "account": "raw.team.name",
        "requests": {**MAIL["requests"], "headers": {**BEARER, "X-Team": "${raw.team.id}"}},
        "connection_config": {
            "type": "object",
            "required": ["region", "site", "shop"],
            "properties": {
                "region": {"type": "string", "enum": ["eu", "us"]},
                "site": {"type": "string", "format": "origin"},
                "shop": {"type": "string", "default": "acme"},
            },
        },
    }  # fmt: skip
    with product(settings) as (nango, api):
        assert log_in(nango, api).ok
        assert nango.connection("it", "ada")["additional_config"] == {
            "region": "eu", "site": "https://sandbox.example.com", "shop": "acme",
        }  # fmt: skip
        stored = nango.store.get("it", "ada").credentials
        assert 3500 < float(stored["expires_at"]) - nango.services.clock.now() <= 3600
        nango.executor("it", "ada").get("me")
        assert api.ledger.received[-1].headers["x-team"] == "sandbox"


def test_an_ended_grant_is_refused_in_the_provider_s_words() -> None:
    """The refusal is the one that the blueprint declares under `grant_ended`."""
    ended = [
        {"status": 403, "json": {"path": "problem.code", "equals": 17}, "body_contains": "gone for good"}
    ]
    settings = {**PLAIN, "auth": {**PLAIN["auth"], "grant_ended": ended}}
    with product(settings) as (nango, api):
        refused = exchange(api, grant_type="refresh_token", refresh_token="made_up")
        assert (refused.status_code, refused.json()["problem"]) == (403, {"code": 17})
        assert log_in(nango, api).ok
        api.revoke("ada")
        with pytest.raises(CredentialsError):
            nango.executor("it", "ada").get("me", raise_for_error=True)


def test_a_login_by_the_command_line() -> None:
    """The listener of `nango connections connect` receives the callback of the sandbox."""
    with product(MAIL) as (nango, api):

        def open_browser(url: str) -> None:
            assert requests.get(api.log_in(url, "ada"), timeout=5).status_code == 200

        redirect = "http://127.0.0.1:0/oauth/callback"
        outcome = log_in_here(nango.accounts, "it", "ada", show=open_browser, redirect_url=redirect)
        assert outcome is not None
        assert outcome.ok
        assert nango.executor("it", "ada").verify().outcome == "accepted"


FLOW: dict[str, Any] = {
    **MAIL,
    "auth": {
        **MAIL["auth"],
        "client_id_param": "client_key",
        "callback_params": {"code": "auth_code"},
        "pushed_authorization_url": "https://login.mail.test/par",
        "keep_from_callback": {"shop": "shop_id"},
        "refresh_token_lifetime_seconds": 86400,
        "pkce": "required",
        "revocation": {
            "method": "DELETE",
            "url": "https://login.mail.test/grants",
            "headers": {"X-Token": "${access_token}"},
        },
        "after_login": [
            {
                "url": "https://login.mail.test/sites?all=1",
                "choose": {"from": "sites[?kind=='cloud']", "label": "name", "title": "Site"},
                "keep": {"site": "id"},
            },
            {"method": "POST", "url": "https://login.mail.test/me", "json": {}, "keep": {"me": "user.id"}},
        ],
    },
}  # fmt: skip
del FLOW["auth"]["revocation_url"]


def test_the_quirks_of_a_login_are_those_of_the_blueprint() -> None:
    """Renamed parameters, pushed parameters, kept values, requests after the login and an own revocation."""
    clock = ManualClock()
    with product(FLOW, clock=clock) as (nango, api):
        url = begin(nango)
        assert "request_uri=" in url
        assert "redirect_uri=" not in url
        callback = api.log_in(url, "ada")
        assert "auth_code=code_" in callback
        assert finish(nango, callback).ok
        config = nango.connection("it", "ada")["additional_config"]
        assert config == {"shop": "sandbox", "site": "sandbox", "me": "sandbox"}
        seen = [received.endpoint for received in api.login_ledger.received]
        assert seen == ["par", "token", "account", "account"]
        nango.delete_connection("it", "ada")
        assert api.login_ledger.received[-1].method == "DELETE"
        assert finish(nango, api.log_in(begin(nango), "ada")).ok
        clock.sleep(90_000)
        with pytest.raises(CredentialsError):
            nango.executor("it", "ada").get("me", raise_for_error=True)


def test_a_login_has_several_accounts() -> None:
    """The user has to choose one of them."""
    with product(FLOW, sandbox={"accounts": 3}) as (nango, api):
        outcome = finish(nango, api.log_in(begin(nango), "ada"))
        assert outcome.choice is not None
        assert [each.label for each in outcome.choice.candidates] == [
            f"Sandbox account {number}" for number in (1, 2, 3)
        ]
        token = {"Authorization": "Bearer made_up"}
        steps: Any = api.overrides["auth"]
        assert requests.get(steps["after_login"][0]["url"], headers=token, timeout=5).status_code == 401


def test_a_token_endpoint_has_faults_of_its_path_only() -> None:
    """Its faults do not use up those of calls, and a lost response has spent the refresh token."""
    faults = FaultPlan.script([503], by_path={"_sandbox/token": [None, 503, "reset_after"]})
    with product(MAIL, sandbox={"faults": faults}) as (nango, api):
        assert log_in(nango, api).ok
        assert nango.executor("it", "ada").get("me").status_code == 200
        api.expire_tokens()
        nango.executor("it", "ada").get("me")
        assert [received.status for received in api.ledger.received][:2] == [503, 200]
        found = [(received.fault, received.status) for received in api.login_ledger.received]
        assert found[:2] == [("", 200), ("503", 503)]
        assert found[-1][0] in {"", "reset_after"}
