"""The faults that the sandbox injects."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING

import pytest
import requests

from nango_py.config.values import freeze
from nango_py.sandbox import Fault, FaultPlan, Sandbox, SandboxResponse
from tests.support.sandbox_calls import KLAVIYO, OPEN, get, raw

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def klaviyo() -> Iterator[Sandbox]:
    """A sandbox of the current Klaviyo API with two users."""
    users = {"u1": {"api_key": "pk_one"}, "u2": {"api_key": "pk_two"}}
    with Sandbox(freeze(KLAVIYO), credentials=users) as sandbox:
        yield sandbox


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
    with Sandbox(OPEN, strict=False, faults=FaultPlan.script(["reset_before"])) as sandbox:
        with pytest.raises(ConnectionResetError):
            raw(sandbox, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        assert len(sandbox.ledger) == 0
        assert sandbox.ledger.faults == {"reset_before": 1}


def test_reset_after_is_received() -> None:
    """The connection is reset, and the ledger has the request as processed."""
    with Sandbox(OPEN, strict=False, faults=FaultPlan.script(["reset_after"])) as sandbox:
        with pytest.raises(ConnectionResetError):
            raw(sandbox, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        record = sandbox.ledger.received[0]
    assert (record.status, record.fault, record.processed, record.body) == (0, "reset_after", True, b"{}")


def test_a_timeout_sends_no_response() -> None:
    """The request is received without a response, and other clients are served."""
    with Sandbox(OPEN, strict=False, faults=FaultPlan.script(["timeout"])) as sandbox:
        with pytest.raises(TimeoutError):
            raw(sandbox, b"GET /v1/x HTTP/1.1\r\nHost: x\r\n\r\n", timeout_seconds=0.1)
        assert get(sandbox).status_code == 200
        assert [record.status for record in sandbox.ledger.received] == [0, 200]


@pytest.mark.parametrize("path", ["x", "events/"])
def test_a_truncated_body_is_shorter_than_its_length(path: str) -> None:
    """The body is shorter than Content-Length, even for an empty body."""
    settings = {**OPEN, "examples": KLAVIYO["examples"]}
    with Sandbox(settings, strict=False, faults=FaultPlan.script(["truncate"])) as sandbox:
        connection = http.client.HTTPConnection("127.0.0.1", sandbox.port)
        connection.request("POST", f"/v1/{path}")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        assert sandbox.ledger.received[0].processed


def test_delay_and_drip_send_the_complete_response() -> None:
    """Both responses are late and complete, and the connection stays open."""
    plan = FaultPlan.script([Fault("delay", seconds=0.05), Fault("drip", seconds=0.005, bytes_at_once=8)])
    with Sandbox(OPEN, strict=False, faults=plan) as sandbox:
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
    with Sandbox(OPEN, strict=False, faults=plan) as sandbox:
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
    with Sandbox(OPEN, strict=False, faults=plan, idempotency_header="Idempotency-Key") as sandbox:
        with pytest.raises(requests.ConnectionError):
            get(sandbox, "orders", method="POST", headers={"Idempotency-Key": "k1"})
        again = get(sandbox, "orders", method="POST", headers={"Idempotency-Key": "k1"})
        other = get(sandbox, "orders", method="POST", headers={"Idempotency-Key": "k2"})
        assert [again.json()["number"], other.json()["number"]] == [1, 3]
        assert sandbox.ledger.duplicates() == []
