"""Options of `paginate` and `pages`, over both executors: sizes, ends, overrides and prefetching."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nango_py.engine.async_page_iterators import read_ahead_async
from nango_py.engine.page_state import Place
from nango_py.engine.paging import ParsedPage
from nango_py.errors import ConfigError, InvalidRequest, ProviderError
from tests.support.made_values import FakeResponse
from tests.support.scripted_executors import ScriptedApi, collect

if TYPE_CHECKING:
    from tests.support.scripted_executors import Request
from tests.support.walks import CURSOR, an_executor, both, numbered, read


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
        ({"prefetch": [1]}, "prefetch"),
        ({"deadline_seconds": -(10**400)}, "deadline_seconds"),
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


def test_closing_can_be_cancelled_while_the_page_in_advance_ends() -> None:
    """The cancellation of a caller that waits for it is not lost."""

    async def walk() -> bool:
        may_end = asyncio.Event()
        pages = iter([ParsedPage(None, Place({}), None, FakeResponse(), is_empty=True)])

        async def fetch() -> ParsedPage | None:
            for page in pages:
                return page
            try:
                await asyncio.Event().wait()
            finally:
                await may_end.wait()
            return None

        generator = read_ahead_async(fetch, lambda: None)
        await anext(generator)
        await asyncio.sleep(0)
        closing = asyncio.create_task(generator.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        may_end.set()
        await asyncio.wait({closing})
        return closing.cancelled()

    assert asyncio.run(walk())


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
