"""The sandbox over real sockets."""

from __future__ import annotations

import base64
import gc
import http.client
import json
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py.config.values import freeze
from nango_py.sandbox import Fault, FaultPlan, Sandbox, SandboxResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KLAVIYO: dict[str, Any] = {
    "name": "klaviyo",
    "version": "v1",
    "auth": {"auth_mode": "API_KEY"},
    "requests": {
        "base_url": "https://a.klaviyo.com/api/",
        "headers": {
            "Accept": "application/vnd.api+json",
            "Authorization": "Klaviyo-API-Key ${api_key}",
            "revision": '${additional_config.revision | default("2026-10-15")}',
        },
    },
    "rate_limits": {
        "counted_per": "connection",
        "budgets": [{"key": "${method} ${endpoint}", "otherwise": ["50/second", "400/minute"]}],
    },
    "pagination": {"kind": "next_url", "next": "links.next", "records": "data"},
    "errors": {"message": "errors[0].detail", "code": "errors[0].code"},
    "examples": [
        {
            "call": {"method": "GET", "path": "metrics/"},
            "response": {"status": 200, "json": {"data": [{"id": "m1"}], "links": {"next": None}}},
        },
        {
            "call": {"method": "GET", "path": "metrics/", "params": {"count": 50}},
            "response": {"status": 200, "json": {"data": []}},
        },
        {"call": {"method": "POST", "path": "events/"}, "response": {"status": 202}},
    ],
}
LEGACY: dict[str, Any] = {
    "auth": {"auth_mode": "API_KEY"},
    "status": {"retires_on": "2024-06-30"},
    "requests": {"base_url": "https://a.klaviyo.com/api/", "params": {"api_key": "${api_key}"}},
}
OPEN: dict[str, Any] = {"requests": {"base_url": "https://example.test/v1/"}}
KEY = {"Authorization": "Klaviyo-API-Key pk_one"}


def get(sandbox: Sandbox, path: str = "metrics/", **arguments: Any) -> requests.Response:
    """Send one request with a new connection."""
    arguments.setdefault("headers", KEY)
    with requests.Session() as session:
        session.trust_env = False
        url = path if path.startswith("http") else sandbox.base_url + path
        method = arguments.pop("method", "GET")
        return session.request(method, url, timeout=10, allow_redirects=False, **arguments)


@pytest.fixture
def klaviyo() -> Iterator[Sandbox]:
    """A sandbox of the current Klaviyo API with two users."""
    users = {"u1": {"api_key": "pk_one"}, "u2": {"api_key": "pk_two"}}
    with Sandbox(freeze(KLAVIYO), credentials=users) as sandbox:
        yield sandbox


def test_it_serves_the_base_path_of_the_blueprint(klaviyo: Sandbox) -> None:
    """The base URL has the blueprint's path, and other paths return 404."""
    assert klaviyo.base_url == f"http://127.0.0.1:{klaviyo.port}/api/"
    assert get(klaviyo, f"http://127.0.0.1:{klaviyo.port}/apis/metrics").status_code == 404


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
    with Sandbox(LEGACY, credentials={"u1": {"api_key": "pk_ä&+="}}) as sandbox:
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
    with Sandbox(settings, credentials={"u1": {"username": "ada", "password": "geheim"}}) as sandbox:
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
    with Sandbox(settings, credentials={"u1": {"api_key": "k/1"}}) as sandbox:
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


def test_examples_are_served(klaviyo: Sandbox) -> None:
    """Examples are selected by method, path and parameters."""
    assert get(klaviyo, "metrics").json()["data"] == [{"id": "m1"}]
    assert get(klaviyo, "metrics", params={"count": "50", "other": "1"}).json() == {"data": []}
    assert get(klaviyo, "metrics").headers["Content-Type"] == "application/vnd.api+json"
    response = get(klaviyo, "events/", method="POST", json={"a": 1})
    assert (response.status_code, response.content) == (202, b"")
    assert klaviyo.ledger.received[-1].json() == {"a": 1}


def test_other_paths_get_generated_responses(klaviyo: Sandbox) -> None:
    """A path without an example returns a last page or an echo of the request."""
    page = get(klaviyo, "flows").json()
    assert page["links"] == {"next": None}
    assert [record["type"] for record in page["data"]] == ["flows"] * 3
    echo = get(klaviyo, "flows/1", method="PATCH").json()
    assert echo == {"method": "PATCH", "path": "flows/1", "number": 2}
    with Sandbox(OPEN) as sandbox:
        assert get(sandbox, "a/b?c=1").json() == {"method": "GET", "path": "a/b", "number": 1}


