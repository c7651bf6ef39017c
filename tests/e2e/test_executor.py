"""Calls from the public names down to a real socket."""

from __future__ import annotations

import json
import os
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

import nango_py
from nango_py import (
    ConnectionNotFound,
    Nango,
    ProviderError,
    RateLimited,
)
from nango_py.sandbox import Fault, FaultPlan, Sandbox, SandboxResponse
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.fake_clock import ManualClock
from tests.support.fault_server import CLOSE, READ, FaultServer, response
from tests.support.sandbox_product import ENCRYPTION_KEY, SHOP, a_nango, a_product, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PAGE_FILE = """\
integrations:
  klaviyo:
    extends_blueprint: klaviyo:v0
"""


def klaviyo_settings(version: str) -> Any:
    """The shipped blueprint's merged settings."""
    entry = {"klaviyo": {"extends_blueprint": f"klaviyo:{version}"}}
    with Nango(entry, environ={}) as nango:
        return nango.configuration.integrations["klaviyo"].settings


def test_the_klaviyo_page_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's file and its credentials; the sandbox saw ?api_key= in the query and nothing in a header."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "integrations.yaml").write_text(PAGE_FILE)
    with Sandbox(
        klaviyo_settings("v0"), credentials={"user-1": {"api_key": "pk_page_0123456789"}}
    ) as sandbox:
        with Nango(overrides={"klaviyo": {"requests": {"base_url": sandbox.base_url}}}) as nango:
            nango.register_connection("klaviyo", "user-1", {"api_key": "pk_page_0123456789"})
            klaviyo = nango.executor("klaviyo", "user-1")
            response = klaviyo.get("v1/metrics", params={"count": 50})
        assert response.status_code == 200
        assert [metric["name"] for metric in response.json()["data"]] == ["Clicked Email", "Placed Order"]
        (received,) = sandbox.ledger.received
    assert received.query == "api_key=pk_page_0123456789&count=50"
    assert received.user == "user-1"
    assert all("pk_page" not in value for value in received.headers.values())
    assert "authorization" not in received.headers
    assert (tmp_path / ".nango" / "nango.db").stat().st_mode & 0o777 == 0o600


def test_the_page_would_fail_with_a_header() -> None:
    """The control: the sandbox refuses the same key in another place."""
    with Sandbox(klaviyo_settings("v0")) as sandbox:
        misplaced = requests.get(f"{sandbox.base_url}v1/metrics", headers={"api_key": "pk_page"}, timeout=5)
        assert misplaced.status_code == 401


def test_a_retired_api_says_where_to_go(tmp_path: Path) -> None:
    """A 410 of klaviyo:v0 names the blueprint to move to, in raise_for_status and in ProviderError."""
    settings = klaviyo_settings("v0")
    with Sandbox(settings, retired=True) as sandbox:
        overrides = {"klaviyo": {"requests": {"base_url": sandbox.base_url}}}
        with Nango(
            {"klaviyo": {"extends_blueprint": "klaviyo:v0"}},
            overrides=overrides, database_url=f"sqlite:///{tmp_path}/n.db", environ={},
        ) as nango:  # fmt: skip
            nango.register_connection("klaviyo", "user-1", {"api_key": "pk_page_0123456789"})
            klaviyo = nango.executor("klaviyo", "user-1")
            gone = klaviyo.get("v1/metrics")
            assert gone.status_code == 410
            with pytest.raises(requests.HTTPError, match='move to blueprint "klaviyo:v1"') as caught:
                gone.raise_for_status()
            assert "pk_page" not in str(caught.value)
            with pytest.raises(ProviderError, match="retires on 2024-06-30") as error:
                klaviyo.get("v1/metrics", raise_for_error=True)
            assert error.value.status == 410
        assert len(sandbox.ledger) == 2


