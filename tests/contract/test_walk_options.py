"""Options of `paginate` and `pages`, over both executors: sizes, ends, overrides, prefetching and states."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.errors import ConfigError, InvalidRequest, ProviderError, RequestFailed
from tests.support.made_values import KEY, FakeResponse
from tests.support.scripted_executors import ScriptedApi, collect, executors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_executors import Request

both = pytest.mark.parametrize("kind", ["sync", "async"])
CURSOR = {
    "kind": "cursor", "cursor": "next", "param": "after", "records": "items",
    "size": {"param": "limit", "value": 3, "max": 50},
}  # fmt: skip


def numbered(total: int = 10, **claims: Any) -> Callable[[Request], Any]:
    """A list of numbers; the cursor is the number before the page."""

    def serve(request: Request) -> Any:
        start = int(request.query.get("after", 0))
        size = int(request.query.get("limit", 2))
        end = min(start + size, total)
        return {"items": list(range(start, end)), "next": end if end < total else None, **claims}

    return serve


def read(executor: Any, of: str, stop_after: int | None = None, **options: Any) -> tuple[list[Any], Any]:
    """The records (or pages) of a list of an executor of either kind, and the last state."""

    async def walk() -> tuple[list[Any], Any]:
        found = getattr(executor, of)("things", **options)
        items: list[Any] = []
        state = None
        async for item in found:
            items.append(item)
            state = item.state if of == "pages" else found.state
            if len(items) == stop_after:
                break
        state = found.state if of == "paginate" else state
        await found.aclose()
        return items, state

    if type(executor).__name__ == "AsyncExecutor":
        return asyncio.run(walk())
    found = getattr(executor, of)("things", **options)
    items: list[Any] = []
    state = None
    for item in found:
        items.append(item)
        state = item.state if of == "pages" else found.state
        if len(items) == stop_after:
            break
    return items, found.state if of == "paginate" else state


def an_executor(kind: str, serve: Callable[[Request], Any], **settings: Any) -> tuple[Any, ScriptedApi]:
    """An executor of one kind, and its API."""
    api = ScriptedApi(serve)
    return executors(api, **{"pagination": CURSOR, **settings})[kind == "async"], api


@both
@pytest.mark.parametrize(("size", "pages"), [(None, 4), (5, 2), (50, 1)])
def test_a_page_size_of_the_caller_goes_before_the_blueprints(
    kind: str, size: int | None, pages: int
) -> None:
    """It is sent with each request of the list."""
    executor, api = an_executor(kind, numbered())
    assert read(executor, "paginate", page_size=size)[0] == list(range(10))
    assert [request.query["limit"] for request in api.requests] == [str(size or 3)] * pages


@both
def test_a_parameter_of_the_caller_goes_before_both(kind: str) -> None:
    """`params` may have the size, as before there was `page_size`."""
    executor, api = an_executor(kind, numbered())
    assert read(executor, "paginate", params={"limit": 4}, page_size=5)[0] == list(range(10))
    assert {request.query["limit"] for request in api.requests} == {"4"}


@both
def test_a_server_that_ignores_the_size_is_read_to_its_end(kind: str) -> None:
    """Pages may have any length, also for kinds that count."""
    for pagination in (CURSOR, {"kind": "offset", "param": "after", "records": "items"}):
        executor, _ = an_executor(
            kind, lambda request: numbered()(_without_size(request)),
            pagination={**pagination, "size": {"param": "limit", "value": 100}},
        )  # fmt: skip
        assert read(executor, "paginate")[0] == list(range(10))


def _without_size(request: Request) -> Request:
    request.query.pop("limit", None)
    return request


@both
@pytest.mark.parametrize("of", ["paginate", "pages"])
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"page_size": 51}, "50"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": "3"}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"max_pages": -1}, "max_pages"),
        ({"max_records": 1.5}, "max_records"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": float("nan")}, "max_seconds"),
        ({"prefetch": 2}, "prefetch"),
        ({"prefetch": True}, "prefetch"),
        ({"deadline_seconds": "7"}, "deadline_seconds"),
        ({"state": []}, "state"),
        ({"state": {}}, "state"),
    ],
)
def test_a_wrong_option_is_an_error_before_anything_is_sent(
    kind: str, of: str, options: dict[str, Any], word: str
) -> None:
    """The call raises, not the first step of the loop."""
    executor, api = an_executor(kind, numbered())
    with pytest.raises(InvalidRequest, match=word):
        getattr(executor, of)("things", **options)
    assert not api.requests


@both
def test_a_page_size_needs_a_place(kind: str) -> None:
    """A blueprint that does not say where the size goes cannot send one."""
    executor, _ = an_executor(kind, numbered(), pagination={"kind": "single", "records": "items"})
    with pytest.raises(InvalidRequest, match=r"pagination\.size"):
        executor.paginate("things", page_size=3)


@both
@pytest.mark.parametrize(
    ("options", "records", "requests"),
    [
        ({"max_records": 4}, 4, 2),
        ({"max_records": 3}, 3, 1),
        ({"max_records": 0}, 0, 0),
        ({"max_records": 99}, 10, 4),
        ({"max_pages": 2}, 6, 2),
        ({"max_pages": 0}, 0, 0),
        ({"max_pages": 2, "max_records": 5}, 5, 2),
        ({"max_seconds": 5}, 10, 4),
    ],
)
def test_a_walk_ends_where_the_caller_says(
    kind: str, options: dict[str, int], records: int, requests: int
) -> None:
    """No page is requested that is not needed, also with a page in advance."""
    for prefetch in (0, 1):
        executor, api = an_executor(kind, numbered())
        assert read(executor, "paginate", prefetch=prefetch, **options)[0] == list(range(records))
        assert len(api.requests) == requests


@both
def test_no_page_is_requested_after_max_seconds(kind: str) -> None:
    """The clock decides; the state says that the list goes on."""
    clocks: list[Any] = []

    def slow(request: Request) -> Any:
        clocks[0].advance(4)
        return numbered()(request)

    executor, api = an_executor(kind, slow)
    clocks.append(executor._get_runtime().clock)
    records, state = read(executor, "paginate", max_seconds=10)
    assert (records, state["done"], len(api.requests)) == (list(range(9)), False, 3)


@both
def test_max_records_of_pages_ends_after_the_page_that_has_them(kind: str) -> None:
    """`pages()` gives whole pages."""
    executor, api = an_executor(kind, numbered())
    assert len(read(executor, "pages", max_records=4)[0]) == len(api.requests) == 2


@both
def test_a_call_may_have_a_pagination_of_its_own(kind: str) -> None:
    """It is merged over the blueprint's: a key is replaced, another kind keeps the records."""
    executor, api = an_executor(kind, lambda request: {**numbered()(request), "rows": ["x"]})
    assert read(executor, "paginate", pagination={"records": "rows"}, max_pages=1)[0] == ["x"]
    assert read(executor, "paginate", pagination={"kind": "single"})[0] == [0, 1]
    over = {"next": {"from": "next", "to": {"header": "X-After"}}, "size": {"param": "limit", "value": 9}}
    read(executor, "paginate", pagination=over, max_pages=1)
    assert api.requests[-1].query == {"limit": "9"}
    with pytest.raises(ConfigError) as caught:
        executor.paginate("things", pagination={"kind": "cursr"})
    assert caught.value.problems[0].code == "E204"


