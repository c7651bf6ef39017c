"""offset: a parameter is the number of records to skip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft


@PAGE_SERVERS.register
class OffsetServer(PageServer):
    """Skips records. Behind the end of the list, pages are empty."""

    name = "offset"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The parameter; 0 without it."""
        value = self.read_param(request, self.settings["param"])
        return 0 if value is None else self.parse_number(value)

    def mark(self, page: PageDraft) -> None:
        """Write the total."""
        page.write(self.settings.get("total") or "", page.total)
