"""Every kind of pagination has a page server, and the paginator gets exactly its records."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from nango_py import ConfigError, ProviderError, Sandbox
from nango_py.config.yaml.document import load_document
from nango_py.registry import PAGE_SERVERS, PAGINATORS
from nango_py.sandbox.lists import make_list
from nango_py.sandbox.routes import Route
from tests.support.run_docs import ROOT
from tests.support.sandbox_calls import get
from tests.support.sandbox_product import SHOP, a_nango

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nango_py import Nango

BLOCKS: dict[str, dict[str, Any]] = {
    **{f"{name}, its example": {"kind": name, **PAGINATORS.get(name).example_config}
       for name in PAGINATORS.names() if name != "single"},
    "next_url in a list of links": {
        "kind": "next_url", "next": "links[?rel=='next'].href | [0]", "records": "items",
    },
    "next_url with an odd key": {"kind": "next_url", "next": '"@odata.nextLink"', "records": "value"},
    "next_url with a flag": {"kind": "next_url", "next": "next", "has_more": "more", "records": "a.b"},
    "link_header with a rel": {"kind": "link_header", "rel": "following"},
    "cursor of the last record": {
        "kind": "cursor", "cursor": "has_more && data[-1].id", "has_more": "has_more",
        "param": "starting_after", "records": "data",
    },
    "cursor in a header": {"kind": "cursor", "cursor": {"header": "X-Next"}, "param": "c", "records": "data"},
    "cursor in the body": {
        "kind": "cursor", "cursor": "paging.next.after", "param": "after", "records": "results",
        "params_in": "body",
    },
    "offset with a total": {
        "kind": "offset", "param": "_skip", "limit_param": "_limit", "limit": 7, "total": "meta.total",
        "records": "data",
    },
    "offset with a flag": {"kind": "offset", "param": "o", "has_more": "more", "records": "data"},
    "page with totals": {
        "kind": "page", "param": "p", "start": 0, "total_pages": "pages", "total": "all", "records": "data",
    },
    "next to a parameter": {
        "next": {"from": "paging.next", "to": {"param": "after"}}, "records": "items",
        "size": {"param": "limit", "value": 2, "max": 50},
    },
    "next from a header to a header": {
        "next": {"from": {"header": "X-Next"}, "to": {"header": "X-After"}, "more": {"header": "X-More"}},
        "size": {"header": "X-Size", "value": 2},
    },
    "next to GraphQL variables": {
        "records": "data.things.nodes",
        "next": {
            "from": "data.things.pageInfo.endCursor", "to": {"body": "variables.after"},
            "more": "data.things.pageInfo.hasNextPage",
        },
        "size": {"body": "variables.first", "value": 2},
    },
    "next by another path": {
        "next": {"from": "cursor", "to": {"body": "cursor"}, "path": "{path}/continue", "more": "has_more"},
        "records": "entries", "size": {"body": "limit", "value": 2},
    },
    "next in the path, by another method": {
        "next": {"from": "n", "to": {"segment": "page"}, "path": "{path}/after/{page}", "method": "POST"},
        "records": "entries",
    },
    "next is a URL": {"next": {"from": "links.next", "to": {"url": True}}, "records": "data"},
    "next_url relative to the base URL": {
        "kind": "next_url", "next": "links.next", "records": "data", "relative_to": "base_url",
        "size": {"param": "limit", "value": 2},
    },
    "link_header relative to the base URL": {"kind": "link_header", "relative_to": "base_url"},
    "offset in the body, from 1": {
        "kind": "offset", "to": {"body": "page.from"}, "start": 1, "total": {"header": "X-Total"},
        "size": {"body": "page.size", "value": 2}, "records": "data",
    },
    "offset in a query language": {
        "kind": "offset", "param": "query", "phrase": "STARTPOSITION", "start": 1, "records": "data",
        "size": {"param": "query", "phrase": "MAXRESULTS", "max": 2},
    },
    "page in a header": {
        "kind": "page", "to": {"header": "X-Page"}, "total_pages": {"header": "X-Pages"}, "records": "data",
        "size": {"param": "limit", "max": 2},
    },
    "alternatives": {"kind": "page", "param": "p", "records": "repositories || items || @"},
}  # fmt: skip
SIZES = [(0, 3), (1, 3), (3, 3), (6, 3), (7, 3), (25, 10)]


@contextlib.contextmanager
def paged(folder: Path, block: dict[str, Any]) -> Iterator[tuple[Nango, Sandbox]]:
    """A product whose API pages like the block."""
    settings = {**SHOP, "pagination": block}
    with (
        Sandbox(settings) as sandbox,
        a_nango(folder, sandbox.base_url, {**settings, "rate_limits": None}) as nango,
    ):
        nango.register_connection("shop", "u0", {"api_key": "key_for_tests"})
        yield nango, sandbox


def test_every_kind_has_a_page_server() -> None:
    """A kind without one cannot be tested without its API."""
    assert set(PAGE_SERVERS.names()) == set(PAGINATORS.names())


@pytest.mark.parametrize("block", BLOCKS.values(), ids=list(BLOCKS))
def test_a_walk_gets_exactly_the_records(block: dict[str, Any], tmp_path: Path) -> None:
    """Threads and asyncio get all records, in order, for lists of every length, and then stop."""
    is_in_body = block.get("params_in") == "body" or "'body'" in repr(block)
    calls: dict[str, Any] = {"json": {"q": 1}, "method": "POST"} if is_in_body else {}
    if "phrase" in block:
        calls = {"params": {"query": "select * from Item"}}
    method = calls.get("method", "GET")
    with paged(tmp_path, block) as (nango, sandbox):
        for number, size in SIZES:
            path = f"lists/{number}/things"
            made = sandbox.paginate("lists/{id}/things", number, method=method, page_size=size)
            before = len(sandbox.ledger)
            assert list(nango.executor("shop", "u0").paginate(path, **calls)) == made
            pages = len(sandbox.ledger) - before
            requested = block.get("size", {})
            expected = -(-number // min(size, requested.get("value") or requested.get("max") or size))
            if "path" not in block.get("next", ()):  # there, the page size is sent once
                assert expected <= pages <= expected + 1

        async def walk() -> list[Any]:
            executor = nango.async_executor("shop", "u0")
            return [record async for record in executor.paginate("lists/25/things", **calls)]

        assert asyncio.run(walk()) == made
        assert len(made) == 25
        assert {received.status for received in sandbox.ledger.received} == {200}


def test_records_are_like_the_example_of_the_path(tmp_path: Path) -> None:
    """Records and the members around them are those of the blueprint's example, with other values."""
    document = {"object": "list", "data": [{"id": "or_12", "state": "paid"}], "meta": {"next": None, "v": 2}}
    settings = {
        **SHOP,
        "pagination": {"kind": "cursor", "cursor": "meta.next", "param": "c", "records": "data"},
        "examples": [{"call": {"path": "shops/7/orders"}, "response": {"status": 200, "json": document}}],
    }
    with Sandbox(settings) as sandbox, a_nango(tmp_path, sandbox.base_url, settings) as nango:
        nango.register_connection("shop", "u0", {"api_key": "key_for_tests"})
        made = sandbox.paginate("shops/7/orders", 5, page_size=3)
        pages = list(nango.executor("shop", "u0").pages("shops/7/orders"))
        schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
        shaped = sandbox.paginate("other", 3, schema=schema)
        assert (
            list(nango.executor("shop", "u0").paginate("other"))
            == shaped
            == [{"id": 1}, {"id": 2}, {"id": 3}]
        )
    assert [page.json()["object"] for page in pages] == ["list", "list"]
    assert [page.json()["meta"]["v"] for page in pages] == [2, 2]
    assert pages[1].json()["meta"]["next"] is None
    assert {record["state"] for record in made if isinstance(record, dict)} == {"paid"}


