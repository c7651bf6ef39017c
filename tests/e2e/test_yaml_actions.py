"""Actions in YAML: what they send, what they return, and how they fail, by threads and by asyncio."""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import (
    ActionFailed,
    ActionInputError,
    ConnectionNotFound,
    DeadlineExceeded,
    ProviderError,
    UnknownAction,
    VirtualClock,
)
from nango_py.actions.execution import Execution, Memory
from nango_py.engine.events import Events
from tests.support.action_product import BOTH, KEY, action_product

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py import Event
    from nango_py.sandbox.routes import SandboxRequest

    Run = Callable[..., Any]

CREATE: dict[str, Any] = {
    "changes": ["items"],
    "input": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string"},
            "count": {"type": "integer"},
            "tags": {"type": "array"},
            "is_new": {"type": "boolean"},
            "note": {"type": ["string", "null"]},
            "size": {"type": "number", "default": 1.5},
        },
        "additionalProperties": False,
    },
    "request": {
        "method": "POST",
        "path": "items/${input.id}",
        "params": {"tag": "${input.tags}", "new": "${input.is_new}", "fixed": True},
        "headers": {"X-Note": "${input.note}", "X-Account": "${additional_config.account}"},
        "json": {
            "count": "${input.count}",
            "tags": "${input.tags}",
            "note": "${input.note}",
            "size": "${input.size}",
            "label": "number ${input.id}",
            "nested": {"deep": {"note": "${input.is_new}"}},
            "list": ["${input.count}", 7],
        },
    },
    "result": {"id": "data.id", "all": "data.tags[]"},
    "outcomes": [{"when": {"status": 409}, "result": "error.existing"}],
}


@BOTH
def test_values_keep_their_types_and_absent_ones_are_left_out(run: Run, tmp_path: Path) -> None:
    """A lone template is a JSON value; what has no value is sent nowhere, and null is sent as null."""
    with action_product({"create": CREATE}, tmp_path) as product:
        product.sandbox.respond("POST", "items/{id}", json={"data": {"id": 7, "tags": ["a"]}})
        assert run(product, "create", {"id": "x"}) == {"id": 7, "all": ["a"]}
        given = {"id": "x", "count": 3, "tags": ["p", "q"], "is_new": False, "note": None, "size": 2}
        run(product, "create", given)
        first, second = product.sent
    assert first.json() == {"size": 1.5, "label": "number x", "list": [7]}
    assert (first.query, first.headers.get("x-note")) == ("fixed=true", None)
    assert first.headers["x-account"] == "acme"
    assert first.headers["authorization"] == f"Key {KEY}"
    assert second.json() == {
        "count": 3, "tags": ["p", "q"], "note": None, "size": 2, "label": "number x",
        "nested": {"deep": {"note": False}}, "list": [3, 7],
    }  # fmt: skip
    assert second.query == "tag=p&tag=q&new=false&fixed=true"


@pytest.mark.parametrize("value", ["..", ".", "", "../x", "%2e%2e", "a\nb"])
@BOTH
def test_a_value_never_changes_the_path(run: Run, value: str, tmp_path: Path) -> None:
    """A value that would be a dot segment, empty or a control character is refused; nothing is sent."""
    with action_product({"create": CREATE}, tmp_path) as product:
        with pytest.raises(ActionInputError) as caught:
            run(product, "create", {"id": value})
        assert not product.sent
    assert caught.value.problems[0].code in {"E314", "E316"}


@pytest.mark.parametrize("value", ["a/b", "a?b=c", "a#b", "ä", "a..b"])
def test_a_value_is_one_segment_of_the_path(value: str, tmp_path: Path) -> None:
    """The control: other characters are percent-encoded."""
    with action_product({"create": CREATE}, tmp_path) as product:
        product.sandbox.respond("POST", "**", json={})
        product.run("create", {"id": value})
        (request,) = product.sent
    assert request.path.count("/") == "/v1/items/x".count("/")


