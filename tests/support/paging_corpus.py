"""Every paged server: those of each kind, and bodies that no kind expects."""

from __future__ import annotations

from typing import Any

from tests.support.made_values import FakeResponse
from tests.support.paging_by_number import OFFSET, PAGE
from tests.support.paging_by_pointer import TO_PARAM
from tests.support.paging_by_token import CURSOR, NEXT
from tests.support.paging_case import CASES, EVERYTHING, PAGE_OF_3, add, script

__all__ = ["CASES"]

KINDS = {"single": {"kind": "single", "records": "items"}, "offset": OFFSET, "page": PAGE, "cursor": CURSOR,
         "next_url": NEXT, "link_header": {"kind": "link_header", "records": "items"},
         "next": TO_PARAM}  # fmt: skip
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
