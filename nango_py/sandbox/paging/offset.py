"""offset: a parameter is the number of records to skip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer, UnknownPageError

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft


@PAGE_SERVERS.register
class OffsetServer(PageServer):
    """Skips records. Behind the end of the list, pages are empty."""

    name = "offset"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The number, counted from the block's `start`; 0 without it."""
        value, first = self.read_number(request), int(self.settings.get("start", 0))
        if value is None:
            return 0
        number = self.parse_number(value)
        if number < first:
            raise UnknownPageError(f"offsets are counted from {first}")
        return number - first

    def mark(self, page: PageDraft) -> None:
        """Write the total."""
        page.write(self.settings.get("total") or "", page.total)
