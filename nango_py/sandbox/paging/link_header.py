"""link_header: the Link header holds the URL of the next page (RFC 8288)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nango_py.registry import PAGE_SERVERS
from nango_py.sandbox.paging.base import PageServer, decode_cursor, encode_cursor

if TYPE_CHECKING:
    from nango_py.json_types import JsonValue
    from nango_py.sandbox.paging.base import ListRequest, PageDraft

CURSOR_PARAM = "after"
"""The parameter with the place in the list. It is part of the link, so the client does not know it."""


@PAGE_SERVERS.register
class LinkHeaderServer(PageServer):
    """Sends links to the first page and, unless it is the last one, to the next page, as GitHub does."""

    name = "link_header"

    def read_start(self, request: ListRequest, records: list[JsonValue], size: int) -> int:
        """The place that the link named."""
        token = request.params.get(CURSOR_PARAM)
        return 0 if token is None else decode_cursor(token)

    def mark(self, page: PageDraft) -> None:
        """Add the header."""
        links = [f'<{page.url_with({CURSOR_PARAM: encode_cursor(0)})}>; rel="first"']
        if page.next_start is not None:
            url = self.link(page, {CURSOR_PARAM: encode_cursor(page.next_start)})
            links.insert(0, f'<{url}>; rel="{self.settings.get("rel") or "next"}"')
        page.headers["Link"] = ", ".join(links)
