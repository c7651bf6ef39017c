"""next: what names the next page, and where it goes in the request. The other kinds are short forms of it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from nango_py.config.pointers import place_of
from nango_py.config.values import NOTHING
from nango_py.pagination.base import (
    COMMON_SCHEMA,
    HAS_MORE_SCHEMA,
    POINTER,
    RELATIVE_TO_SCHEMA,
    TO_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    next_token,
    next_url,
    parameter_text,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from nango_py.config.pointers import ResponsePointer
    from nango_py.json_types import Schema, Settings

NEXT_SCHEMA: Schema = {
    "type": "object",
    "description": "what names the next page, and where it goes",
    "properties": {
        "from": {**POINTER, "description": "pointer to the token or URL of the next page"},
        "to": {**TO_SCHEMA, "description": "the place of the token or URL in the next request"},
        "more": HAS_MORE_SCHEMA,
        "path": {
            "type": "string",
            "minLength": 1,
            "description": "path of the next request; {path} is that of the call, {name} the segment in `to`",
        },
        "method": {"$ref": "#/$defs/method", "description": "method of the next request"},
    },
    "additionalProperties": False,
}


@PAGINATORS.register
@record
class Next(Paginator):
    """Copies a token or URL from a place in the response to one in the next request, until there is none."""

    name = "next"
    config_schema = {
        "required": ["next"],
        "properties": {"next": NEXT_SCHEMA, "relative_to": RELATIVE_TO_SCHEMA, **COMMON_SCHEMA},
    }
    example_config = {
        "next": {"from": "page.after", "to": {"body": "page.after"}, "more": "page.more"},
        "records": "items",
    }
    next_path: Settings = NOTHING
    relative_to: str = ""
    size: Settings = NOTHING
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    @property
    def params_in(self) -> str:  # type: ignore[override] # a pointer says where each value goes
        """`query`: a value for the body has a pointer that says so."""
        return "query"

    @property
    def has_more(self) -> ResponsePointer:  # type: ignore[override] # part of the block `next`
        """The pointer to the flag for more pages; "" if there is none."""
        flag: ResponsePointer = self.next_path.get("more", "")
        return flag

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The request with the token or URL; None if it is "", 0, false, null or absent.

        Raises:
            UnreadablePage: there is something else, such as true for a token or a number for a URL.
        """
        rule = self.next_path
        source, target = rule["from"], rule["to"]
        path, method = rule.get("path", ""), rule.get("method", "")
        place, name = place_of(target)
        if place == "url":
            url = next_url(source, page)
            return NextRequest(url=url, method=method) if url else None
        token = next_token(source, page)
        if token is None:
            return None
        if place == "segment":
            segment = quote(parameter_text(token), safe="")
            return NextRequest(path=path.replace(f"{{{name}}}", segment), method=method)
        return NextRequest(changes=((target, token),), path=path, method=method)