@BOTH
def test_an_expected_error_is_a_result(run: Run, tmp_path: Path) -> None:
    """An error response that an outcome names is a result; others fail the action."""
    with action_product({"create": CREATE}, tmp_path) as product:
        product.sandbox.respond("POST", "items/known", json={"error": {"existing": 9}}, status=409)
        product.sandbox.respond("POST", "items/bad", json={"error": {"code": "no"}}, status=422)
        assert run(product, "create", {"id": "known"}) == 9
        with pytest.raises(ActionFailed) as caught:
            run(product, "create", {"id": "bad"})
    error = caught.value
    assert isinstance(error.cause, ProviderError)
    assert (error.cause.status, error.cause.code) == (422, "no")
    assert (error.integration, error.action, error.user_id) == ("shop", "create", "u")
    assert error.call_ids == (error.cause.call_id,)


@BOTH
@pytest.mark.parametrize("status", [301, 302, 304, 307])
def test_a_redirect_that_is_not_followed_is_no_result(run: Run, status: int, tmp_path: Path) -> None:
    """It leads to another host or says that nothing has changed; an outcome may name it."""
    action = {**CREATE, "outcomes": [{"when": {"header": "X-Known"}, "result": "to"}]}
    headers = {"Location": "https://elsewhere.test/"}
    with action_product({"create": action}, tmp_path) as product:
        product.sandbox.respond("POST", "items/a", status=status, headers=headers)
        known = {**headers, "X-Known": "1"}
        product.sandbox.respond("POST", "items/b", json={"to": 5}, status=status, headers=known)
        with pytest.raises(ActionFailed) as caught:
            run(product, "create", {"id": "a"})
        assert run(product, "create", {"id": "b"}) == (None if status == 304 else 5)
    assert isinstance(caught.value.cause, ProviderError)
    assert caught.value.cause.status == status
    assert caught.value.call_ids == (caught.value.cause.call_id,)


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({}, ["input"]),
        ({"id": 5}, ["input.id"]),
        ({"id": "a", "count": 1.5, "cuont": 1}, ["input.count", "input.cuont"]),
        ({"id": "a", "tags": "b"}, ["input.tags"]),
        (["id"], ["input"]),
        ("id", ["input"]),
    ],
)
def test_a_wrong_input_is_refused_before_anything_is_sent(
    given: Any, places: list[str], tmp_path: Path
) -> None:
    """Each problem has its place in the input, and nothing is sent."""
    with action_product({"create": CREATE}, tmp_path) as product:
        with pytest.raises(ActionInputError) as caught:
            product.run("create", given)
        assert not product.sent
    assert [problem.position.file for problem in caught.value.problems] == places


ANYTHING = {
    "changes": ["items"],
    "input": {"type": "object", "properties": {"value": {}}},
    "request": {"method": "POST", "path": "items", "json": "${input.value}"},
}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (math.nan, "input.value"),
        ({"a": [1, math.inf]}, "input.value.a[1]"),
        ({1, 2}, "input.value"),
        ([{"at": Path("x")}], "input.value[0].at"),
    ],
)
def test_an_input_that_is_not_json_is_refused(value: Any, place: str, tmp_path: Path) -> None:
    """Whatever the schema allows; the place is named, and nothing is sent or stored."""
    with action_product({"create": ANYTHING}, tmp_path) as product:
        with pytest.raises(ActionInputError) as caught:
            product.run("create", {"value": value})
        with pytest.raises(ActionInputError):
            product.nango.enqueue_action("shop", "create", "u", {"value": value})
        assert not product.sent
        assert list(product.nango.jobs.find()) == []
    assert [problem.position.file for problem in caught.value.problems] == [place]


TYPED = {
    "reads": True,
    "request": {"method": "GET", "path": "items/1"},
    "output": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    },
}


