"""Paged servers that lie or stumble, and what a walk over each gives: the records, or a word of the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.made_values import FakeResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.support.scripted_executors import Request

BASE = "https://api.example.test/v1/things"
EVERYTHING = [{"id": number} for number in range(1, 8)]
PAGE_OF_3 = [EVERYTHING[:3], EVERYTHING[3:6], EVERYTHING[6:]]


class Case(NamedTuple):
    """One server.

    Attributes:
        pagination: the blueprint's block.
        serve: how the server responds.
        records: the records of the walk, if it ends well.
        error: a word of the error, if it does not.
        call: arguments of `paginate`.
        most: the most requests that a walk may need.
    """

    pagination: dict[str, Any]
    serve: Callable[[Request], Any]
    records: list[Any] | None = None
    error: str = ""
    call: dict[str, Any] = {}  # noqa: RUF012 - never changed
    most: int = 12


CASES: dict[str, Case] = {}


def add(
    name: str, pagination: Mapping[str, Any], serve: Callable[[Request], Any], expected: Any, **more: Any
) -> None:
    """Add a case; `expected` is the list of records, or a word of the error."""
    assert name not in CASES, name
    records, error = (None, expected) if isinstance(expected, str) else (expected, "")
    CASES[name] = Case(dict(pagination), serve, records, error, **more)


def script(*responses: Any) -> Callable[[Request], Any]:
    """A server with one response after the other; the last one is repeated."""
    return lambda request: responses[min(request.number, len(responses)) - 1]


def link(page: int, header: str) -> FakeResponse:
    """A page of three with a Link header."""
    return FakeResponse(headers={"Link": header}, body=PAGE_OF_3[page - 1])


# -- offset ----------------------------------------------------------------------------------------------

OFFSET = {"kind": "offset", "param": "offset", "limit_param": "limit", "limit": 3, "records": "items"}


def slices(cap: int = 99, rows: list[Any] = EVERYTHING, **claims: Any) -> Callable[[Request], Any]:
    """A server that counts in records, gives at most `cap` of them, and claims things about the rest.

    A claim may be a function of the offset after the page.
    """

    def serve(request: Request) -> Any:
        where = request.body if isinstance(request.body, dict) and "offset" in request.body else request.query
        start = int(where.get("offset", 0))
        size = min(int(where.get("limit", request.query.get("limit", 3))), cap)
        page = rows[start : start + size]
        end = start + len(page)
        return {
            "items": page,
            **{key: claim(end) if callable(claim) else claim for key, claim in claims.items()},
        }

    return serve


for cap in (1, 2, 3, 5):
    add(f"offset: at most {cap} although 3 are asked for", OFFSET, slices(cap), EVERYTHING)
    add(
        f"offset: at most {cap}, with a total", {**OFFSET, "total": "total"}, slices(cap, total=7), EVERYTHING
    )
    add(
        f"offset: at most {cap}, with a flag",
        {**OFFSET, "has_more": "more"},
        slices(cap, more=lambda end: end < 7),
        EVERYTHING,
    )
add("offset: asked for 100, at most 2", {**OFFSET, "limit": 100}, slices(2), EVERYTHING)
add("offset: no page size", {"kind": "offset", "param": "offset", "records": "items"}, slices(3), EVERYTHING)
add("offset: nothing", OFFSET, slices(rows=[]), [])
add("offset: nothing, total 0", {**OFFSET, "total": "total"}, slices(rows=[], total=0), [], most=1)
add("offset: exactly one page", OFFSET, slices(rows=EVERYTHING[:3]), EVERYTHING[:3])
FLAGS: list[tuple[Any, Any]] = [
    (True, False), ("true", "false"), ("True", "False"), (1, 0), ("1", "0"), ("yes", "no"), ("Y", "N"),
    (1.0, 0.0), (4, 0), ("on", "off"), (" true ", "FALSE"),
]  # fmt: skip
for yes, no in FLAGS:
    add(
        f"offset: has_more {yes!r} and {no!r}",
        {**OFFSET, "has_more": "more"},
        slices(2, more=lambda end, yes=yes, no=no: yes if end < 7 else no),
        EVERYTHING,
        most=4,
    )
for silent in (None, ""):
    add(f"offset: has_more is {silent!r}", {**OFFSET, "has_more": "more"}, slices(2, more=silent), EVERYTHING)
add("offset: has_more is never there", {**OFFSET, "has_more": "more"}, slices(2), EVERYTHING)
for odd in ([], [1], {"a": 1}, "perhaps", -1):
    add(f"offset: has_more is {odd!r}", {**OFFSET, "has_more": "more"}, slices(2, more=odd), "more")
for total in (7, "7", 7.0, "7.0", " 7 "):
    add(
        f"offset: total {total!r}",
        {**OFFSET, "total": "meta.total"},
        slices(2, meta={"total": total}),
        EVERYTHING,
        most=4,
    )
for odd in ([7], {"value": 7}, "seven", -1, 7.5, True, "7 items"):
    add(f"offset: total is {odd!r}", {**OFFSET, "total": "total"}, slices(2, total=odd), "total")
for silent in (None, ""):
    add(f"offset: total is {silent!r}", {**OFFSET, "total": "total"}, slices(2, total=silent), EVERYTHING)
add("offset: total 0 beside records", {**OFFSET, "total": "total"}, slices(2, total=0), EVERYTHING)
add("offset: total less than what was sent", {**OFFSET, "total": "total"}, slices(2, total=1), EVERYTHING)
add(
    "offset: an empty page in the middle although total says more",
    {**OFFSET, "total": "total"},
    lambda request: {
        "items": [] if request.query.get("offset") == "3" else slices(3)(request)["items"], "total": 9,
    },
    [*PAGE_OF_3[0], EVERYTHING[6]],
)  # fmt: skip
add(
    "offset: an empty page in the middle although the flag says more",
    {**OFFSET, "has_more": "more"},
    script(
        {"items": PAGE_OF_3[0], "more": True},
        {"items": [], "more": True},
        {"items": PAGE_OF_3[2], "more": False},
    ),
    [*PAGE_OF_3[0], *PAGE_OF_3[2]],
    most=3,
)
add(
    "offset: the first page is empty although total says more",
    {**OFFSET, "total": "total"},
    script({"items": [], "total": 7}),
    "first page is empty",
)
add(
    "offset: empty pages for ever",
    {**OFFSET, "has_more": "more"},
    script({"items": [{"id": 1}], "more": True}, {"items": [], "more": True}),
    "in a row",
    most=200,
)
add("offset: the parameter is ignored", OFFSET, script({"items": PAGE_OF_3[0]}), "same as page 1")
add(
    "offset: ignored, with changing times",
    OFFSET,
    lambda request: {"items": PAGE_OF_3[0], "took": request.number},
    "same as page 1",
)
add(
    "offset: beyond the end it repeats the last page",
    OFFSET,
    lambda request: {"items": PAGE_OF_3[min(int(request.query.get("offset", 0)) // 3, 2)]},
    "same as page 3",
)
HIDDEN = [number for number in range(1, 13) if number not in (2, 6)]
add(
    "offset: hidden records are counted",
    OFFSET,
    lambda request: {
        "items": [
            {"id": number}
            for number in range(
                int(request.query.get("offset", 0)) + 1, int(request.query.get("offset", 0)) + 4
            )
            if number in HIDDEN
        ]
    },
    "repeats records",
)
add(
    "offset: from where the caller begins",
    {**OFFSET, "total": "total"},
    slices(2, total=7),
    EVERYTHING[4:],
    call={"params": {"offset": 4}},
)
add("offset: in the body", OFFSET, slices(2), EVERYTHING, call={"method": "POST", "json": {"filter": "a"}})
add(
    "offset: in the body, without an object to begin with",
    {**OFFSET, "params_in": "body"},
    slices(2),
    EVERYTHING,
    call={"method": "POST"},
)

# -- page ------------------------------------------------------------------------------------------------

PAGE = {"kind": "page", "param": "page", "records": "items"}
PAGES = {**PAGE, "total_pages": "pages"}


def numbered(
    known_pages: Iterable[Any] = PAGE_OF_3, start: int = 1, **claims: Any
) -> Callable[[Request], Any]:
    """A server that counts in pages; beyond the end they are empty."""
    known = list(known_pages)

    def serve(request: Request) -> Any:
        index = int(request.query.get("page", start)) - start
        items = known[index] if index < len(known) else []
        return {
            "items": items,
            **{key: claim(index) if callable(claim) else claim for key, claim in claims.items()},
        }

    return serve


add("page: until one is empty", PAGE, numbered(), EVERYTHING, most=4)
add("page: from 0", {**PAGE, "start": 0}, numbered(start=0), EVERYTHING)
add("page: from 0, with total_pages", {**PAGES, "start": 0}, numbered(start=0, pages=3), EVERYTHING, most=3)
add(
    "page: short pages in the middle",
    PAGE,
    numbered([[{"id": 1}], PAGE_OF_3[1], [{"id": 9}], [{"id": 10}]]),
    [{"id": 1}, *PAGE_OF_3[1], {"id": 9}, {"id": 10}],
)
for total in (3, "3", 3.0, "3.0", " 3"):
    add(f"page: total_pages {total!r}", PAGES, numbered(pages=total), EVERYTHING, most=3)
    add(
        f"page: an empty page in the middle of total_pages {total!r}",
        PAGES,
        numbered([PAGE_OF_3[0], [], PAGE_OF_3[2]], pages=total),
        [*PAGE_OF_3[0], *PAGE_OF_3[2]],
        most=3,
    )
    add(f"page: repeats its last page, total_pages {total!r}", PAGES,
        lambda request, total=total: {
            "items": PAGE_OF_3[min(int(request.query.get("page", 1)), 3) - 1], "pages": total,
        }, EVERYTHING, most=3)  # fmt: skip
for odd in ([3], {"count": 3}, "three", -3, 1.5, True, "3 pages"):
    add(f"page: total_pages is {odd!r}", PAGES, numbered(pages=odd), "pages")
for silent in (None, "", 0):
    add(f"page: total_pages is {silent!r}", PAGES, numbered(pages=silent), EVERYTHING)
add("page: total_pages 0 and nothing", PAGES, numbered([], pages=0), [], most=1)
add(
    "page: total_pages only on the first page",
    PAGES,
    numbered(pages=lambda index: 3 if index == 0 else None),
    EVERYTHING,
)
add("page: total", {**PAGE, "total": "total"}, numbered(total="7"), EVERYTHING, most=3)
add(
    "page: total with an empty page in the middle",
    {**PAGE, "total": "total"},
    numbered([PAGE_OF_3[0], [], PAGE_OF_3[2]], total=7),
    [*PAGE_OF_3[0], *PAGE_OF_3[2]],
)
add(
    "page: total counts records that are never sent",
    {**PAGE, "total": "total"},
    numbered(total=8),
    EVERYTHING,
)
add(
    "page: total with an empty first page",
    {**PAGE, "total": "total"},
    numbered([], total=7),
    "first page is empty",
)
add(
    "page: has_more in text",
    {**PAGE, "has_more": "more"},
    numbered(more=lambda index: "true" if index < 2 else "false"),
    EVERYTHING,
    most=3,
)
add(
    "page: an empty page in the middle although the flag says more",
    {**PAGE, "has_more": "more"},
    numbered([PAGE_OF_3[0], [], PAGE_OF_3[2]], more=lambda index: index < 2),
    [*PAGE_OF_3[0], *PAGE_OF_3[2]],
)
add("page: the parameter is ignored", PAGE, script({"items": PAGE_OF_3[0]}), "same as page 1")
add(
    "page: the parameter is ignored, total_pages says 9",
    PAGES,
    script({"items": PAGE_OF_3[0], "pages": 9}),
    "same as page 1",
)
add(
    "page: beyond the end it repeats the last page",
    PAGE,
    lambda request: {"items": PAGE_OF_3[min(int(request.query.get("page", 1)), 3) - 1]},
    "same as page 3",
)
add(
    "page: it begins again",
    PAGE,
    lambda request: {"items": PAGE_OF_3[(int(request.query.get("page", 1)) - 1) % 3]},
    "same as page 1",
)
add("page: names, not objects", PAGE, numbered([["a", "b"], ["c"]]), ["a", "b", "c"])
add("page: names for ever", PAGE, script({"items": ["a"]}), "same as page 1")
add(
    "page: 404 after the last",
    {**PAGE, "empty_statuses": [404]},
    script({"items": PAGE_OF_3[0]}, FakeResponse(404, body={"detail": "Invalid page."})),
    PAGE_OF_3[0],
)
add(
    "page: 404 after the last is an error",
    PAGE,
    script({"items": PAGE_OF_3[0]}, FakeResponse(404, body={"detail": "Invalid page."})),
    "404",
)
add("page: 404 for the first", {**PAGE, "empty_statuses": [404]}, script(FakeResponse(404, body={})), "404")
add(
    "page: the number belongs in the body",
    PAGE,
    lambda request: {
        "items": PAGE_OF_3[request.body.get("page", 1) - 1] if request.body.get("page", 1) < 4 else []
    },
    EVERYTHING,
    call={"method": "POST", "json": {}},
)
add(
    "page: empty for ever although total_pages is huge",
    PAGES,
    numbered([PAGE_OF_3[0]], pages=10**12),
    "in a row",
    most=200,
)

# -- cursor ----------------------------------------------------------------------------------------------

CURSOR = {"kind": "cursor", "cursor": "meta.next", "param": "cursor", "records": "items"}


def chained(cursors: list[Any], last: Any = None, *, place: str = "query") -> Callable[[Request], Any]:
    """Three pages, each found under the cursor of the one before only."""

    def serve(request: Request) -> Any:
        given = (request.body or {}).get("cursor") if place == "body" else request.query.get("cursor")
        texts = cursors if place == "body" else [str(cursor) for cursor in cursors]
        index = texts.index(given) + 1 if given in texts else 0
        following = cursors[index] if index < len(cursors) else last
        return {"items": PAGE_OF_3[index], "meta": {"next": following}}

    return serve


for cursors in (
    ["a", "b"],
    [5, 6],
    [10**17 + 1, 10**17 + 3],
    ["5", "6"],
    ["é %+&=", "b/=="],
    [1.5, 2.5],
    [1512085950.0002, 1512085951.5],
):
    add(f"cursor: {cursors!r}", CURSOR, chained(cursors), EVERYTHING, most=3)
for last in (None, "", False, 0, 0.0):
    add(f"cursor: it ends with {last!r}", CURSOR, chained(["a", "b"], last), EVERYTHING, most=3)
add(
    "cursor: a whole float",
    CURSOR,
    script({"items": PAGE_OF_3[0], "meta": {"next": 12.0}}, {"items": PAGE_OF_3[1], "meta": {}}),
    EVERYTHING[:6],
)
add(
    "cursor: it is left out at the end",
    CURSOR,
    script({"items": PAGE_OF_3[0], "meta": {"next": "a"}}, {"items": PAGE_OF_3[1]}),
    EVERYTHING[:6],
)
for odd in ([1], ["a"], {"after": "a"}, {}, [], True, 1234567890.12345678, 1e300):
    add(f"cursor: it is {odd!r}", CURSOR, script({"items": PAGE_OF_3[0], "meta": {"next": odd}}), "cursor")
for odd in ([1, "a"], {"pk": {"S": "1"}}, "a", 7, 1.25):
    add(f"cursor: {odd!r} in the body", CURSOR,
        lambda request, odd=odd: {
            "items": PAGE_OF_3[1] if (request.body or {}).get("cursor") == odd else PAGE_OF_3[0],
            "meta": {"next": None if (request.body or {}).get("cursor") == odd else odd},
        }, EVERYTHING[:6], call={"method": "POST", "json": {"size": 3}})  # fmt: skip
add(
    "cursor: in the body by default",
    CURSOR,
    chained(["a", "b"], place="body"),
    EVERYTHING,
    call={"method": "POST", "json": {"filter": {"x": [1]}}},
)
add(
    "cursor: in the query of a POST",
    {**CURSOR, "params_in": "query"},
    chained(["a", "b"]),
    EVERYTHING,
    call={"method": "POST", "json": {"filter": 1}},
)
add(
    "cursor: in the query of a POST without a body",
    CURSOR,
    chained(["a", "b"]),
    EVERYTHING,
    call={"method": "POST"},
)
add(
    "cursor: the same one again",
    CURSOR,
    lambda request: {"items": [{"id": request.number}], "meta": {"next": "same"}},
    "read already",
)
add(
    "cursor: two that name each other",
    CURSOR,
    lambda request: {
        "items": [{"id": request.number}],
        "meta": {"next": "b" if request.query.get("cursor") == "a" else "a"},
    },
    "read already",
)
add(
    "cursor: always a new one for the same page",
    CURSOR,
    lambda request: {"items": PAGE_OF_3[0], "meta": {"next": f"c{request.number}"}},
    "same as page 1",
)
add(
    "cursor: in a place where the server does not look",
    {**CURSOR, "param": "crsor"},
    chained(["a", "b"]),
    "same as page 1",
)
add(
    "cursor: an empty page in the middle",
    CURSOR,
    script(
        {"items": PAGE_OF_3[0], "meta": {"next": "a"}},
        {"items": [], "meta": {"next": "b"}},
        {"items": PAGE_OF_3[2], "meta": {}},
    ),
    [*PAGE_OF_3[0], *PAGE_OF_3[2]],
)
add(
    "cursor: empty pages for ever",
    CURSOR,
    lambda request: {"items": [], "meta": {"next": f"c{request.number}"}},
    "in a row",
    most=200,
)
add(
    "cursor: always there, and the flag decides",
    {**CURSOR, "has_more": "more"},
    script(
        {"items": PAGE_OF_3[0], "meta": {"next": "a"}, "more": True},
        {"items": PAGE_OF_3[1], "meta": {"next": "b"}, "more": False},
    ),
    EVERYTHING[:6],
    most=2,
)
add(
    "cursor: the flag says more, and there is none",
    {**CURSOR, "has_more": "more"},
    script({"items": PAGE_OF_3[0], "meta": {"next": None}, "more": True}),
    "more",
)
add(
    "cursor: the last record's id",
    {**CURSOR, "cursor": "more && items[-1].id", "has_more": "more"},
    script({"items": PAGE_OF_3[0], "more": True}, {"items": [], "more": True}),
    "more",
)

# -- next_url and link_header ----------------------------------------------------------------------------

NEXT = {"kind": "next_url", "next": "links.next", "records": "items"}
LINK = {"kind": "link_header"}


def urls(first: Any, last: Any = None) -> Callable[[Request], Any]:
    """Two pages; the first one has `first` as the next URL."""
    return script(
        {"items": PAGE_OF_3[0], "links": {"next": first}}, {"items": PAGE_OF_3[1], "links": {"next": last}}
    )


for url in (
    f"{BASE}?p=2",
    "?p=2",
    "/v1/things?p=2",
    "things?p=2",
    "//api.example.test/v1/things?p=2",
    "http://api.example.test/v1/things?p=2",
    "HTTP://API.example.test/v1/things?p=2",
    f" {BASE}?p=2\n",
    "https://api.example.test:443/v1/things?p=2",
):
    add(f"next_url: {url!r}", NEXT, urls(url), EVERYTHING[:6], most=2)
for last in (None, "", False, "  "):
    add(f"next_url: it ends with {last!r}", NEXT, urls("?p=2", last), EVERYTHING[:6], most=2)
add("next_url: a link object", NEXT, urls({"href": "?p=2", "meta": {}}), EVERYTHING[:6])
add("next_url: a link object without a target", NEXT, urls({"href": None}), "next")
for odd in (2, 2.5, True, [], ["?p=2"], {}, {"url": "?p=2"}):
    add(f"next_url: it is {odd!r}", NEXT, urls(odd), "next")
for url in (
    "https://evil.test/v1/things?p=2",
    "//evil.test/things",
    "http://evil.test/things",
    "http://api.example.test:8080/things",
    "https://api.example.test@evil.test/",
    "ftp://api.example.test/x",
):
    add(f"next_url: foreign {url!r}", NEXT, urls(url), "host")
    add(
        f"link_header: foreign {url!r}",
        LINK,
        lambda _, url=url: link(1, f'<{url}>; rel="next"'),
        "host",
    )
add("next_url: itself", NEXT, urls(BASE), "read already")
add(
    "next_url: two that name each other",
    NEXT,
    lambda request: {
        "items": [{"id": request.number}],
        "links": {"next": "?p=b" if request.query.get("p") == "a" else "?p=a"},
    },
    "read already",
)
add(
    "next_url: always a new one for the same page",
    NEXT,
    lambda request: {"items": PAGE_OF_3[0], "links": {"next": f"?t={request.number}"}},
    "same as page 1",
)
add(
    "next_url: an empty page in the middle",
    NEXT,
    script(
        {"items": PAGE_OF_3[0], "links": {"next": "?p=2"}},
        {"items": [], "links": {"next": "?p=3"}},
        {"items": PAGE_OF_3[2], "links": {}},
    ),
    [*PAGE_OF_3[0], *PAGE_OF_3[2]],
)
add(
    "next_url: the flag says more, and there is none",
    {**NEXT, "has_more": "more"},
    script({"items": PAGE_OF_3[0], "more": "true"}),
    "more",
)

for name, header in {
    "double quotes": '<?p=2>; rel="next"',
    "single quotes": "<?p=2>; rel='next'",
    "no quotes": "<?p=2>; rel=next",
    "capitals": '<?p=2>; REL="NEXT"',
    "two relations": '<?p=2>; rel="last next"',
    "two relations in single quotes": "<?p=2>; rel='last next'; title='x'",
    "blanks around everything": '<?p=2> ; rel = "next"',
    "after another": '<?p=9>; rel="last", <?p=2>; rel="next"',
    "after a comma in a URL": '<?p=9,8;7>; rel="last",<?p=2>; rel="next"',
    "after a title that says next": '<?p=9>; title="x; rel=next"; rel="last", <?p=2>; rel="next"',
    "after a title in single quotes": "<?p=9>; title='x; rel=next'; rel='last', <?p=2>; rel='next'",
    "with an apostrophe": "<?p=2>; title=it's; rel=next",
    "with a quoted quote": '<?p=2>; title="a \\"; rel=prev"; rel="next"',
    "with empty elements": ', ,<?p=2>; rel="next",,',
    "with empty parameters": '<?p=2>;; rel="next";',
    "by http": '<http://api.example.test/v1/things?p=2>; rel="next"',
    "with a flag": '<?p=2>; crossorigin; rel="next"',
}.items():
    add(
        f"link_header: {name}",
        LINK,
        lambda request, header=header: link(request.number, header if request.number == 1 else ""),
        EVERYTHING[:6],
        most=2,
    )
for name, header in {
    "a title that says next": '<?p=9>; title="x; rel=next"; rel="last"',
    "a title in single quotes that says next": "<?p=9>; title='x; rel=next'; rel='last'",
    "a URL that says next": '<?rel=next>; rel="last"',
    "the first rel counts": '<?p=9>; rel="last"; rel="next"',
    "a longer word": '<?p=9>; rel="nextish"',
    "another parameter": '<?p=9>; relation="next"',
    "no links": "",
}.items():
    add(
        f"link_header: the end, {name}",
        LINK,
        lambda _, header=header: link(1, header),
        PAGE_OF_3[0],
        most=1,
    )
for name, header in {
    "no brackets": '?p=2; rel="next"',
    "an open quote": '<?p=2>; rel="next',
    "an open bracket": '<?p=2; rel="next"',
    "no URL": '<>; rel="next"',
    "garbage before": 'x <?p=2>; rel="next"',
}.items():
    add(
        f"link_header: unreadable, {name}",
        LINK,
        lambda _, header=header: link(1, header),
        "Link header",
    )

# -- bodies, for every kind ------------------------------------------------------------------------------

KINDS = {"single": {"kind": "single", "records": "items"}, "offset": OFFSET, "page": PAGE, "cursor": CURSOR,
         "next_url": NEXT, "link_header": {"kind": "link_header", "records": "items"}}  # fmt: skip
ODD_BODIES: dict[str, tuple[Any, Any]] = {
    "204": (FakeResponse(204, body=b""), []),
    "205": (FakeResponse(205, body=b""), []),
    "an empty 200": (FakeResponse(200, body=b""), "empty"),
    "blanks": (FakeResponse(200, body=b" \n"), "not JSON"),
    "HTML": (FakeResponse(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"), "text/html"),
    "half of it": (FakeResponse(200, body=b'{"items": [{"id": 1}'), "not JSON"),
    "null": (None, []),
    "an empty object": ({}, []),
    "no list": ({"total": 0}, []),
    "null for a list": ({"items": None}, []),
    "an empty object for a list": ({"items": {}}, []),
    "an empty list": ({"items": []}, []),
    "a PHP array with gaps": ({"items": {"0": {"id": 1}, "2": {"id": 3}}}, '"0", "2"'),
    "one record alone": ({"items": {"id": 1, "name": "a"}}, '"id", "name"'),
    "a text for a list": ({"items": "a"}, 'the text "a"'),
    "a number for a list": ({"items": 5}, "the number 5"),
    "true for a list": ({"items": True}, "true"),
    "a list for the body": ([{"id": 1}], "items"),
    "numbers for the body": ([1, 2], "a list of 2"),
    "a text for the body": ("sorry", "sorry"),
    "a number for the body": (5, "the number 5"),
    "an error with 200": ({"error": "try again"}, "try again"),
    "errors with 200": ({"errors": [{"title": "try again"}]}, "errors"),
    "a message with 200": ({"message": "try again"}, "try again"),
    "an error beside an empty list": ({"items": [], "error": "shard 3 failed"}, "shard 3"),
    "no error beside an empty list": ({"items": [], "error": None, "message": "ok"}, []),
    "a list of another name": ({"rows": [{"id": 1}]}, "rows"),
}  # fmt: skip
for kind, pagination in KINDS.items():
    for name, (body, expected) in ODD_BODIES.items():
        add(f"{kind}: {name}", pagination, script(body), expected)
FIRST = {"items": PAGE_OF_3[0], "meta": {"next": "a"}, "links": {"next": "?p=2"}}
LATER_BODIES: dict[str, tuple[Any, Any]] = {
    "204": (FakeResponse(204, body=b""), PAGE_OF_3[0]),
    "an empty 200": (FakeResponse(200, body=b""), "empty"),
    "HTML": (FakeResponse(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"), "text/html"),
    "an error with 200": ({"error": "try again"}, "try again"),
    "other keys": ({"notice": "maintenance"}, "notice"),
    "an object for a list": ({"items": {"7": {"id": 7}}}, '"7"'),
    "a text for the body": ("sorry", "sorry"),
    "a list of another name": ({"rows": [{"id": 1}]}, "rows"),
    "a good page": ({"items": PAGE_OF_3[1], "links": {}}, EVERYTHING[:6]),
}
for kind, pagination in KINDS.items():
    if kind == "single":
        continue
    for name, (body, expected) in LATER_BODIES.items():
        first = FakeResponse(headers={"Link": '<?p=2>; rel="next"'}, body=FIRST)
        end = () if kind not in {"offset", "page"} else ({"items": []},)
        add(f"{kind}: then {name}", pagination, script(first, body, *end), expected)
for kind in ("single", "page"):
    add(
        f"{kind}: an empty 200 that the blueprint declares",
        {**KINDS[kind], "empty_statuses": [200]},
        script(FakeResponse(200, body=b"")),
        [],
    )
add(
    "single: several names, all empty",
    {"kind": "single", "records": "items || rows"},
    script({"items": []}),
    [],
)
add(
    "single: everything or a part",
    {"kind": "single", "records": "items || @"},
    script({"items": [], "n": 0}),
    [],
)
add("single: the body is an object", {"kind": "single"}, script({"a": 1}), '"a"')
add(
    "single: a type that the path does not fit",
    {"kind": "single", "records": "items || values(rows)"},
    script({"rows": None}),
    [],
)
