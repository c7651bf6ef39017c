"""The rate limits of the sandbox, and the headers that report them."""

from __future__ import annotations

import contextlib
import http.client
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from nango_py.config.values import freeze
from nango_py.sandbox import FaultPlan, Sandbox
from tests.support.fake_clock import ManualClock
from tests.support.sandbox_calls import KEY, KLAVIYO, LEGACY, OPEN, get
from tests.support.sandbox_logins import open_nango
from tests.support.sandbox_product import SHOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def klaviyo() -> Iterator[Sandbox]:
    """A sandbox of the current Klaviyo API with two users."""
    users = {"u1": {"api_key": "pk_one"}, "u2": {"api_key": "pk_two"}}
    with Sandbox(freeze(KLAVIYO), credentials=users) as sandbox:
        yield sandbox


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


@pytest.mark.parametrize(
    ("limits", "statuses"), [("real", [200, 429, 429]), ("fast", [200, 429, 200]), ("none", [200] * 3)]
)
def test_limits_may_be_faster_or_none(limits: Any, statuses: list[int]) -> None:
    """Fast windows are sixty times shorter: a minute lasts one second."""
    clock = ManualClock()
    settings = {**OPEN, "rate_limits": {"budgets": [{"key": "all", "otherwise": ["1/minute"]}]}}
    found = []
    with Sandbox(settings, strict=False, limits=limits, clock=clock, counting="sliding") as sandbox:
        for pause in (0, 0, 1.1):
            clock.sleep(pause)
            found.append(get(sandbox).status_code)
    assert found == statuses


IN_FLIGHT: dict[str, Any] = {
    "counted_per": "connection",
    "budgets": [{"key": "all", "otherwise": ["1000/minute"], "max_in_flight": 2}],
}
CROWD = 6


def crowd(send: Callable[[int], int]) -> list[int]:
    """The statuses of six requests at once."""
    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(send, range(CROWD)))


def test_requests_in_flight_are_limited() -> None:
    """Places are taken until the response is sent; Nango waits for one, and another client does not."""
    settings = {**SHOP, "rate_limits": IN_FLIGHT}
    faults = FaultPlan(1, {"delay": 1.0}, delay_seconds=(0.5, 0.5))
    with (
        Sandbox(settings, strict=False, faults=faults) as api,
        open_nango(settings, overrides={"it": api.overrides}) as nango,
    ):
        nango.register_connection("it", "ada", {"api_key": "k"})
        executor = nango.executor("it", "ada")
        assert crowd(lambda number: executor.get(f"orders/{number}").status_code) == [200] * CROWD
        assert [each.peak for each in api.counted if each.label == "2 in flight"] == [2]
        assert {received.status for received in api.ledger.received} == {200}

        unpaced = {"Authorization": "Key k"}
        statuses = crowd(lambda number: get(api, f"orders/{number}", headers=unpaced).status_code)
        assert set(statuses) == {200, 429}
        assert get(api, "orders/7", headers=unpaced).status_code == 200
        assert [each.used for each in api.api.counts.usage(0) if each.label == "2 in flight"] == [0]


@pytest.mark.parametrize("fault", ["reset_after", "truncate", "timeout", "drip"])
def test_lost_requests_free_their_place(fault: str) -> None:
    """A request whose response is cut or never sent is in flight until its connection ends."""
    settings = {**SHOP, "rate_limits": IN_FLIGHT}
    with Sandbox(settings, strict=False, faults=FaultPlan.script([fault] * 3)) as api:
        for number in range(3):
            with contextlib.suppress(requests.RequestException):
                url = f"{api.base_url}orders/{number}"
                requests.get(url, headers={"Authorization": "Key k"}, timeout=(5, 0.3))
        assert get(api, "orders/7", headers={"Authorization": "Key k"}).status_code == 200
        assert [received.status for received in api.ledger.received if received.status == 429] == []
