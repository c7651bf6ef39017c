"""page: a query parameter is the number of the page."""

from __future__ import annotations

from nango_py.pagination.base import (
    RECORDS_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    int_param,
    search_json,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@record
class PageNumber(Paginator):
    """Requests page after page until one is empty, or until the number of pages in the body is reached."""

    name = "page"
    config_schema = {
        "required": ["param"],
        "properties": {
            "param": {"type": "string", "description": "query parameter for the page number"},
            "start": {"type": "integer", "minimum": 0, "description": "first page number, 1 by default"},
            "limit_param": {"type": "string", "description": "query parameter for the page size"},
            "limit": {"type": "integer", "minimum": 1, "description": "page size to request"},
            "total_pages": {"type": "string", "description": "JMESPath to the number of pages"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"param": "page", "start": 1, "records": "items"}
    param: str = "page"
    start: int = 1
    limit_param: str = ""
    limit: int = 0
    total_pages: str = ""
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The next page number; None after an empty page or the last of `total_pages`."""
        current = int_param(params, self.param, self.start)
        if not self.records(page):
            return None
        if self.total_pages:
            total = search_json(self.total_pages, page.json())
            if isinstance(total, int) and current + 1 >= total + self.start:
                return None
        return NextRequest(params=((self.param, str(current + 1)),))
