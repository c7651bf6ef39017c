"""Which paths the sandbox serves, and with which responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nango_py.config.values import freeze
from nango_py.sandbox import Fault, Sandbox, SandboxRequest, SandboxResponse
from tests.support.sandbox_calls import KLAVIYO, LEGACY, OPEN, get

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_examples_are_served(klaviyo: Sandbox) -> None:
    """Examples are selected by method, path and parameters."""
    assert get(klaviyo, "metrics").json()["data"] == [{"id": "m1"}]
    assert get(klaviyo, "metrics", params={"count": "50", "other": "1"}).json() == {"data": []}
    assert get(klaviyo, "metrics").headers["Content-Type"] == "application/vnd.api+json"
    response = get(klaviyo, "events/", method="POST", json={"a": 1})
    assert (response.status_code, response.content) == (202, b"")
    assert klaviyo.ledger.received[-1].json() == {"a": 1}


def test_a_path_that_nothing_declares_is_a_404(klaviyo: Sandbox) -> None:
    """The 404 has the API's form, and names the nearest route and all of them."""
    response = get(klaviyo, "metricz", params={"a": "1"})
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/vnd.api+json")
    error = response.json()["errors"][0]
    assert error["code"] == "not_declared"
    assert "Did you mean GET metrics?" in error["detail"]
    assert response.json()["declared"] == ["GET metrics", "POST events"]
    assert get(klaviyo, "metrics/1").status_code == 404
    assert not klaviyo.ledger.received[0].processed