def test_every_verb_reaches_the_api_as_itself(tmp_path: Path) -> None:
    """Method, path, query, body and the caller's headers arrive, with the credential on each request."""
    with a_product(tmp_path) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        shop.get("a", params={"x": [1, 2]})
        shop.post("b", json={"n": 1})
        shop.put("c", data={"f": "g h"})
        shop.patch("d", data="text", headers={"Content-Type": "text/plain", "X-Mine": "1"})
        shop.delete("e")
        shop.head("f")
        shop.request("OPTIONS", "g/h")
        seen = sandbox.ledger.received
    assert [(entry.method, entry.endpoint, entry.query, entry.body) for entry in seen] == [
        ("GET", "a", "x=1&x=2", b""), ("POST", "b", "", b'{"n": 1}'), ("PUT", "c", "", b"f=g+h"),
        ("PATCH", "d", "", b"text"), ("DELETE", "e", "", b""), ("HEAD", "f", "", b""),
        ("OPTIONS", "g/h", "", b""),
    ]  # fmt: skip
    assert {entry.user for entry in seen} == {"u0"}
    assert seen[3].headers["content-type"] == "text/plain"
    assert seen[3].headers["x-mine"] == "1"


def test_every_response_of_the_api_is_returned(tmp_path: Path) -> None:
    """A 404 at once, a 500 after the last retry, and errors only with raise_for_error."""
    settings = {**SHOP, "retries": {"max_attempts": 2, "backoff": {"base_seconds": 0.001}},
                "errors": {"message": "error.detail", "code": "error.code"}}  # fmt: skip
    body = {"error": {"code": "no_such", "detail": f"nothing for {key_of(0)}"}}
    faults = FaultPlan.script(
        [SandboxResponse.of(body, status=404), 500, 500, SandboxResponse.of(body, status=404)]
    )
    with a_product(tmp_path, settings, faults=faults) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        assert shop.get("a").status_code == 404
        failed = shop.get("a")
        assert (failed.status_code, len(failed.attempts)) == (500, 2)
        with pytest.raises(ProviderError) as caught:
            shop.get("a", raise_for_error=True)
        assert len(sandbox.ledger) == 4
    error = caught.value
    assert (error.status, error.code, error.provider_message) == (404, "no_such", "nothing for ***")
    assert str(error) == "shop GET /a: status 404, no_such: nothing for ***"


def test_changes_of_a_connection_reach_existing_executors(tmp_path: Path) -> None:
    """The next call uses new credentials and settings, and fails if the connection was deleted."""
    settings = {**SHOP, "requests": {"base_url": "https://x.example.test/", "headers": {
        "Authorization": "Key ${api_key}",
        "X-List": '${additional_config.list | default("none")}'}}}  # fmt: skip
    with Sandbox(settings) as sandbox, a_nango(tmp_path, sandbox.base_url, settings) as nango:
        nango.register_connection("shop", "u", {"api_key": "first_key_1"}, {"list": "one"})
        shop = nango.executor("shop", "u")
        shop.get("a")
        nango.update_connection_credentials("shop", "u", {"api_key": "second_key_2"})
        shop.get("a")
        nango.update_connection_config("shop", "u", {"list": "two"})
        shop.get("a")
        nango.delete_connection("shop", "u")
        with pytest.raises(ConnectionNotFound):
            shop.get("a")
        seen = [
            (entry.headers["authorization"], entry.headers["x-list"]) for entry in sandbox.ledger.received
        ]
    assert seen == [("Key first_key_1", "one"), ("Key second_key_2", "one"), ("Key second_key_2", "two")]


