"""next_url: the body holds the URL of the next page (JSON:API `links.next`, OData `@odata.nextLink`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import NOTHING
from nango_py.pagination.base import (
    COMMON_SCHEMA,
    HAS_MORE_SCHEMA,
    JSON_PATH,
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
class NextUrl(Paginator):
    """Follows the URL found at a JMESPath until there is none.

    Source: https://jsonapi.org/format/#document-links
    """

    name = "next_url"
    config_schema = {
        "required": ["next"],
        "properties": {
            "next": {**JSON_PATH, "description": "JMESPath to the URL of the next page"},
            "has_more": HAS_MORE_SCHEMA,
            "relative_to": RELATIVE_TO_SCHEMA,
            **COMMON_SCHEMA,
        },
    }
    example_config = {"next": "links.next", "records": "data"}
    next_path: str = "links.next"
    has_more: ResponsePointer = ""
    relative_to: str = ""
    size: Settings = NOTHING
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The URL of the next page, absolute or relative; None if it is "", false, null or absent.

        Raises:
            UnreadablePage: there is something else, such as a number.
        """
        url = next_url(self.next_path, page)
        return NextRequest(url=url) if url else None
