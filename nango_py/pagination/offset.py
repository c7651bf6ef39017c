"""offset: a parameter is the number of records to skip (Close's `_skip` and `_limit`)."""

from __future__ import annotations

from nango_py.pagination.base import (
    EMPTY_STATUSES_SCHEMA,
    HAS_MORE_SCHEMA,
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
class Offset(Paginator):
    """Adds the number of records received to the offset, until the API says that all were sent.

    An API that says nothing ends with an empty page. A short page proves nothing: many APIs return fewer
    records than `limit` asks for.
    """

    name = "offset"
    config_schema = {
        "required": ["param"],
        "properties": {
            "param": {"type": "string", "description": "parameter for the offset"},
            "limit_param": {"type": "string", "description": "parameter for the page size"},
            "limit": {"type": "integer", "minimum": 1, "description": "page size to request"},
            "has_more": HAS_MORE_SCHEMA,
            "total": TOTAL_SCHEMA,
            "params_in": PARAMS_IN_SCHEMA,
            "empty_statuses": EMPTY_STATUSES_SCHEMA,
            "records": RECORDS_SCHEMA,
        },
    }
    example_config = {
        "param": "offset",
        "limit_param": "limit",
        "limit": 100,
        "records": "data",
    }
    counts_records = True
    param: str = "offset"
    limit_param: str = ""
    limit: int = 0
    has_more: str = ""
    total: str = ""
    params_in: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The next offset; None if the flag or the total says that there is none, or after an empty page.

        Raises:
            UnreadablePage: the first page is empty, and yet there are more records.
        """
        count, offset = len(self.records(page)), int_param(params, self.param, 0)
        # The offset counts records: an empty page in the middle is as long as the others.
        following = offset + (count or page.largest_page)
        more = self.says_more(page)
        total = read_count(self.total, page) if self.total and more is None else None
        if total is not None and total >= offset + count:  # a smaller total is not one of all records
            more = following < total
        if not (bool(count) if more is None else more):
            return None
        if following == offset:
            raise UnreadablePage("the first page is empty, but the API says that there are more records")
        return NextRequest(params=((self.param, following),))
