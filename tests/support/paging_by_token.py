"""Servers that page by cursors and links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.paging_case import BASE, EVERYTHING, PAGE_OF_3, add, link, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_executors import Request

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
for odd in ([1], ["a"], {"after": "a"}, {}, [], True, 1234567890.12345678, 1e300, "\ud800"):
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
for odd in (2, 2.5, True, [], ["?p=2"], {}, {"url": "?p=2"}, "?p=\ud800"):
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
    "with a quoted letter": '<?p=2>; rel="\\next"',
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
