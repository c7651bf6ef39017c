"""single: the API returns everything in one response."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from nango_py.pagination.base import RECORDS_SCHEMA, NextRequest, Page, Paginator, Params
from nango_py.record import record
from nango_py.registry import PAGINATORS

if TYPE_CHECKING:
    from nango_py.json_types import Schema, Settings


@PAGINATORS.register
@record
class Single(Paginator):
    """Returns the records of one response and requests no other page."""

    name = "single"
    config_schema: ClassVar[Schema] = {"properties": {"records": RECORDS_SCHEMA}}
    example_config: ClassVar[Settings] = {"records": "data"}
    records_path: str = ""

    def next_request(self, page: Page, params: Params) -> NextRequest | None:
        """None: there is no next page."""
        return None