def test_pages_follow_one_another() -> None:
    """Next links are complete URLs with the parameters; the last page has none."""
    with Sandbox(KLAVIYO, pages={"profiles/": 3}) as sandbox:
        url: str | None = sandbox.base_url + "profiles?page[size]=3"
        ids = []
        while url:
            page = get(sandbox, url).json()
            ids += [record["id"] for record in page["data"]]
            url = page["links"]["next"]
        assert ids == [str(number) for number in range(1, 10)]
        assert all(record.params["page[size]"] == "3" for record in sandbox.ledger.received)


def test_too_many_requests_are_rejected(klaviyo: Sandbox) -> None:
    """A 429 has Retry-After, other responses have RateLimit headers, and users have separate limits."""
    while (response := get(klaviyo)).status_code == 200:
        assert response.headers["RateLimit-Limit"] == "400"
        assert 0 <= int(response.headers["RateLimit-Remaining"]) < 400
        assert 0 <= int(response.headers["RateLimit-Reset"]) <= 60
        connection = http.client.HTTPConnection("127.0.0.1", klaviyo.port)
        for _ in range(60):
            connection.request("GET", "/api/metrics/", headers=KEY)
            connection.getresponse().read()
        connection.close()
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert "RateLimit-Remaining" not in response.headers
    assert response.json()["errors"][0]["detail"].startswith("Request was throttled. Expected available in ")
    assert get(klaviyo, headers={"Authorization": "Klaviyo-API-Key pk_two"}).status_code == 200
    assert max(counted.peak for counted in klaviyo.counted if counted.label == "50/second") > 50


