"""Paged servers whose cursors are anywhere, and that lie or stumble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.made_values import FakeResponse
from tests.support.paging_by_token import NEXT, urls
from tests.support.paging_case import EVERYTHING, PAGE_OF_3, add, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scripted_executors import Request

TO_PARAM = {"next": {"from": "meta.next", "to": {"param": "after"}}, "records": "items"}
TO_BODY: dict[str, Any] = {"next": {"from": "meta.next", "to": {"body": "page.after"}}, "records": "items"}
WITH_FLAG = {"next": {**TO_BODY["next"], "more": "more"}, "records": "items"}
FROM_HEADER = {"next": {"from": {"header": "X-Next"}, "to": {"param": "after"}}, "records": "items"}
TO_URL = {"next": {"from": {"link": "next"}, "to": {"url": True}}, "records": "items"}
BY_PATH = {
    "next": {"from": "cursor", "to": {"body": "cursor"}, "path": "{path}/continue", "more": "has_more"},
    "records": "items",
}
IN_PATH = {"next": {"from": "n", "to": {"segment": "page"}, "path": "{path}/{page}"}, "records": "items"}


def after_body(cursors: list[Any], last: Any = None) -> Callable[[Request], Any]:
    """Three pages, each found under the cursor of the one before, which is in the body."""

    def serve(request: Request) -> Any:
        given = ((request.body or {}).get("page") or {}).get("after")
        index = cursors.index(given) + 1 if given in cursors else 0
        following = cursors[index] if index < len(cursors) else last
        return {"items": PAGE_OF_3[index], "meta": {"next": following}}

    return serve


for cursors in (["a", "b"], [5, 6], [1.5, 2.5], [{"pk": 1}, {"pk": 2}], [["x", 1], ["x", 2]]):
    add(f"next: {cursors!r} in the body", TO_BODY, after_body(cursors), EVERYTHING, most=3)
for last in (None, "", False, 0):
    add(f"next: it ends with {last!r}", TO_BODY, after_body(["a", "b"], last), EVERYTHING, most=3)
add("next: the cursor is true", TO_BODY, script({"items": PAGE_OF_3[0], "meta": {"next": True}}), "cursor")
add(
    "next: beside other values of the body",
    TO_BODY,
    after_body(["a", "b"]),
    EVERYTHING,
    call={"method": "POST", "json": {"q": "x", "page": {"size": 3}}},
)
FIRST_OF_MORE = script({"items": PAGE_OF_3[0], "meta": {"next": "a"}})
add(
    "next: the body has no place for the cursor",
    TO_BODY,
    FIRST_OF_MORE,
    "page is not an object",
    call={"method": "POST", "json": {"page": 1}},
)
add("next: the body is a list", TO_BODY, FIRST_OF_MORE, "object", call={"method": "POST", "json": [1]})
add("next: the body is text", TO_BODY, FIRST_OF_MORE, "raw data", call={"method": "POST", "data": "{}"})
add(
    "next: always there, and the flag decides",
    WITH_FLAG,
    script(
        {"items": PAGE_OF_3[0], "meta": {"next": "a"}, "more": "true"},
        {"items": PAGE_OF_3[1], "meta": {"next": "b"}, "more": "false"},
    ),
    EVERYTHING[:6],
    most=2,
)
add(
    "next: the flag says more, and there is none",
    WITH_FLAG,
    script({"items": PAGE_OF_3[0], "more": 1}),
    "more",
)
add("next: the flag is an object", WITH_FLAG, script({"items": PAGE_OF_3[0], "more": {}}), "more")
add(
    "next: the same one again",
    TO_BODY,
    lambda request: {"items": [{"id": request.number}], "meta": {"next": "same"}},
    "read already",
)
add(
    "next: always a new one for the same page",
    TO_BODY,
    lambda request: {"items": PAGE_OF_3[0], "meta": {"next": f"c{request.number}"}},
    "same as page 1",
)
add(
    "next: empty pages for ever",
    TO_BODY,
    lambda request: {"items": [], "meta": {"next": f"c{request.number}"}},
    "in a row",
    most=200,
)
add(
    "next: in a header",
    FROM_HEADER,
    lambda request: FakeResponse(
        headers={} if request.query.get("after") else {"X-Next": "a b&c"},
        body={"items": PAGE_OF_3[1 if request.query.get("after") == "a b&c" else 0]},
    ),
    EVERYTHING[:6],
    most=2,
)
for name, header in {"empty": "", "blank": " ", "missing": None}.items():
    add(
        f"next: a header that is {name}",
        FROM_HEADER,
        script(
            FakeResponse(headers={} if header is None else {"X-Next": header}, body={"items": [{"id": 1}]})
        ),
        [{"id": 1}],
    )
add("next: a link", TO_URL, script(
    FakeResponse(headers={"Link": '<?p=2>; rel="next"'}, body={"items": PAGE_OF_3[0]}),
    FakeResponse(body={"items": PAGE_OF_3[1]}),
), EVERYTHING[:6], most=2)  # fmt: skip
add("next: a link that cannot be read", TO_URL, script(
    FakeResponse(headers={"Link": '?p=2; rel="next"'}, body={"items": PAGE_OF_3[0]}),
), "not a list of links")  # fmt: skip
add("next: a link to another host", TO_URL, script(
    FakeResponse(headers={"Link": '<https://evil.test/>; rel="next"'}, body={"items": PAGE_OF_3[0]}),
), "another host")  # fmt: skip
add(
    "next: by another path, without the body of the call",
    BY_PATH,
    lambda request: {
        "items": PAGE_OF_3[1] if request.plan.endpoint == "things/continue" else PAGE_OF_3[0],
        "cursor": "c",
        "has_more": request.body != {"cursor": "c"},
    },
    EVERYTHING[:6],
    call={"method": "POST", "json": {"path": "/x"}, "params": {"a": 1}},
    most=2,
)
add(
    "next: in the path",
    IN_PATH,
    lambda request: {"items": PAGE_OF_3[1 if "/" in request.plan.endpoint else 0],
                     "n": None if "/" in request.plan.endpoint else "a b"},
    EVERYTHING[:6],
    most=2,
)  # fmt: skip
for odd in ("..", "../../evil", "/evil", "a/../../b", "//evil.test/"):
    add(
        f"next: {odd!r} in the path",
        IN_PATH,
        lambda request, odd=odd: {"items": [{"id": request.plan.endpoint}], "n": odd},
        "E3" if odd == ".." else ("E3" if ".." in odd else "read already"),
        most=3,
    )
for odd in ([1], {"a": 1}, True):
    add(f"next: {odd!r} in the path", IN_PATH, script({"items": PAGE_OF_3[0], "n": odd}), "cursor")
add(
    "next_url: relative to the base URL",
    {**NEXT, "relative_to": "base_url"},
    lambda request: {
        "items": PAGE_OF_3[1 if request.query.get("p") else 0],
        "links": {"next": None if request.query.get("p") else "/things?p=2"},
    },
    EVERYTHING[:6],
    most=2,
)
for url in ("https://evil.test/x", "//evil.test/x", "http://evil.test/x"):
    add(f"next_url: {url!r} relative to the base URL", {**NEXT, "relative_to": "base_url"}, urls(url), "host")
