"""Rules for all paginators, and the pages that each kind requests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jmespath
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nango_py.config.schema.format import definitions
from nango_py.engine.call_arguments import Call
from nango_py.engine.page_request import SentPage
from nango_py.engine.page_state import Place
from nango_py.engine.paging import PageWalk, ParsedPage
from nango_py.engine.paging_options import WalkOptions
from nango_py.engine.runtime import IntegrationRuntime
from nango_py.errors import InvalidRequest, RequestFailed
from nango_py.json_path import search_json
from nango_py.pagination.base import NextRequest, Paginator, UnreadablePage
from nango_py.record import field_names
from nango_py.registry import PAGINATORS
from tests.support.made_values import (
    KEY,
    FakeResponse,
    a_connection,
    a_plan,
    an_integration,
    bound_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nango_py.engine.plan import Plan

every_kind = pytest.mark.parametrize("kind", PAGINATORS.names())
BASE = "https://api.example.test/v1/things"
IN_QUERY = bound_settings(an_integration(params={"api_key": "${api_key}", "format": "json"}))

Serve = "Callable[[dict[str, str]], FakeResponse]"


def linked(respond: Callable[[int], FakeResponse]) -> Any:
    """An API whose pages hold the URL of the next page."""
    return lambda params: respond(int(params.get("p", "1")))


def next_body(page: int, url: str = BASE) -> FakeResponse:
    """JSON:API's links.next."""
    following = f"{url}?p={page + 1}" if page < 3 else None
    return FakeResponse(body={"data": [page], "links": {"next": following}})


def next_link(page: int, url: str = BASE) -> FakeResponse:
    """RFC 8288's Link header."""
    links = f'<{BASE}?p=1>; rel="first"'
    links += f', <{url}?p={page + 1}>; title="a, b"; rel="next"' if page < 3 else ""
    return FakeResponse(headers={"Link": links}, body=[page])


def respond_with_cursor(params: dict[str, str]) -> FakeResponse:
    """Pages "", "c2", "c3"."""
    page = {"": 1, "c2": 2, "c3": 3}[params.get("cursor", "")]
    return FakeResponse(body={"items": [page], "meta": {"next": f"c{page + 1}" if page < 3 else ""}})


def respond_to_page_number(params: dict[str, str]) -> FakeResponse:
    """Pages 1 to 3, then empty."""
    page = int(params.get("page", "1"))
    return FakeResponse(body={"items": [page] if page <= 3 else []})


def respond_to_offset(params: dict[str, str]) -> FakeResponse:
    """250 records."""
    start, size = int(params.get("offset", "0")), int(params["limit"])
    return FakeResponse(body={"data": list(range(start, min(start + size, 250)))})


@dataclass(frozen=True)
class Walk:
    """How an API with one kind of pagination responds, and the records of all its pages.

    Attributes:
        has_links: whether the API returns the URL of the next page.
    """

    serve: Any
    records: list[int]
    pages: int = 3
    has_links: bool = False


def respond_with_body_cursor(request: dict[str, str]) -> FakeResponse:
    """Three pages, whose cursor is in the JSON body."""
    page = int(json.loads(request.get("body") or "{}").get("page", {}).get("after", 1))
    return FakeResponse(body={"items": [page], "page": {"after": page + 1, "more": page < 3}})


WALKS = {
    "next": Walk(respond_with_body_cursor, [1, 2, 3]),
    "single": Walk(lambda _: FakeResponse(body={"data": [1, 2]}), [1, 2], 1),
    "next_url": Walk(linked(next_body), [1, 2, 3], has_links=True),
    "link_header": Walk(linked(next_link), [1, 2, 3], has_links=True),
    "cursor": Walk(respond_with_cursor, [1, 2, 3]),
    "page": Walk(respond_to_page_number, [1, 2, 3], 4),
    "offset": Walk(respond_to_offset, list(range(250)), 4),
}


def paginator_of(kind: str, **config: Any) -> Paginator:
    """The paginator for a blueprint's `pagination:` block."""
    cls = PAGINATORS.get(kind)
    paginator: Paginator = cls.from_settings({"kind": kind, **cls.example_config, **config})
    return paginator


def walk(
    kind: str, serve: Any, *, config: Any = None, settings: Any = IN_QUERY, **options: Any
) -> tuple[list[Any], list[Plan]]:
    """The records of all pages and the requests for them."""
    block = {"kind": kind, **PAGINATORS.get(kind).example_config, **(config or {})}
    pages = walk_of(block, WalkOptions(max_pages=20), **options)
    records: list[Any] = []
    plans: list[Plan] = []
    while pages.has_next():
        plans.append(pages.plan(settings))
        response = serve(request_of(plans[-1]))
        records += pages.add_page(response).records
    return records, plans


