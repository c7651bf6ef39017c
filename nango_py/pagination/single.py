"""single: the API returns everything in one response."""

from __future__ import annotations

from nango_py.pagination.base import (
    EMPTY_STATUSES_SCHEMA,
    RECORDS_SCHEMA,
    NextRequest,
    Page,
    Paginator,
    Params,
)
from nango_py.record import record
from nango_py.registry import PAGINATORS


@PAGINATORS.register
@record
class Single(Paginator):
    """Returns the records of one response and requests no other page."""

    name = "single"
    config_schema = {"properties": {"empty_statuses": EMPTY_STATUSES_SCHEMA, "records": RECORDS_SCHEMA}}
    example_config = {"records": "data"}
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """None: there is no next page."""
        return None