@pytest.mark.parametrize("again", [False, True], ids=["updated", "deleted and registered again"])
def test_changes_of_another_process_are_seen_within_a_second(tmp_path: Path, *, again: bool) -> None:
    """With two programs on one database, a change is used at most a second later."""
    clock = ManualClock()
    with (
        Sandbox(SHOP) as sandbox,
        a_nango(tmp_path, sandbox.base_url, clock=clock) as mine,
        a_nango(tmp_path, sandbox.base_url) as other,
    ):
        mine.register_connection("shop", "u", {"api_key": "first_key_1"})
        shop = mine.executor("shop", "u")
        shop.get("a")
        if again:
            other.delete_connection("shop", "u")
            other.register_connection("shop", "u", {"api_key": "second_key_2"})
        else:
            other.update_connection_credentials("shop", "u", {"api_key": "second_key_2"})
        clock.advance(1.0)
        shop.get("a")
        seen = [entry.headers["authorization"] for entry in sandbox.ledger.received]
    assert seen == ["Key first_key_1", "Key second_key_2"]


def test_it_can_be_configured_from_python_alone(tmp_path: Path) -> None:
    """Without a file the checks are the same: a wrong setting is refused with its path."""
    with FaultServer([READ, response(b'{"ok": true}')]) as server, a_nango(tmp_path, server.url) as nango:
        nango.register_connection("shop", "u", {"api_key": "python_key_1"})
        assert nango.executor("shop", "u").get("x").json() == {"ok": True}
    with pytest.raises(nango_py.ConfigError, match="base_ulr") as caught:
        Nango(
            {"shop": {"auth": {"auth_mode": "API_KEY"}, "requests": {"base_ulr": "https://x.test/"}}},
            environ={},
        )
    assert caught.value.problems


def test_a_context_manager_closes_and_can_be_used_again(tmp_path: Path) -> None:
    """After close() the next call opens database and sockets again."""
    with FaultServer([READ, response(b"ok")] * 9) as server:
        with a_nango(tmp_path, server.url) as nango:
            nango.register_connection("shop", "u", {"api_key": "some_key_1"})
            nango.executor("shop", "u").get("x")
        assert nango.connection("shop", "u")["user_id"] == "u"
        assert nango.executor("shop", "u").get("x").text == "ok"
        nango.close()
        nango.close()
        assert server.connections == 2


def test_an_executor_survives_close(tmp_path: Path) -> None:
    """An executor that was created before close() still works."""
    with FaultServer([READ, response(b"ok")]) as server, a_nango(tmp_path, server.url) as nango:
        nango.register_connection("shop", "u", {"api_key": "some_key_1"})
        shop = nango.executor("shop", "u")
        shop.get("x")
        nango.close()
        assert shop.get("x").text == "ok"


def test_a_forked_child_works(tmp_path: Path) -> None:
    """Store, sockets and limiter work on both sides of a fork."""
    with a_product(tmp_path, users=2) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        shop.get("parent")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                nango.update_connection_config("shop", "u0", {"seen": "child"})
                responses = [shop.get("child"), nango.executor("shop", "u1").get("child")]
                code = 0 if all(found.status_code == 200 for found in responses) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert shop.get("parent").status_code == 200
        assert nango.connection("shop", "u0")["additional_config"] == {"seen": "child"}
        assert sandbox.ledger.count(path="child") == 2
        assert sandbox.ledger.count(path="parent") == 2


def test_sixty_four_threads_share_one_nango(tmp_path: Path) -> None:
    """Every thread gets its own response, `attempts` and explain()."""
    with a_product(tmp_path, users=8) as (nango, sandbox):
        executors = [nango.executor("shop", f"u{number}") for number in range(8)]
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                shop = executors[number % 8]
                for turn in range(5):
                    found = shop.get(f"t{number}/{turn}")
                    assert found.status_code == 200
                    assert shop.attempts[-1].endpoint == f"t{number}/{turn}"
                    assert shop.explain().startswith("attempt 1: 200")
            except BaseException as error:  # noqa: BLE001 - shown below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        received = sandbox.ledger.received
    assert len(received) == 320
    for entry in received:
        number = int(entry.endpoint.partition("/")[0][1:])
        assert entry.user == f"u{number % 8}"


