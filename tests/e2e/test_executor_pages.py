"""Walks over pages by an executor, over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import nango_py
from nango_py import (
    Nango,
    ProviderError,
)
from nango_py.sandbox import FaultPlan, SandboxResponse
from tests.support.sandbox_product import SHOP, a_product

if TYPE_CHECKING:
    from pathlib import Path


def test_pages_are_walked_over_real_responses(tmp_path: Path) -> None:
    """paginate() yields records, pages() responses; max_pages stops; an error page raises."""
    settings = {**SHOP, "pagination": {"kind": "next_url", "next": "links.next", "records": "data"}}
    with a_product(tmp_path, settings, pages={"things": 3}) as (nango, sandbox):
        shop = nango.executor("shop", "u0")
        records = list(shop.paginate("things"))
        assert len(list(shop.pages("things"))) == 3
        assert len(list(shop.pages("things", max_pages=2))) == 2
        assert len(sandbox.ledger) == 8
        assert len(records) >= 3
        assert {entry.user for entry in sandbox.ledger.received} == {"u0"}


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("last", "error"),
    [
        (SandboxResponse.of({"data": [], "links": {}}), ""),
        (SandboxResponse.of(status=204), ""),
        (SandboxResponse.of(status=200), "empty"),
        (SandboxResponse.of({"data": {"2": {"id": 2}}}), '"2"'),
        (SandboxResponse.of({"data": [{"id": 2}], "links": {"next": ["x"]}}), "a list of 1"),
    ],
)
def test_a_walk_over_sockets_ends_with_the_records_or_an_error(
    tmp_path: Path, kind: str, last: SandboxResponse, error: str
) -> None:
    """The corpus of paged servers (test_paging_corpus.py) holds for real responses too."""
    paging = {"kind": "next_url", "next": "links.next", "records": "data"}
    first = SandboxResponse.of({"data": [{"id": 1}], "links": {"next": "?page=2"}})

    async def walk(nango: Nango) -> list[Any]:
        async with nango:
            return [record async for record in nango.async_executor("shop", "u0").paginate("things")]

    faults = FaultPlan.script([first, last])
    with a_product(tmp_path, {**SHOP, "pagination": paging}, faults=faults) as (nango, _):

        def collect() -> list[Any]:
            if kind == "async":
                return asyncio.run(walk(nango))
            return list(nango.executor("shop", "u0").paginate("things"))

        if error:
            with pytest.raises(ProviderError, match=error):
                collect()
        else:
            assert collect() == [{"id": 1}]


def test_an_error_on_the_way_through_pages_is_raised(tmp_path: Path) -> None:
    """A partial list is never taken for the whole one."""
    settings = {**SHOP, "pagination": {"kind": "next_url", "next": "links.next", "records": "data"}}
    faults = FaultPlan.script([None, 403])
    with a_product(tmp_path, settings, pages={"things": 3}, faults=faults) as (nango, _):
        with pytest.raises(ProviderError) as caught:
            list(nango.executor("shop", "u0").paginate("things"))
        assert caught.value.status == 403


def test_a_blueprint_without_pagination_says_so(tmp_path: Path) -> None:
    """The error names what to add."""
    with a_product(tmp_path) as (nango, _), pytest.raises(nango_py.ConfigError, match="add pagination"):
        list(nango.executor("shop", "u0").paginate("things"))


RECORDS = [
    # (records, body, the records or what the error names)
    ("data", {"data": []}, []),
    ("data", {"total": 0}, []),  # Gmail and X leave an empty list out
    ("data", {"data": None, "errors": []}, []),
    ("items || @", {"items": [], "total": 0}, []),  # to JMESPath an empty list is nothing
    (
        "dta",
        {"data": [{"id": 1}]},
        ('"dta"', "at data;"),
    ),
    ("data.items", {"data": {"rows": [{"id": 1}]}}, ('"data.items"', "at data.rows;")),
    ("", {"data": [{"id": 1}]}, ("the body", "at data;")),
    ("data", [{"id": 1}], ('"data"', "at @;")),
    ("data || `[]`", {"warnings": [{"text": "none found"}]}, []),
    ("names", {"names": ["a"], "data": [{"id": 1}]}, ["a"]),
]


@pytest.mark.parametrize(("records", "body", "found"), RECORDS)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_records_that_are_not_where_the_blueprint_says_are_an_error(
    tmp_path: Path, kind: str, records: str, body: Any, found: Any
) -> None:
    """A typo in `records` does not look like an empty list; a list that is left out is one."""
    paging = {"kind": "next_url", "next": "links.next", **({"records": records} if records else {})}
    faults = FaultPlan.script([SandboxResponse.of(body)])

    async def walked(nango: nango_py.Nango) -> list[Any]:
        async with nango:
            return [record async for record in nango.async_executor("shop", "u0").paginate("things")]

    with a_product(tmp_path, {**SHOP, "pagination": paging}, faults=faults) as (nango, _):

        def walk() -> list[Any]:
            if kind == "async":
                return asyncio.run(walked(nango))
            return list(nango.executor("shop", "u0").paginate("things"))

        if isinstance(found, tuple):
            with pytest.raises(nango_py.ConfigError) as caught:
                walk()
            (problem,) = caught.value.problems
            assert problem.code == "E502"
            assert all(word in str(caught.value) for word in found)
        else:
            assert walk() == found


def test_a_later_page_of_another_shape_does_not_end_the_walk(tmp_path: Path) -> None:
    """A page without its list and without anything of the first page is an error, after the good records."""
    last = SandboxResponse.of({"notice": "maintenance"})
    paging = {"kind": "page", "param": "page", "records": "data"}
    faults = FaultPlan.script([SandboxResponse.of({"data": [{"id": 1}]}), last])
    with a_product(tmp_path, {**SHOP, "pagination": paging}, faults=faults) as (nango, _):
        walk = nango.executor("shop", "u0").paginate("things")
        assert next(walk) == {"id": 1}
        with pytest.raises(ProviderError, match="notice"):
            next(walk)
