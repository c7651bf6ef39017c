"""offset: a parameter is the number of records to skip (Close's `_skip` and `_limit`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import NOTHING
from nango_py.pagination.base import (
    COUNTING_SCHEMA,
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
class Offset(Paginator):
    """Adds the number of records received to the offset, until the API says that all were sent.

    An API that says nothing ends with an empty page. A short page proves nothing: many APIs return fewer
    records than `limit` asks for.
    """

    name = "offset"
    config_schema = {
        "anyOf": [{"required": ["param"]}, {"required": ["to"]}],
        "properties": {
            "start": {
                "type": "integer",
                "minimum": 0,
                "description": "first offset, 0 by default",
                "default": 0,
            },
            **COUNTING_SCHEMA,
        },
    }
    example_config = {"param": "offset", "size": {"param": "limit", "value": 100}, "records": "data"}
    counts_records = True
    param: str = ""
    to: RequestPointer = NOTHING
    phrase: str = ""
    start: int = 0
    size: Settings = NOTHING
    limit_param: str = ""
    limit: int = 0
    has_more: ResponsePointer = ""
    total: ResponsePointer = ""
    params_in: str = ""
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """The next offset; None if the flag or the total says that there is none, or after an empty page.

        Raises:
            UnreadablePage: the first page is empty, and yet there are more records.
        """
        count, offset = len(self.records(page)), self.number(page, params, self.start)
        # The offset counts records: an empty page in the middle is as long as the others.
        following = offset + (count or page.largest_page)
        more = self.says_more(page)
        total = read_count(self.total, page) if self.total and more is None else None
        sent = offset - self.start + count
        if total is not None and total >= sent:  # a smaller total is not one of all records
            more = following - self.start < total
        if not (bool(count) if more is None else more):
            return None
        if following == offset:
            raise UnreadablePage("the first page is empty, but the API says that there are more records")
        return self.with_number(following)
