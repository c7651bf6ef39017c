"""link_header: the `Link` header holds the URL of the next page (RFC 8288), as at GitHub and Greenhouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import NOTHING
from nango_py.pagination.base import (
    COMMON_SCHEMA,
    HAS_MORE_SCHEMA,
    RELATIVE_TO_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    next_url,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from nango_py.config.pointers import ResponsePointer
    from nango_py.json_types import Settings


@PAGINATORS.register
@record
class LinkHeader(Paginator):
    """Follows the link with the relation `next` (or another one) in the Link header."""

    name = "link_header"
    config_schema = {
        "properties": {
            "rel": {"type": "string", "description": "link relation, `next` by default", "default": "next"},
            "has_more": HAS_MORE_SCHEMA,
            "relative_to": RELATIVE_TO_SCHEMA,
            **COMMON_SCHEMA,
        },
    }
    example_config = {"rel": "next"}
    rel: str = "next"
    has_more: ResponsePointer = ""
    relative_to: str = ""
    size: Settings = NOTHING
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The target of the link; None if there is no such link.

        Raises:
            UnreadableValue: the header names the relation, but is not a list of links.
        """
        url = next_url({"link": self.rel}, page)
        return NextRequest(url=url) if url else None
