"""single: the list is one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft


@PAGE_SERVERS.register
class SingleServer(PageServer):
    """Sends all records at once."""

    name = "single"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """Zero."""
        return 0

    def read_size(self, request: ListRequest, largest: int) -> int:
        """No limit."""
        return 1_000_000_000

    def mark(self, page: PageDraft) -> None:
        """Do nothing."""
