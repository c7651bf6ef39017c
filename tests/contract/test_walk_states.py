"""States of lists, over both executors: a walk goes on where another one stopped, and nowhere else."""

from __future__ import annotations

import asyncio
import copy
import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import InvalidRequest, RequestFailed
from tests.support.made_values import KEY, FakeResponse
from tests.support.scripted_executors import ScriptedApi, collect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_executors import Request
from tests.support.walks import CURSOR, an_executor, both, numbered, read

BLOCKS: dict[str, dict[str, Any]] = {
    "cursor": CURSOR,
    "next": {"next": {"from": "next", "to": {"param": "after"}}, "size": {"param": "limit", "value": 3}},
    "header": {"next": {"from": "next", "to": {"header": "After"}}, "size": {"header": "Limit", "value": 3}},
    "body": {
        "next": {"from": "next", "to": {"body": "page.after"}}, "size": {"body": "page.limit", "value": 3},
    },
    "path": {"next": {"from": "next", "to": {"segment": "n"}, "path": "{path}/after/{n}"}},
    "next_url": {"kind": "next_url", "next": "url"},
    "link_header": {"kind": "link_header"},
    "offset": {"kind": "offset", "param": "after", "size": {"param": "limit", "value": 3}},
    "page": {"kind": "page", "param": "page", "total_pages": "pages", "size": {"param": "limit", "value": 3}},
}  # fmt: skip


def any_list(request: Request) -> FakeResponse:
    """Ten numbers, whatever says where the page begins."""
    headers = {name: value for name, (_, value) in request.plan.headers.items()}
    body = (request.body or {}).get("page", {})
    size = int(request.query.get("limit") or headers.get("limit") or body.get("limit") or 3)
    in_path = request.plan.endpoint.partition("/after/")[2]
    start = int(request.query.get("after") or headers.get("after") or body.get("after") or in_path or 0)
    start = (int(request.query["page"]) - 1) * size if "page" in request.query else start
    end = min(start + size, 10)
    has_key = "api_key" in request.plan.url
    link = f"?after={end}{f'&api_key={KEY}' if has_key else ''}" if end < 10 else None
    return FakeResponse(
        headers={"Link": f'<{link}>; rel="next"'} if link else {},
        body={"items": list(range(start, end)), "next": end if link else None, "url": link, "pages": 4},
    )


@both
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("stop_after", [1, 3, 4, 6, 9, 10])
def test_a_walk_goes_on_after_any_record(kind: str, name: str, stop_after: int) -> None:
    """Each record is read exactly once, whichever executor goes on, and the state holds no credential."""
    settings = {"pagination": {**BLOCKS[name], "records": "items"}, "params": {"api_key": "${api_key}"}}
    first, _ = an_executor(kind, any_list, **settings)
    records, state = read(first, "paginate", stop_after)
    text = json.dumps(state)
    assert KEY not in text
    assert len(text) < 2500
    second, _ = an_executor("async" if kind == "sync" else "sync", any_list, **settings)
    rest, end = read(second, "paginate", state=json.loads(text))
    assert (records, rest) == (list(range(stop_after)), list(range(stop_after, 10)))
    assert (end["done"], end["records"]) == (True, 10)
    again, api = an_executor(kind, any_list, **settings)
    assert read(again, "paginate", state=end) == ([], end)
    assert not api.requests


@both
@pytest.mark.parametrize("name", BLOCKS)
def test_pages_go_on_after_a_page(kind: str, name: str) -> None:
    """`page.state` of each page leads to the next one; that of the last one to nothing."""
    executor, _ = an_executor(
        kind, any_list, pagination={**BLOCKS[name], "records": "items"}, params={"api_key": "${api_key}"}
    )
    whole = [page.json()["items"] for page in read(executor, "pages")[0]]
    pages: list[Any] = []
    state = None
    while state is None or not state["done"]:
        found, state = read(executor, "pages", 1, state=state)
        pages += [page.json()["items"] for page in found]
    assert pages == whole
    assert len(pages) == 5 if name == "offset" else 4


@both
def test_the_state_of_the_start_is_the_start(kind: str) -> None:
    """An iterator that was not used yet has a state too."""
    executor, _ = an_executor(kind, numbered())
    state = executor.paginate("things").state
    assert (state["done"], state["pages"], state["records"]) == (False, 0, 0)
    assert read(executor, "paginate", state=state)[0] == list(range(10))