def test_a_stream_is_read_as_it_arrives(tmp_path: Path) -> None:
    """iter_content and iter_lines work, and closing the response closes the connection."""
    lines = b"".join(b"line %d\n" % number for number in range(1000))
    with FaultServer([READ, response(lines)]) as server, a_nango(tmp_path, server.url) as nango:
        nango.register_connection("shop", "u", {"api_key": "some_key_1"})
        shop = nango.executor("shop", "u")
        with shop.get("export", stream=True) as found:
            assert list(found.iter_lines())[:2] == [b"line 0", b"line 1"]
        with shop.get("export", stream=True) as found:
            assert next(found.iter_content(6)) == b"line 0"
        assert shop.get("export").content == lines


def test_an_upload_from_an_iterator_arrives_whole(tmp_path: Path) -> None:
    """Generators and files are sent as they are read."""
    with a_product(tmp_path) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        (tmp_path / "upload").write_bytes(b"file" * 10_000)
        shop.put("generated", data=(part for part in [b"one ", b"two"]))
        with (tmp_path / "upload").open("rb") as file:
            shop.put("file", data=file)
        shop.post("form", files={"f": ("a.txt", b"inside")}, data={"k": "v"})
        first, second, third = sandbox.ledger.received
    assert first.body == b"one two"
    assert second.body == b"file" * 10_000
    assert b'filename="a.txt"' in third.body


def test_redirects_stay_within_the_api(tmp_path: Path) -> None:
    """A 302 within the API is followed with the credential; one to another port is not followed."""
    with FaultServer([READ, response(b"caught")]) as other:
        responses = [
            SandboxResponse.of(status=302, headers={"Location": "/v1/moved?x=1"}), None,
            SandboxResponse.of(status=302, headers={"Location": other.url}),
            SandboxResponse.of(status=307, headers={"Location": other.url}),
        ]  # fmt: skip
        with a_product(tmp_path, faults=FaultPlan.script(responses)) as (nango, sandbox):
            shop = nango.executor("shop", "u0")
            assert shop.get("old").status_code == 200
            assert shop.get("away").status_code == 302
            assert shop.post("away", json={"secret": 1}).status_code == 307
            assert [entry.endpoint for entry in sandbox.ledger.received] == ["old", "moved", "away", "away"]
            assert sandbox.ledger.received[1].user == "u0"
        assert other.connections == 0