@both
def test_a_list_without_a_blueprints_pagination_may_be_read(kind: str) -> None:
    """A pagination of the call is enough; without any there is an error that says so."""
    executor, _ = an_executor(kind, lambda _: ["a"], pagination=None)
    assert read(executor, "paginate", pagination={"kind": "single"})[0] == ["a"]
    with pytest.raises(ConfigError, match="pagination") as caught:
        executor.paginate("things")
    assert caught.value.problems[0].code == "E501"


# -- prefetching -----------------------------------------------------------------------------------------


def test_threads_request_the_next_page_while_a_page_is_used() -> None:
    """The request for page 2 arrives before the caller has finished with page 1."""
    arrived = threading.Event()

    def serve(request: Request) -> Any:
        if request.number == 2:
            arrived.set()
        return numbered()(request)

    executor, _ = an_executor("sync", serve)
    pages = executor.pages("things", prefetch=1)
    next(pages)
    assert arrived.wait(10)
    assert len(list(pages)) == 3


def test_tasks_request_the_next_page_while_a_page_is_used() -> None:
    """The same with asyncio."""

    async def walk() -> int:
        arrived = asyncio.Event()

        def serve(request: Request) -> Any:
            if request.number == 2:
                arrived.set()
            return numbered()(request)

        executor, _ = an_executor("async", serve)
        pages = executor.pages("things", prefetch=1)
        await anext(pages)
        await asyncio.wait_for(arrived.wait(), 10)
        return len([page async for page in pages])

    assert asyncio.run(walk()) == 3


