"""How the sandbox finds the credentials of requests."""

from __future__ import annotations

import base64
import http.client
import threading
from typing import TYPE_CHECKING

import pytest

from nango_py.config.values import freeze
from nango_py.sandbox import Sandbox
from tests.support.sandbox_calls import KEY, KLAVIYO, LEGACY, get

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@pytest.fixture
def klaviyo() -> Iterator[Sandbox]:
    """A sandbox of the current Klaviyo API with two users."""
    users = {"u1": {"api_key": "pk_one"}, "u2": {"api_key": "pk_two"}}
    with Sandbox(freeze(KLAVIYO), credentials=users) as sandbox:
        yield sandbox


def test_the_ledger_names_the_user(klaviyo: Sandbox) -> None:
    """Users are identified by the credential where the blueprint places it."""
    get(klaviyo)
    get(klaviyo, headers={"Authorization": "Klaviyo-API-Key pk_two"})
    assert [(record.user, record.status) for record in klaviyo.ledger.received] == [("u1", 200), ("u2", 200)]
    assert klaviyo.ledger.received[0].headers["authorization"] == "Klaviyo-API-Key pk_one"
    assert "pk_one" not in repr(klaviyo.ledger.received)


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        pytest.param({}, {}, id="missing"),
        pytest.param({"Authorization": "Klaviyo-API-Key pk_three"}, {}, id="unknown"),
        pytest.param({"Authorization": "Klaviyo-API-Key  pk_one"}, {}, id="two blanks"),
        pytest.param({"Authorization": "Bearer pk_one"}, {}, id="wrong scheme"),
        pytest.param({"X-Api-Key": "pk_one"}, {}, id="wrong header"),
        pytest.param({}, {"api_key": "pk_one"}, id="in the query"),
        pytest.param({"Authorization": "Klaviyo-API-Key pk_oné".encode()}, {}, id="not ASCII"),
    ],
)
def test_a_misplaced_credential_is_rejected(
    klaviyo: Sandbox, headers: Mapping[str, str], params: Mapping[str, str]
) -> None:
    """The response is a 401 in the API's error format."""
    response = get(klaviyo, headers=headers, params=params)
    assert response.status_code == 401
    assert response.json()["errors"][0]["code"] == "not_authenticated"
    assert klaviyo.ledger.received[0].user is None
    assert not klaviyo.ledger.received[0].processed


def test_a_repeated_header_is_rejected(klaviyo: Sandbox) -> None:
    """Two credentials are rejected, even if one of them is valid."""
    connection = http.client.HTTPConnection("127.0.0.1", klaviyo.port)
    connection.putrequest("GET", "/api/metrics/")
    connection.putheader("Authorization", KEY["Authorization"])
    connection.putheader("Authorization", "Klaviyo-API-Key pk_two")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_credentials_can_change_while_it_runs(klaviyo: Sandbox) -> None:
    """A new key is accepted immediately; old and revoked keys are rejected."""
    klaviyo.accept("u1", {"api_key": "pk_new"})
    assert get(klaviyo).status_code == 401
    assert get(klaviyo, headers={"Authorization": "Klaviyo-API-Key pk_new"}).status_code == 200
    klaviyo.revoke("u1")
    assert get(klaviyo, headers={"Authorization": "Klaviyo-API-Key pk_new"}).status_code == 401


def test_without_users_any_credential_is_accepted() -> None:
    """Only the place of the credential is checked, and quotas are per credential."""
    limits = {"budgets": [{"key": "all", "otherwise": ["1/day"]}]}
    with Sandbox({**KLAVIYO, "rate_limits": limits}) as sandbox:
        assert get(sandbox).status_code == 200
        assert get(sandbox).status_code == 429
        assert get(sandbox, headers={"Authorization": "Klaviyo-API-Key pk_two"}).status_code == 200
        assert get(sandbox, headers={"Authorization": "Klaviyo-API-Key"}).status_code == 401


