"""offset: a query parameter is the number of records to skip (Close's `_skip` and `_limit`)."""

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
class Offset(Paginator):
    """Adds the number of records received to the offset, until a page is empty or marked as the last."""

    name = "offset"
    config_schema = {
        "required": ["param"],
        "properties": {
            "param": {"type": "string", "description": "query parameter for the offset"},
            "limit_param": {"type": "string", "description": "query parameter for the page size"},
            "limit": {"type": "integer", "minimum": 1, "description": "page size to request"},
            "has_more": {"type": "string", "description": "JMESPath to the flag for more pages"},
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {
        "param": "offset",
        "limit_param": "limit",
        "limit": 100,
        "records": "data",
    }
    param: str = "offset"
    limit_param: str = ""
    limit: int = 0
    has_more: str = ""
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The next offset. A short page is the last one only if the API has no `has_more` flag."""
        count = len(self.records(page))
        size = int_param(params, self.limit_param, self.limit)
        if not count or (self.has_more and not search_json(self.has_more, page.json())):
            return None
        if not self.has_more and size and count < size:
            return None
        return NextRequest(params=((self.param, str(int_param(params, self.param, 0) + count)),))
