"""page: a parameter is the number of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer, UnknownPageError

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft


@PAGE_SERVERS.register
class PageNumberServer(PageServer):
    """Counts pages from the block's `start`. Behind the end of the list, pages are empty."""

    name = "page"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The records of the pages before."""
        value, first = self.read_number(request), int(self.settings.get("start", 1))
        number = first if value is None else self.parse_number(value)
        if number < first:
            raise UnknownPageError(f"pages are counted from {first}")
        return (number - first) * size

    def mark(self, page: PageDraft) -> None:
        """Write the totals."""
        page.write(self.settings.get("total") or "", page.total)
        page.write(self.settings.get("total_pages") or "", -(-page.total // page.size))