@both
def test_a_state_with_a_page_in_advance_is_of_the_page_that_is_read(kind: str) -> None:
    """What was requested but not read is read again."""
    executor, _ = an_executor(kind, numbered())
    records, state = read(executor, "paginate", 4, prefetch=1)
    assert records + read(executor, "paginate", state=state)[0] == list(range(10))


@both
def test_a_response_that_is_not_a_page_has_no_state(kind: str) -> None:
    """`hasattr` says so."""
    from nango_py.transport.response import Response

    executor, _ = an_executor(kind, numbered())
    plan = executor.plan("GET", "things")
    response = Response(plan, type("Raw", (), {"status": 200, "reason": "", "headers": {}})(), b"", 0.0)
    assert not hasattr(response, "state")


def changed(**values: Any) -> Callable[[dict[str, Any]], None]:
    """A function that changes a state."""
    return lambda state: state.update(values)


@both
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (changed(integration="other"), "integration"),
        (changed(user="user-2"), "user"),
        (changed(path="orders"), "path"),
        (changed(kind="page"), "kind"),
        (changed(call="0" * 16), "params"),
        (changed(version=2), "version"),
        (changed(more=1), "state"),
        (lambda state: state.pop("skip"), "state"),
        (changed(next="https://evil.test/"), "next"),
        (changed(next={"url": 5}), "next"),
        (changed(next={"header": {"A": 1}}), "next"),
        (changed(next={"evil": "x"}), "next"),
        (changed(skip=-1), "skip"),
        (changed(pages="1"), "pages"),
        (changed(records=True), "records"),
        (changed(records=0, skip=2), "records"),
        (changed(keys=[1]), "keys"),
        (changed(requests=[["a"]]), "requests"),
        (changed(contents=[["a", "b"]]), "contents"),
        (changed(requests="abc"), "requests"),
        (changed(next=json.loads('{"body": ' + '{"a": ' * 40 + "1" + "}" * 41)), "state"),
    ],
)
def test_a_state_of_something_else_is_an_error(
    kind: str, change: Callable[[dict[str, Any]], Any], word: str
) -> None:
    """The error names what differs; nothing is sent."""
    executor, _ = an_executor(kind, numbered())
    _, state = read(executor, "paginate", 4)
    wrong = copy.deepcopy(state)
    change(wrong)
    executor, api = an_executor(kind, numbered())
    with pytest.raises(InvalidRequest, match=word):
        executor.paginate("things", state=wrong)
    assert not api.requests
    assert read(executor, "paginate", state=state)[0] == list(range(4, 10))


@both
@pytest.mark.parametrize(
    "options", [{"params": {"a": 2}}, {"method": "POST"}, {"json": {"a": 1}}, {"data": {"a": 1}}]
)
def test_a_state_of_another_call_is_an_error(kind: str, options: dict[str, Any]) -> None:
    """The same path with another filter is another list. The order of parameters does not matter."""
    executor, _ = an_executor(kind, numbered())
    _, state = read(executor, "paginate", 4, params={"a": 1, "b": 2})
    with pytest.raises(InvalidRequest, match="params"):
        executor.paginate("things", state=state, **options)
    assert read(executor, "paginate", state=state, params={"b": 2, "a": 1})[0] == list(range(4, 10))


@both
def test_a_state_is_of_a_deep_filter_too(kind: str) -> None:
    """Its cost grows with the filter, not with a power of its depth; JSON cannot hold any depth."""
    filters: list[Any] = [{"text": "it's"}, {"text": "\\"}]
    for _ in range(60):
        filters = [{"and": [each]} for each in filters]
    executor, _ = an_executor(kind, numbered())
    _, state = read(executor, "paginate", 1, method="POST", json=filters[0])
    executor.paginate("things", method="POST", json=copy.deepcopy(filters[0]), state=state)
    with pytest.raises(InvalidRequest, match="params"):
        executor.paginate("things", method="POST", json=filters[1], state=state)
    for _ in range(100_000):
        filters[0] = [filters[0]]
    with pytest.raises(InvalidRequest, match="too deeply"):
        read(executor, "paginate", method="POST", json={"filter": filters[0]})


@both
def test_a_state_leads_to_no_other_host(kind: str) -> None:
    """A URL that someone put into a saved state is refused as a link of the API would be."""
    settings = {"pagination": {**BLOCKS["next_url"], "records": "items"}, "params": {"api_key": "${api_key}"}}
    executor, api = an_executor(kind, any_list, **settings)
    _, state = read(executor, "paginate", 3)
    state["next"] = {"url": "https://evil.test/v1/things"}
    with pytest.raises(InvalidRequest, match="another host"):
        read(executor, "paginate", state=state)
    assert len(api.requests) == 1


