"""Walks over paged servers that lie or stumble: exactly the records, or an error that says what was found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nango_py.errors import ConfigError, RequestFailed
from tests.support.made_values import KEY
from tests.support.paging_corpus import CASES
from tests.support.scripted_executors import ScriptedApi, collect, executors


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("paging", sorted({name.partition(":")[0] for name in CASES}))
def test_a_walk_gives_the_records_or_says_what_it_found(paging: str, kind: str) -> None:
    """No list ends early in silence, and none runs for ever."""
    for name, case in CASES.items():
        if name.partition(":")[0] != paging:
            continue
        api = ScriptedApi(case.serve)
        settings = {"pagination": case.pagination}
        if case.records is not None:
            assert collect(kind, api, settings=settings, **case.call) == case.records, name
        else:
            found: list[Any] = []
            message = ""
            try:
                collect(kind, api, settings=settings, into=found, **case.call)
            except (RequestFailed, ConfigError) as error:
                message = str(error)
            assert message, f"{name}: no error"
            assert case.error in message, name
            assert KEY not in message, name
        assert len(api.requests) <= case.most, name


def test_the_corpus_is_large() -> None:
    """At least 150 servers, and every kind of paging."""
    assert len(CASES) >= 150
    assert {case.pagination.get("kind", "next") for case in CASES.values()} == {
        "single", "page", "offset", "cursor", "next_url", "link_header", "next",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_deadline_is_for_each_page(kind: str) -> None:
    """`deadline_seconds` of a walk reaches every call."""
    seconds: list[float] = []

    class Timed(ScriptedApi):
        def send(self, plan: Any, limit: float) -> Any:
            seconds.append(limit)
            return super().send(plan, limit)

    api = Timed(CASES["page: until one is empty"].serve)
    settings = {"pagination": CASES["page: until one is empty"].pagination}
    assert len(collect(kind, api, settings=settings, deadline_seconds=7.0)) == 7
    assert seconds == [7.0] * 4


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("of", ["paginate", "pages", "get", "plan", "download"])
def test_an_unknown_option_names_the_nearest(kind: str, of: str) -> None:
    """A misspelt option is a TypeError of the caller's own words, before anything is sent."""
    api = ScriptedApi(lambda _: [])
    executor = executors(api, pagination={"kind": "single"})[kind == "async"]
    arguments = {"plan": ("GET", "things"), "download": ("things", "file")}.get(of, ("things",))

    async def call() -> None:
        result = getattr(executor, of)(*arguments, parms={"a": 1})
        await result

    with pytest.raises(TypeError, match=r'unknown option "parms"; did you mean "params"\?'):
        asyncio.run(call()) if kind == "async" else getattr(executor, of)(*arguments, parms={"a": 1})
    assert not api.requests


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_each_page_of_a_post_has_a_key_of_its_own(kind: str) -> None:
    """A key that is repeated would bring the first page again; a key of the caller is kept."""
    settings = {
        "pagination": CASES["cursor: in the body by default"].pagination,
        "retries": {"idempotency_header": "Idempotency-Key"},
    }
    for options, number in (({}, 3), ({"headers": {"idempotency-key": "mine"}}, 1)):
        api = ScriptedApi(CASES["cursor: in the body by default"].serve)
        collect(kind, api, settings=settings, method="POST", json={"filter": 1}, **options)
        keys = {request.plan.headers["idempotency-key"][1] for request in api.requests}
        assert (len(api.requests), len(keys)) == (3, number)
        assert all(request.body["filter"] == 1 for request in api.requests)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_pages_need_no_records_where_the_api_names_the_next_page(kind: str) -> None:
    """`pages()` walks lists whose records are not where the blueprint says, but not for ever."""
    settings = {"pagination": {"kind": "cursor", "cursor": "next", "param": "after", "records": "items"}}
    bodies = [{"rows": [{"a": 1}], "next": "x"}, {"count": 5}]
    api = ScriptedApi(lambda request: bodies[min(request.number, 2) - 1])
    assert [page.json() for page in collect(kind, api, of="pages", settings=settings)] == bodies
    api = ScriptedApi(lambda request: {"rows": [{"a": 1}], "next": f"{'x' if request.number % 2 else 'y'}"})
    with pytest.raises(RequestFailed):
        collect(kind, api, of="pages", settings=settings)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_max_pages_ends_a_walk_before_the_next_link_is_read(kind: str) -> None:
    """A link that could not be followed does not matter to a caller who stops before it."""
    case = CASES["next_url: itself"]
    api = ScriptedApi(case.serve)
    assert len(collect(kind, api, settings={"pagination": case.pagination}, max_pages=1)) == 3


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_credential_is_in_the_error_for_a_page(kind: str) -> None:
    """A page that echoes the key is described without it, in the message and in the frames of the library."""
    pagination = {"kind": "next_url", "next": "next", "records": "items"}
    for body in ({"items": KEY}, {"error": KEY}, KEY, {"items": [], "next": f"https://evil.test/?k={KEY}"}):
        api = ScriptedApi(lambda _, body=body: body)
        with pytest.raises(RequestFailed) as caught:
            collect(kind, api, settings={"pagination": pagination})
        assert KEY not in str(caught.value)