def test_another_method_of_a_declared_path_is_a_405(klaviyo: Sandbox) -> None:
    """The 405 names the methods of the path; HEAD is served by GET."""
    response = get(klaviyo, "metrics", method="DELETE")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET")
    assert response.json()["errors"][0]["code"] == "method_not_allowed"
    head = get(klaviyo, "metrics", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_an_example_is_served_with_other_parameters_too() -> None:
    """Parameters select among the examples of a path; without a match the first one is served."""
    examples = [
        {"call": {"path": "a", "params": {"x": "1"}}, "response": {"status": 404, "json": {"errors": []}}},
        {"call": {"path": "a", "params": {"x": "2"}}, "response": {"status": 200, "json": {"data": [2]}}},
    ]
    with Sandbox({**KLAVIYO, "examples": examples}) as sandbox:
        assert get(sandbox, "a", params={"x": "1"}).status_code == 404
        assert get(sandbox, "a").json() == {"data": [2]}


def test_the_verification_request_is_declared() -> None:
    """Its path is served with an accepted status, whatever the settings of the connection are."""
    verification = {"method": "POST", "path": "check/${additional_config.site}", "accepts": ["5xx", 204]}
    with Sandbox({**OPEN, "verification": verification}) as sandbox:
        assert get(sandbox, "check/mine", method="POST").status_code == 204
        assert get(sandbox, "check/a/b", method="POST").status_code == 404


def test_a_sandbox_that_is_not_strict_generates_responses() -> None:
    """With strict=False a path without a route returns a last page or an echo of the request."""
    with Sandbox(KLAVIYO, strict=False) as sandbox:
        page = get(sandbox, "flows").json()
        assert page["links"] == {"next": None}
        assert [record["type"] for record in page["data"]] == ["flows"] * 3
        echo = get(sandbox, "flows/1", method="PATCH").json()
        assert echo == {"method": "PATCH", "path": "flows/1", "number": 2}
    with Sandbox(OPEN, strict=False) as sandbox:
        assert get(sandbox, "a/b?c=1").json() == {"method": "GET", "path": "a/b", "number": 1}


def test_a_test_supplies_responses() -> None:
    """The newest route precedes older ones and the examples; parameters and path names select."""
    with Sandbox(KLAVIYO, responses={("GET", "orders/7"): {"id": 7}}) as sandbox:
        assert get(sandbox, "orders/7").json() == {"id": 7}
        sandbox.respond("GET", "orders/{id}", json={"id": "any"}, headers={"X-Total": "1"})
        sandbox.respond("GET", "metrics", status=404, text="gone", params={"old": True})
        found = get(sandbox, "orders/7")
        assert (found.json(), found.headers["X-Total"]) == ({"id": "any"}, "1")
        assert found.headers["Content-Type"] == "application/vnd.api+json"
        assert get(sandbox, "metrics").json()["data"] == [{"id": "m1"}]
        sandbox.respond("GET", "typed", json=[], headers={"content-type": "application/json"})
        assert get(sandbox, "typed").headers["Content-Type"] == "application/json"
        gone = get(sandbox, "metrics", params={"old": "true"})
        assert (gone.status_code, gone.text) == (404, "gone")
        assert get(sandbox, "orders/7/lines").status_code == 404


@pytest.mark.parametrize("options", [{"counting": "slide"}, {"limits": "off"}, {"retry_after": "date"}])
def test_an_option_that_means_nothing_is_refused(options: dict[str, Any]) -> None:
    """At the start, and not by a request that fails later."""
    with pytest.raises(ValueError, match="expected"):
        Sandbox(KLAVIYO, **options)


@pytest.mark.parametrize("status", [0, 99, 101, 1000, True, "200"])
def test_a_status_is_a_final_one(status: Any) -> None:
    """In a response and in a fault."""
    with pytest.raises(ValueError, match="expected a whole number"):
        SandboxResponse.of({}, status=status)
    with pytest.raises(ValueError, match="expected a whole number"):
        Fault("status", status=status)


def test_json_of_any_depth_is_received() -> None:
    """What Python cannot read is a body that is not JSON."""
    with Sandbox(KLAVIYO, strict=False) as sandbox:
        assert get(sandbox, "x", method="POST", data=b"[" * 100_000).status_code == 200
        assert sandbox.ledger.received[0].body == b"[" * 100_000


def test_responses_come_in_sequence() -> None:
    """Successive requests get successive replies, and the last one repeats."""
    with Sandbox(KLAVIYO) as sandbox:
        sandbox.respond("GET", "jobs/{id}", {"state": "queued"}, 503, SandboxResponse.of([1]), None)
        found = [get(sandbox, f"jobs/{number}") for number in range(5)]
    assert [response.status_code for response in found] == [200, 503, 200, 204, 204]
    assert (found[0].json(), found[2].json()) == ({"state": "queued"}, [1])
    assert found[1].json()["errors"][0]["code"] == "supplied"


def test_a_handler_sees_the_request() -> None:
    """A handler gets path, query, headers, body and user, and its JSON is a 200."""
    seen: list[SandboxRequest] = []
    with Sandbox(KLAVIYO, credentials={"u1": {"api_key": "pk_one"}}) as sandbox:

        @sandbox.handle("POST", "lists/{id}/members/{name}")
        def add(request: SandboxRequest) -> dict[str, Any]:
            seen.append(request)
            return {"added": request.path_params["name"]}

        response = get(sandbox, "lists/7/members/a%20b?x=1", method="POST", data={"a": "b c"})
        assert response.json() == {"added": "a b"}
        assert get(sandbox, "lists/7/members/x", method="POST", json={"n": 1}, headers={}).status_code == 401
        get(sandbox, "lists/7/members/x", method="POST", json={"n": 1})
    assert [request.path_params for request in seen] == [{"id": "7", "name": "a b"}, {"id": "7", "name": "x"}]
    assert (seen[0].user, seen[0].params, seen[0].form()) == ("u1", {"x": "1"}, {"a": "b c"})
    assert seen[1].json() == {"n": 1}
    assert "pk_one" not in repr(seen)


def test_an_error_of_a_handler_is_raised_at_the_end() -> None:
    """The client gets a 500, and the with block ends with the exception unless it has one already."""

    def call_failing_handler(handler: Any, error: Exception | None = None) -> None:
        with Sandbox(KLAVIYO) as sandbox:
            sandbox.handle("GET", "broken")(handler)
            assert get(sandbox, "broken").status_code == 500
            if error:
                raise error

    with pytest.raises(ZeroDivisionError):
        call_failing_handler(lambda _: 1 / 0)
    with pytest.raises(TypeError, match="not str"):
        call_failing_handler(lambda _: "text")
    with pytest.raises(KeyError):
        call_failing_handler(lambda _: 1 / 0, KeyError())


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


def test_a_retired_api_returns_410() -> None:
    """retired=True returns 410, and requires a blueprint that is past its retirement."""
    with Sandbox(LEGACY, retired=True) as sandbox:
        response = get(sandbox, "v1/metrics", headers={}, params={"api_key": "k"})
    assert response.status_code == 410
    with pytest.raises(ValueError, match="retires_on"):
        Sandbox(KLAVIYO, retired=True)
