"""next_url: the body holds the URL of the next page (JSON:API `links.next`, OData `@odata.nextLink`)."""

from __future__ import annotations

from nango_py.errors import printable
from nango_py.json_path import search_json
from nango_py.pagination.base import (
    EMPTY_STATUSES_SCHEMA,
    HAS_MORE_SCHEMA,
    JSON_PATH,
    RECORDS_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    UnreadablePage,
    describe,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS


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
            "empty_statuses": EMPTY_STATUSES_SCHEMA,
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"next": "links.next", "records": "data"}
    next_path: str = "links.next"
    has_more: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The URL of the next page, absolute or relative; None if it is "", false, null or absent.

        Raises:
            UnreadablePage: there is something else, such as a number.
        """
        found = search_json(self.next_path, page.json())
        url = found.get("href") if isinstance(found, dict) and found else found
        if url is None and found is None:
            return None
        if url is False or (isinstance(url, str) and not url.strip()):
            return None
        if isinstance(url, str):
            return NextRequest(url=url.strip())
        raise UnreadablePage(f'"{printable(self.next_path)}" is {describe(found)}; expected a URL')