def test_a_single_page_has_all_records(tmp_path: Path) -> None:
    """`single` is not cut."""
    with paged(tmp_path, {"kind": "single"}) as (nango, sandbox):
        made = sandbox.paginate("things", 250, page_size=10)
        assert list(nango.executor("shop", "u0").paginate("things")) == made


def test_a_skipped_page_would_be_noticed(tmp_path: Path) -> None:
    """The control: a client that changes the cursor does not get the records."""
    with paged(tmp_path, {"kind": "page", "param": "p", "records": "data"}) as (nango, sandbox):
        made = sandbox.paginate("things", 25, page_size=10)
        assert list(nango.executor("shop", "u0").paginate("things", params={"p": "2"})) == made[10:]


def shipped_blocks() -> dict[str, dict[str, Any]]:
    """The pagination block of each shipped file that has one with a kind."""
    found = {path.stem: load_document(path).data for path in sorted((ROOT / "blueprints").glob("*.yaml"))}
    blocks = {stem.replace(".", "-"): data.get("pagination") or {} for stem, data in found.items()}
    return {name: block for name, block in blocks.items() if block.get("kind")}


def test_each_shipped_pagination_block_is_walked() -> None:
    """The block of each blueprint gets the generated records: one product, and one sandbox for all."""
    blocks = shipped_blocks()
    assert len(blocks) > 100
    wrong = []
    with Sandbox(SHOP) as sandbox:
        requests = {**SHOP["requests"], "base_url": sandbox.base_url}
        integrations = {name: {**SHOP, "requests": requests, "pagination": blocks[name]} for name in blocks}
        with a_nango(ROOT, "", integrations=integrations, database_url="sqlite:///:memory:") as nango:
            for name, block in blocks.items():
                served, made = make_list(
                    {**SHOP, "pagination": block}, name, 7, responses=sandbox.api.responses, page_size=3
                )
                for verb, place in {("GET", name), *served.continuations("GET", name)}:
                    sandbox.api.routes.add(Route.of(verb, place, served))
                nango.register_connection(name, "u0", {"api_key": "key_for_tests"})
                params = {block["param"]: "select * from Things"} if "phrase" in block else {}
                if list(nango.executor(name, "u0").paginate(name, params=params)) != made:
                    wrong.append(name)
    assert wrong == []


