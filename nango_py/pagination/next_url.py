"""next_url: the body holds the URL of the next page (JSON:API `links.next`, OData `@odata.nextLink`)."""

from __future__ import annotations

from nango_py.pagination.base import RECORDS_SCHEMA, NextRequest, Page, Paginator, Params, search_json
from nango_py.record import record
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@record
class NextUrl(Paginator):
    """Follows the URL found at a JMESPath until there is none.

    Source: https://jsonapi.org/format/#fetching-pagination
    """

    name = "next_url"
    config_schema = {
        "required": ["next"],
        "properties": {
            "next": {"type": "string", "description": "JMESPath to the URL of the next page"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"next": "links.next", "records": "data"}
    next_path: str = "links.next"
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The URL of the next page, absolute or relative; None if it is "" or null."""
        url = search_json(self.next_path, page.json())
        return NextRequest(url=url) if isinstance(url, str) and url else None