@BOTH
@pytest.mark.parametrize(
    ("result", "places"),
    [
        ({"id": "a", "new": 1}, ""),
        ({"id": 7, "tags": ["a", 5]}, "output.id, output.tags[1]"),
        ({"tags": []}, "output"),
    ],
)
def test_a_result_that_does_not_fit_its_output_is_reported(
    run: Run, result: Any, places: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is returned; an event and a warning name the places, without values. New fields fit."""
    seen: list[Event] = []
    with action_product({"read": TYPED}, tmp_path) as product:
        product.sandbox.respond("GET", "items/1", json=result)
        product.nango.on("unexpected_result", seen.append)
        assert run(product, "read", {}) == result
    assert [event.reason for event in seen] == ([places] if places else [])
    assert ("does not fit" in caplog.text) == bool(places)


LIST = {
    "reads": True,
    "input": {"type": "object", "properties": {"limit": {"type": "integer"}}, "additionalProperties": False},
    "request": {"method": "GET", "path": "items", "paginate": {"max_records": "${input.limit}"}},
    "result": "[?ok].id",
}


@BOTH
def test_a_list_is_read_to_its_end_or_its_limit(run: Run, tmp_path: Path) -> None:
    """The records of all pages are the value, of which the result selects."""
    with action_product({"list": LIST}, tmp_path) as product:
        records = [{"id": number, "ok": number % 2 == 0} for number in range(5)]
        product.sandbox.paginate("items", records, page_size=2)
        assert run(product, "list") == [0, 2, 4]
        assert run(product, "list", {"limit": 2}) == [0]
        assert len(product.sent) == 3 + 1


STEPS = {
    "changes": ["items"],
    "input": {
        "type": "object",
        "required": ["names"],
        "properties": {"names": {"type": "array", "items": {"type": "string"}}, "note": {"type": "string"}},
        "additionalProperties": False,
    },
    "steps": [
        {
            "name": "found",
            "for_each": {"in": "input.names", "concurrency": 3},
            "request": {"method": "GET", "path": "people/${item}"},
            "outcomes": [{"when": {"status": 404}}],
            "result": "id",
        },
        {
            "name": "noted",
            "when": "input.note",
            "request": {"method": "POST", "path": "notes", "json": {"text": "${input.note}"}},
        },
        {
            "name": "joined",
            "when": "steps.found[?@]",
            "values": {"ids": "steps.found[?@]"},
            "request": {
                "method": "POST",
                "base": "files",
                "path": "groups",
                "json": {"ids": "${values.ids}", "note": "${steps.noted.id}", "first": "${steps.found}"},
            },
        },
    ],
    "result": {"ids": "steps.found", "group": "steps.joined.id", "note": "steps.noted"},
}


def respond_to_steps(product: Any) -> None:
    """People whose id is the length of their name; `none` is never among the names."""

    @product.sandbox.handle("GET", "people/{name}")
    def find(request: SandboxRequest) -> Any:
        name = request.path_params["name"]
        return 404 if name == "none" else {"id": len(name)}

    product.sandbox.respond("POST", "notes", json={"id": "n1"})


@BOTH
def test_later_steps_use_earlier_results(run: Run, tmp_path: Path) -> None:
    """Results keep the order of the items, an unmet condition leaves a step out, and nulls are no items."""
    with action_product({"join": STEPS}, tmp_path) as product:
        respond_to_steps(product)
        found = run(product, "join", {"names": ["a", "none", "ccc", "dd"]})
        sent = product.sent
    assert found["ids"] == [1, None, 3, 2]
    assert found["note"] is None
    assert [request.method for request in sent] == ["GET"] * 4 + ["POST"]
    assert sent[-1].json() == {"ids": [1, 3, 2], "first": [1, None, 3, 2]}


@BOTH
def test_a_step_is_left_out(run: Run, tmp_path: Path) -> None:
    """Without a match of its condition a step sends nothing, and its value is null."""
    with action_product({"join": STEPS}, tmp_path) as product:
        respond_to_steps(product)
        found = run(product, "join", {"names": ["none"], "note": "hi"})
        sent = [request.endpoint for request in product.sent]
    assert found == {"ids": [None], "group": None, "note": {"id": "n1"}}
    assert sent == ["people/none", "notes"]


@BOTH
def test_a_failed_item_ends_the_action(run: Run, tmp_path: Path) -> None:
    """The error of an item is that of the action, and no later step runs."""
    with action_product({"join": STEPS}, tmp_path) as product:
        product.sandbox.respond("GET", "people/{name}", status=500, json={"error": {"code": "down"}})
        with pytest.raises(ActionFailed) as caught:
            run(product, "join", {"names": ["a", "b"]})
        assert all(request.method == "GET" for request in product.sent)
    assert isinstance(caught.value.cause, ProviderError)


GRAPHQL = {
    "reads": True,
    "input": {"type": "object", "properties": {"id": {"type": "string"}}, "additionalProperties": False},
    "request": {
        "graphql": {"query": "query($id: ID) { item(id: $id) { name } }", "variables": {"id": "${input.id}"}}
    },
    "result": "item.name",
}


@BOTH
def test_an_action_can_be_a_graphql_query(run: Run, tmp_path: Path) -> None:
    """The data of the response is the value; errors in it fail the action."""
    with action_product({"find": GRAPHQL}, tmp_path) as product:
        product.sandbox.respond(
            "POST", "graphql", {"data": {"item": {"name": "A"}}}, {"errors": [{"message": "no"}]}
        )
        assert run(product, "find", {"id": "7"}) == "A"
        with pytest.raises(ActionFailed) as caught:
            run(product, "find", {"id": "7"})
        first = product.sent[0]
    assert first.json()["variables"] == {"id": "7"}  # type: ignore[index,call-overload]
    assert isinstance(caught.value.cause, ProviderError)


@BOTH
def test_a_graphql_query_may_have_no_variables(run: Run, tmp_path: Path) -> None:
    """Variables that are all absent are an empty mapping."""
    with action_product({"find": GRAPHQL}, tmp_path) as product:
        product.sandbox.respond("POST", "graphql", {"data": {"item": {"name": "A"}}})
        assert run(product, "find", {}) == "A"
        (sent,) = product.sent
    assert not sent.json().get("variables")  # type: ignore[union-attr]


@BOTH
def test_start_and_end_are_events_with_the_calls(run: Run, tmp_path: Path) -> None:
    """Both events have the id of the execution; the last has the calls, the duration and the reason."""
    seen: list[Event] = []
    with action_product({"create": CREATE}, tmp_path) as product:
        for kind in ("action_started", "action_finished"):
            product.nango.on(kind, seen.append)
        product.sandbox.respond("POST", "items/{id}", {"data": {}}, 500)
        run(product, "create", {"id": "a"})
        with pytest.raises(ActionFailed) as caught:
            run(product, "create", {"id": "a"})
    started, finished, _, failed = seen
    assert [event.kind for event in seen] == ["action_started", "action_finished"] * 2
    assert started.execution_id == finished.execution_id != failed.execution_id == caught.value.execution_id
    assert (finished.action, finished.user_id, finished.reason) == ("create", "u", "")
    assert len(finished.call_ids) == len(failed.call_ids) == 1
    assert "500" in failed.reason
    assert started.call_ids == ()


@BOTH
def test_the_deadline_is_that_of_the_whole_action(run: Run, tmp_path: Path) -> None:
    """Steps that together take too long end in DeadlineExceeded."""
    with action_product({"join": STEPS}, tmp_path) as product:
        respond_to_steps(product)
        with pytest.raises(ActionFailed) as caught:
            run(product, "join", {"names": ["a"]}, deadline_seconds=1e-9)
        assert not product.sent
        assert run(product, "join", {"names": ["a"]}, deadline_seconds=60)["ids"] == [1]
    assert isinstance(caught.value.cause, DeadlineExceeded)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    """An unknown action suggests the nearest one; a path is not a name."""
    with action_product({"create": CREATE}, tmp_path) as product:
        with pytest.raises(UnknownAction, match="create"):
            product.run("creat")
        for name in ("../create", "shop/create", ""):
            with pytest.raises(UnknownAction):
                product.run(name)
        with pytest.raises(ConnectionNotFound):
            product.nango.trigger_action("shop", "create", "stranger", {"id": "a"})


def test_the_secret_is_nowhere_in_a_failure(tmp_path: Path) -> None:
    """An API that repeats the key does not bring it into the error or its cause."""
    with action_product({"create": CREATE}, tmp_path) as product:
        product.sandbox.respond(
            "POST", "items/{id}", json={"error": {"code": "x", "message": f"bad {KEY}"}}, status=400
        )
        with pytest.raises(ActionFailed) as caught:
            product.run("create", {"id": "a"})
    assert KEY not in f"{caught.value!r} {caught.value.cause!r} {caught.value.args}"
    assert "***" in str(caught.value)


@BOTH
def test_another_attempt_sends_only_what_is_left(run: Run, tmp_path: Path) -> None:
    """With the checkpoint of an attempt that failed, done items and steps are not sent again."""
    saved: list[Any] = []
    with action_product({"join": STEPS}, tmp_path) as product:
        respond_to_steps(product)
        product.sandbox.respond("GET", "people/bad", 500, {"id": 9})
        given = {"names": ["a", "bb", "bad", "cccc", "ddddd"], "note": "hi"}

        def attempt(memory: Memory) -> Any:
            if run.__name__ == "run":
                return product.nango.actions.run("shop", "join", "u", given, None, memory)
            return asyncio.run(product.nango.actions.run_async("shop", "join", "u", given, None, memory))

        with pytest.raises(ActionFailed):
            attempt(Memory(None, saved.append, "job-1"))
        first = [request.endpoint for request in product.sent]
        assert attempt(Memory(saved[-1], saved.append, "job-1"))["ids"] == [1, 2, 9, 4, 5]
        again = [request.endpoint for request in product.sent][len(first) :]
    assert sorted(first) == ["people/a", "people/bad", "people/bb"]
    assert sorted(again[:3]) == ["people/bad", "people/cccc", "people/ddddd"]
    assert again[3:] == ["notes", "groups"]
    assert saved[-1]["steps"].keys() == {"found", "noted", "joined"}


def test_a_cancelled_action_makes_no_more_calls(tmp_path: Path) -> None:
    """The step in flight is cancelled, the end is reported, and later steps send nothing."""
    seen: list[Event] = []
    with action_product({"join": STEPS}, tmp_path) as product:
        respond_to_steps(product)
        product.nango.on("action_finished", seen.append)

        async def work() -> None:
            task = asyncio.ensure_future(
                product.nango.atrigger_action("shop", "join", "u", {"names": list("abcdefgh")})
            )
            product.nango.on("attempt", lambda _: task.cancel())
            with pytest.raises(asyncio.CancelledError):
                await task
            await product.nango.aclose()

        asyncio.run(work())
        sent = len(product.sent)
    assert [event.reason for event in seen] == ["CancelledError"]
    assert sent <= 3


@pytest.mark.parametrize(("save", "seconds"), [(None, 300), (lambda _: None, 3600)])
def test_an_attempt_of_a_job_has_more_time(save: Any, seconds: float) -> None:
    """Without a deadline of the caller an action has five minutes, and in a job an hour."""
    clock = VirtualClock()
    execution = Execution("i", "a", "u", clock, Events(), logging.getLogger("x"), None, Memory(None, save))
    clock.advance(seconds - 1)
    assert execution.seconds_left() == 1
    clock.advance(1)
    with pytest.raises(DeadlineExceeded, match=str(seconds)):
        execution.seconds_left()
