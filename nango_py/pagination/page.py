"""page: a parameter is the number of the page."""

from __future__ import annotations

from nango_py.pagination.base import (
    EMPTY_STATUSES_SCHEMA,
    HAS_MORE_SCHEMA,
    JSON_PATH,
    PARAMS_IN_SCHEMA,
    RECORDS_SCHEMA,
    TOTAL_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
    UnreadablePage,
    int_param,
    read_count,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@record
class PageNumber(Paginator):
    """Requests page after page until the API says that there are no more; else until a page is empty."""

    name = "page"
    config_schema = {
        "required": ["param"],
        "properties": {
            "param": {"type": "string", "description": "parameter for the page number"},
            "start": {"type": "integer", "minimum": 0, "description": "first page number, 1 by default"},
            "limit_param": {"type": "string", "description": "parameter for the page size"},
            "limit": {"type": "integer", "minimum": 1, "description": "page size to request"},
            "has_more": HAS_MORE_SCHEMA,
            "total_pages": {**JSON_PATH, "description": "JMESPath to the number of pages"},
            "total": TOTAL_SCHEMA,
            "params_in": PARAMS_IN_SCHEMA,
            "empty_statuses": EMPTY_STATUSES_SCHEMA,
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {"param": "page", "start": 1, "records": "items"}
    counts_records = True
    param: str = "page"
    start: int = 1
    limit_param: str = ""
    limit: int = 0
    has_more: str = ""
    total_pages: str = ""
    total: str = ""
    params_in: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The next page number; None if the API says that there is none, or else after an empty page."""
        current, count = int_param(params, self.param, self.start), len(self.records(page))
        more = self.says_more(page)
        if more is None:
            more = self._is_before_last(page, current - self.start + 1, count)
        if not (bool(count) if more is None else more):
            return None
        return NextRequest(params=((self.param, current + 1),))

    def _is_before_last(self, page: Page, number: int, count: int) -> bool | None:
        """Whether the totals say that more pages follow page `number` (from 1); None without a total."""
        pages = read_count(self.total_pages, page) if self.total_pages else None
        if pages is not None and (pages or not count):
            return number < pages
        total = read_count(self.total, page) if self.total else None
        if total is None or total < count:  # not a total of all records
            return None
        if count:
            return page.records_so_far < total
        if total and not page.largest_page:
            raise UnreadablePage("the first page is empty, but the API says that there are more records")
        return number * page.largest_page < total