def test_a_query_parameter_can_carry_the_credential() -> None:
    """The legacy API accepts its key only in the query."""
    with Sandbox(LEGACY, strict=False, credentials={"u1": {"api_key": "pk_ä&+="}}) as sandbox:
        assert get(sandbox, "v1/metrics", headers={}, params={"api_key": "pk_ä&+="}).status_code == 200
        assert get(sandbox, "v1/metrics", headers={"api_key": "pk_1"}).status_code == 401
        assert sandbox.ledger.received[0].params == {"api_key": "pk_ä&+="}
        assert sandbox.ledger.received[0].endpoint == "v1/metrics"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        pytest.param("ada:geheim", 200, id="right"),
        pytest.param("ada:", 401, id="without the password"),
        pytest.param("bob:geheim", 401, id="another user"),
    ],
)
def test_a_basic_credential_is_decoded(authorization: str, status: int) -> None:
    """User name and password of Basic authentication are decoded and compared."""
    settings = {
        "auth": {"auth_mode": "USERNAME_PASSWORD"},
        "requests": {
            "base_url": "https://api.example.test/v1/",
            "headers": {"Authorization": "Basic ${basic_auth_encoded}"},
        },
    }
    encoded = base64.b64encode(authorization.encode()).decode()
    with Sandbox(
        settings, strict=False, credentials={"u1": {"username": "ada", "password": "geheim"}}
    ) as sandbox:
        assert get(sandbox, headers={"Authorization": f"Basic {encoded}"}).status_code == status
        assert get(sandbox, headers={"Authorization": "Basic not*base64"}).status_code == 401


def test_credentials_may_be_in_paths_and_expressions() -> None:
    """A key in the base path, a filtered key and the application's key are compared."""
    settings = {
        "auth": {"auth_mode": "API_KEY"},
        "app_api_key": "app_key",
        "requests": {
            "base_url": "https://${additional_config.region}.example.test/bot${api_key}/",
            "headers": {
                "X-Key": "${api_key | base64}",
                "X-App": "${app_api_key}",
                "X-Site": "${additional_config.site}; ${api_key | upper}",
            },
        },
    }
    right = {"X-Key": base64.b64encode(b"k/1").decode(), "X-App": "app_key", "X-Site": "any; K/1"}
    with Sandbox(settings, strict=False, credentials={"u1": {"api_key": "k/1"}}) as sandbox:
        url = sandbox.base_url.replace("${api_key}", "k%2F1") + "me"
        assert get(sandbox, url, headers=right).status_code == 200
        assert get(sandbox, url.replace("k%2F1", "k2"), headers=right).status_code == 401
        for name in right:
            assert get(sandbox, url, headers={**right, name: "other/x"}).status_code == 401
        assert sandbox.ledger.received[0].endpoint == "me"


def test_an_example_with_401_is_the_401_response() -> None:
    """If the blueprint has an example with status 401, the sandbox returns it for bad credentials."""
    shown = {"call": {"path": "metrics/"}, "response": {"status": 401, "text": "not authenticated"}}
    with Sandbox({**KLAVIYO, "examples": [shown]}, credentials={}) as sandbox:
        response = get(sandbox)
    assert (response.status_code, response.text) == (401, "not authenticated")


def test_concurrent_requests_are_recorded_by_user() -> None:
    """Requests of hundreds of users from eight threads are recorded under their senders."""
    users = {f"user-{number}": {"api_key": f"pk_{number}"} for number in range(200)}
    with Sandbox(KLAVIYO, credentials=users) as sandbox:

        def call(first: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
            for number in range(first, 200, 8):
                headers = {"Authorization": f"Klaviyo-API-Key pk_{number}"}
                connection.request("GET", f"/api/metrics/{number}", headers=headers)
                connection.getresponse().read()
            connection.close()

        threads = [threading.Thread(target=call, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        records = sandbox.ledger.wait_for(200)
        for thread in threads:
            thread.join()
    assert len(records) == 200
    assert all(record.user == f"user-{record.endpoint.removeprefix('metrics/')}" for record in records)
    assert sorted(record.number for record in records) == list(range(1, 201))
