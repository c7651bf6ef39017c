"""A walk over 200 pages of 100 records: what it costs beside a hand-written loop."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks import server
from benchmarks.measure import cpu_rounds, medians, ratios
from benchmarks.peers import HEADERS
from benchmarks.report import Goal, Table
from benchmarks.subject import KEY, USER, prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Walk = Callable[[], Iterator[object]]

OURS = "nango_py"
LOOP = "requests loop"


def run(*, quick: bool) -> list[Table]:
    """Every walker counts what it was given."""
    with server.running() as base, prepared(base) as nango:
        executor = nango.executor("bench", USER)
        walks: dict[str, Walk] = {
            OURS: lambda: executor.paginate("pages"),
            LOOP: lambda: with_requests(base),
            "urllib3 loop": lambda: with_urllib3(base),
        }
        if find_spec("httpx"):
            walks["httpx loop"] = lambda: with_httpx(base)
        if find_spec("singer_sdk"):
            walks["singer-sdk RESTStream"] = lambda: with_singer(base)
        if find_spec("dlt"):
            walks["dlt RESTClient"] = lambda: with_dlt(base)
        clients = {name: _counted(walk) for name, walk in walks.items()}
        found = cpu_rounds(clients, rounds=1 if quick else 9, calls=1, warm_up=1)
    table = Table(
        f"{server.PAGES} pages x {server.PAGE_SIZE} records: client CPU", ("client", "ms", "by requests loop")
    )
    times, by_loop = medians(found), ratios(found, LOOP)
    for name in sorted(times, key=lambda name: by_loop[name]):
        table.add(name, times[name] * 1e3, by_loop[name])
    table.goals = [Goal("CPU by a hand-written requests loop", by_loop[OURS], 0.45)]
    return [table]


def _counted(walk: Walk) -> Callable[[], object]:
    def call() -> None:
        count = sum(1 for _ in walk())
        if count != server.PAGES * server.PAGE_SIZE:
            raise RuntimeError(f"the walk gave {count} records")

    return call


def with_requests(base: str) -> Iterator[object]:
    """As one writes it by hand."""
    import requests

    with requests.Session() as session:
        session.headers.update(HEADERS)
        url = f"{base}/api/pages?page=1"
        while url:
            page = session.get(url, timeout=30).json()
            yield from page["data"]
            url = page["links"]["next"]


def with_urllib3(base: str) -> Iterator[object]:
    """The same loop over a bare pool."""
    import urllib3

    with urllib3.PoolManager() as pool:
        url = f"{base}/api/pages?page=1"
        while url:
            page = json.loads(pool.request("GET", url, headers=HEADERS).data)
            yield from page["data"]
            url = page["links"]["next"]


def with_httpx(base: str) -> Iterator[object]:
    """The same loop over httpx."""
    import httpx

    with httpx.Client(headers=HEADERS) as client:
        url = f"{base}/api/pages?page=1"
        while url:
            page = client.get(url).json()
            yield from page["data"]
            url = page["links"]["next"]


def with_singer(base: str) -> Iterator[object]:
    """A stream of singer-sdk that follows links."""
    from benchmarks.streams import singer

    records: Iterator[object] = singer(base, "/api/pages", {"page": "1"}, key=KEY).request_records(None)
    return records


def with_dlt(base: str) -> Iterator[object]:
    """The REST client of dlt with its paginator for links in the body."""
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    client = RESTClient(
        base,
        auth=BearerTokenAuth(KEY),
        paginator=JSONLinkPaginator(next_url_path="links.next"),
        data_selector="data",
    )
    for page in client.paginate("/api/pages", params={"page": "1"}):
        yield from page
