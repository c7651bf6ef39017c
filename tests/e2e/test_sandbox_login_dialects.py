"""The sandbox of blueprints with special logins: look-ups, renamed parameters, pushes, codes, revocation."""

from __future__ import annotations

from typing import Any

import pytest

from nango_py import CredentialsError
from tests.support.sandbox_logins import APP, MAIL, begin, finish, log_in, product

BEARER = MAIL["requests"]["headers"]
CONFIG = {
    "type": "object",
    "required": ["site"],
    "properties": {"site": {"type": "string", "title": "Site", "examples": ["site-1"]}},
}


def mail(**auth: Any) -> dict[str, Any]:
    """The integration with more keys of `auth:`."""
    return {**MAIL, "auth": {**MAIL["auth"], **auth}}


STEPS: dict[str, dict[str, Any]] = {
    "one object": {"keep": {"site": "site.id"}},
    "a list": {"choose": {"label": "name"}, "keep": {"site": "id"}},
    "a list in an object": {"choose": {"from": "data.sites", "value": "id"}, "keep": {"site": "id"}},
    "a projection": {"choose": {"from": "accounts[]"}, "keep": {"site": "account_id"}},
    "a condition": {"choose": {"from": "[?kind=='SITE']"}, "keep": {"site": "id"}},
}


@pytest.mark.parametrize("name", STEPS)
def test_an_account_is_looked_up_at_the_sandbox(name: str) -> None:
    """The step goes to the sandbox, which has one account with a value of the blueprint's examples."""
    step = {"url": "https://api.mail.test/sites", **STEPS[name]}
    with product({**mail(after_login=[step]), "connection_config": CONFIG}) as (nango, api):
        assert log_in(nango, api).ok
        assert nango.connection("it", "ada")["additional_config"] == {"site": "site-1"}
        assert nango.executor("it", "ada").get("me").status_code == 200


DIALECTS: dict[str, dict[str, Any]] = {
    "another name of the client id": {"client_id_param": "client_key"},
    "another name of the code": {"callback_params": {"code": "auth_code", "error": "reason"}},
    "a callback with values": {"keep_from_callback": {"site": "realmId"}},
    "pushed parameters": {"pushed_authorization_url": "https://login.mail.test/par"},
    "pushed, with another name": {
        "pushed_authorization_url": "https://login.mail.test/par",
        "client_id_param": "client_key",
    },
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_work_against_the_sandbox(name: str) -> None:
    """A login, a call, and a user who declines."""
    entry = {**mail(**DIALECTS[name]), "connection_config": {**CONFIG, "required": []}}
    with product(entry) as (nango, api):
        assert log_in(nango, api).ok
        assert nango.executor("it", "ada").get("me").status_code == 200
        if "keep_from_callback" in DIALECTS[name]:
            assert nango.connection("it", "ada")["additional_config"] == {"site": "site-1"}
        declined = finish(nango, api.log_in(begin(nango), ""))
        assert declined.code == "access_denied"


def test_a_code_on_another_device_is_accepted_at_once() -> None:
    """A user of the sandbox agrees, so tests need no second device."""
    entry = mail(device_authorization_url="https://login.mail.test/device")
    with product(entry, sandbox={"credentials": {"bob": {}}}) as (nango, api):
        assert nango.logins.begin_device("it", "ada").wait().ok
        assert nango.executor("it", "ada").get("me").status_code == 200
        assert [received.user for received in api.ledger.received] == ["bob"]


def test_a_grant_is_revoked_by_the_blueprints_own_request() -> None:
    """The token of a deleted connection is refused afterwards."""
    auth = {**MAIL["auth"], "revocation_url": None}
    auth["revocation"] = {
        "method": "DELETE",
        "url": "https://api.mail.test/grant",
        "headers": {"Authorization": "Bearer ${access_token}"},
    }
    del auth["revocation_url"]
    with product({**MAIL, "auth": auth}) as (nango, api):
        assert log_in(nango, api).ok
        executor, failures = nango.executor("it", "ada"), []
        assert executor.get("me").status_code == 200
        nango.on("not_revoked", failures.append)
        token = nango.store.get("it", "ada").credentials["access_token"].reveal()
        nango.delete_connection("it", "ada")
        assert failures == []
        nango.register_connection("it", "ada", {"access_token": token})
        assert nango.executor("it", "ada").get("me").status_code == 401


EXCHANGE: dict[str, Any] = {
    "auth": {"auth_mode": "TOKEN_EXCHANGE", "token_url": "https://login.mail.test/token"},
    "requests": {"base_url": "https://api.mail.test/v1/", "headers": BEARER},
    **APP,
}


def test_subject_tokens_of_the_sandbox_are_exchanged() -> None:
    """A known subject token gets a token of its user; another one ends the connection."""
    users = {"ada": {"subject_token": "subject_ada"}}
    with product(EXCHANGE, sandbox={"credentials": users}) as (nango, api):
        nango.register_connection("it", "ada", {"subject_token": "subject_ada"})
        assert nango.executor("it", "ada").get("me").status_code == 200
        assert [received.user for received in api.ledger.received] == ["ada"]
        nango.register_connection("it", "eve", {"subject_token": "subject_eve"})
        with pytest.raises(CredentialsError):
            nango.executor("it", "eve").get("me")
        assert nango.connection("it", "eve")["status"] == "needs_reauth"