def test_a_gate_holds_every_thread_of_its_key(tmp_path: Path) -> None:
    """One 429 stops eight threads for the requested time, and none sends early."""
    limited = Fault("status", status=429, retry_after=0.5)
    with a_product(tmp_path, faults=FaultPlan.script([limited])) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        assert shop.get("first").status_code == 200
        threads = [threading.Thread(target=shop.get, args=("next",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused, *later = sandbox.ledger.received
    assert refused.status == 429
    assert min(entry.at for entry in later) - refused.at >= 0.5
    assert {entry.status for entry in later} == {200}


def test_a_wait_that_does_not_fit_is_refused_at_once(tmp_path: Path) -> None:
    """RateLimited is raised before anything is sent, for this call and the next ones."""
    limited = Fault("status", status=429, retry_after=300.0)
    with a_product(tmp_path, faults=FaultPlan.script([limited])) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        with pytest.raises(RateLimited) as caught:
            shop.get("a")
        assert caught.value.response.status_code == 429
        with pytest.raises(RateLimited) as again:
            shop.get("a")
        assert again.value.attempts == ()
        assert abs(again.value.retry_at - caught.value.retry_at) < 1.0
        assert len(sandbox.ledger) == 1


@EXECUTORS
@pytest.mark.parametrize("charset", ["undefined", "idna", "nonsense"])
def test_a_charset_that_decodes_nothing_is_passed_over(run: Any, charset: str) -> None:
    """The wait in such a 429 is read, and the JSON of such a 200 is UTF-8."""
    headers = {"Content-Type": f"application/json; charset={charset}"}
    script = [
        SandboxResponse.of({"error": "wait"}, status=429, headers=headers),
        SandboxResponse.of({"é": 1}, headers=headers),
    ]
    entry: dict[str, Any] = {**SHOP, "retries": {"backoff": {"base_seconds": 0.01}}}
    with Sandbox(entry, faults=FaultPlan.script(script)) as sandbox:
        entry["requests"] = {**SHOP["requests"], "base_url": sandbox.base_url}
        with open_product(entry, credentials={"api_key": key_of(0)}) as nango:
            found = run(nango, lambda shop: shop.get("x"))
    assert (found.status_code, found.json()) == (200, {"é": 1})
    assert json.loads(found.text) == {"é": 1}


def test_a_response_is_what_requests_returns(tmp_path: Path) -> None:
    """Its usual attributes work, show no credential, and survive pickling."""
    settings = {
        **SHOP,
        "requests": {"base_url": "https://x.example.test/", "params": {"api_key": "${api_key}"}},
    }
    headers = {"Content-Type": "application/json; charset=utf-8", "Set-Cookie": "a=b; Path=/", "X-Many": "1"}
    given = SandboxResponse.of({"é": 1}, headers=headers)
    with a_product(tmp_path, settings, faults=FaultPlan.script([given])) as (nango, _):
        found = nango.executor("shop", "u0").get("x")
    assert isinstance(found, requests.Response)
    assert (found.ok, found.reason, found.encoding, found.is_redirect) == (True, "OK", "utf-8", False)
    assert (found.json(), json.loads(found.text), found.cookies["a"]) == ({"é": 1}, {"é": 1}, "b")
    assert found.headers["x-MANY"] == "1"
    assert found.elapsed.total_seconds() > 0
    assert found.history == []
    assert found.url.endswith("?api_key=***")
    assert found.request.url == found.url
    assert found.request.method == "GET"
    assert list(found.iter_content(4))
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert (copy.status_code, copy.json(), copy.url, copy.headers["x-many"]) == (
        200,
        {"é": 1},
        found.url,
        "1",
    )
    assert key_of(0).encode() not in pickle.dumps(found)


def test_a_truncated_response_is_retried(tmp_path: Path) -> None:
    """A GET recovers; the caller gets one whole response, and explain() lists the attempts."""
    settings = {**SHOP, "retries": {"backoff": {"base_seconds": 0.001}}}
    broken = [READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", CLOSE]
    with (
        FaultServer(broken, [READ, response(b"unbroken")]) as server,
        a_nango(tmp_path, server.url, settings) as nango,
    ):
        nango.register_connection("shop", "u", {"api_key": "some_key_1"})
        shop = nango.executor("shop", "u")
        assert shop.get("x").text == "unbroken"
        first, second, ending = shop.explain().splitlines()
    assert first.startswith("attempt 1: truncated after ")
    assert "-> retry in " in first
    assert second.startswith("attempt 2: 200 after ")
    assert ": status 200 after " in ending


@pytest.fixture
def postgres_product(postgres_url: str) -> Iterator[Nango]:
    """A product whose connections are in PostgreSQL."""
    with Nango(
        {"shop": SHOP}, database_url=postgres_url, encryption_keys=ENCRYPTION_KEY, environ={}
    ) as nango:
        yield nango


def test_the_same_calls_work_with_postgresql(postgres_product: Nango) -> None:
    """Only the database URL changes."""
    nango = postgres_product
    nango.register_connection("shop", "u", {"api_key": "some_key_1"})
    plan = nango.executor("shop", "u").plan("GET", "things")
    assert plan.headers["authorization"][1] == "Key some_key_1"
    nango.update_connection_credentials("shop", "u", {"api_key": "other_key_2"})
    assert [entry["user_id"] for entry in nango.connections_for_integration("shop")] == ["u"]
