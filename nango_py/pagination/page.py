"""page: a parameter is the number of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import NOTHING
from nango_py.pagination.base import (
    COUNTING_SCHEMA,
    POINTER,
    NextRequest,
    Page,
    Paginator,
    Params,
    UnreadablePage,
    read_count,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from nango_py.config.pointers import RequestPointer, ResponsePointer
    from nango_py.json_types import Settings


@PAGINATORS.register
@record
class PageNumber(Paginator):
    """Requests page after page until the API says that there are no more; else until a page is empty."""

    name = "page"
    config_schema = {
        "anyOf": [{"required": ["param"]}, {"required": ["to"]}],
        "properties": {
            "start": {
                "type": "integer",
                "minimum": 0,
                "description": "first page number, 1 by default",
                "default": 1,
            },
            "total_pages": {**POINTER, "description": "pointer to the number of pages"},
            **COUNTING_SCHEMA,
        },
    }
    example_config = {"param": "page", "start": 1, "records": "items"}
    counts_records = True
    param: str = ""
    to: RequestPointer = NOTHING
    phrase: str = ""
    start: int = 1
    size: Settings = NOTHING
    limit_param: str = ""
    limit: int = 0
    has_more: ResponsePointer = ""
    total_pages: ResponsePointer = ""
    total: ResponsePointer = ""
    params_in: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The next page number; None if the API says that there is none, or else after an empty page."""
        current, count = self.number(page, params, self.start), len(self.records(page))
        more = self.says_more(page)
        if more is None:
            more = self._is_before_last(page, current - self.start + 1, count)
        if not (bool(count) if more is None else more):
            return None
        return self.with_number(current + 1)

    def _is_before_last(self, page: Page, number: int, count: int) -> bool | None:
        """Whether the totals say that more pages follow page `number` (from 1); None without a total."""
        pages = read_count(self.total_pages, page) if self.total_pages else None
        if pages is not None and (pages or not count):
            return number < pages
        total = read_count(self.total, page) if self.total else None
        if total is None or total < page.records_so_far:  # not a total of all records
            return None
        if count:
            return page.records_so_far < total
        if total and not page.largest_page:
            raise UnreadablePage("the first page is empty, but the API says that there are more records")
        return number * page.largest_page < total