@both
def test_without_prefetching_no_page_is_requested_in_advance(kind: str) -> None:
    """The control: the second request is made when the second page is asked for."""
    executor, api = an_executor(kind, numbered())
    read(executor, "pages", stop_after=1)
    assert len(api.requests) == 1


@both
def test_errors_of_a_page_in_advance_come_in_its_place(kind: str) -> None:
    """The records before it are read first; then the error is raised, and `explain()` is of that call."""

    def serve(request: Request) -> Any:
        return FakeResponse(404, body={"error": "gone"}) if request.number == 3 else numbered()(request)

    executor, _ = an_executor(kind, serve)
    api = ScriptedApi(serve)
    found: list[Any] = []
    with pytest.raises(ProviderError, match="404"):
        collect(kind, api, settings={"pagination": CURSOR}, into=found, prefetch=1)
    assert found == list(range(6))

    def explain_sync() -> tuple[int, ...]:
        with pytest.raises(ProviderError):
            list(executor.paginate("things", prefetch=1))
        return tuple(attempt.status for attempt in executor.attempts)

    async def explain_async() -> tuple[int, ...]:
        with pytest.raises(ProviderError):
            [record async for record in executor.paginate("things", prefetch=1)]
        return tuple(attempt.status for attempt in executor.attempts)

    assert (explain_sync() if kind == "sync" else asyncio.run(explain_async())) == (404,)


def test_a_task_that_stops_early_cancels_the_page_in_advance() -> None:
    """No task is left behind when the loop ends, and none when the iterator is closed."""

    async def walk() -> set[Any]:
        executor, _ = an_executor("async", numbered())
        records = executor.paginate("things", prefetch=1)
        async for _ in records:
            break
        await records.aclose()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(walk()) == set()


def test_a_thread_that_stops_early_leaves_nothing_behind() -> None:
    """The page in advance is dropped when it arrives; its thread ends."""
    executor, _ = an_executor("sync", numbered())
    for _ in executor.paginate("things", prefetch=1):
        break
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "nango-next-page":
            thread.join(10)
    assert "nango-next-page" not in {thread.name for thread in threading.enumerate()}


# -- states ----------------------------------------------------------------------------------------------

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


SQL = {
    "kind": "offset", "param": "query", "phrase": "STARTPOSITION", "start": 1, "records": "items",
    "size": {"param": "query", "phrase": "MAXRESULTS", "max": 4},
}  # fmt: skip


def queried(request: Request) -> Any:
    """Ten numbers for a query such as `select * from Item STARTPOSITION 1 MAXRESULTS 4`."""
    words = request.query["query"].split()
    start, size = int(words[words.index("STARTPOSITION") + 1]) - 1, int(words[words.index("MAXRESULTS") + 1])
    return {"items": list(range(10))[start : start + size]}


@both
def test_numbers_may_be_part_of_a_query_language(kind: str) -> None:
    """They are added to the caller's text, or replaced in it; the caller's own page size stays."""
    executor, api = an_executor(kind, queried, pagination=SQL)
    given = {"query": "select * from Item"}
    records, state = read(executor, "paginate", 5, params=given)
    assert records + read(executor, "paginate", params=given, state=state)[0] == list(range(10))
    assert api.requests[0].query == {"query": "select * from Item STARTPOSITION 1 MAXRESULTS 4"}
    assert api.requests[1].query == {"query": "select * from Item STARTPOSITION 5 MAXRESULTS 4"}
    executor, api = an_executor(kind, queried, pagination=SQL)
    given = {"query": "select * from Item where Name = 'a' STARTPOSITION 3 MAXRESULTS 2"}
    assert read(executor, "paginate", params=given)[0] == list(range(2, 10))
    assert api.requests[1].query == {
        "query": "select * from Item where Name = 'a' STARTPOSITION 5 MAXRESULTS 2"
    }
    with pytest.raises(InvalidRequest, match="query"):
        executor.paginate("things")


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