def walk_of(block: Any, options: WalkOptions | None = None, **call: Any) -> PageWalk:
    """A walk over a list, with the blueprint's `pagination:` block."""
    runtime = IntegrationRuntime(an_integration(pagination=block))
    method = call.pop("method", "GET")
    return PageWalk(runtime, Call(method, "things", **call), a_connection(), options or WalkOptions())


def request_of(plan: Plan) -> dict[str, str]:
    """What the API receives: the query, and the body as text."""
    query = dict(parse_qsl(urlsplit(plan.url).query))
    return {**query, "body": plan.body.decode()} if isinstance(plan.body, bytes) else query


def a_page(body: Any = None, headers: Any = None) -> Any:
    """A page that is not part of a walk."""
    walk: Any = SimpleNamespace(list_names=())
    response: Any = FakeResponse(headers=headers, body=body)
    return ParsedPage(walk, Place({}), SentPage(a_plan(), None), response, is_empty=False)


def following_plan(kind: str, body: Any, settings: Any = IN_QUERY) -> Plan | None:
    """The request for the page after one."""
    pages = walk_of({"kind": kind, **PAGINATORS.get(kind).example_config})
    response: Any = FakeResponse(body=body)
    pages.plan(settings)
    pages.add_page(response)
    return pages.plan(settings) if pages.has_next() else None


@every_kind
def test_the_config_schema_is_a_json_schema_and_the_example_is_valid(kind: str) -> None:
    """Each kind declares its keys in a JSON Schema, with an example that the docs use."""
    cls = PAGINATORS.get(kind)
    schema = {"type": "object", "additionalProperties": False, **cls.config_schema}
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = {**schema, "$defs": definitions()}
    jsonschema.Draft202012Validator(whole).validate(cls.example_config)
    assert set(cls.config_schema.get("required", ())) <= set(cls.example_config)
    assert cls.__doc__


@every_kind
def test_every_key_of_the_schema_reaches_the_paginator(kind: str) -> None:
    """No key that the schema accepts is silently ignored by the class."""
    cls = PAGINATORS.get(kind)
    samples = {
        "string": "sample", "integer": 7, "boolean": True, "array": (404,), "object": {"from": "a", "to": {}},
        None: "body", "#/$defs/response_pointer": "a.b", "#/$defs/request_pointer": {"header": "X"},
        "#/$defs/page_size": {"param": "limit", "value": 5}, "#/$defs/phrase": "START",
    }  # fmt: skip
    for key, entry in cls.config_schema["properties"].items():
        value: Any = samples[entry.get("$ref", entry.get("type"))]
        paginator = paginator_of(kind, **{key: value})
        assert value in [getattr(paginator, name) for name in field_names(type(paginator))], key


def test_every_built_in_kind_is_walked() -> None:
    """WALKS has an entry for every built-in kind."""
    assert set(WALKS) == {
        name for name, cls in PAGINATORS.all().items() if cls.__module__.startswith("nango_py.")
    }


@pytest.mark.parametrize("kind", WALKS)
def test_every_record_is_returned_once(kind: str) -> None:
    """Each page is requested once, with the credential in the query exactly once."""
    expected = WALKS[kind]
    records, plans = walk(kind, expected.serve)
    assert records == expected.records
    assert len(plans) == expected.pages
    for plan in plans:
        assert [value for name, value in parse_qsl(urlsplit(plan.url).query) if name == "api_key"] == [KEY]
        assert plan.endpoint == "things"


@pytest.mark.parametrize("kind", WALKS)
def test_the_callers_parameters_are_kept(kind: str) -> None:
    """A filter is sent with every page, unless the API returns the URL of the next page."""
    _, plans = walk(kind, WALKS[kind].serve, params=(("filter", "a b"), ("filter", "c")))
    for later in plans[:1] if WALKS[kind].has_links else plans:
        query = parse_qsl(urlsplit(later.url).query)
        assert [value for name, value in query if name == "filter"] == ["a b", "c"]
        assert ("format", "json") in query


LOOPS: dict[str, Any] = {
    "next_url": lambda _: FakeResponse(body={"data": [1], "links": {"next": f"{BASE}?p=1"}}),
    "link_header": lambda _: FakeResponse(headers={"Link": f'<{BASE}?p=1>; rel="next"'}, body=[1]),
    "cursor": lambda params: FakeResponse(body={"items": [len(params)], "meta": {"next": "same"}}),
}


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_is_an_error(kind: str) -> None:
    """An API that names the same page again raises an error instead of looping forever."""
    with pytest.raises(RequestFailed, match="page") as caught:
        walk(kind, LOOPS[kind])
    assert KEY not in f"{caught.value} {caught.value.plan}"


