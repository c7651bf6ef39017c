"""`endpoints[].pagination`, and lists below other bases, by both executors over sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from nango_py import ConfigError, InvalidRequest
from tests.support.both_executors import EXECUTORS, open_product
from tests.support.recording_server import RecordingServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.recording_server import Received

KEY = "key_test_12345678"
RECORDS = list(range(7))


def respond(received: Received) -> Reply:
    """Seven numbers, by cursor; `events` by page, `search` by a cursor in the body."""
    target = urlsplit(received.target)
    query = dict(parse_qsl(target.query))
    body = json.loads(received.body or b"{}")
    size = int(query.get("limit") or body.get("size") or 2)
    if target.path.endswith("events"):
        start = (int(query.get("page", 1)) - 1) * size
        return Reply({"items": RECORDS[start : start + size]})
    start = int(query.get("after") or body.get("after") or 0)
    end = start + size
    more = end if end < len(RECORDS) else None
    key = "hits" if target.path.endswith("search") else "items"
    return Reply({key: RECORDS[start:end], "next": more})


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """The API."""
    with RecordingServer(respond) as server:
        yield server


ENDPOINTS = [
    {"match": {"path": "events"}, "pagination": {"kind": "page", "param": "page"}},
    {
        "match": {"method": "POST", "path": "search"},
        "pagination": {
            "records": "hits", "next": {"from": "next", "to": {"body": "after"}},
            "size": {"body": "size", "value": 3},
        },
    },
    {"match": {"path": "small", "config": {"plan": "pro"}}, "pagination": {"size": {"max": 5}}},
    {"match": {"path": "small"}, "pagination": {"size": {"max": 3}}},
]  # fmt: skip


def entry_of(server: RecordingServer, **changes: Any) -> dict[str, Any]:
    """An integration with the API."""
    return {
        "auth": {"auth_mode": "API_KEY"},
        "requests": {
            "base_url": f"{server.url}v1/",
            "bases": {"content": f"{server.url}content/"},
            "headers": {"Authorization": "Bearer ${api_key}"},
        },
        "pagination": {
            "kind": "cursor", "cursor": "next", "param": "after", "records": "items",
            "size": {"param": "limit", "value": 4, "max": 10},
        },
        "connection_config": {"properties": {"plan": {"type": "string"}}},
        "endpoints": ENDPOINTS,
        **changes,
    }  # fmt: skip


def read(path: str, **options: Any) -> Any:
    """A function that reads a list with the executor of either kind."""

    def make(executor: Any) -> Any:
        found = executor.paginate(path, **options)
        if not hasattr(found, "__aiter__"):
            return list(found)

        async def collect() -> list[Any]:
            return [record async for record in found]

        return collect()

    return make


def sent(server: RecordingServer) -> list[str]:
    """The targets of the requests."""
    return [received.target for received in server.received]


@EXECUTORS
def test_a_list_is_read_as_its_endpoint_says(run: Any, server: RecordingServer) -> None:
    """Another kind, another place, or another size; the first entry that fits decides."""
    with open_product(entry_of(server), credentials={"api_key": KEY}) as nango:
        assert run(nango, read("events")) == RECORDS
        assert run(nango, read("search", method="POST", json={"q": 1})) == RECORDS
        assert run(nango, read("small")) == RECORDS
        assert run(nango, read("things")) == RECORDS
    assert sent(server) == [
        "/v1/events", "/v1/events?page=2", "/v1/events?page=3", "/v1/events?page=4", "/v1/events?page=5",
        "/v1/search", "/v1/search", "/v1/search",
        "/v1/small?limit=3", "/v1/small?limit=3&after=3", "/v1/small?limit=3&after=6",
        "/v1/things?limit=4", "/v1/things?limit=4&after=4",
    ]  # fmt: skip
    bodies = [json.loads(received.body) for received in server.received if received.body]
    assert bodies == [{"q": 1, "size": 3}, {"q": 1, "size": 3, "after": 3}, {"q": 1, "size": 3, "after": 6}]


@EXECUTORS
def test_a_setting_of_the_connection_may_decide(run: Any, server: RecordingServer) -> None:
    """Larger pages for a plan."""
    given = {"credentials": {"api_key": KEY}, "additional_config": {"plan": "pro"}}
    with open_product(entry_of(server), **given) as nango:
        assert run(nango, read("small")) == RECORDS
    assert sent(server)[0] == "/v1/small?limit=5"


@EXECUTORS
def test_a_pagination_of_the_call_goes_over_that_of_the_endpoint(run: Any, server: RecordingServer) -> None:
    """The three layers are merged in order."""
    with open_product(entry_of(server), credentials={"api_key": KEY}) as nango:
        run(nango, read("small", pagination={"size": {"value": 1}}, max_pages=1))
        run(nango, read("events", pagination={"start": 3}, max_pages=1))
    assert sent(server) == ["/v1/small?limit=1", "/v1/events"]


@EXECUTORS
def test_a_list_below_another_base_stays_there(run: Any, server: RecordingServer) -> None:
    """`executor.at()` reads lists too."""
    with open_product(entry_of(server), credentials={"api_key": KEY}) as nango:
        assert run(nango, lambda executor: read("things")(executor.at("content"))) == RECORDS
    assert sent(server) == ["/content/things?limit=4", "/content/things?limit=4&after=4"]


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ({"kind": "page"}, '["endpoints"][0]["pagination"]'),
        ({"next": {"from": "a"}}, '["endpoints"][0]["pagination"]["next"]'),
        ({"size": {"value": 50}}, '["endpoints"][0]["pagination"]["size"]["value"]'),
        ({"cursor": "a["}, '["endpoints"][0]["pagination"]["cursor"]'),
        ({"kind": "cursr"}, '["endpoints"][0]["pagination"]["kind"]'),
    ],
)
def test_a_wrong_block_is_an_error_at_its_place(
    block: dict[str, Any], place: str, server: RecordingServer
) -> None:
    """What is missing is looked for after merging, and reported at the endpoint."""
    entry = entry_of(server, endpoints=[{"match": {"path": "events"}, "pagination": block}])
    with pytest.raises(ConfigError) as caught, open_product(entry, credentials={"api_key": KEY}) as nango:
        nango.executor("shop", "u")
    assert [problem.position.file.endswith(place) for problem in caught.value.problems] == [True]
    assert not server.received


@EXECUTORS
def test_a_state_belongs_to_one_base_url(run: Any, server: RecordingServer) -> None:
    """The same path below another base URL is another list; below its own, the list goes on."""
    with open_product(entry_of(server), credentials={"api_key": KEY}) as nango:
        of_content, of_default = (
            nango.executor("shop", "u").at("content").paginate("things").state,
            nango.executor("shop", "u").paginate("things").state,
        )
        refused: list[tuple[Any, Any]] = [
            (lambda executor: executor, of_content),
            (lambda executor: executor.at("content"), of_default),
        ]
        for choose, state in refused:
            with pytest.raises(InvalidRequest, match="base URL"):
                run(nango, lambda executor, at=choose, of=state: read("things", state=of)(at(executor)))
        assert sent(server) == []
        assert run(nango, read("things", state=of_default)) == RECORDS
