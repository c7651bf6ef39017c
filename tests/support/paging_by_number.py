"""Servers that page by offsets and page numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.made_values import FakeResponse
from tests.support.paging_case import EVERYTHING, PAGE_OF_3, add, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.support.scripted_executors import Request

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
for name, total in {"shrinks": lambda index: max(0, 8 - 3 * index), "is of the page": lambda _: 1}.items():
    add(
        f"page: a total that {name}",
        {**PAGE, "total": "total"},
        numbered([[one] for one in EVERYTHING], total=total),
        EVERYTHING
        if name == "shrinks"
        else EVERYTHING[:1],  # a page that is as long as its total is the list
    )
FAILURES: list[dict[str, Any]] = [
    {"ok": False}, {"success": False}, {"status": "error"}, {"status": "fail"}, {"error": "quota"},
    {"status": "ERROR"}, {"Status": "Failed"}, {"success": "false"}, {"Success": False}, {"OK": "False"},
    {"Error": "quota"}, {"errorMessage": "quota"}, {"error_message": "quota"}, {"ErrorCode": 17},
    {"errcode": 40_001}, {"error_code": "-32000"}, {"Errors": [{"code": "QUOTA"}]},
]  # fmt: skip
for failure in FAILURES:
    add(
        f"page: nothing but {failure}",
        PAGE,
        lambda request, failure=failure: (
            {"items": EVERYTHING[:3]} if request.query.get("page", "1") == "1" else {"items": [], **failure}
        ),
        f"{next(iter(failure))} is",
    )
for claim in (
    {"ok": True}, {"success": True}, {"status": "success"}, {"status": 200}, {"ok": 0}, {"errcode": 0},
    {"error_code": "0"}, {"errorCode": None}, {"errorCode": "SUCCESS"}, {"error": "false"}, {"Errors": []},
    {"errorMessage": ""}, {"error": "none"}, {"Status": "OK"},
):  # fmt: skip
    add(f"page: nothing, and {claim}", PAGE, numbered(**claim), EVERYTHING)
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