def test_a_longer_loop_is_an_error() -> None:
    """Two pages that name each other are a loop too."""

    def serve(params: dict[str, str]) -> FakeResponse:
        other = "b" if params.get("cursor") == "a" else "a"
        return FakeResponse(body={"items": [params.get("cursor")], "meta": {"next": other}})

    with pytest.raises(RequestFailed, match="page"):
        walk("cursor", serve)


OTHER_HOSTS = [
    "https://evil.test/v1/things?p=2",
    "//evil.test/v1/things?p=2",
    "http://api.example.test:8080/v1/things?p=2",
    "https://api.example.test:444/things?p=2",
    "https://api.example.test@evil.test/",
    "https://user:pw@api.example.test/v1/things?p=2",
    "https://api.example.test.evil.test/",
    "https://[::1",
    "https://api.example.test:bad/",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("url", OTHER_HOSTS)
def test_a_next_link_to_another_host_is_refused(url: str) -> None:
    """The credential is not sent to it, and is not in the error message."""
    for kind, response in {
        "next_url": FakeResponse(body={"data": [1], "links": {"next": url}}),
        "link_header": FakeResponse(headers={"Link": f'<{url}>; rel="next"'}, body=[1]),
    }.items():
        with pytest.raises(InvalidRequest, match="host") as caught:
            walk(kind, lambda _, response=response: response)
        assert KEY not in str(caught.value)


def test_a_declared_host_is_followed() -> None:
    """Control: a next link to a host in `requests.allowed_hosts` is followed."""
    bound = bound_settings(an_integration(allowed_hosts=("eu.example.test",)))
    serve = linked(lambda page: next_body(page, "https://eu.example.test/v1/things"))
    records, plans = walk("next_url", serve, settings=bound)
    assert records == [1, 2, 3]
    assert plans[1].url.startswith("https://eu.example.test/")
    assert plans[1].headers["authorization"][1] == f"Key {KEY}"


@pytest.mark.parametrize("link", ["/v1/things?p=2", "?p=2", "things?p=2", f"{BASE}?p=2&api_key=theirs#top"])
def test_next_links_may_be_relative_or_hold_a_credential(link: str) -> None:
    """Relative links are resolved against the last URL; a credential in the link is replaced."""
    following = following_plan("next_url", {"data": [1], "links": {"next": link}})
    assert following is not None
    assert following.url == f"{BASE}?api_key={KEY}&p=2"


def test_a_next_link_is_kept_byte_for_byte() -> None:
    """Links are not decoded and encoded again, which would break signed cursors."""
    link = f"{BASE}?page%5Bcursor%5D=bmV4%2Bdg%3D%3D&sig=%FF%fe+x~!*()&flag"
    following = following_plan("next_url", {"data": [1], "links": {"next": link}})
    assert following is not None
    assert following.url == link.replace("?", f"?api_key={KEY}&")


def test_link_headers_are_parsed_as_in_rfc_8288() -> None:
    """Several relations or links, unquoted values, quoted commas and semicolons, and any case work."""
    paginator = paginator_of("link_header")
    for header, url in {
        "</a>; rel=next": "/a",
        '</a>; rel="prev next"': "/a",
        '</a>; REL="NEXT"': "/a",
        '</a>;title="x; rel=\\"next\\"";rel="last",</b>;rel="next"': "/b",
        '</a,b;c>; rel="next"': "/a,b;c",
        '</a>; rel="prev"': None,
        '</a>; rel="nextish"': None,
        "": None,
    }.items():
        found = paginator.next_request(a_page([], {"Link": header}), ())
        assert found == (None if url is None else NextRequest(url=url)), header


def test_a_short_page_is_not_the_last_one() -> None:
    """Only the flag, the total or an empty page ends a list of offsets."""
    with_flag = paginator_of("offset", has_more="more")
    asked = (("offset", "10"), ("limit", "100"))
    following = NextRequest(params=(("offset", 12),))
    assert with_flag.request_after(a_page({"data": [1, 2], "more": True}), asked) == following
    assert with_flag.request_after(a_page({"data": [1, 2], "more": False}), asked) is None
    assert paginator_of("offset").request_after(a_page({"data": [1, 2]}), asked) == following
    assert paginator_of("offset").request_after(a_page({"data": []}), asked) is None
    with_total = paginator_of("offset", total="total")
    assert with_total.request_after(a_page({"data": [1, 2], "total": 13}), asked) == following
    assert with_total.request_after(a_page({"data": [1, 2], "total": 12}), asked) is None


def test_page_numbers_stop_at_total_pages() -> None:
    """No empty page is requested after the last of `total_pages`, also if pages start at 0."""
    counted = paginator_of("page", total_pages="pages")
    page = a_page({"items": [1], "pages": 3})
    assert counted.request_after(page, (("page", "2"),)) == NextRequest(params=(("page", 3),))
    assert counted.request_after(page, (("page", "3"),)) is None
    from_zero = paginator_of("page", total_pages="pages", start=0)
    assert from_zero.request_after(page, (("page", "1"),)) == NextRequest(params=(("page", 2),))
    assert from_zero.request_after(page, (("page", "2"),)) is None


def test_the_flag_decides_where_a_cursor_is_always_there() -> None:
    """GraphQL's `endCursor` is there on the last page too; without a cursor `has_more` is a contradiction."""
    paginator = paginator_of("cursor", has_more="more")
    page = {"items": [1], "meta": {"next": "c2"}}
    assert paginator.request_after(a_page({**page, "more": True}), ()) == NextRequest(
        params=(("cursor", "c2"),)
    )
    assert paginator.request_after(a_page({**page, "more": False}), ()) is None
    with pytest.raises(UnreadablePage, match="more"):
        paginator.request_after(a_page({"items": [1], "more": True}), ())


def test_the_page_size_is_requested() -> None:
    """The first request has the page size, if the blueprint sets one, in the older form too."""
    for kind in PAGINATORS.names():
        paginator = paginator_of(kind, size={"body": "page.size", "value": 7, "max": 9})
        assert (paginator.default_size, paginator.max_size) == (7, 9)
        assert paginator.with_size(8) == NextRequest(changes=(({"body": "page.size"}, 8),))
    older = paginator_of("page", limit_param="per_page", limit=50)
    assert older.with_size(older.default_size) == NextRequest(params=(("per_page", 50),))
    assert paginator_of("page").with_size(5) == NextRequest()


@given(
    path=st.sampled_from(
        ["data", "links.next", "a.b.c", "_x", "a-b", "a[0]", "data || items", '"a.b"', "@", "a.", ""]
    ),
    body=st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(["data", "links", "next", "a", "b", "c", "_x"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    ),
)
def test_a_plain_path_finds_what_jmespath_finds(path: str, body: object) -> None:
    """Paths of plain names give the same value or error as the jmespath library."""
    assert outcome_of(lambda: search_json(path, body)) == outcome_of(lambda: jmespath.search(path, body))


def outcome_of(work: Callable[[], object]) -> object:
    """What `work` returns; None for a type that the path does not fit, or the type of what it raises."""
    try:
        return work()
    except jmespath.exceptions.JMESPathTypeError:
        return None
    except Exception as error:  # noqa: BLE001 - compared, whatever it is
        return type(error)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("contains(message, 'limit')", {}),
        ("contains(message, 'limit')", {"message": None}),
        ("length(items)", {"items": 5}),
        ("sum(items)", {"items": ["a"]}),
        ("sort(items)", {"items": [1, "a"]}),
        ("max_by(items, &a)", {"items": [{"a": 1}, {"a": "b"}]}),
        ("join(',', items)", {"items": [1]}),
        ("ceil(number)", {"number": float("inf")}),
        ("ceil(number)", {"number": float("nan")}),
        ("values(items)", {"items": []}),
        ("items[?contains(name, 'a')]", {"items": [{"name": 1}]}),
        ("items[*].starts_with(name, 'a')", {"items": [{}]}),
    ],
)
def test_types_that_a_path_does_not_fit_are_nothing(path: str, body: Any) -> None:
    """A response decides these types, so they are not an error of a call."""
    assert search_json(path, body) is None


