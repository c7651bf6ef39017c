"""next_url: the body holds the URL of the next page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer, decode_cursor, encode_cursor

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft

CURSOR_PARAM = "page[cursor]"
"""The parameter with the place in the list. It is part of the link, so the client does not know it."""


@PAGE_SERVERS.register
class NextUrlServer(PageServer):
    """Writes the complete URL of the next page, and null on the last one."""

    name = "next_url"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The place that the link named."""
        token = request.params.get(CURSOR_PARAM)
        return 0 if token is None else decode_cursor(token)

    def mark(self, page: PageDraft) -> None:
        """Write the link."""
        start = page.next_start
        link = None if start is None else self.link(page, {CURSOR_PARAM: encode_cursor(start)})
        page.write(self.settings["next"], link)