@pytest.mark.parametrize(
    ("retry_after", "pattern"),
    [
        ("seconds", r"\d+"),
        ("decimals", r"\d+\.\d{3}"),
        ("http-date", r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"),
        ("body", ""),
    ],
)
def test_retry_after_has_several_formats(retry_after: Any, pattern: str) -> None:
    """Retry-After is in seconds, decimals or a date; or there is only a sentence in the body."""
    limits = {"budgets": [{"key": "all", "otherwise": ["1/day"]}]}
    with Sandbox({**LEGACY, "rate_limits": limits}, retry_after=retry_after) as sandbox:
        responses = [get(sandbox, headers={}, params={"api_key": "k"}) for _ in range(2)]
    assert responses[1].status_code == 429
    assert re.fullmatch(pattern, responses[1].headers.get("Retry-After", ""))
    assert "Expected available in" in responses[1].text
    assert (".0 seconds" in responses[1].text) is (retry_after == "body")


@pytest.mark.parametrize(
    ("means", "per_unit", "is_absolute"),
    [
        ("seconds", 1, False),
        ("milliseconds", 1000, False),
        ("unix_seconds", 1, True),
        ("unix_milliseconds", 1000, True),
    ],
)
def test_the_headers_are_those_of_the_blueprint(means: str, per_unit: int, *, is_absolute: bool) -> None:
    """Only the headers that the blueprint declares are sent, with its names and units."""
    headers = {"remaining": "X-RateLimit-Remaining", "reset": {"name": "X-Reset", "means": means}}
    limits = {"budgets": [{"key": "all", "otherwise": ["5/minute"]}], "headers": headers}
    with Sandbox({**OPEN, "rate_limits": limits}) as sandbox:
        sent = get(sandbox).headers
    assert (sent["X-RateLimit-Limit"], sent["X-RateLimit-Remaining"]) == ("5", "4")
    left = int(sent["X-Reset"]) / per_unit - (time.time() if is_absolute else 0)
    assert -1 <= left <= 61
    assert "RateLimit-Limit" not in sent


@pytest.mark.parametrize(
    ("means", "pattern"), [("http_date", r"\w{3}, .* GMT"), ("iso_date", r"\d{4}-\d\d-\d\dT.*\+00:00")]
)
def test_a_reset_may_be_a_date(means: str, pattern: str) -> None:
    """A reset can be an HTTP date or an ISO 8601 date."""
    limits = {
        "budgets": [{"key": "all", "otherwise": ["5/minute"]}],
        "headers": {"reset": {"name": "X-Reset", "means": means}},
    }
    with Sandbox({**OPEN, "rate_limits": limits}) as sandbox:
        assert re.fullmatch(pattern, get(sandbox).headers["X-Reset"])


def test_a_retired_api_returns_410() -> None:
    """retired=True returns 410, and requires a blueprint that is past its retirement."""
    with Sandbox(LEGACY, retired=True) as sandbox:
        response = get(sandbox, "v1/metrics", headers={}, params={"api_key": "k"})
    assert response.status_code == 410
    with pytest.raises(ValueError, match="retires_on"):
        Sandbox(KLAVIYO, retired=True)


def test_a_script_has_one_entry_per_request(klaviyo: Sandbox) -> None:
    """Statuses, given responses and normal responses come in order; afterwards there are no faults."""
    moved = SandboxResponse(307, (("Location", "/elsewhere"),))
    plan = FaultPlan.script(
        [503, None, moved, Fault("status", status=503, retry_after=2)], by_path={"flows": ["429"]}
    )
    with Sandbox(KLAVIYO, faults=plan) as sandbox:
        responses = [get(sandbox) for _ in range(5)]
        limited = get(sandbox, "flows/")
        records = sandbox.ledger.received
    assert [response.status_code for response in responses] == [503, 200, 307, 503, 200]
    assert responses[2].headers["Location"] == "/elsewhere"
    assert (responses[3].headers["Retry-After"], limited.headers["Retry-After"]) == ("2", "1")
    assert [record.fault for record in records] == ["503", "", "307", "503", "", "429"]
    assert [record.processed for record in records] == [True, True, False, False, True, False]
    assert not klaviyo.ledger.received


def test_reset_before_is_not_received() -> None:
    """The connection is reset, and the ledger has the fault but no request."""
    with Sandbox(OPEN, faults=FaultPlan.script(["reset_before"])) as sandbox:
        with pytest.raises(ConnectionResetError):
            raw(sandbox, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert len(sandbox.ledger) == 0
        assert sandbox.ledger.faults == {"reset_before": 1}


def test_reset_after_is_received() -> None:
    """The connection is reset, and the ledger has the request as processed."""
    with Sandbox(OPEN, faults=FaultPlan.script(["reset_after"])) as sandbox:
        with pytest.raises(ConnectionResetError):
            raw(sandbox, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        record = sandbox.ledger.received[0]
    assert (record.status, record.fault, record.processed, record.body) == (0, "reset_after", True, b"{}")


def test_a_timeout_sends_no_response() -> None:
    """The request is received without a response, and other clients are served."""
    with Sandbox(OPEN, faults=FaultPlan.script(["timeout"])) as sandbox:
        with pytest.raises(TimeoutError):
            raw(sandbox, b"GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n", timeout_seconds=0.1)
        assert get(sandbox).status_code == 200
        assert [record.status for record in sandbox.ledger.received] == [0, 200]


@pytest.mark.parametrize("path", ["x", "events/"])
def test_a_truncated_body_is_shorter_than_its_length(path: str) -> None:
    """The body is shorter than Content-Length, even for an empty body."""
    settings = {**OPEN, "examples": KLAVIYO["examples"]}
    with Sandbox(settings, faults=FaultPlan.script(["truncate"])) as sandbox:
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
        connection.request("POST", f"/v1/{path}")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        assert sandbox.ledger.received[0].processed


def test_delay_and_drip_send_the_complete_response() -> None:
    """Both responses are late and complete, and the connection stays open."""
    plan = FaultPlan.script([Fault("delay", seconds=0.05), Fault("drip", seconds=0.005, bytes_at_once=8)])
    with Sandbox(OPEN, faults=plan) as sandbox:
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
        durations, numbers = [], []
        for _ in range(3):
            begin = time.monotonic()
            connection.request("GET", "/v1/x")
            numbers.append(json.loads(connection.getresponse().read())["number"])
            durations.append(time.monotonic() - begin)
        connection.close()
    assert numbers == [1, 2, 3]
    assert durations[0] >= 0.05
    assert durations[1] >= 0.02


def test_a_seeded_plan_is_repeatable() -> None:
    """The same seed gives the same faults with the given shares, up to the limit."""
    rates = {"429": 0.1, "503": 0.2, "delay": 0.1}

    def labels(seed: int, limit: int | None = None) -> list[str]:
        plan = FaultPlan(seed, rates, limit=limit, retry_after=3.0)
        return [fault.label if fault else "" for fault in (plan.next("x") for _ in range(2000))]

    assert labels(1) == labels(1)
    assert labels(1) != labels(2)
    assert 330 < labels(1).count("503") < 470
    assert 2000 - labels(1, limit=7).count("") == 7
    with pytest.raises(ValueError, match="share"):
        FaultPlan(1, {"429": 0.6, "503": 0.6})
    with pytest.raises(ValueError, match="unknown fault"):
        FaultPlan(1, {"explode": 0.1})


def test_duplicates_are_calls_processed_twice() -> None:
    """A retried POST whose response was lost is a duplicate; rejected requests and PUTs are not."""
    plan = FaultPlan.script(["reset_after", None, 429, None, None, None])
    with Sandbox(OPEN, faults=plan) as sandbox:
        for body, method in (
            (b"a", "POST"),
            (b"a", "POST"),
            (b"b", "POST"),
            (b"b", "POST"),
            (b"c", "PUT"),
            (b"c", "PUT"),
        ):
            try:
                get(sandbox, "orders", method=method, data=body, headers={"X-Marker": body.decode()})
            except requests.ConnectionError:
                continue
        assert [[record.body for record in group] for group in sandbox.ledger.duplicates()] == [[b"a", b"a"]]
        assert len(sandbox.ledger.duplicates("x-marker")) == 2
        assert sandbox.ledger.count(method="post", path="/orders/", status=200) == 2


def test_an_idempotency_key_is_processed_once() -> None:
    """A repeated idempotency key gets the first response again."""
    plan = FaultPlan.script(["reset_after"])
    with Sandbox(OPEN, faults=plan, idempotency_header="Idempotency-Key") as sandbox:
        with pytest.raises(requests.ConnectionError):
            get(sandbox, "orders", method="POST", headers={"Idempotency-Key": "k1"})
        again = get(sandbox, "orders", method="POST", headers={"Idempotency-Key": "k1"})
        other = get(sandbox, "orders", method="POST", headers={"Idempotency-Key": "k2"})
        assert [again.json()["number"], other.json()["number"]] == [1, 3]
        assert sandbox.ledger.duplicates() == []


def test_http_1_1_is_supported() -> None:
    """Chunked bodies, pipelining, Expect, HEAD and HTTP/1.0 work."""
    with Sandbox(OPEN) as sandbox:
        get(sandbox, "x", method="POST", data=iter([b"one", b"two"]))
        assert sandbox.ledger.received[0].body == b"onetwo"
        responses = raw(
            sandbox, b"GET /v1/a HTTP/1.1\r\n\r\n\r\nGET /v1/b HTTP/1.1\r\nConnection: close\r\n\r\n"
        )
        assert responses.count(b"HTTP/1.1 200 OK") == 2
        assert get(sandbox, "x", method="HEAD").content == b""
        assert raw(sandbox, b"GET /v1/a HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
        expecting = (
            b"POST /v1/a HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        assert raw(sandbox, expecting).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /v1/ HTTP/2\r\n\r\n", b"400"),
        (b"GET /v1/ HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET /v1/ HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /v1/ HTTP/1.1\r\nX: " + b"a" * 70_000, b"431"),
        (b"POST /v1/ HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
    ],
)
def test_malformed_requests_are_rejected(data: bytes, status: bytes) -> None:
    """A malformed request gets an error and is not in the ledger."""
    with Sandbox(OPEN) as sandbox:
        assert raw(sandbox, data).startswith(b"HTTP/1.1 " + status)
        assert len(sandbox.ledger) == 0


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


def test_waiting_times_out() -> None:
    """wait_for and wait_for_fault raise TimeoutError."""
    with Sandbox(OPEN) as sandbox:
        with pytest.raises(TimeoutError, match="0 of 1"):
            sandbox.ledger.wait_for(1, timeout_seconds=0.01)
        with pytest.raises(TimeoutError, match="0 of 1 delay"):
            sandbox.ledger.wait_for_fault("delay", timeout_seconds=0.01)


def test_stopping_releases_everything() -> None:
    """After stop no thread or file descriptor is left, even with requests in flight."""
    plan_entries = ["timeout", Fault("delay", seconds=60), Fault("drip", seconds=60)]
    gc.collect()  # release objects of earlier tests
    before, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with Sandbox(OPEN, faults=FaultPlan.script(plan_entries)) as sandbox:
            clients = [socket.create_connection(("127.0.0.1", sandbox.port)) for _ in range(5)]
            for client in clients[:3]:
                client.sendall(b"GET /v1/x HTTP/1.1\r\n\r\n")
            clients[3].sendall(b"GET /v1/half HTT")
            sandbox.ledger.wait_for(3)
        for client in clients:
            client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sandbox.port))
        sandbox.stop()
    gc.collect()
    assert set(threading.enumerate()) <= before
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208


def test_it_can_be_served_until_stopped() -> None:
    """serve_forever blocks until another thread calls stop; only a started sandbox has a base URL."""
    sandbox = Sandbox(OPEN)
    with pytest.raises(RuntimeError, match="not started"):
        _ = sandbox.base_url
    sandbox.start()
    with pytest.raises(RuntimeError, match="running"):
        sandbox.start()
    serving = threading.Thread(target=sandbox.serve_forever)
    serving.start()
    assert get(sandbox).status_code == 200
    sandbox.stop()
    serving.join(10)
    assert not serving.is_alive()


def raw(sandbox: Sandbox, data: bytes, timeout_seconds: float = 10.0) -> bytes:
    """Send bytes, and return everything received until the sandbox closes the connection."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=timeout_seconds) as client:
        client.sendall(data)
        received = b""
        while chunk := client.recv(65_536):
            received += chunk
        return received