@pytest.mark.parametrize("path", ["items[", "@odata.nextLink", "unknown(@)", "length(a, b)"])
def test_a_path_that_is_not_a_jmespath_is_an_error(path: str) -> None:
    """Control: what the file decides is not taken for nothing."""
    with pytest.raises(ValueError, match=re.escape(path[:5])):
        search_json(path, {})


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        ("?p=2", f"{BASE}?p=2"),
        (f"{BASE}?p=2&q=a%20b#top", f"{BASE}?p=2&q=a%20b#top"),
        (f"{BASE}?next=https://evil.test/", f"{BASE}?next=https://evil.test/"),
        (f"{BASE}?p=\r\n2", f"{BASE}?p=2"),
        (f"{BASE}@evil.test/?p=2", f"{BASE}@evil.test/?p=2"),
        ("https://api.example.test.evil.test/v1/things?p=2", None),
        ("https://api.example.test@evil.test/v1/things?p=2", None),
        ("https://evil.test/v1/things?p=2", None),
        ("http://api.example.test/v1/things?p=2", None),
        ("//evil.test?p=2", None),
    ],
)
def test_links_lead_to_the_api_only(target: str, reached: str | None) -> None:
    """Only links to the host of the API are followed, however they are written."""
    assert bound_settings(an_integration()).reach(BASE, target) == reached
