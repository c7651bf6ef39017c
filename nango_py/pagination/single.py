"""single: the API returns everything in one response."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.config.values import NOTHING
from nango_py.pagination.base import COMMON_SCHEMA, NextRequest, Page, Paginator, Params
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from nango_py.json_types import Settings


@PAGINATORS.register
@record
class Single(Paginator):
    """Returns the records of one response and requests no other page."""

    name = "single"
    config_schema = {"properties": COMMON_SCHEMA}
    example_config = {"records": "data"}
    size: Settings = NOTHING
    empty_statuses: tuple[int, ...] = ()
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """None: there is no next page."""
        return None