@both
def test_a_state_holds_no_credential(kind: str) -> None:
    """A cursor that repeats the key is used, but cannot be saved."""

    def serve(request: Request) -> Any:
        return {"items": [request.number], "next": KEY if request.number == 1 else None}

    executor, _ = an_executor(kind, serve)
    assert collect(kind, ScriptedApi(serve), settings={"pagination": CURSOR}) == [1, 2]
    with pytest.raises(RequestFailed, match="credential") as caught:
        read(executor, "paginate", 1)
    assert KEY not in str(caught.value)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    ours = [frame for frame in frames if "nango_py" in frame.f_code.co_filename]
    assert ours
    assert KEY not in repr([frame.f_locals for frame in ours])


@both
def test_loops_are_found_after_going_on_too(kind: str) -> None:
    """A cursor that leads back to a page before the state is an error."""

    def serve(request: Request) -> Any:
        after = int(request.query.get("after", 0))
        return {"items": [request.number * 100 + after], "next": {0: 1, 1: 2, 2: 1}[after]}

    executor, _ = an_executor(kind, serve)
    _, state = read(executor, "paginate", 2)
    with pytest.raises(RequestFailed, match="read already"):
        read(executor, "paginate", state=state)


@both
@pytest.mark.parametrize("length", [3, 700])
def test_loops_of_any_length_are_found_with_bounded_memory(kind: str, length: int) -> None:
    """Short ones at once; long ones by the request that is kept for longer."""
    from tests.support import scripted_executors

    def serve(request: Request) -> Any:
        after = int(request.query.get("after", 0))
        return {"items": [{"id": request.number}], "next": (after % length) + 1}

    executor, api = an_executor(kind, serve)
    most, scripted_executors.MOST_REQUESTS = scripted_executors.MOST_REQUESTS, 4 * length + 50
    try:
        with pytest.raises(RequestFailed, match="read already"):
            read(executor, "paginate")
    finally:
        scripted_executors.MOST_REQUESTS = most
    assert len(api.requests) <= 3 * length


@both
def test_batches_are_the_records_of_a_page_and_their_state(kind: str) -> None:
    """Lists of records, whose state is after them; a list that went on in the middle begins there."""
    executor, _ = an_executor(kind, numbered())
    _, state = read(executor, "paginate", 4)

    async def walk() -> list[Any]:
        found = executor.paginate("things", state=state, max_records=5)
        return [(batch, found.state["records"]) async for batch in found.batches()]

    if kind == "async":
        assert asyncio.run(walk()) == [([4, 5], 6), ([6, 7, 8], 9)]
        return
    found = executor.paginate("things", state=state, max_records=5)
    assert [(batch, found.state["records"]) for batch in found.batches()] == [([4, 5], 6), ([6, 7, 8], 9)]


@both
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("cursor", {"params": {"admin": "1"}}),
        ("cursor", {"params": {"after": "3", "admin": "1"}}),
        ("cursor", {"method": "DELETE"}),
        ("cursor", {"path": "users/7"}),
        ("cursor", {"url": "users/7"}),
        ("cursor", {"header": {"X-Admin": "1"}}),
        ("cursor", {"body": {"admin": 1}}),
        ("cursor", {"phrases": {"q": {"DELETE": 1}}}),
        ("header", {"header": {"After": "3", "X-Admin": "1"}}),
        ("body", {"body": {"page.after": 3, "page.admin": 1}}),
        ("path", {"path": "users/7"}),
        ("path", {"path": "things/after/../../users"}),
        ("path", {"path": "things/after/3?admin=1"}),
        ("path", {"path": "things/after/3", "method": "DELETE"}),
        ("next_url", {"url": "?after=3", "method": "DELETE"}),
        ("offset", {"params": {"after": "3", "admin": "1"}}),
    ],
)
def test_a_state_changes_only_what_the_list_changes(kind: str, name: str, changes: dict[str, Any]) -> None:
    """A saved state that someone has altered leads to no other endpoint and adds nothing to requests."""
    settings = {"pagination": {**BLOCKS[name], "records": "items"}}
    executor, api = an_executor(kind, any_list, **settings)
    _, state = read(executor, "paginate", 3, params={})
    with pytest.raises(InvalidRequest, match="state changes"):
        executor.paginate("things", params={}, state={**state, "next": changes})
    assert len(api.requests) == 1
    assert read(executor, "paginate", params={}, state=state)[0] == list(range(3, 10))