@pytest.mark.parametrize(
    ("block", "query"),
    [
        ({"kind": "cursor", "cursor": "c", "param": "c"}, "c=made-up"),
        ({"kind": "cursor", "cursor": "data[-1].id", "param": "after"}, "after=made-up"),
        ({"kind": "next_url", "next": "n"}, "page[cursor]=QQ=="),
        ({"kind": "offset", "param": "o"}, "o=-1"),
        ({"kind": "page", "param": "p"}, "p=0"),
        ({"kind": "page", "param": "p", "limit_param": "n"}, "n=many"),
    ],
)
def test_a_page_that_does_not_exist_is_a_400(block: dict[str, Any], query: str) -> None:
    """Cursors that the sandbox did not send, and values that are not numbers, are refused."""
    block = {**block, "records": "data" if block["kind"] != "next_url" else "d"}
    settings = {"requests": SHOP["requests"] | {"headers": {}}, "pagination": block}
    with Sandbox(settings) as sandbox:
        sandbox.paginate("things", 5)
        assert get(sandbox, f"things?{query}", headers={}).json()["error"]["code"] == "unknown_page"
        assert get(sandbox, f"things?{query}", headers={}).status_code == 400


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "offset", "param": "o", "records": "data[].attributes"},
        {"kind": "cursor", "cursor": "length(data)", "param": "c", "records": "data"},
        {"kind": "unheard_of", "records": "data"},
    ],
)
def test_what_cannot_be_served_is_an_error(block: dict[str, Any]) -> None:
    """A block that the sandbox cannot write is a ValueError, not a list that ends early."""
    with Sandbox({**SHOP, "pagination": block}) as sandbox, pytest.raises(ValueError, match="sandbox cannot"):
        sandbox.paginate("things", 5)


def test_a_wrong_block_is_noticed_against_the_right_server(tmp_path: Path) -> None:
    """The control: records or cursors at another place are an error of the client, or end its walk."""
    served = {"kind": "cursor", "cursor": "meta.next", "param": "c", "records": "data"}
    for wrong in ({"records": "items"}, {"param": "cursor"}):
        settings = {**SHOP, "pagination": served}
        with (
            Sandbox(settings) as sandbox,
            a_nango(tmp_path, sandbox.base_url, {**SHOP, "pagination": {**served, **wrong}}) as nango,
        ):
            nango.register_connection("shop", "u0", {"api_key": "key_for_tests"}, replace=True)
            sandbox.paginate("things", 5, page_size=2)
            with pytest.raises((ConfigError, ProviderError)):
                list(nango.executor("shop", "u0").paginate("things"))
